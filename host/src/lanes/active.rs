//! The active instance of one executor, and its life since it became active.
//!
//! Invariant: the limits of a life are fixed when it begins. This file samples and never decides.

use super::context::LaneContext;
use crate::{
    instance::{Fault, Instance},
    memory::meter::GrowthListener,
    policy::{Percent, Policy, decision::Sample},
};
use std::time::{Duration, Instant};

/// The active instance of one executor.
pub(super) struct Active {
    pub(super) instance: Instance,
    began: Instant,
    last_call: Instant,
    calls: u64,
    /// Memory in use at the last sample, in bytes.
    used_bytes: u64,
    /// `swap.calls_max`, with the jitter of this life.
    calls_max: Option<u64>,
    /// `swap.age_max`, with the jitter of this life.
    age_max: Option<Duration>,
}

impl Active {
    /// Begins the life of an instance. `listener` receives the size of its memory from now on.
    pub(super) fn begin(
        mut instance: Instance,
        policy: &Policy,
        listener: &GrowthListener,
        now: Instant,
    ) -> Self {
        instance.set_growth_listener(listener);
        let shortened = |most: u64| {
            let part = u128::from(policy.jitter.of(most)) * u128::from(random_byte()) / 256;
            most.saturating_sub(u64::try_from(part).unwrap_or(most))
        };
        Self {
            used_bytes: instance.meter().now_bytes(),
            instance,
            began: now,
            last_call: now,
            calls: 0,
            calls_max: policy.calls_max.map(|most| shortened(most).max(1)),
            age_max: policy.age_max.map(|most| {
                Duration::from_millis(shortened(u64::try_from(most.as_millis()).unwrap_or(u64::MAX)))
            }),
        }
    }

    /// Number of calls that the instance has served.
    pub(super) fn calls(&self) -> u64 {
        self.calls
    }

    /// Whether the instance has served a call.
    pub(super) fn is_used(&self) -> bool {
        self.calls > 0
    }

    /// Size of the linear memory in bytes.
    pub(super) fn linear_bytes(&self) -> u64 {
        self.instance.meter().now_bytes()
    }

    /// Memory in use, in bytes: the last sample, or the linear memory if that has grown beyond it.
    pub(super) fn used_bytes(&self) -> u64 {
        self.used_bytes.max(self.linear_bytes())
    }

    /// Time since the instance became active.
    pub(super) fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.began)
    }

    /// Records that a call has ended.
    pub(super) fn call_ended(&mut self, now: Instant) {
        self.calls += 1;
        self.last_call = now;
    }

    /// Samples without asking the guest: the linear memory counts instead of the memory that its allocator holds.
    pub(super) fn sample_outside(&self, warn: Percent, context: &LaneContext) -> Sample {
        let now = context.now();
        Sample {
            used_bytes: self.linear_bytes(),
            limit_bytes: self.instance.meter().limit_bytes(),
            growth_bytes: 0,
            calls: self.calls,
            calls_max: self.calls_max,
            age: self.age(now),
            age_max: self.age_max,
            idle: now.saturating_duration_since(self.last_call),
            retires: false,
            process: context.process_pressure(),
            warn,
        }
    }

    /// Samples, and asks the guest through its optional hooks.
    ///
    /// # Errors
    /// Returns a fault if a hook does not return; the instance is broken then.
    pub(super) fn sample(
        &mut self,
        growth_bytes: u64,
        warn: Percent,
        context: &LaneContext,
    ) -> Result<Sample, Fault> {
        let used_bytes = self.instance.used_bytes()?;
        self.used_bytes = used_bytes;
        let retires = self.instance.retires()?;
        Ok(Sample { used_bytes, retires, growth_bytes, ..self.sample_outside(warn, context) })
    }
}

/// A random byte from the operating system: lanes that start together must not swap together.
fn random_byte() -> u8 {
    let mut byte = [0];
    // Without randomness nothing is shortened.
    let _ = getrandom::fill(&mut byte);
    byte[0]
}
