//! Settings: one [table](SETTINGS) of keys, set by flags, `SNAPBACK_*` variables and a TOML file, in that order of
//! precedence.
//!
//! ```text
//! setting    one setting, and its names              settings  the table: keys, defaults, meanings
//! sources    where values come from
//! values     how values are written                  model     the settings as types
//! defaults   the default of every setting            error     why settings cannot be used
//! hosts      host names that a server answers to     jobs      the settings of durable jobs
//! http       the settings of the HTTP server         tls       the settings of TLS
//! access     the settings of keys, quotas, audit log  webhooks  the settings of webhooks
//! policies   the settings of images                  keys      which keys there are
//! traces     the settings of traces
//! ```
//!
//! Invariant: every error names the key, where its value came from and what is accepted, and all errors are found
//! before a socket is bound.

mod access;
mod defaults;
mod error;
mod hosts;
mod http;
mod jobs;
mod keys;
mod model;
mod policies;
mod setting;
mod settings;
mod sources;
#[cfg(test)]
mod tests;
mod tls;
mod traces;
mod values;
mod webhooks;

pub use access::{AccessSettings, KeysNeeded};
pub use error::ConfigError;
pub use hosts::Hosts;
pub use http::{HttpConfig, WitnessExport};
pub use jobs::{JobAcceptance, JobSettings, Sharing};
pub use model::{CircuitChanges, CircuitSettings, Config, LogFormat};
pub use policies::{Policies, set_policy};
pub use setting::{PREFIX, Scope, Setting};
pub use settings::SETTINGS;
pub use sources::{CONFIG, KEY_FILE, SettingInForce, Sources};
pub use tls::{TlsFiles, TlsSettings};
pub use traces::{TraceEndpoint, TraceSettings};
pub use webhooks::{PrivateAddresses, WebhookDelivery, WebhookPorts, WebhookSettings};
