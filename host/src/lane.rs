//! A lane: one compute thread, with a seat for each service.
//!
//! The order of a call is: take the job, take the instance, run, reply, settle. What replaces an instance comes
//! after the reply, so that no client waits for it, and takes what the nursery made before.
//!
//! Invariant: every job gets exactly one answer: from the lane, or from the watch when the lane stalls.

use crate::{
    breaker::{Probe, Turn},
    crew::Control,
    events::{Events, What},
    generation::Service,
    instance::{Fault, Instance},
    job::{Job, Outcome},
    metrics::Metrics,
    nursery::Nursery,
    pressure::{Pressure, Reason},
    process::ProcessMemory,
    reaper::Reaper,
    seams::Seams,
    seat::Seat,
    watch::InFlight,
};
use crossbeam_channel::{Receiver, select};
use snapback_snapshot::call::Reply;
use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

/// What every lane of a server shares.
pub(crate) struct Shared {
    pub(crate) services: Vec<Arc<Service>>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) events: Arc<Events>,
    pub(crate) seams: Seams,
    pub(crate) reaper: Reaper,
    pub(crate) nursery: Nursery,
    pub(crate) process: Arc<ProcessMemory>,
    pub(crate) reply_bytes_max: u64,
    pub(crate) sample_interval: Duration,
}

impl Shared {
    pub(crate) fn retire(&self, instance: Instance) {
        self.reaper.retire(instance);
    }

    pub(crate) fn process_pressure(&self) -> Pressure {
        self.process.pressure()
    }
}

/// One lane.
pub(crate) struct Lane {
    index: usize,
    shared: Arc<Shared>,
    control: Arc<Control>,
    jobs: Receiver<Job>,
    seats: Vec<Seat>,
    /// From when to when the lane last did what comes after a reply.
    settling: (Instant, Instant),
}

/// How a lane ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// No job can come any more.
    Done,
    /// It stalled, and another lane is in its place.
    Relieved,
}

impl Lane {
    /// Makes the lane with an active instance of every service.
    pub(crate) fn new(
        index: usize,
        shared: Arc<Shared>,
        control: Arc<Control>,
        jobs: Receiver<Job>,
    ) -> Result<Self, StartError> {
        let seats = shared.services.iter().zip(&control.wishes).map(|(service, wishes)| {
            Seat::new(service, index, Arc::clone(wishes), control.wake.clone(), &shared)
                .map_err(|fault| StartError::Instance { image: service.name().into(), fault })
        });
        let seats = seats.collect::<Result<_, StartError>>()?;
        let now = Instant::now();
        Ok(Self { index, shared, control, jobs, seats, settling: (now, now) })
    }

    /// Works until no job can come any more, or the lane was replaced while it stalled.
    pub(crate) fn run(mut self) -> Ended {
        self.control.desk.sit_down();
        let interval = self.shared.sample_interval;
        let mut next_look = Instant::now() + interval;
        let ended = loop {
            // One image's calls must not keep the lane from looking at another's instance.
            let now = Instant::now();
            if now >= next_look {
                self.look_around();
                next_look = now + interval;
            }
            select! {
                recv(self.jobs) -> job => match job.map(|job| self.work(job)) {
                    Ok(None) => {}
                    Ok(Some(ended)) => break ended,
                    Err(_) => break Ended::Done,
                },
                recv(self.control.woken) -> _ => self.look_around(),
                default(next_look.saturating_duration_since(now)) => {}
            }
        };
        for seat in self.seats {
            seat.leave(&self.shared);
        }
        ended
    }

    /// Works on a job; says so if that was the lane's last.
    fn work(&mut self, job: Job) -> Option<Ended> {
        let Self { shared, seats, control, index, .. } = self;
        let Job { ask, queued, answer, probe } = job;
        let metrics = &shared.metrics;
        let seat = &mut seats[ask.service];
        let service = Arc::clone(seat.service());
        metrics.dequeued(service.name(), queued.elapsed());
        // The time for which this call waited for its lane to swap, and for nothing else.
        let (from, to) = self.settling;
        metrics.swap_paused(service.name(), to.saturating_duration_since(queued.max(from)));
        if answer.is_closed() {
            // The client went away before its turn. A call that has begun is finished all the same: it is
            // bounded by its deadline.
            metrics.abandoned();
            service.breaker.withdrawn(shared.seams.clock.now(), probe);
            answer.withdraw();
            return None;
        }
        let policy = service.policy();
        let begun = Instant::now();
        let stall_timeout = policy.stall_timeout;
        control.desk.begin(InFlight { answer, begun, service: Arc::clone(&service), stall_timeout, probe });
        metrics.call_begins();
        let result = seat.run(&ask, &policy, shared);
        let Some(InFlight { answer, .. }) = control.desk.end() else {
            // The watch answered in its place, counted it, and put another lane in this one's.
            return Some(Ended::Relieved);
        };
        let took = begun.elapsed();
        metrics.called(service.name(), took, &result);
        judge(&service, *index, &result, probe, shared);
        let fault = result.as_ref().err().map(Reason::of);
        answer.send(Outcome { result, took, witness_took: seat.witness_took() });
        let replied = Instant::now();
        seat.settle(fault, &policy, shared);
        // Bodies are overwritten after the reply too: what a client sent does not outlive its call by more.
        drop(ask);
        self.settling = (replied, Instant::now());
        None
    }

    /// Woken, or nothing came for a while: wishes and generations, ages, idleness and the process's memory.
    fn look_around(&mut self) {
        let from = Instant::now();
        for seat in &mut self.seats {
            let policy = seat.service().policy();
            seat.tend(&policy, &self.shared);
            seat.settle(None, &policy, &self.shared);
        }
        self.settling = (from, Instant::now());
    }
}

/// What an outcome says of the image: its breaker counts what the image is to blame for.
fn judge(
    service: &Service,
    lane: usize,
    result: &Result<Reply, Fault>,
    probe: Option<Probe>,
    shared: &Shared,
) {
    let turn = match result {
        Err(fault) if fault.is_of_the_image() => {
            service.breaker.failed(shared.seams.clock.now(), &service.policy(), probe)
        }
        _ => service.breaker.succeeded(probe),
    };
    tell_turn(service, Some(lane), turn, &shared.events, &shared.metrics);
}

/// Makes it known that a breaker moved.
pub(crate) fn tell_turn(
    service: &Service,
    lane: Option<usize>,
    turn: Turn,
    events: &Events,
    metrics: &Metrics,
) {
    if let Turn::To(to) = turn {
        metrics.breaker_is(service.name(), to);
        events.tell(service.name(), lane, What::Breaker { to });
    }
}

/// Why the lanes did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No thread could be had.
    #[error("cannot start a thread: {0}")]
    Thread(#[from] io::Error),
    /// The pool of lanes could not be built.
    #[error("cannot start the lanes: {0}")]
    Lanes(#[from] rayon::ThreadPoolBuildError),
    /// The first instance of an image could not be made.
    #[error("cannot make an instance of `{image}`: {fault}")]
    Instance {
        /// The name it is served under.
        image: String,
        /// Why not.
        fault: Fault,
    },
}
