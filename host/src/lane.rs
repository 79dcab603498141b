//! A lane: one compute thread, with an active instance and at most one standby for each service.
//!
//! The order of a call is: take the job, take the instance, run, reply, swap. The swap comes after the
//! reply, so that no client waits for it, and takes what the nursery made before.
//!
//! Invariant: a call begins and ends in one instance, and every job gets exactly one answer.

use crate::{
    config::SwapPolicy,
    dispatch::{Job, Outcome},
    generation::Service,
    instance::{Call, Condition, Fault, Instance},
    metrics::{Metrics, SwapReason},
    nursery::{Crib, Nursery, Taken},
    reaper::Reaper,
};
use crossbeam_channel::{Receiver, select};
use snapback_snapshot::call::Reply;
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::{Duration, Instant},
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
    ) -> Result<Self, Fault> {
        let seat = |service: &Arc<Service>| {
            let active = service.current().instantiate(shared.memory_limit_bytes)?;
            let mut standby = Crib::new(Arc::clone(service), shared.nursery.clone());
            standby.order();
            Ok(Seat { service: Arc::clone(service), active: Some(active), standby })
        };
        let seats = shared.services.iter().map(seat).collect::<Result<_, Fault>>()?;
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
        let seat = &mut seats[job.service];
        let begun = Instant::now();
        let outcome = match seat.take(shared) {
            Ok(mut instance) => {
                let outcome = run(&mut instance, &job, shared.reply_bytes_max);
                seat.active = Some(instance);
                outcome
            }
            Err(fault) => Err(fault),
        };
        metrics.called(seat.service.name(), begun.elapsed(), &outcome);
        // The client may have gone: its answer is then nobody's.
        let _ = job.reply.send(Outcome { result: outcome, took: begun.elapsed() });
        seat.settle(shared);
    }
}

impl Seat {
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
        shared.metrics.standby_missing();
        let made = self.service.current().instantiate(shared.memory_limit_bytes);
        self.standby.order();
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

fn run(instance: &mut Instance, job: &Job, reply_bytes_max: u64) -> Result<Reply, Fault> {
    let call = Call {
        method: &job.method,
        circuit: &job.circuit,
        body: &job.body,
        entropy: crate::entropy::Entropy::fresh(),
        deadline: job.deadline.max(Duration::from_millis(1)),
        reply_bytes_max,
    };
    // A panic of the host in the middle of a call costs that call and its instance, not the lane.
    catch_unwind(AssertUnwindSafe(|| instance.call(&call)))
        .unwrap_or_else(|_| Err(Fault::Engine(wasmtime::Error::msg("the host panicked"))))
}
