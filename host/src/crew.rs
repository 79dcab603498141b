//! The lanes' threads: starts lanes, puts another into the place of one that stalls, waits for their end.
//!
//! Invariant: there are as many lanes at work as were asked for, less those that stall when no spare thread is
//! left, which is counted and makes the server unready.

use crate::{
    dispatch::DispatchConfig,
    events::{Events, What},
    generation::Service,
    instance::Fault,
    job::{Job, Outcome},
    lane::{Ended, Lane, Shared, StartError, tell_turn},
    metrics::Metrics,
    nursery::{Nursery, stock},
    process::ProcessMemory,
    reaper::Reaper,
    seams::Seams,
    seat::Wishes,
    watch::{Desk, InFlight},
};
use crossbeam_channel::{Receiver, Sender, bounded};
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::{
    io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak},
    thread,
    time::{Duration, Instant},
};

/// How often the watch looks, unless a `call.stall_timeout` asks for more.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// Looks within a `call.stall_timeout`.
const LOOKS_PER_STALL: u32 = 4;

/// By what a lane is reached from outside.
pub(crate) struct Control {
    pub(crate) desk: Desk,
    /// For each service, what operators wish.
    pub(crate) wishes: Vec<Arc<Wishes>>,
    pub(crate) wake: Sender<()>,
    pub(crate) woken: Receiver<()>,
}

impl Control {
    fn new(services: usize) -> Self {
        let (wake, woken) = bounded(1);
        Self { desk: Desk::default(), wishes: (0..services).map(|_| Arc::default()).collect(), wake, woken }
    }

    /// Makes the lane look at its wishes and generations at the end of its call.
    pub(crate) fn wake(&self) {
        // Full: it is about to look anyway.
        let _ = self.wake.try_send(());
    }
}

/// The lanes of a server.
pub(crate) struct Crew {
    pool: ThreadPool,
    shared: Arc<Shared>,
    jobs: Receiver<Job>,
    state: Mutex<State>,
    ended: Condvar,
}

struct State {
    /// By what the lanes at work are reached, by index.
    controls: Vec<Arc<Control>>,
    at_work: usize,
    /// Threads for lanes that take the place of others.
    spares: usize,
    /// Places without a lane: theirs is stuck, and there was no thread for another.
    vacant: Vec<usize>,
    /// Lanes that are being made for such places.
    filling: usize,
}

impl Crew {
    /// Starts the lanes; on return each has its active instances.
    pub(crate) fn start(
        config: &DispatchConfig,
        services: &[Arc<Service>],
        metrics: &Arc<Metrics>,
        events: &Arc<Events>,
        process: Arc<ProcessMemory>,
        seams: Seams,
        jobs: Receiver<Job>,
    ) -> Result<Arc<Self>, StartError> {
        let reaper = Reaper::start(config.lanes * stock(config.lanes), Arc::clone(metrics))?;
        let seats = config.lanes * services.len();
        let nursery = Nursery::start(seats, Arc::clone(metrics), Arc::clone(events), seams.clone())?;
        let shared = Arc::new(Shared {
            services: services.to_vec(),
            metrics: Arc::clone(metrics),
            events: Arc::clone(events),
            seams,
            reaper,
            nursery,
            process,
            reply_bytes_max: config.reply_bytes_max,
            sample_interval: config.sample_interval,
        });
        let pool = ThreadPoolBuilder::new()
            .num_threads(config.lanes * 2)
            .thread_name(|lane| format!("lane-{lane}"))
            .build()?;
        let controls: Vec<_> = (0..config.lanes).map(|_| Arc::new(Control::new(services.len()))).collect();
        let lanes = controls
            .iter()
            .enumerate()
            .map(|(index, control)| Lane::new(index, Arc::clone(&shared), Arc::clone(control), jobs.clone()));
        let lanes = lanes.collect::<Result<Vec<_>, _>>()?;
        let state =
            State { controls, at_work: lanes.len(), spares: config.lanes, vacant: Vec::new(), filling: 0 };
        let crew = Arc::new(Self { pool, shared, jobs, state: Mutex::new(state), ended: Condvar::new() });
        for lane in lanes {
            crew.run(lane);
        }
        crew.watch()?;
        Ok(crew)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(self: &Arc<Self>, lane: Lane) {
        let crew = Arc::clone(self);
        self.pool.spawn(move || crew.stay(lane));
    }

    /// Works as a lane until it ends.
    fn stay(self: &Arc<Self>, lane: Lane) {
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

    /// Lanes at work.
    pub(crate) fn at_work(&self) -> usize {
        self.lock().at_work
    }

    /// By what lanes are reached: one of them, or all.
    pub(crate) fn controls(&self, lane: Option<usize>) -> Vec<Arc<Control>> {
        let state = self.lock();
        match lane {
            Some(lane) => state.controls.get(lane).cloned().into_iter().collect(),
            None => state.controls.clone(),
        }
    }

    /// Waits until every lane has ended and no job is left; false if that takes too long.
    pub(crate) fn wait(&self, timeout: Duration) -> bool {
        let state = self.lock();
        let waited = self.ended.wait_timeout_while(state, timeout, |state| {
            state.at_work + state.filling > 0 || (!state.vacant.is_empty() && !self.jobs.is_empty())
        });
        let (_state, result) = waited.unwrap_or_else(PoisonError::into_inner);
        !result.timed_out()
    }

    /// Starts the thread that looks for calls that stall. It ends with the crew.
    fn watch(self: &Arc<Self>) -> io::Result<()> {
        let crew: Weak<Self> = Arc::downgrade(self);
        thread::Builder::new().name("watch".into()).spawn(move || {
            while let Some(crew) = crew.upgrade() {
                crew.shared.process.look();
                crew.relieve_the_stalled();
                let services = crew.shared.services.iter();
                let interval = services
                    .map(|service| service.policy().stall_timeout / LOOKS_PER_STALL)
                    .fold(LOOK_INTERVAL, Duration::min)
                    .max(Duration::from_millis(1));
                drop(crew);
                thread::sleep(interval);
            }
        })?;
        Ok(())
    }

    /// Answers every call that stalls, and only then looks for other lanes: making one may take long.
    fn relieve_the_stalled(self: &Arc<Self>) {
        let now = Instant::now();
        for (index, control) in self.controls(None).into_iter().enumerate() {
            let Some(InFlight { answer, begun, service, stall_timeout, probe }) =
                control.desk.take_stalled(now)
            else {
                continue;
            };
            let Shared { metrics, events, .. } = &*self.shared;
            let result = Err(Fault::Stalled(stall_timeout));
            let took = begun.elapsed();
            metrics.called(service.name(), took, &result);
            metrics.stalled(service.name());
            let after_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
            events.tell(service.name(), Some(index), What::Stall { after_ms });
            let turn = service.breaker.failed(self.shared.seams.clock.now(), &service.policy(), probe);
            tell_turn(&service, Some(index), turn, events, metrics);
            {
                let mut state = self.lock();
                state.at_work -= 1;
                state.vacant.push(index);
            }
            answer.send(Outcome { result, took, witness_took: Duration::ZERO });
        }
        self.fill_vacant();
        self.answer_without_lanes();
    }

    /// Puts a lane into every place that has none, as far as there are threads. One that cannot be made is tried
    /// again at the next look.
    fn fill_vacant(self: &Arc<Self>) {
        loop {
            let mut state = self.lock();
            if state.spares == 0 {
                return;
            }
            let Some(index) = state.vacant.pop() else { return };
            state.spares -= 1;
            state.filling += 1;
            drop(state);
            let crew = Arc::clone(self);
            // On the lane's own thread: what made one lane stall may make this one stall too.
            self.pool.spawn(move || crew.fill(index));
        }
    }

    fn fill(self: &Arc<Self>, index: usize) {
        let control = Arc::new(Control::new(self.shared.services.len()));
        let lane = Lane::new(index, Arc::clone(&self.shared), Arc::clone(&control), self.jobs.clone());
        let mut state = self.lock();
        state.filling -= 1;
        match lane {
            Ok(lane) => {
                state.controls[index] = control;
                state.at_work += 1;
                drop(state);
                self.stay(lane);
            }
            Err(error) => {
                state.spares += 1;
                state.vacant.push(index);
                drop(state);
                self.ended.notify_all();
                tracing::error!(lane = index, %error, "a lane stalls and cannot be replaced yet");
            }
        }
    }

    /// Answers what waits when no lane is left and no thread for one: nobody else would.
    fn answer_without_lanes(&self) {
        let is_without = || {
            let state = self.lock();
            state.at_work == 0 && state.filling == 0 && state.spares == 0
        };
        while is_without() {
            let Ok(Job { ask, queued, answer, probe }) = self.jobs.try_recv() else { return };
            let service = &self.shared.services[ask.service];
            service.breaker.withdrawn(self.shared.seams.clock.now(), probe);
            let result = Err(Fault::Stalled(service.policy().stall_timeout));
            answer.send(Outcome { result, took: queued.elapsed(), witness_took: Duration::ZERO });
        }
    }
}
