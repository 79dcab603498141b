//! What the server sends, as far as `snapback top` shows it.
//!
//! Invariant: every field may be missing, so that a server of another version is shown as far as it is understood. Text is
//! cleaned while it is read.

use super::{
    bounded,
    clean::{Clean, Value},
};
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;

/// The status, as the stream has it.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Status {
    /// The server's clock, in milliseconds since 1970.
    pub(super) at_ms: u64,
    pub(super) version: Clean,
    pub(super) uptime_seconds: u64,
    pub(super) state: Clean,
    #[serde(deserialize_with = "bounded::list")]
    pub(super) images: Vec<Image>,
    pub(super) lanes: LaneCounts,
    pub(super) queue: Queue,
    pub(super) memory: Memory,
    pub(super) swaps: Swaps,
    /// Lanes, by image.
    #[serde(deserialize_with = "bounded::map")]
    pub(super) instances: BTreeMap<Clean, Vec<Lane>>,
    pub(super) start: Start,
    pub(super) events_left_out: u64,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Image {
    pub(super) name: Clean,
    pub(super) digest: Clean,
    pub(super) generation: u64,
    pub(super) guest: Clean,
    #[serde(deserialize_with = "bounded::list")]
    pub(super) circuits: Vec<Clean>,
    pub(super) memory_bytes: u64,
    pub(super) breaker: Clean,
    #[serde(deserialize_with = "bounded::map")]
    pub(super) policy: BTreeMap<Clean, Value>,
}

impl Image {
    pub(super) fn setting(&self, key: &str) -> Option<&Value> {
        self.policy.iter().find(|(known, _)| known.as_str() == key).map(|(_, value)| value)
    }

    pub(super) fn memory_limit_bytes(&self) -> Option<u64> {
        self.setting("memory.limit")?.as_u64().filter(|limit| *limit > 0)
    }
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct LaneCounts {
    pub(super) configured: u64,
    pub(super) at_work: u64,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Queue {
    pub(super) length: u64,
    pub(super) depth: u64,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Memory {
    pub(super) private_resident_bytes: u64,
    pub(super) process_limit_bytes: Option<u64>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Swaps {
    pub(super) total: u64,
}

/// One lane of one image.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Lane {
    pub(super) lane: u64,
    /// Calls of the active instance; `None` if there is none.
    pub(super) calls: Option<u64>,
    pub(super) age_seconds: Option<f64>,
    pub(super) used_bytes: Option<u64>,
    pub(super) pressure: Clean,
    pub(super) standby: Clean,
    pub(super) standbys_ready: u64,
    pub(super) standbys_ordered: u64,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Start {
    pub(super) seconds: Option<f64>,
    pub(super) target_seconds: f64,
    #[serde(deserialize_with = "bounded::map")]
    pub(super) native_code: BTreeMap<Clean, u64>,
}

/// What happened.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Event {
    pub(super) at_ms: u64,
    pub(super) image: Clean,
    pub(super) lane: Option<u64>,
    pub(super) event: Clean,
    pub(super) reason: Clean,
    pub(super) error: Clean,
    pub(super) from: Clean,
    pub(super) to: Clean,
    pub(super) took_us: u64,
    pub(super) after_ms: u64,
    pub(super) generation: u64,
}

/// The last hour, by columns.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct History {
    pub(super) bucket_seconds: u64,
    pub(super) last_seconds: f64,
    #[serde(deserialize_with = "bounded::list")]
    pub(super) calls: Vec<u64>,
    #[serde(deserialize_with = "bounded::list")]
    pub(super) refused: Vec<u64>,
    #[serde(deserialize_with = "bounded::list")]
    pub(super) failed: Vec<u64>,
    #[serde(deserialize_with = "bounded::list")]
    pub(super) p50_ms: Vec<Option<f64>>,
    #[serde(deserialize_with = "bounded::list")]
    pub(super) p99_ms: Vec<Option<f64>>,
    #[serde(deserialize_with = "bounded::list")]
    pub(super) queue_max: Vec<u64>,
    #[serde(deserialize_with = "bounded::list")]
    pub(super) swaps: Vec<u64>,
    #[serde(deserialize_with = "bounded::list")]
    pub(super) lost: Vec<u64>,
    #[serde(deserialize_with = "bounded::list")]
    pub(super) rejected: Vec<u64>,
    #[serde(deserialize_with = "bounded::list")]
    pub(super) growth_refused: Vec<u64>,
    #[serde(deserialize_with = "bounded::list")]
    pub(super) swaps_put_off: Vec<u64>,
    #[serde(deserialize_with = "bounded::list")]
    pub(super) swaps_refused: Vec<u64>,
    #[serde(deserialize_with = "bounded::list")]
    pub(super) standby_failures: Vec<u64>,
    #[serde(deserialize_with = "bounded::list")]
    pub(super) changes_failed: Vec<u64>,
}

/// A page of jobs.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct JobPage {
    #[serde(deserialize_with = "bounded::list")]
    pub(super) jobs: Vec<Job>,
    /// Where the next page begins, if there is one.
    pub(super) next: Option<Clean>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Job {
    pub(super) id: Clean,
    pub(super) state: Clean,
    pub(super) image: Clean,
    pub(super) method: Clean,
    pub(super) circuit: Clean,
    pub(super) priority: u64,
    pub(super) attempts: u64,
    pub(super) submitted: Clean,
    pub(super) claimed: Option<Clean>,
    pub(super) finished: Option<Clean>,
    pub(super) place: Option<u64>,
    pub(super) expected_end: Option<Clean>,
    pub(super) error: Option<JobError>,
    pub(super) cancel_requested: bool,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct JobError {
    pub(super) code: Clean,
    pub(super) message: Clean,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct CircuitList {
    #[serde(deserialize_with = "bounded::list")]
    pub(super) circuits: Vec<Circuit>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Circuit {
    pub(super) name: Clean,
    /// Its digest; `None` for a circuit that came with the image.
    pub(super) circuit: Option<Clean>,
    pub(super) image: Clean,
    pub(super) constraints: Option<u64>,
    pub(super) k: Option<u64>,
    pub(super) added: Option<Added>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Added {
    /// Seconds since 1970.
    pub(super) at: u64,
}

/// The generations of an image.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Generations {
    pub(super) image: Clean,
    pub(super) active: u64,
    #[serde(deserialize_with = "bounded::list")]
    pub(super) generations: Vec<Generation>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Generation {
    pub(super) id: u64,
    /// Digest of its image.
    pub(super) image: Clean,
    /// Seconds since 1970.
    pub(super) created: u64,
    #[serde(deserialize_with = "keys")]
    pub(super) circuits: Vec<Clean>,
    pub(super) disk_bytes: u64,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ChangeList {
    #[serde(deserialize_with = "bounded::list")]
    pub(super) changes: Vec<Change>,
}

/// A change of circuits.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Change {
    pub(super) id: u64,
    pub(super) image: Clean,
    #[serde(deserialize_with = "what")]
    pub(super) change: Clean,
    pub(super) state: Clean,
    pub(super) stage: Option<Clean>,
    pub(super) percent: u64,
    pub(super) left_s: Option<u64>,
    pub(super) generation: Option<u64>,
    pub(super) reason: Option<Clean>,
}

impl Change {
    /// Whether it is still to be made.
    pub(super) fn is_open(&self) -> bool {
        ["waiting", "baking"].contains(&self.state.as_str())
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct SettingChangeList {
    #[serde(deserialize_with = "bounded::list")]
    pub(super) changes: Vec<SettingChange>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct SettingChange {
    pub(super) at_ms: u64,
    pub(super) image: Clean,
    pub(super) by: Clean,
    /// The settings that changed: before, and now.
    #[serde(deserialize_with = "bounded::map")]
    pub(super) changed: BTreeMap<Clean, [Value; 2]>,
}

/// Who this client is to the server.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Whoami {
    pub(super) keys: Clean,
    pub(super) tenant: Clean,
    pub(super) role: Clean,
}

/// The keys of a map, whose values are of no interest.
fn keys<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Clean>, D::Error> {
    let map: BTreeMap<Clean, serde::de::IgnoredAny> = bounded::map(deserializer)?;
    Ok(map.into_keys().collect())
}

/// What a change does: `add NAME`, `remove NAME`, or one word.
fn what<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Clean, D::Error> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Named {
        name: Clean,
    }
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Kind {
        Word(Clean),
        Named(BTreeMap<Clean, Named>),
    }
    Ok(match Kind::deserialize(deserializer)? {
        Kind::Word(word) => word,
        Kind::Named(map) => map
            .iter()
            .next()
            .map_or_else(Clean::default, |(kind, named)| Clean::new(format!("{kind} {}", named.name).trim())),
    })
}
