//! Settings: one table of keys, set by flags, `SNAPBACK_*` variables and a TOML file, in that order.
//!
//! Invariant: every error names the key, where its value came from and what is accepted, and all of them come
//! before a socket is bound.

use bytesize::ByteSize;
use snapback_snapshot::{BakeLimits, MEMORY_BYTES_MAX};
use std::{
    collections::BTreeMap,
    fmt, fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

/// One setting, as users see it.
pub struct Setting {
    /// Its key in the TOML file; flags and variables follow from it.
    pub key: &'static str,
    /// Its default, as users would write it.
    pub default: &'static str,
    /// What it is, in one line.
    pub help: &'static str,
}

/// Every setting.
pub const SETTINGS: &[Setting] = &[
    setting("listen", "127.0.0.1:8080", "address and port to serve on"),
    setting("state_dir", "~/.local/state/snapback", "images, native code; made where missing"),
    setting("lanes", "one per core", "compute threads, each with an active instance and a standby"),
    setting("memory.limit", "4GiB", "linear memory that one instance may have, at most 4GiB"),
    setting("swap.policy", "every-call", "when a lane takes a fresh instance: every-call, or off"),
    setting("queue.depth", "64", "calls that may wait for a lane; more are answered with 429"),
    setting("call.deadline", "60s", "how long a call may run; longer ones are answered with 504"),
    setting("call.reply_bytes_max", "64MiB", "longest reply taken from a guest"),
    setting("http.body_bytes_max", "8MiB", "longest request body; longer ones are answered with 413"),
    setting("http.buffered_bytes_max", "256MiB", "request bodies in memory, all together"),
    setting("http.connections_max", "1024", "connections open at once; more wait to be accepted"),
    setting("http.header_timeout", "10s", "how long a client may take to send a request's head"),
    setting("http.body_timeout", "30s", "how long a client may take to send a request's body"),
    setting("drain.deadline", "90s", "how long a shutdown waits for calls that were accepted"),
    setting(
        "native.key_file",
        "~/.local/share/snapback/native.key",
        "key by which native code is known; made where missing",
    ),
    setting(
        "bake.memory_limit",
        "2GiB",
        "linear memory that an initialiser may use, and an image start with",
    ),
    setting("bake.deadline", "30m", "how long a guest's initialiser may run"),
    setting("bake.image_bytes_max", "1GiB", "largest image"),
    setting("bake.input_bytes_max", "1GiB", "largest input"),
    setting("log.level", "info", "error, warn, info, debug, trace, or a filter such as snapback_host=debug"),
    setting("log.format", "text", "text or json"),
];

const fn setting(key: &'static str, default: &'static str, help: &'static str) -> Setting {
    Setting { key, default, help }
}

impl Setting {
    /// Its flag, without the dashes: `memory.limit` is `memory-limit`.
    #[must_use]
    pub fn flag(&self) -> String {
        self.key.replace(['.', '_'], "-")
    }

    /// Its variable: `memory.limit` is `SNAPBACK_MEMORY_LIMIT`.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("SNAPBACK_{}", self.key.replace('.', "_").to_uppercase())
    }
}

/// When a lane takes a fresh instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SwapPolicy {
    /// After every call.
    EveryCall,
    /// Only after a fault: the server is a plain host.
    Off,
}

impl fmt::Display for SwapPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::EveryCall => "every-call",
            Self::Off => "off",
        })
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
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
    /// `memory.limit`
    pub memory_limit_bytes: u64,
    /// `swap.policy`
    pub swap: SwapPolicy,
    /// `queue.depth`
    pub queue_depth: usize,
    /// `call.deadline`
    pub call_deadline: Duration,
    /// `call.reply_bytes_max`
    pub reply_bytes_max: u64,
    /// `http.*`
    pub http: HttpConfig,
    /// `drain.deadline`
    pub drain_deadline: Duration,
    /// `native.key_file`
    pub key_file: PathBuf,
    /// `bake.*`
    pub bake: BakeLimits,
    /// `log.level`
    pub log_level: String,
    /// `log.format`
    pub log_format: LogFormat,
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
}

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the settings in {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The file is not TOML.
    #[error("{} is not TOML: {source}", path.display())]
    Toml {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: toml::de::Error,
    },
    /// There is no such key.
    #[error("{origin}: no setting is called `{key}`; there are: {}", keys())]
    UnknownKey {
        /// Where it was found.
        origin: String,
        /// What it is called.
        key: String,
    },
    /// The value does not fit the key.
    #[error("{origin}: `{key}` = {value:?} is not accepted: {reason}")]
    Value {
        /// Where the value came from.
        origin: String,
        /// The key.
        key: String,
        /// The value.
        value: String,
        /// What is accepted.
        reason: String,
    },
    /// Two values do not fit each other.
    #[error("{0}")]
    Contradiction(&'static str),
    /// There is no home directory to put the state into.
    #[error("set `state_dir` (--state-dir, SNAPBACK_STATE_DIR): there is no home directory to put it into")]
    NoHome,
}

fn keys() -> String {
    SETTINGS.iter().map(|setting| setting.key).collect::<Vec<_>>().join(", ")
}

/// Where values come from, the last one first in precedence.
#[derive(Default)]
pub struct Sources {
    values: BTreeMap<String, (String, String)>,
}

impl Sources {
    /// Adds the settings of a TOML file.
    ///
    /// # Errors
    /// When it cannot be read, or has a key that is no setting.
    pub fn file(&mut self, path: &Path) -> Result<(), ConfigError> {
        let text =
            fs::read_to_string(path).map_err(|source| ConfigError::File { path: path.into(), source })?;
        let table: toml::Table =
            text.parse().map_err(|source| ConfigError::Toml { path: path.into(), source })?;
        self.table("", &table, &path.display().to_string())
    }

    fn table(&mut self, prefix: &str, table: &toml::Table, origin: &str) -> Result<(), ConfigError> {
        for (name, value) in table {
            let key = format!("{prefix}{name}");
            let text = match value {
                toml::Value::Table(inner) => {
                    self.table(&format!("{key}."), inner, origin)?;
                    continue;
                }
                toml::Value::String(text) => text.clone(),
                toml::Value::Integer(number) => number.to_string(),
                other => {
                    let reason = format!("a text or a number, not {}", other.type_str());
                    return Err(ConfigError::Value {
                        origin: origin.into(),
                        key,
                        value: String::new(),
                        reason,
                    });
                }
            };
            self.set(&key, text, origin.into())?;
        }
        Ok(())
    }

    /// Adds the variables `SNAPBACK_*` that name settings. Others are left alone: orchestrators put
    /// `SNAPBACK_PORT` and the like there on their own account.
    pub fn variables(&mut self, variables: impl Iterator<Item = (String, String)>) {
        let variables: BTreeMap<String, String> = variables.collect();
        for setting in SETTINGS {
            let name = setting.variable();
            if let Some(value) = variables.get(&name) {
                self.values.insert(setting.key.into(), (value.clone(), name));
            }
        }
    }

    /// Adds a value.
    ///
    /// # Errors
    /// When there is no such key.
    pub fn set(&mut self, key: &str, value: String, origin: String) -> Result<(), ConfigError> {
        if SETTINGS.iter().any(|setting| setting.key == key) {
            self.values.insert(key.into(), (value, origin));
            Ok(())
        } else {
            Err(ConfigError::UnknownKey { origin, key: key.into() })
        }
    }

    /// Reads every value.
    ///
    /// # Errors
    /// For the first value that does not fit its key.
    pub fn resolve(self) -> Result<Config, ConfigError> {
        let mut config = Config::defaults();
        for (key, (value, origin)) in self.values {
            config.set(&key, &value).map_err(|reason| ConfigError::Value { origin, key, value, reason })?;
        }
        if config.http.buffered_bytes_max < config.http.body_bytes_max {
            return Err(ConfigError::Contradiction(
                "`http.buffered_bytes_max` is less than `http.body_bytes_max`: the longest body would never be taken",
            ));
        }
        if config.state_dir.as_os_str().is_empty() { Err(ConfigError::NoHome) } else { Ok(config) }
    }
}

impl Config {
    fn defaults() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            state_dir: default_dir("XDG_STATE_HOME", ".local/state").unwrap_or_default(),
            key_file: default_dir("XDG_DATA_HOME", ".local/share").unwrap_or_default().join("native.key"),
            lanes: std::thread::available_parallelism().map_or(1, usize::from),
            memory_limit_bytes: MEMORY_BYTES_MAX,
            swap: SwapPolicy::EveryCall,
            queue_depth: 64,
            call_deadline: Duration::from_mins(1),
            reply_bytes_max: 64 << 20,
            http: HttpConfig {
                body_bytes_max: 8 << 20,
                buffered_bytes_max: 256 << 20,
                connections_max: 1024,
                header_timeout: Duration::from_secs(10),
                body_timeout: Duration::from_secs(30),
            },
            drain_deadline: Duration::from_secs(90),
            bake: BakeLimits::default(),
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
            "memory.limit" => self.memory_limit_bytes = bytes(value, 1 << 16, MEMORY_BYTES_MAX)?,
            "swap.policy" => {
                self.swap = match value {
                    "every-call" => SwapPolicy::EveryCall,
                    "off" => SwapPolicy::Off,
                    _ => return Err("`every-call` or `off`".into()),
                };
            }
            "queue.depth" => self.queue_depth = number(value, 1, 1 << 16)?,
            "call.deadline" => self.call_deadline = duration(value)?,
            "call.reply_bytes_max" => self.reply_bytes_max = bytes(value, 1, u64::from(u32::MAX))?,
            "http.body_bytes_max" => self.http.body_bytes_max = bytes(value, 1, 1 << 30)?,
            "http.buffered_bytes_max" => self.http.buffered_bytes_max = bytes(value, 1 << 16, 1 << 31)?,
            "http.connections_max" => self.http.connections_max = number(value, 1, 1 << 20)?,
            "http.header_timeout" => self.http.header_timeout = duration(value)?,
            "http.body_timeout" => self.http.body_timeout = duration(value)?,
            "drain.deadline" => self.drain_deadline = duration(value)?,
            "native.key_file" => self.key_file = path(value)?,
            "bake.memory_limit" => self.bake.memory_bytes_max = bytes(value, 1 << 16, MEMORY_BYTES_MAX)?,
            "bake.deadline" => self.bake.deadline = duration(value)?,
            "bake.image_bytes_max" => self.bake.image_bytes_max = bytes(value, 1, MEMORY_BYTES_MAX)?,
            "bake.input_bytes_max" => self.bake.input_bytes_max = bytes(value, 1, MEMORY_BYTES_MAX)?,
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
            _ => unreachable!("`Sources` holds keys of the table only"),
        }
        Ok(())
    }
}

/// Follows the XDG base directory specification.
fn default_dir(variable: &str, in_home: &str) -> Option<PathBuf> {
    let set = std::env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = set.or_else(|| std::env::home_dir().map(|home| home.join(in_home)))?;
    Some(base.join("snapback"))
}

fn path(value: &str) -> Result<PathBuf, String> {
    if value.is_empty() {
        return Err("a path".into());
    }
    match value.strip_prefix("~/") {
        Some(rest) => std::env::home_dir()
            .map(|home| home.join(rest))
            .ok_or_else(|| "there is no home directory".into()),
        None => Ok(value.into()),
    }
}

fn number(value: &str, min: usize, max: usize) -> Result<usize, String> {
    let accepted = || format!("a number from {min} to {max}");
    value.parse().ok().filter(|number| (min..=max).contains(number)).ok_or_else(accepted)
}

fn bytes(value: &str, min: u64, max: u64) -> Result<u64, String> {
    let accepted = || format!("a size from {min} to {max} bytes, such as 64MiB");
    let size = value.parse::<ByteSize>().map_err(|_| accepted())?.as_u64();
    if (min..=max).contains(&size) { Ok(size) } else { Err(accepted()) }
}

fn duration(value: &str) -> Result<Duration, String> {
    let accepted = || "a time from 1ms to 24h, such as 30s".into();
    humantime::parse_duration(value)
        .ok()
        .filter(|time| (Duration::from_millis(1)..=Duration::from_hours(24)).contains(time))
        .ok_or_else(accepted)
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
        assert_eq!(config.call_deadline, Duration::from_secs(3));
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
            let value = if ["state_dir", "native.key_file"].contains(key) { "" } else { "=nonsense=" };
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
