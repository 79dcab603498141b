//! What a setting is, and its names as a flag and as a variable.
//!
//! Invariant: flags and variables follow from keys, so that a setting is named once.

/// One setting, as users see it.
pub struct Setting {
    /// Its key in the TOML file; flags and variables follow from it.
    pub key: &'static str,
    /// Its default, as users would write it.
    pub default: &'static str,
    /// Its meaning, in one line.
    pub help: &'static str,
    /// What it applies to.
    pub scope: Scope,
}

pub(super) const fn setting(key: &'static str, default: &'static str, help: &'static str) -> Setting {
    Setting { key, default, help, scope: Scope::Server }
}

pub(super) const fn per_image(key: &'static str, default: &'static str, help: &'static str) -> Setting {
    Setting { key, default, help, scope: Scope::Image }
}

/// How the variables of settings begin.
pub const PREFIX: &str = "SNAPBACK_";

/// What a setting applies to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The server: it takes a restart to change it.
    Server,
    /// All images, or one as `image.NAME.KEY`; changed while the server runs.
    Image,
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
        format!("{PREFIX}{}", self.key.replace('.', "_").to_uppercase())
    }
}
