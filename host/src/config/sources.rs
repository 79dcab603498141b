//! Where values come from: flags over variables over a TOML file.
//!
//! Invariant: a key that is no setting is an error where it was found, except among variables.

use super::{
    Config, SETTINGS,
    settings::{PREFIX, is_key, of_image},
};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// The variable that names a file with settings.
pub const CONFIG: &str = "SNAPBACK_CONFIG";

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
    Contradiction(String),
    /// There is no home directory to put the state into.
    #[error("set `state_dir` (--state-dir, SNAPBACK_STATE_DIR): there is no home directory to put it into")]
    NoHome,
}

/// What is set in every container where a service is called `snapback`, or `snapback-` and more: `.._SERVICE_HOST`,
/// `.._PORT=tcp://10.0.0.1:80`, `.._PORT_80_TCP_ADDR`.
fn is_of_kubernetes(name: &str, value: &str) -> bool {
    let number = |rest: &str| rest.starts_with(|first: char| first.is_ascii_digit());
    ["_SERVICE_HOST", "_SERVICE_PORT"].iter().any(|part| name.contains(part))
        || name.ends_with("_PORT") && value.contains("://")
        || name.split("_PORT_").nth(1).is_some_and(number)
}

/// What the build and the tests of this project read.
fn is_of_the_build(name: &str) -> bool {
    ["SNAPBACK_WASM_", "SNAPBACK_REQUIRE_"].iter().any(|start| name.starts_with(start))
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
                toml::Value::Boolean(is_so) => is_so.to_string(),
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

    /// The variables `SNAPBACK_*` that nobody reads: mistyped ones, as far as can be told.
    pub fn unread(variables: impl Iterator<Item = (String, String)>) -> Vec<String> {
        let is_read =
            |name: &str| name == CONFIG || SETTINGS.iter().any(|setting| setting.variable() == name);
        let unread = variables.filter(|(name, value)| {
            name.starts_with(PREFIX)
                && !is_read(name)
                && !is_of_kubernetes(name, value)
                && !is_of_the_build(name)
        });
        unread.map(|(name, _)| name).collect()
    }

    /// Adds a value.
    ///
    /// # Errors
    /// When there is no such key.
    pub fn set(&mut self, key: &str, value: String, origin: String) -> Result<(), ConfigError> {
        if is_key(key) {
            self.values.insert(key.into(), (value, origin));
            Ok(())
        } else {
            Err(ConfigError::UnknownKey { origin, key: key.into() })
        }
    }

    /// Reads every value.
    ///
    /// # Errors
    /// For the first value that does not fit its key, or two that do not fit each other.
    pub fn resolve(self) -> Result<Config, ConfigError> {
        let mut config = Config::defaults();
        // What concerns all images comes first: what concerns one is laid over it.
        let (of_one, of_all): (Vec<_>, Vec<_>) =
            self.values.into_iter().partition(|(key, _)| of_image(key).is_some());
        for (key, (value, origin)) in of_all.into_iter().chain(of_one) {
            config.set(&key, &value).map_err(|reason| ConfigError::Value { origin, key, value, reason })?;
        }
        config.check()?;
        Ok(config)
    }
}
