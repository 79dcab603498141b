//! Why the settings cannot be used.

use super::settings::SETTINGS;
use std::path::PathBuf;

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
        /// The unknown key.
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
        /// The accepted values.
        reason: String,
    },
    /// Two values do not fit each other.
    #[error("{0}")]
    Contradiction(String),
    /// There is no home directory to put the state into.
    #[error("set `state_dir` (--state-dir, SNAPBACK_STATE_DIR): there is no home directory to put it into")]
    NoHome,
}

fn keys() -> String {
    SETTINGS.iter().map(|setting| setting.key).collect::<Vec<_>>().join(", ")
}
