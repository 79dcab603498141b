//! Runs the calls of one service on one lane, and replaces the instance that they run in.
//!
//! A call takes the active instance. Everything that follows from it, swapping included, comes after the reply.
//!
//! Invariant: a call begins and ends in one instance, and an instance that faulted is never called again.

use super::{
    active::Active,
    attempt::{Attempt, Progress},
    call::CallRequest,
    context::LaneContext,
    control::{ExecutorControl, PendingCommands},
    memory_listener,
    reporter::Reporter,
    standbys::Standbys,
    swap_gate::{Deferral, Due, SwapGate},
};
use crate::{
    ids::LaneId,
    instance::{Condition, Fault, Instance},
    memory::{meter::GrowthListener, process::Grant},
    policy::{
        Policy, Reason, SwapPolicy,
        decision::{self, Decision},
        growth::Growth,
        share::{Rollout, ShareCounter},
    },
    service::Service,
    telemetry::metrics::RefusedGrowth,
};
use crossbeam_channel::Sender;
use snapback_snapshot::call::Reply;
use std::{sync::Arc, time::Instant};

/// Runs the calls of one service on one lane.
pub(super) struct Executor {
    service: Arc<Service>,
    lane: LaneId,
    active: Option<Active>,
    standbys: Standbys,
    gate: SwapGate,
    growth: Growth,
    share: ShareCounter,
    /// Whether `swap.policy` applied to the last call.
    rollout: Rollout,
    commands: Arc<PendingCommands>,
    listener: GrowthListener,
    grant: Grant,
    reporter: Reporter,
    /// How far the last call came.
    progress: Progress,
}

impl Executor {
    /// Creates the executor with an active instance. `wake` makes the lane look at its commands.
    ///
    /// # Errors
    /// Returns the fault if no instance can be made.
    pub(super) fn new(
        service: &Arc<Service>,
        lane: LaneId,
        control: ExecutorControl,
        wake: Sender<()>,
        context: &LaneContext,
    ) -> Result<Self, Fault> {
        let policy = service.policy();
        let standbys = Standbys::new(service, lane, &context.standby_maker, wake);
        let reporter = Reporter::new(service, lane, control.status, context);
        let grant = context.process.grant();
        let listener = memory_listener::new(service, standbys.orders(), reporter.gauges(), &grant);
        let mut executor = Self {
            service: Arc::clone(service),
            lane,
            active: None,
            standbys,
            gate: SwapGate::default(),
            growth: Growth::default(),
            share: ShareCounter::default(),
            rollout: Rollout::Chosen,
            commands: control.commands,
            listener,
            grant,
            reporter,
            progress: Progress::default(),
        };
        let instance = Instance::instantiate(&service.current(), policy.memory_limit_bytes)?;
        executor.activate(instance, &policy, context);
        executor.standbys.restock(&policy, context);
        executor.update_status(context);
        Ok(executor)
    }

    pub(super) fn service(&self) -> &Arc<Service> {
        &self.service
    }

    /// How far the last call came.
    pub(super) fn progress(&self) -> Progress {
        self.progress
    }

    /// Chooses the swap policy of the next call: the image's, or `off` for the calls that `swap.share` leaves out.
    pub(super) fn choose_policy(&mut self, policy: &Policy) -> SwapPolicy {
        self.rollout = self.share.next(policy.share);
        self.rollout.swap_policy(policy)
    }

    /// Runs a call. One that trapped or ran out of memory in a used instance runs once more in a fresh one.
    ///
    /// # Errors
    /// Returns the fault of the last attempt.
    pub(super) fn run(
        &mut self,
        request: &CallRequest,
        policy: &Policy,
        context: &LaneContext,
    ) -> Result<Reply, Fault> {
        let mut attempt = Attempt::new(request, policy, self.lane, context);
        self.progress = Progress::default();
        self.reporter.follow(&request.trace);
        let mut active = self.take_active(request, policy, context)?;
        let before = active.instance.condition();
        let mut before_bytes = active.linear_bytes();
        let ended = attempt.prepare(&active.instance, self.service.name());
        self.progress = attempt.progress();
        if let Some(ended) = ended {
            self.active = Some(active);
            return ended;
        }
        let mut result = attempt.run(&mut active.instance);
        if before == Condition::Used && result.is_ok() {
            let added = active.linear_bytes() - before_bytes;
            self.growth.record(&request.method, &request.circuit, added);
        }
        if let Some(reason) = attempt.retry_reason(&result, before) {
            if reason == Reason::OutOfMemory {
                context.telemetry.metrics.growth_refused(self.service.name(), RefusedGrowth::Retried);
            }
            context.telemetry.metrics.call_retried(self.service.name());
            self.reporter.swap_started(reason, context);
            context.retire(active.instance);
            active = self.fresh(policy, context)?;
            before_bytes = active.linear_bytes();
            self.swapped(reason, attempt.begun(), context);
            result = attempt.run_again(&mut active.instance);
        }
        if result.is_ok() {
            let added = active.linear_bytes().saturating_sub(before_bytes);
            context.telemetry.metrics.call_retained(self.service.name(), &request.method, added);
        }
        active.call_ended(context.now());
        self.active = Some(active);
        result
    }

    /// Takes the instance for the next call: the active one, unless it is outdated or the call would not fit it; else a
    /// standby; else, when none is ready, one that is instantiated here.
    fn take_active(
        &mut self,
        request: &CallRequest,
        policy: &Policy,
        context: &LaneContext,
    ) -> Result<Active, Fault> {
        self.retire_outdated(policy, context);
        match self.rollout.swap_policy(policy) {
            SwapPolicy::Threshold if self.is_too_full_for(request) => {
                self.growth.decay(&request.method, &request.circuit);
                self.swap(Reason::Predicted, policy, context);
            }
            // A call before this one was served under `off`.
            SwapPolicy::EveryCall if self.active.as_ref().is_some_and(Active::is_used) => {
                self.swap(Reason::EveryCall, policy, context);
            }
            _ => {}
        }
        match self.active.take() {
            Some(active) => Ok(active),
            None => self.fresh(policy, context),
        }
    }

    fn is_too_full_for(&self, request: &CallRequest) -> bool {
        let growth_bytes = self.growth.expected(&request.method, &request.circuit);
        self.active.as_ref().is_some_and(|active| {
            let meter = active.instance.meter();
            active.is_used() && !decision::fits(meter.now_bytes(), growth_bytes, meter.limit_bytes())
        })
    }

    /// Returns a standby as the next active instance, or instantiates one here.
    fn fresh(&mut self, policy: &Policy, context: &LaneContext) -> Result<Active, Fault> {
        self.standbys.refresh(policy, context);
        if let Some(standby) = self.standbys.take(policy, context) {
            self.restock(policy, context);
            return Ok(self.begin(standby, policy, context));
        }
        let metrics = &context.telemetry.metrics;
        let begun = Instant::now();
        metrics.standby_missing(self.service.name());
        let instance = Instance::instantiate(&self.service.current(), policy.memory_limit_bytes)?;
        self.restock(policy, context);
        metrics.swap_lasted(self.service.name(), begun.elapsed());
        Ok(self.begin(instance, policy, context))
    }

    /// After a reply, and now and then without one: samples, decides, and carries the decision out. `fault` is why the
    /// instance is broken, if it is.
    pub(super) fn after_call(&mut self, fault: Option<Reason>, policy: &Policy, context: &LaneContext) {
        self.apply_decision(fault, policy, context);
        self.update_status(context);
    }

    fn apply_decision(&mut self, fault: Option<Reason>, policy: &Policy, context: &LaneContext) {
        let warn = self.standbys.warn(policy);
        let Some(active) = &mut self.active else { return };
        if active.instance.condition() == Condition::Broken {
            return self.swap(fault.unwrap_or(Reason::Fault), policy, context);
        }
        // The guest's hooks are called only where their answer matters.
        let swap_policy = self.rollout.swap_policy(policy);
        let sample = match swap_policy {
            SwapPolicy::Threshold => active.sample(self.growth.largest(), warn, context),
            SwapPolicy::EveryCall | SwapPolicy::Off => Ok(active.sample_outside(policy.warn, context)),
        };
        let Ok(sample) = sample else {
            return self.swap(Reason::Fault, policy, context);
        };
        self.reporter.sampled(&sample, policy, context);
        if swap_policy == SwapPolicy::Threshold {
            self.standbys.refresh(policy, context);
        }
        match decision::decide(&sample, swap_policy, policy) {
            Decision::Keep => {}
            Decision::Prepare => self.standbys.order(policy, context),
            Decision::Swap(reason) => self.swap(reason, policy, context),
        }
    }

    /// Between calls: carries out the commands of operators, moves over to a new generation, and keeps `standby.min`.
    pub(super) fn between_calls(&mut self, policy: &Policy, context: &LaneContext) {
        self.reporter.unfollow();
        if self.commands.take_prepare() {
            self.standbys.order(policy, context);
        }
        self.retire_outdated(policy, context);
        if self.active.is_none() {
            self.standbys.refresh(policy, context);
            if let Some(standby) = self.standbys.take(policy, context) {
                self.activate(standby, policy, context);
            }
        }
        self.restock(policy, context);
        if self.commands.wants_swap() {
            self.swap(Reason::Operator, policy, context);
        }
    }

    /// Ends the executor: its active instance goes to the reaper.
    pub(super) fn retire_all(mut self, context: &LaneContext) {
        if let Some(active) = self.active.take() {
            context.retire(active.instance);
        }
    }

    /// Retires the active instance if it is of another generation, or has another memory limit.
    fn retire_outdated(&mut self, policy: &Policy, context: &LaneContext) {
        let service = &self.service;
        let outdated = self.active.take_if(|active| {
            let limit_bytes = active.instance.meter().limit_bytes();
            !service.fits(active.instance.generation(), limit_bytes, policy)
        });
        let Some(Active { instance, .. }) = outdated else { return };
        let begun = Instant::now();
        let is_current = service.is_current(instance.generation());
        let reason = if is_current { Reason::Operator } else { Reason::Generation };
        self.reporter.swap_started(reason, context);
        context.retire(instance);
        self.growth.clear();
        self.standbys.refresh(policy, context);
        if let Some(standby) = self.standbys.take(policy, context) {
            self.activate(standby, policy, context);
        }
        self.restock(policy, context);
        self.swapped(reason, begun, context);
    }

    /// Replaces the active instance, if the gate lets the swap through. A swap that cannot wait leaves the place empty
    /// when no standby is ready, for the next call or the next standby to fill.
    fn swap(&mut self, reason: Reason, policy: &Policy, context: &LaneContext) {
        let begun = Instant::now();
        self.standbys.refresh(policy, context);
        if SwapGate::is_guarded(reason)
            && let Err(deferral) = self.check_gate(reason, policy, context.now())
        {
            return self.defer(reason, deferral, policy, context);
        }
        self.reporter.swap_started(reason, context);
        if reason == Reason::Operator {
            self.commands.swap_done();
        }
        let used = self.active.take();
        match self.standbys.take(policy, context) {
            Some(standby) => self.activate(standby, policy, context),
            None => self.grant.set(0),
        }
        if let Some(used) = used {
            context.retire(used.instance);
        }
        self.restock(policy, context);
        self.swapped(reason, begun, context);
    }

    fn check_gate(&self, reason: Reason, policy: &Policy, now: Instant) -> Result<(), Deferral> {
        let age = self.active.as_ref().map(|active| active.age(now));
        let due = Due { reason, has_standby: self.standbys.is_ready(policy), age };
        SwapGate::check(&due, policy, self.service.swap_limiter(), now)
    }

    fn defer(&mut self, reason: Reason, deferral: Deferral, policy: &Policy, context: &LaneContext) {
        self.standbys.order_and_wake(policy, context);
        self.reporter.swap_due(deferral, context);
        if self.gate.defer(deferral) {
            self.reporter.swap_deferred(reason, deferral, context);
        }
    }

    fn swapped(&mut self, reason: Reason, begun: Instant, context: &LaneContext) {
        self.gate.swapped();
        self.reporter.swap_ended(reason, begun, context);
    }

    fn activate(&mut self, instance: Instance, policy: &Policy, context: &LaneContext) {
        self.active = Some(self.begin(instance, policy, context));
    }

    fn begin(&self, instance: Instance, policy: &Policy, context: &LaneContext) -> Active {
        Active::begin(instance, policy, &self.listener, context.now())
    }

    fn restock(&mut self, policy: &Policy, context: &LaneContext) {
        match self.active {
            Some(_) => self.standbys.restock(policy, context),
            None => self.standbys.order(policy, context),
        }
    }

    fn update_status(&self, context: &LaneContext) {
        self.reporter.update_status(self.active.as_ref(), &self.standbys, context.now());
    }
}
