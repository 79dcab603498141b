//! How much memory to give a server, from the trial call of the bake and from the settings.
//!
//! Invariant: every figure bounds one part, and the parts add up. Nothing is measured here.

use super::config::LaneConfig;
use crate::policy::{Policy, SwapPolicy};
use serde::Serialize;
use snapback_snapshot::manifest::Manifest;

/// Private memory of an idle standby, rounded up from the measurement in docs/benchmarks.md.
const STANDBY_BYTES: u64 = 64 << 10;
/// Private memory of an idle server with its threads, rounded up from the measurement in docs/benchmarks.md.
const SERVER_BYTES: u64 = 32 << 20;

/// Origin of the figure for instances.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "source", rename_all = "kebab-case")]
pub enum Measured {
    /// The bake tried a call.
    Trial {
        /// Method and circuit of the call.
        call: String,
    },
    /// The bake tried no call, so an instance counts with its limit.
    Limit,
}

/// Memory of a server of one image, by parts, in bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Sizing {
    /// Compute threads.
    pub lanes: u64,
    /// Origin of the figure for instances.
    pub measured: Measured,
    /// Native code and initial memory, mapped from a file and shared.
    pub image_bytes: u64,
    /// Private memory of the active instances of all lanes.
    pub active_bytes: u64,
    /// Private memory of used instances that wait for the reaper.
    pub retired_bytes: u64,
    /// Private memory of standbys.
    pub standby_bytes: u64,
    /// Bodies of requests.
    pub body_bytes: u64,
    /// The process without all of the above.
    pub server_bytes: u64,
    /// The sum: what to give the server.
    pub give_bytes: u64,
    /// The sum with every active and every used instance at its limit.
    pub most_bytes: u64,
}

impl Sizing {
    /// Sizes a server that serves one image of `image_bytes` under a policy, with up to `body_bytes` of bodies at once.
    #[must_use]
    pub fn of(
        manifest: &Manifest,
        image_bytes: u64,
        config: &LaneConfig,
        policy: &Policy,
        body_bytes: u64,
    ) -> Self {
        let standbys = match policy.swap {
            SwapPolicy::EveryCall => config.standbys_max(config.lanes),
            SwapPolicy::Threshold | SwapPolicy::Off => policy.standby_min.max(1),
        } as u64;
        let lanes = config.lanes as u64;
        let limit_bytes = policy.memory_limit_bytes;
        let instance_bytes = match &manifest.trial {
            None => limit_bytes,
            Some(trial) if policy.swap == SwapPolicy::EveryCall || trial.growth_bytes == 0 => {
                trial.dirty_bytes
            }
            // It grows from call to call until it is replaced.
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
        // Each lane has an active instance and a used one that waits for the reaper.
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
        manifest::{GuestId, ImageKind, Tools, Trial},
    };

    use std::time::Duration;

    const MIB: u64 = 1 << 20;

    fn manifest(trial: Option<(u64, u64)>) -> Manifest {
        let digest = Digest::of(b"");
        Manifest {
            format_version: 1,
            abi_version: 1,
            kind: ImageKind::Service,
            guest: GuestId { name: "guest".into(), digest },
            features: Vec::new(),
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

    fn config() -> LaneConfig {
        LaneConfig {
            lanes: 2,
            queue_depth: 64,
            reply_bytes_max: MIB,
            sample_interval: Duration::from_secs(5),
            standby_max: None,
        }
    }

    fn sized(swap: SwapPolicy, trial: Option<(u64, u64)>) -> Sizing {
        let policy =
            Policy { swap, memory_limit_bytes: 1000 * MIB, critical: Percent::new(90), ..Policy::default() };
        Sizing::of(&manifest(trial), 50 * MIB, &config(), &policy, 256 * MIB)
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
