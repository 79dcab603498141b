//! The threads of the lanes: starts them, replaces a lane that stalls, waits for their end.
//!
//! Invariant: as many lanes work as were configured, less those that stall when no spare thread is left. The server
//! counts these and reports itself unready.

use super::{
    call::QueuedCall,
    config::LaneConfig,
    context::LaneContext,
    control::{Control, LaneCommand},
    lane::{Ended, Lane, StartError},
    reaper::Reaper,
    reply_sink::Outcome,
    standby_maker::StandbyMaker,
    status::ExecutorStatus,
    watchdog::InFlight,
};
use crate::{
    ids::{LaneId, ServiceId},
    instance::Fault,
    memory::process::ProcessMemory,
    seams::Seams,
    service::Service,
    telemetry::{Telemetry, events::EventKind},
};
use crossbeam_channel::Receiver;
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::{
    io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak},
    thread,
    time::{Duration, Instant},
};

/// How often the watchdog checks, unless a `call.stall_timeout` asks for more.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// Checks within a `call.stall_timeout`.
const CHECKS_PER_STALL: u32 = 4;

/// The lanes of a server.
pub(crate) struct LanePool {
    threads: ThreadPool,
    context: Arc<LaneContext>,
    calls: Receiver<QueuedCall>,
    state: Mutex<State>,
    ended: Condvar,
}

struct State {
    /// Handles to the lanes that work, by the number of the lane.
    controls: Vec<Arc<Control>>,
    at_work: usize,
    /// Threads for lanes that replace others.
    spares: usize,
    /// Lanes that stalled and were not replaced, because there was no thread.
    vacant: Vec<LaneId>,
    /// Lanes that are being made for such places.
    filling: usize,
}

impl LanePool {
    /// Starts the lanes. On return each has an active instance of every service.
    ///
    /// # Errors
    /// Returns an error if a thread or an instance cannot be made.
    pub(crate) fn start(
        config: &LaneConfig,
        services: &[Arc<Service>],
        telemetry: &Telemetry,
        process: Arc<ProcessMemory>,
        seams: Seams,
        calls: Receiver<QueuedCall>,
    ) -> Result<Arc<Self>, StartError> {
        let reaper = Reaper::start(config.retired_max(), Arc::clone(&telemetry.metrics))?;
        let executors = config.lanes * services.len();
        let standbys_max = config.standbys_max(executors);
        let standby_maker = StandbyMaker::start(executors, standbys_max, telemetry.clone(), seams.clone())?;
        let context = Arc::new(LaneContext {
            services: services.to_vec(),
            telemetry: telemetry.clone(),
            seams,
            reaper,
            standby_maker,
            process,
            reply_bytes_max: config.reply_bytes_max,
            sample_interval: config.sample_interval,
        });
        let threads = ThreadPoolBuilder::new()
            .num_threads(config.lanes * 2)
            .thread_name(|lane| format!("lane-{lane}"))
            .build()?;
        let controls: Vec<_> = (0..config.lanes).map(|_| Arc::new(Control::new(services.len()))).collect();
        let lanes = controls.iter().enumerate().map(|(index, control)| {
            let id = LaneId::from_index(index);
            Lane::new(id, Arc::clone(&context), Arc::clone(control), calls.clone())
        });
        let lanes = lanes.collect::<Result<Vec<_>, _>>()?;
        let state =
            State { controls, at_work: lanes.len(), spares: config.lanes, vacant: Vec::new(), filling: 0 };
        let pool =
            Arc::new(Self { threads, context, calls, state: Mutex::new(state), ended: Condvar::new() });
        for lane in lanes {
            let running = Arc::clone(&pool);
            pool.threads.spawn(move || running.run(lane));
        }
        pool.start_watchdog()?;
        Ok(pool)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a lane on the calling thread until it ends.
    fn run(self: &Arc<Self>, lane: Lane) {
        let ended = lane.run();
        let mut state = self.lock();
        match ended {
            Ended::Done => state.at_work -= 1,
            Ended::Relieved => state.spares += 1,
        }
        drop(state);
        self.fill_vacant();
        self.ended.notify_all();
    }

    /// Number of lanes that work.
    pub(crate) fn at_work(&self) -> usize {
        self.lock().at_work
    }

    /// Gives a command to the executors of a service, on one lane or on all.
    pub(crate) fn command(&self, command: LaneCommand, service: ServiceId, lane: Option<LaneId>) {
        for (_, control) in self.controls(lane) {
            control.command(service, command);
        }
    }

    /// Wakes all lanes, so that they look at generations and policies.
    pub(crate) fn wake(&self) {
        self.controls(None).iter().for_each(|(_, control)| control.wake());
    }

    /// Status of the executors of a service, on all lanes.
    pub(crate) fn status(&self, service: ServiceId) -> Vec<ExecutorStatus> {
        let controls = self.controls(None).into_iter();
        controls.filter_map(|(lane, control)| Some(control.executor(service)?.status.get(lane))).collect()
    }

    fn controls(&self, lane: Option<LaneId>) -> Vec<(LaneId, Arc<Control>)> {
        let state = self.lock();
        let all = state.controls.iter().enumerate();
        all.map(|(index, control)| (LaneId::from_index(index), Arc::clone(control)))
            .filter(|(id, _)| lane.is_none_or(|lane| lane == *id))
            .collect()
    }

    /// Waits until every lane has ended and no call is left; returns false if that takes longer than `timeout`.
    pub(crate) fn wait(&self, timeout: Duration) -> bool {
        let state = self.lock();
        let waited = self.ended.wait_timeout_while(state, timeout, |state| {
            state.at_work + state.filling > 0 || (!state.vacant.is_empty() && !self.calls.is_empty())
        });
        let (_state, result) = waited.unwrap_or_else(PoisonError::into_inner);
        !result.timed_out()
    }

    /// Starts the thread that samples the process and finds stalled calls. It ends with the pool.
    fn start_watchdog(self: &Arc<Self>) -> io::Result<()> {
        let pool: Weak<Self> = Arc::downgrade(self);
        thread::Builder::new().name("watchdog".into()).spawn(move || {
            while let Some(pool) = pool.upgrade() {
                pool.context.process.sample();
                pool.answer_stalled();
                let services = pool.context.services.iter();
                let interval = services
                    .map(|service| service.policy().stall_timeout / CHECKS_PER_STALL)
                    .fold(CHECK_INTERVAL, Duration::min)
                    .max(Duration::from_millis(1));
                drop(pool);
                thread::sleep(interval);
            }
        })?;
        Ok(())
    }

    /// Answers every call that stalls, and only then replaces their lanes, since making one may take long.
    fn answer_stalled(self: &Arc<Self>) {
        let now = Instant::now();
        for (lane, control) in self.controls(None) {
            let Some(InFlight { reply, begun, service, method, swap, stall_timeout, probe }) =
                control.in_flight.take_stalled(now)
            else {
                continue;
            };
            let telemetry = &self.context.telemetry;
            let result = Err(Fault::Stalled(stall_timeout));
            let took = begun.elapsed();
            telemetry.metrics.call_ended(service.name(), &method, swap, took, &result);
            telemetry.history.call_ended(took, &result);
            telemetry.metrics.call_stalled(service.name());
            let after_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
            telemetry.events.emit(service.name(), Some(lane), EventKind::Stall { after_ms });
            service.record(&result, probe, lane, self.context.now(), telemetry);
            {
                let mut state = self.lock();
                state.at_work -= 1;
                state.vacant.push(lane);
            }
            reply.deliver(Outcome { result, took, witness_took: Duration::ZERO });
        }
        self.fill_vacant();
        self.answer_without_lanes();
        // A drain waits for an empty queue and for lanes at work; both may have changed here.
        self.ended.notify_all();
    }

    /// Starts a lane in every vacant place, as long as there are threads. A lane that cannot be made is tried again at
    /// the next check.
    fn fill_vacant(self: &Arc<Self>) {
        loop {
            let mut state = self.lock();
            if state.spares == 0 {
                return;
            }
            let Some(lane) = state.vacant.pop() else { return };
            state.spares -= 1;
            state.filling += 1;
            drop(state);
            let pool = Arc::clone(self);
            // The new lane is made on its own thread: the cause that stalled the old one may stall this too.
            self.threads.spawn(move || pool.fill(lane));
        }
    }

    fn fill(self: &Arc<Self>, id: LaneId) {
        let control = Arc::new(Control::new(self.context.services.len()));
        let lane = Lane::new(id, Arc::clone(&self.context), Arc::clone(&control), self.calls.clone());
        let mut state = self.lock();
        state.filling -= 1;
        match lane {
            Ok(lane) => {
                if let Some(place) = state.controls.get_mut(id.index()) {
                    *place = control;
                }
                state.at_work += 1;
                drop(state);
                self.run(lane);
            }
            Err(error) => {
                state.spares += 1;
                state.vacant.push(id);
                drop(state);
                self.ended.notify_all();
                tracing::error!(lane = id.index(), %error, "a lane stalled and cannot be replaced yet");
            }
        }
    }

    /// Answers the queued calls while no lane works and no thread is left for one, because nothing else would.
    fn answer_without_lanes(&self) {
        let is_without = || {
            let state = self.lock();
            state.at_work == 0 && state.filling == 0 && state.spares == 0
        };
        while is_without() {
            let Ok(QueuedCall { request, queued, reply, probe }) = self.calls.try_recv() else { return };
            let Some(service) = self.context.services.get(request.service.index()) else { continue };
            service.withdraw(self.context.now(), probe);
            let result = Err(Fault::Stalled(service.policy().stall_timeout));
            reply.deliver(Outcome { result, took: queued.elapsed(), witness_took: Duration::ZERO });
        }
    }
}
