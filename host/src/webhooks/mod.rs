//! Tells receivers about the ends of jobs: signed, checked, tried again for a day.
//!
//! ```text
//! setup      what a server needs for webhooks, from its settings
//! targets    which URLs are accepted, and which addresses are connected to
//! address    which addresses are private
//! resolve    the addresses of a name
//! secret     the secrets of tenants, and signatures
//! event      the body of a webhook
//! connect    connections to addresses that were checked, with TLS
//! attempt    how an attempt ended
//! send       one attempt
//! schedule   what follows from an attempt
//! deliver    claims deliveries that are due, and makes attempts
//! ```
//!
//! Source: the Standard Webhooks specification.
//!
//! Invariant: nothing is sent to an address that was not checked, and no redirect is followed. A body names a job; it
//! holds nothing of its inputs or its result.

mod address;
mod attempt;
mod connect;
mod deliver;
mod event;
mod resolve;
mod schedule;
mod secret;
mod send;
mod setup;
mod targets;

pub(crate) use setup::{DNS_PORT, RESOLVER};

pub use secret::{Secret, Secrets};
pub use setup::{Webhooks, WebhooksError};
pub use targets::{CallbackError, Callbacks, Targets};
