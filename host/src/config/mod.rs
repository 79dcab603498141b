//! Settings: one [table](SETTINGS) of keys, set by flags, `SNAPBACK_*` variables and a TOML file, in that order of
//! precedence.
//!
//! ```text
//! settings   the table: keys, defaults, meanings     sources   where values come from
//! values     how values are written                  model     the settings as types
//! defaults   the default of every setting            error     why settings cannot be used
//! hosts      host names that a server answers to     jobs      the settings of durable jobs
//! ```
//!
//! Invariant: every error names the key, where its value came from and what is accepted, and all errors are found
//! before a socket is bound.

mod defaults;
mod error;
mod hosts;
mod jobs;
mod model;
mod settings;
mod sources;
#[cfg(test)]
mod tests;
mod values;

pub use error::ConfigError;
pub use hosts::Hosts;
pub use jobs::{JobAcceptance, JobSettings};
pub use model::{CircuitChanges, CircuitSettings, Config, HttpConfig, LogFormat, WitnessExport, set_policy};
pub use settings::{PREFIX, SETTINGS, Scope, Setting};
pub use sources::{CONFIG, SettingInForce, Sources};
