//! A lane: one compute thread with an executor for each service.
//!
//! The order of a call is: take it, run it, deliver the outcome, then sample and swap. The instance is
//! replaced after the outcome, so that no client waits for it.
//!
//! Invariant: every call gets exactly one outcome: from the lane, or from the watchdog if the lane stalls.

use super::{
    attempt::{Progress, Reached},
    call::QueuedCall,
    context::LaneContext,
    control::Control,
    executor::Executor,
    reply_sink::Outcome,
    stages,
    watchdog::InFlight,
};
use crate::{ids::LaneId, instance::Fault};
use crossbeam_channel::{Receiver, select};
use std::{io, sync::Arc, time::Instant};

/// One lane.
pub(super) struct Lane {
    id: LaneId,
    context: Arc<LaneContext>,
    control: Arc<Control>,
    calls: Receiver<QueuedCall>,
    executors: Vec<Executor>,
    /// When the lane last did the work that follows a reply: from and to.
    after_reply: (Instant, Instant),
}

/// How a lane ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// No more calls can come.
    Done,
    /// It stalled, and another lane has taken its place.
    Relieved,
}

impl Lane {
    /// Creates the lane with an active instance of every service.
    ///
    /// # Errors
    /// Returns an error if an instance cannot be made.
    pub(super) fn new(
        id: LaneId,
        context: Arc<LaneContext>,
        control: Arc<Control>,
        calls: Receiver<QueuedCall>,
    ) -> Result<Self, StartError> {
        let executors = context.services.iter().map(|service| {
            let executor = control.executor(service.id()).cloned().unwrap_or_default();
            Executor::new(service, id, executor, control.waker(), &context)
                .map_err(|fault| StartError::Instance { image: service.name().into(), fault })
        });
        let executors = executors.collect::<Result<_, StartError>>()?;
        let now = Instant::now();
        Ok(Self { id, context, control, calls, executors, after_reply: (now, now) })
    }

    /// Works until no more calls can come, or until another lane has taken its place because it stalled.
    pub(super) fn run(mut self) -> Ended {
        self.control.in_flight.bind_thread();
        let interval = self.context.sample_interval;
        let mut next_sample = Instant::now() + interval;
        let ended = loop {
            // Calls of one image must not keep the lane from sampling the instance of another.
            let now = Instant::now();
            if now >= next_sample {
                self.between_calls();
                next_sample = now + interval;
            }
            select! {
                recv(self.calls) -> call => match call.map(|call| self.work(call)) {
                    Ok(None) => {}
                    Ok(Some(ended)) => break ended,
                    Err(_) => break Ended::Done,
                },
                recv(self.control.woken) -> _ => self.between_calls(),
                default(next_sample.saturating_duration_since(now)) => {}
            }
        };
        for executor in self.executors {
            executor.retire_all(&self.context);
        }
        ended
    }

    /// Runs a call; returns how the lane ended if that was its last one.
    fn work(&mut self, call: QueuedCall) -> Option<Ended> {
        let Self { context, executors, control, id, .. } = self;
        let QueuedCall { request, queued, reply, probe } = call;
        let telemetry = &context.telemetry;
        let metrics = &telemetry.metrics;
        // Admission has found the service, and every lane has an executor for each.
        let executor = executors.get_mut(request.service.index())?;
        let service = Arc::clone(executor.service());
        metrics.call_dequeued(service.name(), queued.elapsed());
        stages::queued(&request.trace, queued, service.name(), *id);
        // How long this call waited for its lane to swap, and for nothing else.
        let (from, to) = self.after_reply;
        metrics.swap_delayed_call(service.name(), to.saturating_duration_since(queued.max(from)));
        if reply.is_closed() || request.stop.as_ref().is_some_and(|stop| !stop.begin()) {
            // The client left before its turn. A call that has begun is finished instead, since its deadline bounds it.
            metrics.call_abandoned();
            service.withdraw(context.now(), probe);
            reply.withdraw();
            return None;
        }
        let policy = service.policy();
        let swap = executor.choose_policy(&policy);
        let begun = Instant::now();
        control.in_flight.begin(InFlight {
            reply,
            begun,
            service: Arc::clone(&service),
            method: request.method.clone(),
            swap,
            stall_timeout: policy.stall_timeout,
            probe,
        });
        metrics.call_began();
        let result = executor.run(&request, &policy, context);
        let Some(InFlight { reply, .. }) = control.in_flight.end() else {
            // The watchdog has delivered and recorded an outcome, and another lane has taken this one's place.
            return Some(Ended::Relieved);
        };
        let took = begun.elapsed();
        metrics.call_ended(service.name(), &request.method, swap, took, &result);
        telemetry.history.call_ended(took, &result);
        let Progress { reached, witness_took } = executor.progress();
        match (reached, &result) {
            // A call that was stopped says nothing about its image.
            (Reached::Calculator, _) | (_, Err(Fault::NoSuchMethod | Fault::Cancelled)) => {
                service.withdraw(context.now(), probe)
            }
            (Reached::Guest, _) => service.record(&result, probe, *id, context.now(), telemetry),
        }
        let reason = result.as_ref().err().map(Fault::reason);
        reply.deliver(Outcome { result, took, witness_took });
        let replied = Instant::now();
        executor.after_call(reason, &policy, context);
        // Overwriting the body comes after the reply as well: a client's data outlives its call by no more than this.
        drop(request);
        self.after_reply = (replied, Instant::now());
        None
    }

    /// Looks at commands, generations, ages, idleness and the memory of the process.
    fn between_calls(&mut self) {
        let from = Instant::now();
        for executor in &mut self.executors {
            let policy = executor.service().policy();
            executor.between_calls(&policy, &self.context);
            executor.after_call(None, &policy, &self.context);
        }
        self.after_reply = (from, Instant::now());
    }
}

/// Why the lanes did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A thread could not be started.
    #[error("cannot start a thread: {0}")]
    Thread(#[from] io::Error),
    /// The thread pool could not be built.
    #[error("cannot start the lanes: {0}")]
    Lanes(#[from] rayon::ThreadPoolBuildError),
    /// The first instance of an image could not be made.
    #[error("cannot make an instance of `{image}`: {fault}")]
    Instance {
        /// The name under which the image is served.
        image: String,
        /// Why not.
        fault: Fault,
    },
}
