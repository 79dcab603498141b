//! Settings: one [table](SETTINGS) of keys, set by flags, `SNAPBACK_*` variables and a TOML file, in that order.
//!
//! Invariant: every error names the key, where its value came from and what is accepted, and all of them come
//! before a socket is bound.

mod settings;
mod sources;
mod values;

pub use settings::{PREFIX, SETTINGS, Scope, Setting};
pub use sources::{CONFIG, ConfigError, Sources};

use crate::{
    policy::{MethodPolicy, Policy},
    witness::CalculatorLimits,
};
use settings::{of_image, of_method};
use snapback_snapshot::{BakeLimits, MEMORY_BYTES_MAX};
use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, time::Duration};
use values::{bytes, default_dir, duration, long_duration, number, or_off, path, percent};

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Bounds of circuits as data.
#[derive(Clone, Copy, Debug)]
pub struct CircuitSettings {
    /// Most generations that are kept for going back, beside the active one.
    pub generations_kept: usize,
    /// How long a generation is kept after another took its place.
    pub generation_age_max: Duration,
    /// Most changes that wait.
    pub changes_max: usize,
    /// Longest bake.
    pub bake_deadline: Duration,
    /// Bounds of witness calculators.
    pub calculators: CalculatorLimits,
}

/// Everything that can be set.
#[derive(Clone, Debug)]
pub struct Config {
    /// `listen`
    pub listen: SocketAddr,
    /// `state_dir`
    pub state_dir: PathBuf,
    /// `lanes`
    pub lanes: usize,
    /// How images are served that have nothing of their own.
    pub policy: Policy,
    /// How images are served that have: `image.NAME.*`.
    pub images: BTreeMap<String, Policy>,
    /// `memory.sample_interval`
    pub sample_interval: Duration,
    /// `memory.process_limit`; none is the cgroup's.
    pub process_limit_bytes: Option<u64>,
    /// `queue.depth`
    pub queue_depth: usize,
    /// `call.reply_bytes_max`
    pub reply_bytes_max: u64,
    /// `http.*`
    pub http: HttpConfig,
    /// `admin.listen`
    pub admin_listen: Option<SocketAddr>,
    /// `admin.token_file`
    pub admin_token_file: Option<PathBuf>,
    /// `drain.deadline`
    pub drain_deadline: Duration,
    /// `native.key_file`
    pub key_file: PathBuf,
    /// `bake.*`
    pub bake: BakeLimits,
    /// `circuits.*`
    pub circuits: CircuitSettings,
    /// `circuits.changes`
    pub circuit_changes: CircuitChanges,
    /// `log.level`
    pub log_level: String,
    /// `log.format`
    pub log_format: LogFormat,
}

/// From where circuits may be changed, beside the admin routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CircuitChanges {
    /// From the public listener, if it is reached from this machine alone.
    Auto,
    /// From the public listener.
    On,
    /// From nowhere else.
    Off,
}

/// The settings of the HTTP server.
#[derive(Clone, Copy, Debug)]
pub struct HttpConfig {
    /// `http.body_bytes_max`
    pub body_bytes_max: u64,
    /// `http.buffered_bytes_max`
    pub buffered_bytes_max: u64,
    /// `http.connections_max`
    pub connections_max: usize,
    /// `http.header_timeout`
    pub header_timeout: Duration,
    /// `http.body_timeout`
    pub body_timeout: Duration,
    /// `circuits.upload_bytes_max`
    pub upload_bytes_max: u64,
}

impl Config {
    fn defaults() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            state_dir: default_dir("XDG_STATE_HOME", ".local/state").unwrap_or_default(),
            key_file: default_dir("XDG_DATA_HOME", ".local/share").unwrap_or_default().join("native.key"),
            lanes: std::thread::available_parallelism().map_or(1, usize::from),
            policy: Policy::default(),
            images: BTreeMap::new(),
            sample_interval: Duration::from_secs(5),
            process_limit_bytes: None,
            queue_depth: 64,
            reply_bytes_max: 64 << 20,
            http: HttpConfig {
                body_bytes_max: 8 << 20,
                buffered_bytes_max: 256 << 20,
                connections_max: 1024,
                header_timeout: Duration::from_secs(10),
                body_timeout: Duration::from_secs(30),
                upload_bytes_max: 64 << 20,
            },
            admin_listen: None,
            admin_token_file: None,
            drain_deadline: Duration::from_secs(90),
            bake: BakeLimits::default(),
            circuits: CircuitSettings {
                generations_kept: 8,
                generation_age_max: Duration::from_hours(30 * 24),
                changes_max: 32,
                bake_deadline: Duration::from_mins(30),
                calculators: CalculatorLimits {
                    deadline: Duration::from_secs(10),
                    memory_bytes_max: 512 << 20,
                },
            },
            circuit_changes: CircuitChanges::Auto,
            log_level: "info".into(),
            log_format: LogFormat::Text,
        }
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
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
            "queue.depth" => self.queue_depth = number(value, 1, 1 << 16)?,
            "call.reply_bytes_max" => self.reply_bytes_max = bytes(value, 1, u64::from(u32::MAX))?,
            "http.body_bytes_max" => self.http.body_bytes_max = bytes(value, 1, 1 << 30)?,
            "http.buffered_bytes_max" => self.http.buffered_bytes_max = bytes(value, 1 << 16, 1 << 31)?,
            "http.connections_max" => self.http.connections_max = number(value, 1, 1 << 20)?,
            "http.header_timeout" => self.http.header_timeout = duration(value)?,
            "http.body_timeout" => self.http.body_timeout = duration(value)?,
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
            "bake.memory_limit" => self.bake.memory_bytes_max = bytes(value, 1 << 16, MEMORY_BYTES_MAX)?,
            "bake.deadline" => self.bake.deadline = duration(value)?,
            "bake.image_bytes_max" => self.bake.image_bytes_max = bytes(value, 1, MEMORY_BYTES_MAX)?,
            "bake.input_bytes_max" => self.bake.input_bytes_max = bytes(value, 1, MEMORY_BYTES_MAX)?,
            "circuits.changes" => {
                self.circuit_changes = match value {
                    "auto" => CircuitChanges::Auto,
                    "on" => CircuitChanges::On,
                    "off" => CircuitChanges::Off,
                    _ => return Err("`auto`, `on` or `off`".into()),
                };
            }
            "circuits.upload_bytes_max" => self.http.upload_bytes_max = bytes(value, 1, 1 << 30)?,
            "circuits.changes_max" => self.circuits.changes_max = number(value, 1, 1 << 16)?,
            "circuits.bake_deadline" => self.circuits.bake_deadline = duration(value)?,
            "circuits.calculator_deadline" => self.circuits.calculators.deadline = duration(value)?,
            "circuits.calculator_memory_limit" => {
                self.circuits.calculators.memory_bytes_max = bytes(value, 1 << 16, MEMORY_BYTES_MAX)?;
            }
            "circuits.generations_kept" => self.circuits.generations_kept = number(value, 0, 1 << 16)?,
            "circuits.generation_age_max" => self.circuits.generation_age_max = long_duration(value)?,
            "log.level" => {
                value
                    .parse::<tracing_subscriber::EnvFilter>()
                    .map_err(|error| format!("a level or a filter: {error}"))?;
                self.log_level = value.into();
            }
            "log.format" => {
                self.log_format = match value {
                    "text" => LogFormat::Text,
                    "json" => LogFormat::Json,
                    _ => return Err("`text` or `json`".into()),
                };
            }
            key => match of_image(key) {
                Some((image, key)) => {
                    let policy = self.images.entry(image.into()).or_insert_with(|| self.policy.clone());
                    set_policy(policy, key, value)?;
                }
                None => set_policy(&mut self.policy, key, value)?,
            },
        }
        Ok(())
    }

    /// How an image is served.
    #[must_use]
    pub fn policy_of(&self, image: &str) -> Policy {
        self.images.get(image).unwrap_or(&self.policy).clone()
    }

    /// Whether the values fit each other.
    fn check(&self) -> Result<(), ConfigError> {
        let contradiction = |message: String| Err(ConfigError::Contradiction(message));
        if self.http.buffered_bytes_max < self.http.body_bytes_max {
            return contradiction(
                "`http.buffered_bytes_max` is less than `http.body_bytes_max`: the longest body would never be taken"
                    .into(),
            );
        }
        if self.admin_listen.is_some() && self.admin_token_file.is_none() {
            return contradiction("`admin.listen` needs `admin.token_file`: a file with a token".into());
        }
        let own = self.images.iter().map(|(image, policy)| (format!("image.{image}."), policy));
        for (prefix, policy) in own.chain([(String::new(), &self.policy)]) {
            if policy.warn > policy.critical {
                return contradiction(format!(
                    "`{prefix}memory.warn` = {} is above `{prefix}memory.critical` = {}: \
                     no standby would be ready for the swap",
                    policy.warn, policy.critical
                ));
            }
        }
        if self.state_dir.as_os_str().is_empty() { Err(ConfigError::NoHome) } else { Ok(()) }
    }
}

/// Sets one key of a policy. An admin request sets them by the same names.
///
/// # Errors
/// What is accepted, if the value is not; or that there is no such key.
pub fn set_policy(policy: &mut Policy, key: &str, value: &str) -> Result<(), String> {
    match key {
        "memory.limit" => policy.memory_limit_bytes = bytes(value, 1 << 16, MEMORY_BYTES_MAX)?,
        "memory.warn" => policy.warn = percent(value)?,
        "memory.critical" => policy.critical = percent(value)?,
        "swap.policy" => policy.swap = value.parse()?,
        "swap.calls_max" => {
            policy.calls_max = or_off(value, |value| number(value, 1, usize::MAX))?.map(|calls| calls as u64);
        }
        "swap.age_max" => policy.age_max = or_off(value, duration)?,
        "swap.idle_max" => policy.idle_max = or_off(value, duration)?,
        "swap.jitter" => policy.jitter = percent(value)?,
        "swap.life_min" => {
            policy.life_min = if value == "0s" { Duration::ZERO } else { duration(value)? };
        }
        "swap.per_minute_max" => {
            policy.swaps_per_minute_max =
                u32::try_from(number(value, 1, u32::MAX as usize)?).expect("no more than that");
        }
        "call.deadline" => policy.deadline = duration(value)?,
        "call.stall_timeout" => policy.stall_timeout = duration(value)?,
        "breaker.failures" => {
            policy.breaker_failures =
                u32::try_from(number(value, 1, u32::MAX as usize)?).expect("no more than that");
        }
        "breaker.open_for" => policy.breaker_open_for = duration(value)?,
        key => {
            let (method, what) =
                of_method(key).ok_or("a key of the table of settings that images can have")?;
            let method: &mut MethodPolicy = policy.methods.entry(method.into()).or_default();
            match what {
                "deadline" => method.deadline = Some(duration(value)?),
                _ => method.repeatable = Some(value.parse().map_err(|_| "`true` or `false`")?),
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn resolve(fill: impl FnOnce(&mut Sources) -> Result<(), ConfigError>) -> Result<Config, ConfigError> {
        let mut sources = Sources::default();
        sources.set("state_dir", "/tmp".into(), "test".into())?;
        fill(&mut sources)?;
        sources.resolve()
    }

    fn toml(text: &str) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
        file.write_all(text.as_bytes()).expect("room for it");
        file
    }

    #[test]
    fn a_flag_beats_a_variable_beats_the_file() {
        let file = toml("lanes = 1\nqueue.depth = 1\n[call]\ndeadline = \"1s\"\n");
        let config = resolve(|sources| {
            sources.file(file.path())?;
            let variables = [("SNAPBACK_QUEUE_DEPTH", "2"), ("SNAPBACK_CALL_DEADLINE", "2s")];
            sources.variables(variables.iter().map(|(name, value)| (name.to_string(), value.to_string())));
            sources.set("call.deadline", "3s".into(), "--call-deadline".into())
        })
        .expect("valid settings");
        assert_eq!((config.lanes, config.queue_depth), (1, 2));
        assert_eq!(config.policy.deadline, Duration::from_secs(3));
    }

    #[test]
    fn an_unknown_key_names_itself_and_its_file() {
        let file = toml("[memory]\nlimits = \"1GiB\"\n");
        let error = resolve(|sources| sources.file(file.path())).expect_err("a misspelt key").to_string();
        assert!(error.contains("memory.limits") && error.contains("memory.limit,"), "{error}");
        assert!(error.contains(&file.path().display().to_string()), "{error}");
    }

    #[test]
    fn every_setting_refuses_nonsense_and_says_what_it_takes() {
        for Setting { key, .. } in SETTINGS {
            // A path may have any name but none.
            let value = if ["state_dir", "native.key_file", "admin.token_file"].contains(key) {
                ""
            } else {
                "=nonsense="
            };
            let error = resolve(|sources| sources.set(key, value.into(), format!("--{key}")));
            let error = error.expect_err(key).to_string();
            assert!(error.contains(key) && error.contains("not accepted"), "{error}");
        }
    }

    #[test]
    fn every_default_is_what_the_table_says() {
        for Setting { key, default, .. } in SETTINGS {
            if !["lanes", "state_dir", "native.key_file"].contains(key) {
                let written = resolve(|sources| sources.set(key, (*default).into(), "table".into()));
                let written = format!("{:?}", written.expect(key));
                let unset = format!("{:?}", resolve(|_| Ok(())).expect("defaults"));
                assert_eq!(written, unset, "{key}");
            }
        }
    }

    #[test]
    fn limits_of_zero_are_refused() {
        for key in ["lanes", "memory.limit", "queue.depth", "http.connections_max", "call.deadline"] {
            assert!(resolve(|sources| sources.set(key, "0".into(), "test".into())).is_err(), "{key}");
        }
    }
}
