//! The settings of a program, as types.

use super::{
    access::AccessSettings,
    error::ConfigError,
    http::HttpConfig,
    jobs::JobSettings,
    keys::of_image,
    policies::Policies,
    tls::TlsSettings,
    traces::TraceSettings,
    values::{bytes, duration, long_duration, number, one_of, or_off, path, percent},
    webhooks::WebhookSettings,
};
use crate::{lanes::LaneConfig, policy::Percent, sandbox::SandboxMode, witness::CalculatorLimits};
use snapback_snapshot::{BakeLimits, CacheMode, CheckMode, MEMORY_BYTES_MAX, NativeCache};
use std::{net::SocketAddr, path::PathBuf, time::Duration};

/// Format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Text for people.
    Text,
    /// One JSON object per line.
    Json,
}

/// Bounds of circuits as data.
#[derive(Clone, Copy, Debug)]
pub struct CircuitSettings {
    /// Most generations that are kept beside the active one.
    pub generations_kept: usize,
    /// How long a generation is kept after another one took its place.
    pub generation_age_max: Duration,
    /// Most changes that may wait.
    pub changes_max: usize,
    /// Longest bake of a change.
    pub bake_deadline: Duration,
    /// Share of an image that removed circuits have to leave unused before it is built again without them.
    pub compact_at: Percent,
    /// Bounds of witness calculators.
    pub calculators: CalculatorLimits,
}

/// Every setting.
#[derive(Clone, Debug)]
pub struct Config {
    /// `listen`
    pub listen: SocketAddr,
    /// `state_dir`
    pub state_dir: PathBuf,
    /// `sandbox`
    pub sandbox: SandboxMode,
    /// `lanes`
    pub lanes: usize,
    /// The settings of images.
    pub policies: Policies,
    /// `memory.sample_interval`
    pub sample_interval: Duration,
    /// `memory.process_limit`; `None` means the limit of the cgroup.
    pub process_limit_bytes: Option<u64>,
    /// `standby.max`; `None` derives it from the number of lanes and images.
    pub standby_max: Option<usize>,
    /// `queue.depth`
    pub queue_depth: usize,
    /// `call.reply_bytes_max`
    pub reply_bytes_max: u64,
    /// `http.*`
    pub http: HttpConfig,
    /// `tls.*`
    pub tls: TlsSettings,
    /// `admin.listen`
    pub admin_listen: Option<SocketAddr>,
    /// `admin.token_file`
    pub admin_token_file: Option<PathBuf>,
    /// `drain.deadline`
    pub drain_deadline: Duration,
    /// `native.key_file`
    pub key_file: PathBuf,
    /// `native.cache`
    pub native_cache: CacheMode,
    /// `native.check`
    pub native_check: CheckMode,
    /// `cold_start.target`
    pub cold_start_target: Duration,
    /// `bake.*`
    pub bake: BakeLimits,
    /// `circuits.*`
    pub circuits: CircuitSettings,
    /// `jobs.*`
    pub jobs: JobSettings,
    /// `auth.*`, `tenants.*` and `audit.*`
    pub access: AccessSettings,
    /// `webhooks.*`
    pub webhooks: WebhookSettings,
    /// `traces.*`
    pub traces: TraceSettings,
    /// `circuits.changes`
    pub circuit_changes: CircuitChanges,
    /// `log.level`
    pub log_level: String,
    /// `log.format`
    pub log_format: LogFormat,
}

/// Whether circuits may be changed on the public listener; the admin routes always take changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CircuitChanges {
    /// Clients of this machine may, if the listener has a loopback address.
    Auto,
    /// Clients of this machine may, and all others with the admin token.
    On,
    /// They may not.
    Off,
}

impl Config {
    pub(super) fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        match key {
            "listen" => {
                self.listen = value.parse().map_err(|_| "an address and port such as 127.0.0.1:8080")?;
            }
            "state_dir" => self.state_dir = path(value)?,
            "lanes" => self.lanes = number(value, 1, 1024)?,
            "memory.sample_interval" => self.sample_interval = duration(value)?,
            "memory.process_limit" => {
                self.process_limit_bytes = match value {
                    "cgroup" => None,
                    size => Some(
                        bytes(size, 1 << 20, 1 << 50)
                            .map_err(|accepted| format!("`cgroup`, or {accepted}"))?,
                    ),
                };
            }
            "standby.max" => {
                self.standby_max = match value {
                    "auto" => None,
                    count => {
                        Some(number(count, 1, 1024).map_err(|accepted| format!("`auto`, or {accepted}"))?)
                    }
                };
            }
            "queue.depth" => self.queue_depth = number(value, 1, 1 << 16)?,
            "call.reply_bytes_max" => self.reply_bytes_max = bytes(value, 1, u64::from(u32::MAX))?,
            "admin.listen" => {
                self.admin_listen = or_off(value, |value| {
                    value.parse().map_err(|_| "an address and port such as 127.0.0.1:9090".into())
                })?;
            }
            "admin.token_file" => {
                self.admin_token_file = if value == "none" { None } else { Some(path(value)?) };
            }
            "drain.deadline" => self.drain_deadline = duration(value)?,
            "native.key_file" => self.key_file = path(value)?,
            "native.cache" => {
                self.native_cache = one_of(value, &[("on", CacheMode::On), ("off", CacheMode::Off)])?;
            }
            "native.check" => {
                use CheckMode::{Full, Identity};
                self.native_check = one_of(value, &[("identity", Identity), ("full", Full)])?;
            }
            "sandbox" => {
                use SandboxMode::{Auto, Off, On};
                self.sandbox = one_of(value, &[("auto", Auto), ("on", On), ("off", Off)])?;
            }
            "cold_start.target" => self.cold_start_target = duration(value)?,
            "bake.memory_limit" => self.bake.memory_bytes_max = bytes(value, 1 << 16, MEMORY_BYTES_MAX)?,
            "bake.deadline" => self.bake.deadline = duration(value)?,
            "bake.image_bytes_max" => self.bake.image_bytes_max = bytes(value, 1, MEMORY_BYTES_MAX)?,
            "bake.input_bytes_max" => self.bake.input_bytes_max = bytes(value, 1, MEMORY_BYTES_MAX)?,
            "circuits.changes" => {
                use CircuitChanges::{Auto, Off, On};
                self.circuit_changes = one_of(value, &[("auto", Auto), ("on", On), ("off", Off)])?;
            }
            "circuits.changes_max" => self.circuits.changes_max = number(value, 1, 1 << 16)?,
            "circuits.bake_deadline" => self.circuits.bake_deadline = duration(value)?,
            "circuits.compact_at" => self.circuits.compact_at = percent(value)?,
            "circuits.calculator_deadline" => self.circuits.calculators.deadline = duration(value)?,
            "circuits.calculator_memory_limit" => {
                self.circuits.calculators.memory_bytes_max = bytes(value, 1 << 16, MEMORY_BYTES_MAX)?;
            }
            "circuits.generations_kept" => self.circuits.generations_kept = number(value, 0, 1 << 16)?,
            "circuits.generation_age_max" => self.circuits.generation_age_max = long_duration(value)?,
            key if AccessSettings::has(key) => self.access.set(key, value)?,
            key if key.starts_with("jobs.") => self.jobs.set(key, value)?,
            key if key.starts_with("tls.") => self.tls.set(key, value)?,
            key if HttpConfig::has(key) => self.http.set(key, value)?,
            key if key.starts_with("webhooks.") => self.webhooks.set(key, value)?,
            key if key.starts_with("traces.") => self.traces.set(key, value)?,
            "log.level" => {
                value
                    .parse::<tracing_subscriber::EnvFilter>()
                    .map_err(|error| format!("a level or a filter: {error}"))?;
                self.log_level = value.into();
            }
            "log.format" => {
                self.log_format = one_of(value, &[("text", LogFormat::Text), ("json", LogFormat::Json)])?;
            }
            key => match of_image(key) {
                Some((image, key)) => self.policies.set(Some(image), key, value)?,
                None => self.policies.set(None, key, value)?,
            },
        }
        Ok(())
    }

    /// Sizes of the lanes and their queue.
    #[must_use]
    pub fn lane_config(&self) -> LaneConfig {
        LaneConfig {
            lanes: self.lanes,
            queue_depth: self.queue_depth,
            reply_bytes_max: self.reply_bytes_max,
            sample_interval: self.sample_interval,
            standby_max: self.standby_max,
        }
    }

    /// The cache of native code.
    #[must_use]
    pub fn native_cache(&self) -> NativeCache {
        NativeCache::open(&self.state_dir, &self.key_file, self.bake.memory_bytes_max)
            .with_mode(self.native_cache)
            .with_check(self.native_check)
    }

    /// Checks that the values agree with each other.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let contradiction = |message: String| Err(ConfigError::Contradiction(message));
        if self.http.buffered_bytes_max < self.http.body_bytes_max {
            return contradiction(
                "`http.buffered_bytes_max` is less than `http.body_bytes_max`: the longest body would never be taken"
                    .into(),
            );
        }
        if let Some(message) = self.tls.contradiction() {
            return contradiction(message);
        }
        if self.admin_listen.is_some() && self.admin_token_file.is_none() {
            return contradiction("`admin.listen` needs `admin.token_file`: a file with a token".into());
        }
        if self.circuit_changes == CircuitChanges::On
            && !self.listen.ip().is_loopback()
            && !self.access.are_needed(self.listen)
            && self.admin_token_file.is_none()
        {
            return contradiction(format!(
                "`circuits.changes = on` with `listen` = {} and without keys needs `admin.token_file`: changes carry its token",
                self.listen
            ));
        }
        self.policies.check(self.standby_max).map_err(ConfigError::Contradiction)?;
        if self.state_dir.as_os_str().is_empty() { Err(ConfigError::NoHome) } else { Ok(()) }
    }
}
