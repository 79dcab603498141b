//! Whether an instance goes on, gets a standby, or is replaced: a pure function of a sample and a policy.
//!
//! Invariant: nothing here reads a clock, a counter or a random number; whoever samples does.

use crate::{
    instance::Fault,
    policy::{Percent, Policy, SwapPolicy},
};
use serde::Serialize;
use std::time::Duration;

/// Calls before the limit at which a standby is made ahead of its need.
const CALLS_AHEAD: u64 = 3;

/// How full memory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pressure {
    /// Less than the warn threshold.
    Calm,
    /// A standby is wanted.
    Warn,
    /// A swap is wanted.
    Critical,
}

impl Pressure {
    /// The pressure of that much used of that much.
    #[must_use]
    pub fn of(used_bytes: u64, limit_bytes: u64, warn: Percent, critical: Percent) -> Self {
        // A share of nothing is nothing, and is exceeded by anything.
        if used_bytes >= critical.of(limit_bytes).max(1) {
            Self::Critical
        } else if used_bytes >= warn.of(limit_bytes).max(1) {
            Self::Warn
        } else {
            Self::Calm
        }
    }
}

/// Why an instance is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// The policy is a fresh instance for every call.
    EveryCall,
    /// Its memory is nearly used up.
    Memory,
    /// The next call is likely to need more than is left.
    Predicted,
    /// The process as a whole has too little memory left.
    ProcessMemory,
    /// It served its calls.
    Calls,
    /// It is old.
    Age,
    /// It was used, and nobody asks any more.
    Idle,
    /// The guest asked for it.
    Retire,
    /// A person asked for it.
    Operator,
    /// A new generation was published.
    Generation,
    /// The guest trapped.
    Trap,
    /// The guest ran out of memory.
    OutOfMemory,
    /// A call used up its time.
    Deadline,
    /// A call used no processor.
    Stall,
    /// A call ended in another fault.
    Fault,
}

impl Reason {
    /// Why an instance goes whose call ended in that fault.
    #[must_use]
    pub fn of(fault: &Fault) -> Self {
        match fault {
            Fault::Trap(_) => Self::Trap,
            Fault::OutOfMemory(_) => Self::OutOfMemory,
            Fault::Deadline(_) => Self::Deadline,
            Fault::Stalled(_) => Self::Stall,
            _ => Self::Fault,
        }
    }

    /// As metrics and events have it.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::EveryCall => "every-call",
            Self::Memory => "memory",
            Self::Predicted => "predicted",
            Self::ProcessMemory => "process-memory",
            Self::Calls => "calls",
            Self::Age => "age",
            Self::Idle => "idle",
            Self::Retire => "retire",
            Self::Operator => "operator",
            Self::Generation => "generation",
            Self::Trap => "trap",
            Self::OutOfMemory => "out-of-memory",
            Self::Deadline => "deadline",
            Self::Stall => "stall",
            Self::Fault => "fault",
        }
    }

    /// Whether the swap may be put off: what guards against storms holds these back and no others.
    #[must_use]
    pub fn can_wait(self) -> bool {
        use Reason::{Age, Calls, Idle, Memory, Predicted, ProcessMemory, Retire};
        matches!(self, Memory | Predicted | ProcessMemory | Calls | Age | Idle | Retire)
    }
}

/// What is known of an instance between two calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The larger of linear memory and what the guest's allocator holds.
    pub used_bytes: u64,
    /// What it may have.
    pub limit_bytes: u64,
    /// What a call is expected to add; zero where nothing was seen to grow.
    pub growth_bytes: u64,
    /// Calls it served.
    pub calls: u64,
    /// Calls it may serve, with this life's jitter.
    pub calls_max: Option<u64>,
    /// How long ago it became active.
    pub age: Duration,
    /// How old it may get, with this life's jitter.
    pub age_max: Option<Duration>,
    /// How long ago its last call ended.
    pub idle: Duration,
    /// Whether the guest asks to be replaced.
    pub retires: bool,
    /// Pressure on the process as a whole.
    pub process: Pressure,
    /// The warn threshold, raised while standbys fail.
    pub warn: Percent,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Go on.
    Keep,
    /// Go on, and have a standby made.
    Prepare,
    /// Replace it.
    Swap(Reason),
}

/// Decides between two calls.
#[must_use]
pub fn decide(sample: &Sample, policy: &Policy) -> Decision {
    match policy.swap {
        SwapPolicy::Off => return Decision::Keep,
        SwapPolicy::EveryCall if sample.calls > 0 => return Decision::Swap(Reason::EveryCall),
        SwapPolicy::EveryCall => return Decision::Prepare,
        SwapPolicy::Threshold => {}
    }
    let pressure = Pressure::of(sample.used_bytes, sample.limit_bytes, sample.warn, policy.critical);
    // A fresh instance would be no better: what fills it is the image itself, and swapping would not end.
    let is_used = sample.calls > 0;
    if is_used && sample.retires {
        return Decision::Swap(Reason::Retire);
    }
    if is_used && pressure == Pressure::Critical {
        return Decision::Swap(Reason::Memory);
    }
    if is_used && sample.process == Pressure::Critical {
        return Decision::Swap(Reason::ProcessMemory);
    }
    if sample.calls_max.is_some_and(|calls_max| sample.calls >= calls_max) {
        return Decision::Swap(Reason::Calls);
    }
    if is_used && sample.age_max.is_some_and(|age_max| sample.age >= age_max) {
        return Decision::Swap(Reason::Age);
    }
    if is_used && policy.idle_max.is_some_and(|idle_max| sample.idle >= idle_max) {
        return Decision::Swap(Reason::Idle);
    }
    let soon = CALLS_AHEAD;
    let calls_nearly_up = sample.calls_max.is_some_and(|calls_max| sample.calls + soon >= calls_max);
    let growth_soon = sample.growth_bytes.saturating_mul(soon);
    let fills_soon = sample.growth_bytes > 0
        && sample.used_bytes.saturating_add(growth_soon) >= policy.critical.of(sample.limit_bytes);
    if pressure.max(sample.process) >= Pressure::Warn || calls_nearly_up || fills_soon {
        Decision::Prepare
    } else {
        Decision::Keep
    }
}

/// Whether a call that is expected to add so much to a used instance fits what is left of it.
#[must_use]
pub fn fits(used_bytes: u64, growth_bytes: u64, limit_bytes: u64) -> bool {
    used_bytes.saturating_add(growth_bytes) <= limit_bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MIB: u64 = 1 << 20;

    fn policy(swap: SwapPolicy) -> Policy {
        Policy { swap, ..Policy::default() }
    }

    fn sample() -> Sample {
        Sample {
            used_bytes: 10 * MIB,
            limit_bytes: 100 * MIB,
            growth_bytes: 0,
            calls: 5,
            calls_max: None,
            age: Duration::from_secs(60),
            age_max: None,
            idle: Duration::from_secs(1),
            retires: false,
            process: Pressure::Calm,
            warn: Percent::new(70),
        }
    }

    #[test]
    fn every_trigger_has_its_reason_and_the_most_pressing_one_wins() {
        let idle = Policy { idle_max: Some(Duration::from_secs(1)), ..policy(SwapPolicy::Threshold) };
        let plain = policy(SwapPolicy::Threshold);
        let table: &[(&str, &Policy, Sample, Decision)] = &[
            ("calm", &plain, sample(), Decision::Keep),
            (
                "one byte short of warn",
                &plain,
                Sample { used_bytes: 70 * MIB - 1, ..sample() },
                Decision::Keep,
            ),
            ("warn", &plain, Sample { used_bytes: 70 * MIB, ..sample() }, Decision::Prepare),
            (
                "warn, the threshold raised",
                &plain,
                Sample { used_bytes: 70 * MIB, warn: Percent::new(75), ..sample() },
                Decision::Keep,
            ),
            ("critical", &plain, Sample { used_bytes: 90 * MIB, ..sample() }, Decision::Swap(Reason::Memory)),
            (
                "critical, but fresh",
                &plain,
                Sample { used_bytes: 95 * MIB, calls: 0, ..sample() },
                Decision::Prepare,
            ),
            (
                "full in three calls",
                &plain,
                Sample { used_bytes: 60 * MIB, growth_bytes: 10 * MIB, ..sample() },
                Decision::Prepare,
            ),
            (
                "full in four",
                &plain,
                Sample { used_bytes: 59 * MIB, growth_bytes: 10 * MIB, ..sample() },
                Decision::Keep,
            ),
            (
                "the process is full",
                &plain,
                Sample { process: Pressure::Critical, ..sample() },
                Decision::Swap(Reason::ProcessMemory),
            ),
            (
                "the process is nearly full",
                &plain,
                Sample { process: Pressure::Warn, ..sample() },
                Decision::Prepare,
            ),
            ("calls", &plain, Sample { calls_max: Some(5), ..sample() }, Decision::Swap(Reason::Calls)),
            ("calls soon", &plain, Sample { calls_max: Some(8), ..sample() }, Decision::Prepare),
            ("calls later", &plain, Sample { calls_max: Some(9), ..sample() }, Decision::Keep),
            (
                "age",
                &plain,
                Sample { age_max: Some(Duration::from_secs(60)), ..sample() },
                Decision::Swap(Reason::Age),
            ),
            ("idle", &idle, sample(), Decision::Swap(Reason::Idle)),
            ("idle, but fresh", &idle, Sample { calls: 0, ..sample() }, Decision::Keep),
            ("retires", &plain, Sample { retires: true, ..sample() }, Decision::Swap(Reason::Retire)),
            (
                "retires, and is full",
                &plain,
                Sample { retires: true, used_bytes: 99 * MIB, ..sample() },
                Decision::Swap(Reason::Retire),
            ),
        ];
        for (what, policy, sample, wanted) in table {
            assert_eq!(decide(sample, policy), *wanted, "{what}");
        }
        assert_eq!(decide(&sample(), &policy(SwapPolicy::EveryCall)), Decision::Swap(Reason::EveryCall));
    }

    fn samples() -> impl Strategy<Value = Sample> {
        let pressures = prop_oneof![Just(Pressure::Calm), Just(Pressure::Warn), Just(Pressure::Critical)];
        (any::<[u64; 3]>(), 0u64..20, prop::option::of(1u64..20), any::<bool>(), pressures, 0u8..=100)
            .prop_map(
                |([used_bytes, limit_bytes, growth_bytes], calls, calls_max, retires, process, warn)| {
                    Sample {
                        used_bytes,
                        limit_bytes,
                        growth_bytes,
                        calls,
                        calls_max,
                        retires,
                        process,
                        warn: Percent::new(warn),
                        ..sample()
                    }
                },
            )
    }

    proptest! {
        #[test]
        fn off_never_decides_anything(sample in samples()) {
            prop_assert_eq!(decide(&sample, &policy(SwapPolicy::Off)), Decision::Keep);
        }

        #[test]
        fn a_fresh_instance_is_never_replaced(sample in samples()) {
            let fresh = Sample { calls: 0, ..sample };
            for swap in [SwapPolicy::EveryCall, SwapPolicy::Threshold, SwapPolicy::Off] {
                prop_assert!(!matches!(decide(&fresh, &policy(swap)), Decision::Swap(_)));
            }
        }

        #[test]
        fn more_memory_in_use_never_decides_for_less(sample in samples(), more: u64) {
            let rank = |decision| match decision {
                Decision::Keep => 0,
                Decision::Prepare => 1,
                Decision::Swap(_) => 2,
            };
            let fuller = Sample { used_bytes: sample.used_bytes.saturating_add(more), ..sample };
            let policy = policy(SwapPolicy::Threshold);
            prop_assert!(rank(decide(&sample, &policy)) <= rank(decide(&fuller, &policy)));
        }

        #[test]
        fn what_reaches_the_critical_share_is_replaced(limit in 100u64.., calls in 1u64.., over in 0u64..10) {
            let policy = policy(SwapPolicy::Threshold);
            let used_bytes = policy.critical.of(limit).saturating_add(over);
            let full = Sample { used_bytes, limit_bytes: limit, calls, ..sample() };
            prop_assert_eq!(decide(&full, &policy), Decision::Swap(Reason::Memory));
        }
    }
}
