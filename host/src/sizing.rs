//! How much memory to give a server: from what a trial call took while baking, and from the settings.
//!
//! Invariant: every figure is a bound of one part, and the parts add up; nothing here is measured now.

use crate::{
    nursery::stock,
    policy::{Policy, SwapPolicy},
};
use serde::Serialize;
use snapback_snapshot::manifest::Manifest;

/// Private memory of an idle standby; docs/benchmarks.md has what was measured.
const STANDBY_BYTES: u64 = 64 << 10;
/// Private memory of an idle server with its threads, rounded up; docs/benchmarks.md has what was measured.
const SERVER_BYTES: u64 = 32 << 20;

/// Where the figure for instances comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "source", rename_all = "kebab-case")]
pub enum Measured {
    /// A call was tried while baking.
    Trial {
        /// Its method, and its circuit.
        call: String,
    },
    /// None was: an instance may take what it is allowed to.
    Limit,
}

/// Memory of a server of one image, by its parts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Sizing {
    /// Compute threads.
    pub lanes: u64,
    /// Where the figure for instances comes from.
    pub measured: Measured,
    /// Native code and initial memory, mapped from a file and shared.
    pub image_bytes: u64,
    /// What the active instances of all lanes write to.
    pub active_bytes: u64,
    /// What used instances hold that are about to be dropped.
    pub retired_bytes: u64,
    /// What standbys cost.
    pub standby_bytes: u64,
    /// Bodies of requests.
    pub body_bytes: u64,
    /// The process without all of these.
    pub server_bytes: u64,
    /// Their sum.
    pub give_bytes: u64,
    /// The same with every active and every used instance at its limit.
    pub most_bytes: u64,
}

impl Sizing {
    /// For an image that is served by that many lanes under that policy, with so many bytes of bodies at once.
    #[must_use]
    pub fn of(manifest: &Manifest, image_bytes: u64, lanes: usize, policy: &Policy, body_bytes: u64) -> Self {
        let standbys = if policy.swap == SwapPolicy::EveryCall { stock(lanes) as u64 } else { 1 };
        let lanes = lanes as u64;
        let limit_bytes = policy.memory_limit_bytes;
        let instance_bytes = match &manifest.trial {
            None => limit_bytes,
            Some(trial) if policy.swap == SwapPolicy::EveryCall || trial.growth_bytes == 0 => {
                trial.dirty_bytes
            }
            // It grows from call to call, until it is replaced; what it holds beside the image is its own.
            Some(_) if policy.swap == SwapPolicy::Threshold => policy.critical.of(limit_bytes),
            Some(_) => limit_bytes,
        };
        let measured = manifest.trial.as_ref().map_or(Measured::Limit, |trial| Measured::Trial {
            call: [trial.method.as_str(), &trial.circuit].join("/").trim_end_matches('/').to_owned(),
        });
        let active_bytes = lanes.saturating_mul(instance_bytes.min(limit_bytes));
        let sizing = Self {
            lanes,
            measured,
            image_bytes,
            active_bytes,
            retired_bytes: active_bytes,
            standby_bytes: lanes.saturating_mul(standbys * STANDBY_BYTES),
            body_bytes,
            server_bytes: SERVER_BYTES,
            give_bytes: 0,
            most_bytes: 0,
        };
        let rest = sizing.image_bytes + sizing.standby_bytes + sizing.body_bytes + sizing.server_bytes;
        // An active instance and a used one for each lane.
        let with_instances = |each: u64| rest.saturating_add(each.saturating_mul(2));
        Self {
            give_bytes: with_instances(active_bytes),
            most_bytes: with_instances(lanes.saturating_mul(limit_bytes)),
            ..sizing
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Percent;
    use snapback_snapshot::{
        Digest,
        manifest::{GuestId, Tools, Trial},
    };

    const MIB: u64 = 1 << 20;

    fn manifest(trial: Option<(u64, u64)>) -> Manifest {
        let digest = Digest::of(b"");
        Manifest {
            format_version: 1,
            abi_version: 1,
            guest: GuestId { name: "guest".into(), digest },
            base: None,
            inputs: Vec::new(),
            circuits: Vec::new(),
            methods: Vec::new(),
            memory_bytes: 40 * MIB,
            trial: trial.map(|(dirty_bytes, growth_bytes)| Trial {
                method: "prove".into(),
                circuit: String::new(),
                input: digest,
                input_bytes: 1,
                peak_bytes: 140 * MIB,
                dirty_bytes,
                growth_bytes,
            }),
            tools: Tools::current(),
        }
    }

    fn sized(swap: SwapPolicy, trial: Option<(u64, u64)>) -> Sizing {
        let policy =
            Policy { swap, memory_limit_bytes: 1000 * MIB, critical: Percent::new(90), ..Policy::default() };
        Sizing::of(&manifest(trial), 50 * MIB, 2, &policy, 256 * MIB)
    }

    #[test]
    fn an_instance_is_sized_by_what_bounds_it() {
        let (leaks, clean) = (Some((100 * MIB, 10 * MIB)), Some((100 * MIB, 0)));
        for (swap, trial, each) in [
            (SwapPolicy::EveryCall, leaks, 100),
            (SwapPolicy::Threshold, leaks, 900),
            (SwapPolicy::Threshold, clean, 100),
            (SwapPolicy::Off, leaks, 1000),
            (SwapPolicy::Off, clean, 100),
            (SwapPolicy::EveryCall, None, 1000),
        ] {
            let sizing = sized(swap, trial);
            assert_eq!(sizing.active_bytes, 2 * each * MIB, "{swap} {trial:?}");
            assert!(sizing.give_bytes <= sizing.most_bytes && sizing.give_bytes > sizing.active_bytes);
        }
        assert_eq!(sized(SwapPolicy::EveryCall, None).measured, Measured::Limit);
    }
}
