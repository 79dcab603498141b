//! Whether an instance goes on, gets a standby, or is replaced: a pure function of a sample and a policy.
//!
//! Invariant: the decision depends on its arguments alone. Sampling happens in `lanes/active.rs`.

use super::{
    image_policy::{Policy, SwapPolicy},
    percent::Percent,
    pressure::Pressure,
    reason::Reason,
};
use std::time::Duration;

/// How many calls before a limit a standby is made.
const CALLS_AHEAD: u64 = 3;

/// What is known of an instance between two calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sample {
    /// Memory in use: the larger of linear memory and what the guest's allocator holds.
    pub(crate) used_bytes: u64,
    /// Memory that the instance may have.
    pub(crate) limit_bytes: u64,
    /// What the next call is expected to add; zero while no growth was observed.
    pub(crate) growth_bytes: u64,
    /// Calls that the instance has served.
    pub(crate) calls: u64,
    /// Calls that the instance may serve, with the jitter of its life.
    pub(crate) calls_max: Option<u64>,
    /// Time since the instance became active.
    pub(crate) age: Duration,
    /// Age that the instance may reach, with the jitter of its life.
    pub(crate) age_max: Option<Duration>,
    /// Time since the last call ended.
    pub(crate) idle: Duration,
    /// Whether the guest asks to be replaced.
    pub(crate) retires: bool,
    /// Pressure on the memory of the whole process.
    pub(crate) process: Pressure,
    /// The warn threshold, raised while standbys fail.
    pub(crate) warn: Percent,
}

/// What to do with an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Go on.
    Keep,
    /// Go on, and have a standby made.
    Prepare,
    /// Replace it.
    Swap(Reason),
}

/// Decides between two calls. `swap` is the policy that applied to the last call, which is [`Policy::swap`] unless
/// `swap.share` left the call out.
#[must_use]
pub(crate) fn decide(sample: &Sample, swap: SwapPolicy, policy: &Policy) -> Decision {
    match swap {
        SwapPolicy::Off => return Decision::Keep,
        SwapPolicy::EveryCall if sample.calls > 0 => return Decision::Swap(Reason::EveryCall),
        SwapPolicy::EveryCall => return Decision::Prepare,
        SwapPolicy::Threshold => {}
    }
    let pressure = Pressure::of(sample.used_bytes, sample.limit_bytes, sample.warn, policy.critical);
    // A fresh instance is as full as its image. Replacing one would never end.
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

/// Whether a call that is expected to add `growth_bytes` fits what is left of a used instance.
#[must_use]
pub(crate) fn fits(used_bytes: u64, growth_bytes: u64, limit_bytes: u64) -> bool {
    used_bytes.saturating_add(growth_bytes) <= limit_bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MIB: u64 = 1 << 20;

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
        let idle = Policy { idle_max: Some(Duration::from_secs(1)), ..Policy::default() };
        let plain = Policy::default();
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
            assert_eq!(decide(sample, SwapPolicy::Threshold, policy), *wanted, "{what}");
        }
        assert_eq!(
            decide(&sample(), SwapPolicy::EveryCall, &Policy::default()),
            Decision::Swap(Reason::EveryCall)
        );
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
            prop_assert_eq!(decide(&sample, SwapPolicy::Off, &Policy::default()), Decision::Keep);
        }

        #[test]
        fn a_fresh_instance_is_never_replaced(sample in samples()) {
            let fresh = Sample { calls: 0, ..sample };
            for swap in [SwapPolicy::EveryCall, SwapPolicy::Threshold, SwapPolicy::Off] {
                prop_assert!(!matches!(decide(&fresh, swap, &Policy::default()), Decision::Swap(_)));
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
            let policy = Policy::default();
            prop_assert!(rank(decide(&sample, SwapPolicy::Threshold, &policy)) <= rank(decide(&fuller, SwapPolicy::Threshold, &policy)));
        }

        #[test]
        fn what_reaches_the_critical_share_is_replaced(limit in 100u64.., calls in 1u64.., over in 0u64..10) {
            let policy = Policy::default();
            let used_bytes = policy.critical.of(limit).saturating_add(over);
            let full = Sample { used_bytes, limit_bytes: limit, calls, ..sample() };
            prop_assert_eq!(decide(&full, SwapPolicy::Threshold, &policy), Decision::Swap(Reason::Memory));
        }
    }
}
