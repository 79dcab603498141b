//! Admission, and the queue in front of the lanes.
//!
//! Invariant: the queue is bounded, and every admitted call gets an outcome. Stopping means to admit nothing more and to
//! let the lanes finish.

use crate::{
    ids::{LaneId, ServiceId},
    instance::Generation,
    lanes::{
        BodyKind, CallRequest, ExecutorStatus, LaneCommand, LaneConfig, LanePool, QueuedCall, Reply,
        ReplySink, StartError,
    },
    memory::process::ProcessMemory,
    policy::{BreakerState, Policy},
    seams::Seams,
    service::Service,
    telemetry::{
        Telemetry,
        events::{EventKind, Events},
        history::History,
        metrics::Metrics,
        setting_changes::{Author, SettingChanges},
        traces::Traces,
    },
};
use arc_swap::ArcSwapOption;
use crossbeam_channel::{Sender, TrySendError, bounded};
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Why a call was not admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// There is no such service. Its identifier comes from another dispatcher.
    #[error("there is no such service")]
    NoSuchService,
    /// The queue is full.
    #[error("the queue is full; try again in {} s", .retry_after.as_secs())]
    QueueFull {
        /// When a place is likely to be free.
        retry_after: Duration,
    },
    /// The circuit breaker of the image is open.
    #[error("the image fails its calls and gets no calls for now; try again in {} s", .retry_after.as_secs())]
    BreakerOpen {
        /// When the next call is admitted as a probe.
        retry_after: Duration,
    },
    /// The server is shutting down.
    #[error("the server is shutting down")]
    Draining,
}

/// Whether a call that came now would run at once or soon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// It would.
    Ready,
    /// Some lanes stalled and could not be replaced.
    LanesMissing,
    /// The breaker of every image is open.
    BreakerOpen,
    /// Every image is swapped more often than `swap.per_minute_max`.
    SwapStorm,
    /// The queue is full.
    QueueFull,
    /// The server is shutting down.
    Draining,
}

/// Services, in the order of their identifiers; what [`Dispatcher::start`] serves.
#[derive(Default)]
pub struct Services(Vec<Arc<Service>>);

impl Services {
    /// Adds a service; returns its identifier.
    pub fn add(&mut self, name: impl Into<String>, generation: Generation, policy: Policy) -> ServiceId {
        let id = ServiceId::from_index(self.0.len());
        self.0.push(Arc::new(Service::new(id, name, generation, policy)));
        id
    }
}

/// The queue and the lanes behind it.
pub struct Dispatcher {
    config: LaneConfig,
    services: Vec<Arc<Service>>,
    telemetry: Telemetry,
    process: Arc<ProcessMemory>,
    seams: Seams,
    queue: ArcSwapOption<Sender<QueuedCall>>,
    policy_changes: Mutex<()>,
    lanes: Arc<LanePool>,
}

impl Dispatcher {
    /// Starts the lanes. On return each has an active instance of every service.
    ///
    /// # Errors
    /// Returns an error if a thread or an instance cannot be made.
    pub fn start(
        config: LaneConfig,
        services: Services,
        telemetry: Telemetry,
        process: ProcessMemory,
        seams: Seams,
    ) -> Result<Arc<Self>, StartError> {
        let Services(services) = services;
        let (queue, calls) = bounded(config.queue_depth);
        let process = Arc::new(process);
        let lanes =
            LanePool::start(&config, &services, &telemetry, Arc::clone(&process), seams.clone(), calls)?;
        let queue = ArcSwapOption::from_pointee(queue);
        let policy_changes = Mutex::new(());
        Ok(Arc::new(Self { config, services, telemetry, process, seams, queue, policy_changes, lanes }))
    }

    /// Admits a call, whose outcome goes to `sink`.
    ///
    /// # Errors
    /// Returns why the call is not admitted. The sink is dropped unused then.
    pub fn submit(&self, request: CallRequest, sink: Box<dyn ReplySink>) -> Result<(), Rejected> {
        let queue = self.queue.load();
        let queue = queue.as_ref().ok_or(Rejected::Draining)?;
        let service = Arc::clone(self.service(request.service).ok_or(Rejected::NoSuchService)?);
        let now = self.seams.clock.now();
        let probe = match request.kind {
            // The guest is not called, so that it does not matter whether it fails.
            BodyKind::InputsOfWitness => None,
            BodyKind::Raw | BodyKind::Inputs => {
                service.admit(now, &self.telemetry).map_err(|left| Rejected::BreakerOpen {
                    retry_after: Duration::from_secs(left.as_secs_f64().ceil().max(1.0) as u64),
                })?
            }
        };
        let reply = Reply::new(sink, &self.telemetry.metrics);
        let (call, rejected) =
            match queue.try_send(QueuedCall { request, queued: Instant::now(), reply, probe }) {
                Ok(()) => return Ok(()),
                Err(TrySendError::Full(call)) => {
                    (call, Rejected::QueueFull { retry_after: self.retry_after() })
                }
                Err(TrySendError::Disconnected(call)) => (call, Rejected::Draining),
            };
        service.withdraw(now, probe);
        call.reply.withdraw();
        Err(rejected)
    }

    /// Renders the metrics as Prometheus scrapes them, after setting the gauges that are only read then.
    #[must_use]
    pub fn render_metrics(&self) -> Vec<u8> {
        let metrics = &self.telemetry.metrics;
        metrics.set_queue_len(self.queue_len());
        metrics.set_process_limit(self.process.limit_bytes());
        metrics.set_lanes(self.lanes_at_work(), self.config.lanes);
        for service in &self.services {
            metrics.set_memory_limit(service.name(), service.policy().memory_limit_bytes);
            metrics.set_breaker(service.name(), self.breaker(service));
        }
        metrics.render()
    }

    /// Publishes a generation of a service. Running calls end where they began; lanes move over at their next call.
    pub fn publish(&self, service: &Service, generation: Generation) {
        service.publish(generation);
        self.lanes.wake();
    }

    /// Locks the policies. Hold the guard while reading policies in order to change them: of two concurrent changes one
    /// would be lost.
    pub fn lock_policies(&self) -> MutexGuard<'_, ()> {
        self.policy_changes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Replaces the policy of a service. A running call keeps the policy that it began with.
    pub fn set_policy(&self, service: &Service, policy: Policy, by: &Author) {
        let before = service.policy();
        if *before != policy {
            self.telemetry.setting_changes.record(service.name(), by, &before, &policy);
            service.set_policy(policy);
            self.telemetry.events.emit(service.name(), None, EventKind::Policy);
            self.lanes.wake();
        }
    }

    /// Gives a command to one lane or all; it is carried out between two calls.
    pub fn command(&self, command: LaneCommand, service: &Service, lane: Option<LaneId>) {
        self.lanes.command(command, service.id(), lane);
    }

    /// Events of the instances.
    #[must_use]
    pub fn events(&self) -> &Events {
        &self.telemetry.events
    }

    /// The last hour of calls.
    #[must_use]
    pub fn history(&self) -> &History {
        &self.telemetry.history
    }

    /// Begins the traces of requests and jobs.
    #[must_use]
    pub fn traces(&self) -> &Traces {
        &self.telemetry.traces
    }

    /// The latest changes of settings.
    #[must_use]
    pub fn setting_changes(&self) -> &SettingChanges {
        &self.telemetry.setting_changes
    }

    /// Memory of the process.
    #[must_use]
    pub fn process(&self) -> &ProcessMemory {
        &self.process
    }

    /// State of a service's circuit breaker.
    #[must_use]
    pub fn breaker(&self, service: &Service) -> BreakerState {
        service.breaker_state(self.seams.clock.now())
    }

    /// Whether a service is swapped more often than `swap.per_minute_max`.
    #[must_use]
    pub fn is_swap_limited(&self, service: &Service) -> bool {
        service.swap_limiter().is_exceeded(self.seams.clock.now())
    }

    /// Number of lanes that work.
    #[must_use]
    pub fn lanes_at_work(&self) -> usize {
        self.lanes.at_work()
    }

    /// Status of a service's instances, on all lanes.
    #[must_use]
    pub fn executors(&self, service: &Service) -> Vec<ExecutorStatus> {
        self.lanes.status(service.id())
    }

    /// The services, in the order of their identifiers.
    #[must_use]
    pub fn services(&self) -> &[Arc<Service>] {
        &self.services
    }

    /// The service with this identifier.
    #[must_use]
    pub fn service(&self, id: ServiceId) -> Option<&Arc<Service>> {
        self.services.get(id.index())
    }

    /// The service with this name.
    #[must_use]
    pub fn service_named(&self, name: &str) -> Option<&Arc<Service>> {
        self.services.iter().find(|service| service.name() == name)
    }

    /// Sizes of the lanes and the queue.
    #[must_use]
    pub fn config(&self) -> &LaneConfig {
        &self.config
    }

    /// Metrics of the server.
    #[must_use]
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.telemetry.metrics
    }

    /// The longest time that a call of any service may run.
    #[must_use]
    pub fn longest_deadline(&self) -> Duration {
        self.services.iter().map(|service| service.policy().longest_deadline()).max().unwrap_or_default()
    }

    /// Number of calls that wait.
    #[must_use]
    pub fn queue_len(&self) -> usize {
        self.queue.load().as_ref().map_or(0, |queue| queue.len())
    }

    /// Whether a call could run now. With several images, one that fails does not make the server unready.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        let all = |is_so: &dyn Fn(&Service) -> bool| self.services.iter().all(|service| is_so(service));
        match &*self.queue.load() {
            None => Readiness::Draining,
            Some(queue) if queue.is_full() => Readiness::QueueFull,
            Some(_) if self.lanes_at_work() < self.config.lanes => Readiness::LanesMissing,
            Some(_) if all(&|service| self.breaker(service) == BreakerState::Open) => Readiness::BreakerOpen,
            Some(_) if all(&|service| self.is_swap_limited(service)) => Readiness::SwapStorm,
            Some(_) => Readiness::Ready,
        }
    }

    /// Admits nothing more.
    pub fn drain(&self) {
        self.queue.store(None);
    }

    /// Admits nothing more, and waits until every admitted call has its outcome and the lanes have ended, or until
    /// `deadline` has passed.
    #[must_use]
    pub fn join(&self, deadline: Duration) -> Joined {
        self.drain();
        if self.lanes.wait(deadline) { Joined::Finished } else { Joined::GaveUp }
    }

    /// The time that the waiting calls are likely to take, in whole seconds, at least one.
    fn retry_after(&self) -> Duration {
        let ahead = self.queue_len() / self.config.lanes.max(1) + 1;
        let seconds = self.telemetry.metrics.call_seconds_mean() * ahead as f64;
        Duration::from_secs(seconds.ceil().clamp(1.0, 600.0) as u64)
    }
}

/// How draining ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Joined {
    /// Every admitted call has its outcome.
    Finished,
    /// The deadline passed first.
    GaveUp,
}
