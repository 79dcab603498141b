//! A lane: one compute thread, with an active instance and at most one standby for each service.
//!
//! The order of a call is: take the job, take the instance, run, reply, swap. The swap comes after the
//! reply, so that no client waits for it, and takes what the nursery made before.
//!
//! Invariant: a call begins and ends in one instance, and every job gets exactly one answer.

use crate::{
    config::SwapPolicy,
    entropy::Entropy,
    generation::Service,
    instance::{Call, Condition, Fault, Instance},
    job::{Ask, Job, Outcome},
    metrics::{Metrics, SwapReason},
    nursery::{Crib, Nursery, Taken},
    reaper::Reaper,
};
use crossbeam_channel::{Receiver, select};
use snapback_snapshot::call::Reply;
use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Instant,
};

/// What a lane is told besides its jobs.
pub(crate) enum Notice {
    /// A service has a new generation: make a standby of it.
    Published,
}

/// What every lane of a server shares.
pub(crate) struct Shared {
    pub(crate) services: Vec<Arc<Service>>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) reaper: Reaper,
    pub(crate) nursery: Nursery,
    pub(crate) memory_limit_bytes: u64,
    pub(crate) reply_bytes_max: u64,
    pub(crate) swap: SwapPolicy,
}

pub(crate) struct Lane {
    shared: Arc<Shared>,
    jobs: Receiver<Job>,
    notices: Receiver<Notice>,
    seats: Vec<Seat>,
}

/// A lane's instances of one service.
struct Seat {
    service: Arc<Service>,
    active: Option<Instance>,
    standby: Crib,
}

impl Lane {
    /// Makes the lane with an active instance of every service, and orders the standbys.
    pub(crate) fn new(
        shared: Arc<Shared>,
        jobs: Receiver<Job>,
        notices: Receiver<Notice>,
    ) -> Result<Self, StartError> {
        let seat = |service: &Arc<Service>| {
            let active = Instance::of(&service.current(), shared.memory_limit_bytes)
                .map_err(|fault| StartError::Instance { image: service.name().into(), fault })?;
            let mut standby = Crib::new(Arc::clone(service), shared.nursery.clone());
            standby.order();
            Ok(Seat { service: Arc::clone(service), active: Some(active), standby })
        };
        let seats = shared.services.iter().map(seat).collect::<Result<_, StartError>>()?;
        Ok(Self { shared, jobs, notices, seats })
    }

    /// Works until no job can come any more.
    pub(crate) fn run(mut self) {
        loop {
            select! {
                recv(self.jobs) -> job => match job {
                    Ok(job) => self.work(job),
                    Err(_) => return,
                },
                recv(self.notices) -> notice => if let Ok(Notice::Published) = notice {
                    for seat in &mut self.seats {
                        seat.renew(&self.shared);
                    }
                },
            }
        }
    }

    fn work(&mut self, job: Job) {
        let Self { shared, seats, .. } = self;
        let metrics = &shared.metrics;
        metrics.dequeued(job.queued.elapsed());
        if job.reply.is_closed() {
            // The client went away before its turn. A call that has begun is finished all the same: it is
            // bounded by its deadline, and its instance is retired either way.
            metrics.abandoned();
            return;
        }
        let seat = &mut seats[job.ask.service];
        let begun = Instant::now();
        let outcome = seat.run(&job.ask, shared);
        metrics.called(seat.service.name(), begun.elapsed(), &outcome);
        // The client may have gone: its answer is then nobody's.
        let _ = job.reply.send(Outcome { result: outcome, took: begun.elapsed() });
        seat.settle(shared);
    }
}

impl Seat {
    /// Runs a call; one that found too little memory left in a used instance runs once more in a fresh one.
    fn run(&mut self, ask: &Ask, shared: &Shared) -> Result<Reply, Fault> {
        let mut instance = self.take(shared)?;
        let condition = instance.condition();
        let outcome = call(&mut instance, ask, shared.reply_bytes_max);
        if let (Condition::Used, Err(Fault::OutOfMemory(_))) = (condition, &outcome) {
            shared.metrics.retried();
            shared.metrics.swapped(self.service.name(), SwapReason::Fault);
            shared.reaper.retire(instance);
            instance = self.take(shared)?;
            let outcome = call(&mut instance, ask, shared.reply_bytes_max);
            self.active = Some(instance);
            return outcome;
        }
        self.active = Some(instance);
        outcome
    }

    /// The instance for the next call: the active one, else the standby, else, when the nursery did not keep
    /// up, one made on the spot.
    fn take(&mut self, shared: &Shared) -> Result<Instance, Fault> {
        if let Some(active) = self.active.take() {
            if self.service.is_current(active.generation()) {
                return Ok(active);
            }
            shared.metrics.swapped(self.service.name(), SwapReason::Generation);
            shared.reaper.retire(active);
        }
        if let Some(standby) = self.ready_standby(shared) {
            return Ok(standby);
        }
        let begun = Instant::now();
        shared.metrics.standby_missing();
        let made = Instance::of(&self.service.current(), shared.memory_limit_bytes);
        self.standby.order();
        shared.metrics.swap_paused(begun.elapsed());
        made
    }

    /// After a call: swaps if the policy, or a fault, says so.
    fn settle(&mut self, shared: &Shared) {
        let Some(active) = &self.active else { return };
        let reason = match (active.condition(), shared.swap) {
            (Condition::Broken, _) => SwapReason::Fault,
            (_, SwapPolicy::EveryCall) => SwapReason::EveryCall,
            (_, SwapPolicy::Off) => return,
        };
        let begun = Instant::now();
        let standby = self.ready_standby(shared);
        if let Some(used) = std::mem::replace(&mut self.active, standby) {
            shared.reaper.retire(used);
        }
        shared.metrics.swapped(self.service.name(), reason);
        shared.metrics.swap_paused(begun.elapsed());
    }

    /// Between calls: drops what is of an older generation and orders what is missing.
    fn renew(&mut self, shared: &Shared) {
        if let Some(active) = self.active.take_if(|active| !self.service.is_current(active.generation())) {
            shared.metrics.swapped(self.service.name(), SwapReason::Generation);
            shared.reaper.retire(active);
        }
        if self.active.is_none() {
            self.active = self.ready_standby(shared);
        }
        self.standby.order();
    }

    fn ready_standby(&mut self, shared: &Shared) -> Option<Instance> {
        let taken = self.standby.take();
        self.standby.order();
        match taken {
            Taken::Ready(standby) => Some(standby),
            Taken::Stale(stale) => {
                shared.reaper.retire(stale);
                None
            }
            Taken::None => None,
        }
    }
}

fn call(instance: &mut Instance, ask: &Ask, reply_bytes_max: u64) -> Result<Reply, Fault> {
    let call = Call {
        method: &ask.method,
        circuit: &ask.circuit,
        body: &ask.body.bytes,
        entropy: Entropy::fresh(),
        deadline: ask.deadline,
        reply_bytes_max,
    };
    // A panic of the host in the middle of a call costs that call and its instance, not the lane.
    catch_unwind(AssertUnwindSafe(|| instance.call(&call)))
        .unwrap_or_else(|_| Err(Fault::Engine(wasmtime::Error::msg("the host panicked"))))
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
