//! Where values come from: flags over variables over a TOML file.
//!
//! Invariant: a key that is no setting is an error where it was found, except among variables.

use super::{
    error::ConfigError,
    keys::{is_key, of_image},
    model::Config,
    setting::PREFIX,
    settings::SETTINGS,
};
use std::{collections::BTreeMap, fs, path::Path};

/// The variable that names a file with settings.
pub const CONFIG: &str = "SNAPBACK_CONFIG";
/// The variable that names the file with the key of commands that are clients.
pub const KEY_FILE: &str = "SNAPBACK_KEY_FILE";

/// Whether Kubernetes sets this variable in every container, for a service that is called `snapback` or `snapback-...`:
/// `.._SERVICE_HOST`, `.._PORT=tcp://10.0.0.1:80`, `.._PORT_80_TCP_ADDR`.
fn is_of_kubernetes(name: &str, value: &str) -> bool {
    let number = |rest: &str| rest.starts_with(|first: char| first.is_ascii_digit());
    ["_SERVICE_HOST", "_SERVICE_PORT"].iter().any(|part| name.contains(part))
        || name.ends_with("_PORT") && value.contains("://")
        || name.split("_PORT_").nth(1).is_some_and(number)
}

/// Whether the build or the tests of this project read this variable.
fn is_of_the_build(name: &str) -> bool {
    ["SNAPBACK_WASM_", "SNAPBACK_REQUIRE_"].iter().any(|start| name.starts_with(start))
}

/// A setting as users write it, with the place that its value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingInForce {
    /// The key.
    pub key: String,
    /// The value.
    pub value: String,
    /// `default`, a flag, a variable or a file.
    pub origin: String,
}

/// Values and where they come from. A value that is added later replaces an earlier one.
#[derive(Default)]
pub struct Sources {
    values: BTreeMap<String, (String, String)>,
}

impl Sources {
    /// Adds the settings of a TOML file.
    ///
    /// # Errors
    /// Returns an error if the file cannot be read, or has a key that is not a setting.
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

    /// Adds the variables `SNAPBACK_*` that name settings. Other variables are ignored: orchestrators set
    /// `SNAPBACK_PORT` and the like by themselves.
    pub fn variables(&mut self, variables: impl Iterator<Item = (String, String)>) {
        let variables: BTreeMap<String, String> = variables.collect();
        for setting in SETTINGS {
            let name = setting.variable();
            if let Some(value) = variables.get(&name) {
                self.values.insert(setting.key.into(), (value.clone(), name));
            }
        }
    }

    /// Returns the variables `SNAPBACK_*` that nothing reads, which are probably mistyped.
    pub fn unread(variables: impl Iterator<Item = (String, String)>) -> Vec<String> {
        let is_read = |name: &str| {
            [CONFIG, KEY_FILE].contains(&name) || SETTINGS.iter().any(|setting| setting.variable() == name)
        };
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
    /// Returns an error if there is no such key.
    pub fn set(&mut self, key: &str, value: String, origin: String) -> Result<(), ConfigError> {
        if is_key(key) {
            self.values.insert(key.into(), (value, origin));
            Ok(())
        } else {
            Err(ConfigError::UnknownKey { origin, key: key.into() })
        }
    }

    /// Every setting as users write it, with the place that its value comes from; settings of single images and methods
    /// follow.
    #[must_use]
    pub fn in_force(&self) -> Vec<SettingInForce> {
        let of_table = SETTINGS.iter().map(|setting| {
            let given = self.values.get(setting.key);
            let (value, origin) =
                given.cloned().unwrap_or_else(|| (setting.default.to_owned(), "default".to_owned()));
            SettingInForce { key: setting.key.to_owned(), value, origin }
        });
        let is_in_table = |key: &str| SETTINGS.iter().any(|setting| setting.key == key);
        let others = self.values.iter().filter(|(key, _)| !is_in_table(key));
        let others = others.map(|(key, (value, origin))| SettingInForce {
            key: key.clone(),
            value: value.clone(),
            origin: origin.clone(),
        });
        of_table.chain(others).collect()
    }

    /// Reads every value.
    ///
    /// # Errors
    /// Returns an error for the first value that does not fit its key, or for two that do not fit each other.
    pub fn resolve(self) -> Result<Config, ConfigError> {
        let mut config = Config::defaults();
        // Settings for all images are applied first, and settings for one image override them.
        let (of_one, of_all): (Vec<_>, Vec<_>) =
            self.values.into_iter().partition(|(key, _)| of_image(key).is_some());
        for (key, (value, origin)) in of_all.into_iter().chain(of_one) {
            config.set(&key, &value).map_err(|reason| ConfigError::Value { origin, key, value, reason })?;
        }
        config.check()?;
        Ok(config)
    }
}
