//! The settings of durable jobs: `jobs.*`.
//!
//! Invariant: what a client can send, a job can hold: bounds of bodies and replies follow those of calls.

use super::values::{bytes, default_dir, duration, long_duration, number, one_of, path};
use crate::jobs::JobLimits;
use std::{path::PathBuf, time::Duration};

/// A proof in JSON is at most this many times as long as the guest's reply.
const JSON_OVER_REPLY: u64 = 4;
/// Options of a method come before the body, and are as long as the head of a request at most.
const OPTIONS_BYTES_MAX: u64 = 64 << 10;

/// Whose calls are accepted as jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobAcceptance {
    /// Those of clients of this machine, if the listener has a loopback address.
    Auto,
    /// Those of all clients, each of whom sees the jobs of the others.
    On,
    /// Nobody's.
    Off,
}

/// Whether jobs of pure methods get the results of identical work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// They do.
    On,
    /// Each job runs.
    Off,
}

/// The settings of durable jobs.
#[derive(Clone, Debug)]
pub struct JobSettings {
    /// `jobs.accept`
    pub acceptance: JobAcceptance,
    /// `jobs.key_file`
    pub key_file: PathBuf,
    /// `jobs.running_max`; `None` for one on each lane but one.
    pub running_max: Option<usize>,
    /// `jobs.share_pure`
    pub sharing: Sharing,
    /// Bounds of the engine.
    limits: JobLimits,
}

impl JobSettings {
    pub(super) fn defaults() -> Self {
        Self {
            acceptance: JobAcceptance::Auto,
            key_file: default_dir("XDG_DATA_HOME", ".local/share").unwrap_or_default().join("jobs.key"),
            running_max: None,
            sharing: Sharing::On,
            limits: JobLimits {
                tenant_queued_max: u64::MAX,
                tenant_queued_bytes_max: u64::MAX,
                ..JobLimits::default()
            },
        }
    }

    /// Bounds of the engine, where calls take bodies and guests reply with as many bytes as these.
    #[must_use]
    pub fn limits(&self, body_bytes_max: u64, reply_bytes_max: u64) -> JobLimits {
        JobLimits {
            body_bytes_max: body_bytes_max + OPTIONS_BYTES_MAX,
            result_bytes_max: reply_bytes_max.saturating_mul(JSON_OVER_REPLY),
            ..self.limits.clone()
        }
    }

    pub(super) fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        let limits = &mut self.limits;
        match key {
            "jobs.accept" => {
                use JobAcceptance::{Auto, Off, On};
                self.acceptance = one_of(value, &[("auto", Auto), ("on", On), ("off", Off)])?;
            }
            "jobs.key_file" => self.key_file = path(value)?,
            "jobs.running_max" => {
                self.running_max = match value {
                    "auto" => None,
                    count => {
                        Some(number(count, 1, 1024).map_err(|accepted| format!("`auto`, or {accepted}"))?)
                    }
                };
            }
            "jobs.share_pure" => {
                self.sharing = one_of(value, &[("on", Sharing::On), ("off", Sharing::Off)])?;
            }
            "jobs.waiting_max" => limits.queued_max = number(value, 1, 10_000_000)? as u64,
            "jobs.waiting_bytes_max" => limits.queued_bytes_max = bytes(value, 1, 1 << 50)?,
            "jobs.remembered_max" => limits.remembered_max = number(value, 1, 100_000_000)? as u64,
            "jobs.kept_bytes_max" => limits.kept_bytes_max = bytes(value, 1, 1 << 50)?,
            "jobs.delay_max" => limits.delay_max = long_duration(value)?,
            "jobs.batch_max" => limits.batch_max = number(value, 1, 10_000)?,
            "jobs.lease" => limits.lease = duration(value)?.max(Duration::from_secs(1)),
            "jobs.deaths_max" => {
                limits.attempts_max = u32::try_from(number(value, 1, 1000)?).expect("checked")
            }
            "jobs.retries_max" => {
                limits.retries_max = u32::try_from(number(value, 0, 1000)?).expect("checked")
            }
            "jobs.waiting_ttl" => limits.waiting_ttl = long_duration(value)?,
            "jobs.result_ttl" => limits.result_ttl = long_duration(value)?,
            "jobs.idempotency_window" => limits.idempotency_window = long_duration(value)?,
            _ => return Err("a setting of jobs".into()),
        }
        Ok(())
    }
}
