//! A service: a name under which an image is served, its current generation, its policy and its circuit breaker.
//!
//! Invariant: the service alone moves its breaker, and reports every transition to metrics and events.

use crate::{
    ids::{LaneId, ServiceId},
    instance::{Fault, Generation},
    policy::{
        BreakerState, Policy,
        breaker::{Admitted, Breaker, Probe, Transition},
        swap_limiter::SwapLimiter,
    },
    telemetry::{Telemetry, events::EventKind},
};
use arc_swap::ArcSwap;
use snapback_snapshot::call::Reply;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// One served image.
pub struct Service {
    id: ServiceId,
    name: String,
    current: ArcSwap<Generation>,
    policy: ArcSwap<Policy>,
    breaker: Breaker,
    swap_limiter: SwapLimiter,
}

impl Service {
    /// Serves a generation under a name, as the service with this identifier.
    #[must_use]
    pub fn new(id: ServiceId, name: impl Into<String>, generation: Generation, policy: Policy) -> Self {
        Self {
            id,
            name: name.into(),
            current: ArcSwap::from_pointee(generation),
            policy: ArcSwap::from_pointee(policy),
            breaker: Breaker::new(),
            swap_limiter: SwapLimiter::new(),
        }
    }

    /// Identifies the service within its dispatcher.
    #[must_use]
    pub fn id(&self) -> ServiceId {
        self.id
    }

    /// The name that clients use.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The generation in which a call that begins now runs.
    #[must_use]
    pub fn current(&self) -> Arc<Generation> {
        self.current.load_full()
    }

    /// The policy under which a call that begins now is served.
    #[must_use]
    pub fn policy(&self) -> Arc<Policy> {
        self.policy.load_full()
    }

    /// Whether this is the generation that is being served.
    pub(crate) fn is_current(&self, generation: &Arc<Generation>) -> bool {
        Arc::ptr_eq(&self.current.load(), generation)
    }

    /// Whether an instance of the given generation, with that memory limit, is what a call should run in now.
    pub(crate) fn fits(&self, generation: &Arc<Generation>, limit_bytes: u64, policy: &Policy) -> bool {
        self.is_current(generation) && limit_bytes == policy.memory_limit_bytes
    }

    /// Makes a generation the current one. Running calls end in the generation that they began in.
    pub(crate) fn publish(&self, generation: Generation) {
        self.current.store(Arc::new(generation));
    }

    /// Replaces the policy. Running calls end under the policy that they began with.
    pub(crate) fn set_policy(&self, policy: Policy) {
        self.policy.store(Arc::new(policy));
    }

    /// Limits the swaps that can wait.
    pub(crate) fn swap_limiter(&self) -> &SwapLimiter {
        &self.swap_limiter
    }

    /// State of the circuit breaker.
    pub(crate) fn breaker_state(&self, now: Instant) -> BreakerState {
        self.breaker.state(now)
    }

    /// Asks the breaker to admit a call; returns the probe's number if the call is a probe.
    ///
    /// # Errors
    /// Returns how long to wait if the breaker rejects the call.
    pub(crate) fn admit(&self, now: Instant, telemetry: &Telemetry) -> Result<Option<Probe>, Duration> {
        let Admitted { transition, probe } = self.breaker.admit(now, &self.policy())?;
        // Reported before a lane can report how the call ended.
        self.report(None, transition, telemetry);
        Ok(probe)
    }

    /// Records that an admitted call was not run, or not by the guest.
    pub(crate) fn withdraw(&self, now: Instant, probe: Option<Probe>) {
        self.breaker.withdrawn(now, probe);
    }

    /// Records how a call ended. The breaker counts faults of the image, and no others; a call that ended before the
    /// guest ran tells it nothing, and is [withdrawn](Self::withdraw) instead.
    pub(crate) fn record(
        &self,
        result: &Result<Reply, Fault>,
        probe: Option<Probe>,
        lane: LaneId,
        now: Instant,
        telemetry: &Telemetry,
    ) {
        let transition = match result {
            Err(fault) if fault.is_of_the_image() => self.breaker.failed(now, &self.policy(), probe),
            _ => self.breaker.succeeded(probe),
        };
        self.report(Some(lane), transition, telemetry);
    }

    fn report(&self, lane: Option<LaneId>, transition: Transition, telemetry: &Telemetry) {
        if let Transition::To(to) = transition {
            telemetry.metrics.set_breaker(&self.name, to);
            telemetry.events.emit(&self.name, lane, EventKind::Breaker { to });
        }
    }
}
