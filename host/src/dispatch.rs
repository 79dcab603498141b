//! Admission and the queue in front of the lanes.
//!
//! Invariant: the queue is bounded, a job that was admitted is answered, and stopping means admitting
//! nothing more, then letting the lanes finish.

pub use crate::lane::StartError;
use crate::{
    breaker::{Admitted, BreakerState},
    crew::Crew,
    events::{Events, What},
    generation::{Generation, Service},
    job::{Answer, Ask, Job, Outcome},
    lane::tell_turn,
    metrics::Metrics,
    nursery::stock,
    policy::Policy,
    process::ProcessMemory,
    seams::Seams,
};
use arc_swap::ArcSwapOption;
use crossbeam_channel::{Sender, TrySendError, bounded};
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::sync::oneshot;

/// Sizes of a dispatcher.
#[derive(Clone, Copy, Debug)]
pub struct DispatchConfig {
    /// Compute threads.
    pub lanes: usize,
    /// Calls that may wait.
    pub queue_depth: usize,
    /// Longest reply.
    pub reply_bytes_max: u64,
    /// How often idle lanes look at their instances.
    pub sample_interval: Duration,
}

impl DispatchConfig {
    /// Instances that can be alive at once, for the size of the pool: for each lane and service an active one,
    /// its standbys and, while a generation is replaced or a lane stalls, the same again; and those that wait for
    /// the reaper.
    #[must_use]
    pub fn instances_max(&self, services: usize) -> u32 {
        let seats = self.lanes * services;
        // And one witness calculator for each lane, and one instance to probe a new image with.
        let instances = seats * 2 * (2 + stock(seats)) + self.lanes * (stock(self.lanes) + 1) + 2;
        u32::try_from(instances).unwrap_or(u32::MAX)
    }
}

/// Why a call was not admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// Too many calls wait.
    #[error("the queue is full; try again in {} s", .retry_after.as_secs())]
    QueueFull {
        /// When a place is likely to be free.
        retry_after: Duration,
    },
    /// The image failed its last calls.
    #[error("the image fails its calls and gets none for now; try again in {} s", .retry_after.as_secs())]
    BreakerOpen {
        /// When the next call is let in to try.
        retry_after: Duration,
    },
    /// The server stops.
    #[error("the server is shutting down")]
    Draining,
}

/// What an operator can ask of lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Have a standby at hand.
    Prepare,
    /// Replace the active instance, once a standby is ready.
    Swap,
}

/// Whether a call that came now would run at once or soon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// It would.
    Ready,
    /// Some lanes are stuck and could not be replaced.
    LanesMissing,
    /// An image is not served: its breaker is open.
    BreakerOpen,
    /// An image swaps more often than `swap.per_minute_max`.
    SwapStorm,
    /// It would be turned away, as too many wait.
    QueueFull,
    /// The server stops.
    Draining,
}

/// The queue and the lanes behind it.
pub struct Dispatcher {
    config: DispatchConfig,
    services: Vec<Arc<Service>>,
    metrics: Arc<Metrics>,
    events: Arc<Events>,
    process: Arc<ProcessMemory>,
    seams: Seams,
    queue: ArcSwapOption<Sender<Job>>,
    changes: Mutex<()>,
    crew: Arc<Crew>,
}

impl Dispatcher {
    /// Starts the lanes; on return each has its instances.
    ///
    /// # Errors
    /// When a thread or an instance cannot be had.
    pub fn start(
        config: DispatchConfig,
        services: Vec<Arc<Service>>,
        metrics: Arc<Metrics>,
        process: ProcessMemory,
        seams: Seams,
    ) -> Result<Arc<Self>, StartError> {
        let (queue, jobs) = bounded(config.queue_depth);
        let events = Arc::new(Events::default());
        let process = Arc::new(process);
        let crew =
            Crew::start(&config, &services, &metrics, &events, Arc::clone(&process), seams.clone(), jobs)?;
        let queue = ArcSwapOption::from_pointee(queue);
        let changes = Mutex::new(());
        Ok(Arc::new(Self { config, services, metrics, events, process, seams, queue, changes, crew }))
    }

    /// Admits a call, or says why not.
    ///
    /// # Errors
    /// When the image's breaker is open, the queue is full or the server stops.
    pub fn submit(&self, ask: Ask) -> Result<oneshot::Receiver<Outcome>, Rejected> {
        let queue = self.queue.load();
        let queue = queue.as_ref().ok_or(Rejected::Draining)?;
        let service = Arc::clone(&self.services[ask.service]);
        let now = self.seams.clock.now();
        let admitted = service.breaker.admit(now, &service.policy());
        let Admitted { turn, probe } = admitted.map_err(|left| Rejected::BreakerOpen {
            retry_after: Duration::from_secs(left.as_secs_f64().ceil().max(1.0) as u64),
        })?;
        // Before a lane can tell how it went on.
        tell_turn(&service, None, turn, &self.events, &self.metrics);
        let (answer, outcome) = Answer::new(&self.metrics);
        let (job, rejected) = match queue.try_send(Job { ask, queued: Instant::now(), answer, probe }) {
            Ok(()) => return Ok(outcome),
            Err(TrySendError::Full(job)) => (job, Rejected::QueueFull { retry_after: self.retry_after() }),
            Err(TrySendError::Disconnected(job)) => (job, Rejected::Draining),
        };
        service.breaker.withdrawn(now, probe);
        job.answer.withdraw();
        Err(rejected)
    }

    /// The metrics as Prometheus reads them, with what is known only now.
    #[must_use]
    pub fn render_metrics(&self) -> Vec<u8> {
        self.metrics.queue_is(self.queue_len());
        self.metrics.process_limit_is(self.process.limit_bytes());
        self.metrics.lanes_are(self.lanes_at_work(), self.config.lanes);
        for service in &self.services {
            let policy = service.policy();
            self.metrics.limit_is(service.name(), policy.memory_limit_bytes);
            self.metrics.breaker_is(service.name(), service.breaker.state(self.seams.clock.now()));
        }
        self.metrics.render()
    }

    /// Replaces the generation of a service. Calls under way finish where they began; lanes move over at
    /// their next.
    pub fn publish(&self, service: usize, generation: Generation) {
        self.services[service].publish(generation);
        self.wake(None);
    }

    /// To be held by whoever reads policies in order to change them: two changes at once would lose one.
    pub fn changing(&self) -> MutexGuard<'_, ()> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes how a service is served. A call under way keeps the policy it began with.
    pub fn serve_by(&self, service: usize, policy: Policy) {
        let service = &self.services[service];
        if *service.policy() != policy {
            service.serve_by(policy);
            self.events.tell(service.name(), None, What::Policy);
            self.wake(None);
        }
    }

    /// Asks one lane, or all, for something between two of their calls. Asked twice, it is done once.
    pub fn wish(&self, wish: Wish, service: usize, lane: Option<usize>) {
        for control in self.crew.controls(lane) {
            let wishes = &control.wishes[service];
            match wish {
                Wish::Prepare => wishes.prepare(),
                Wish::Swap => wishes.swap(),
            }
            control.wake();
        }
    }

    fn wake(&self, lane: Option<usize>) {
        for control in self.crew.controls(lane) {
            control.wake();
        }
    }

    /// What happens to instances.
    #[must_use]
    pub fn events(&self) -> &Events {
        &self.events
    }

    /// The memory of the process.
    #[must_use]
    pub fn process(&self) -> &ProcessMemory {
        &self.process
    }

    /// Where the breaker of a service stands.
    #[must_use]
    pub fn breaker(&self, service: usize) -> BreakerState {
        self.services[service].breaker.state(self.seams.clock.now())
    }

    /// Whether a service swaps more often than it may.
    #[must_use]
    pub fn is_storming(&self, service: usize) -> bool {
        self.services[service].storm.is_storming(self.seams.clock.now())
    }

    /// Lanes that take calls.
    #[must_use]
    pub fn lanes_at_work(&self) -> usize {
        self.crew.at_work()
    }

    /// The services, in the order of their indices.
    #[must_use]
    pub fn services(&self) -> &[Arc<Service>] {
        &self.services
    }

    /// Sizes.
    #[must_use]
    pub fn config(&self) -> &DispatchConfig {
        &self.config
    }

    /// The server's metrics.
    #[must_use]
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Calls that wait.
    #[must_use]
    pub fn queue_len(&self) -> usize {
        self.queue.load().as_ref().map_or(0, |queue| queue.len())
    }

    /// Whether a call could run now. With several images, one that fails does not make the others unready.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        let all = |is_so: &dyn Fn(usize) -> bool| (0..self.services.len()).all(is_so);
        match &*self.queue.load() {
            None => Readiness::Draining,
            Some(queue) if queue.is_full() => Readiness::QueueFull,
            Some(_) if self.lanes_at_work() < self.config.lanes => Readiness::LanesMissing,
            Some(_) if all(&|service| self.breaker(service) == BreakerState::Open) => Readiness::BreakerOpen,
            Some(_) if all(&|service| self.is_storming(service)) => Readiness::SwapStorm,
            Some(_) => Readiness::Ready,
        }
    }

    /// Admits nothing more.
    pub fn drain(&self) {
        self.queue.store(None);
    }

    /// Waits until every admitted call was answered and the lanes have ended, or the deadline passed.
    #[must_use]
    pub fn join(&self, deadline: Duration) -> Joined {
        self.drain();
        if self.crew.wait(deadline) { Joined::Finished } else { Joined::GaveUp }
    }

    /// The time that the calls ahead are likely to take, in whole seconds, at least one.
    fn retry_after(&self) -> Duration {
        let ahead = self.queue_len() / self.config.lanes.max(1) + 1;
        let seconds = self.metrics.call_seconds_mean() * ahead as f64;
        Duration::from_secs(seconds.ceil().clamp(1.0, 600.0) as u64)
    }
}

/// How draining ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Joined {
    /// Every admitted call was answered.
    Finished,
    /// The deadline passed first.
    GaveUp,
}
