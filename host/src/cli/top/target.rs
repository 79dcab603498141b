//! The server that is watched.
//!
//! Invariant: each client reads the files with the key and the authorities anew, so that a key that was replaced is used at
//! the next attempt. Nothing waits longer than [`SILENCE_MAX`] for the next byte of the server.

use super::{clean::Clean, state::Loss};
use crate::cli::{
    client::{Access, Client, Unanswered},
    exit::describe,
};
use std::time::Duration;

/// Longest reply that is accepted, in bytes: lists of jobs and circuits.
const REPLY_BYTES_MAX: u64 = 16 << 20;
/// Without any byte for so long, a connection is taken for dead: the status comes once a second.
const SILENCE_MAX: Duration = Duration::from_secs(20);
const UNAUTHORISED: u16 = 401;

#[derive(clap::Args)]
pub(super) struct Target {
    /// The server
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    server: String,
    #[command(flatten)]
    access: Access,
}

impl Target {
    /// A client that carries the key as it is now.
    pub(super) fn client(&self) -> anyhow::Result<Client> {
        Client::watchful(&self.server, &self.access, REPLY_BYTES_MAX, SILENCE_MAX)
    }

    pub(super) fn server(&self) -> &str {
        &self.server
    }
}

/// Whether a request failed for want of a key that the server accepts.
pub(super) fn is_unauthorised(unanswered: &Unanswered) -> bool {
    matches!(unanswered, Unanswered::Refused { status: UNAUTHORISED, .. })
}

/// What a failed request says about the connection.
pub(super) fn loss(unanswered: Unanswered) -> Loss {
    let is_key = is_unauthorised(&unanswered);
    let is_refusal = matches!(unanswered, Unanswered::Refused { .. });
    let text = Clean::new(&describe(&unanswered.into()));
    match (is_key, is_refusal) {
        (true, _) => Loss::Key(text),
        (false, true) => Loss::Refused(text),
        (false, false) => Loss::Unreachable(text),
    }
}
