//! How an attempt to deliver ended.
//!
//! Invariant: nothing of an answer is in it but the status and how long the receiver wants to be left alone.

use super::targets::CallbackError;
use std::{fmt, time::Duration};

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attempt {
    /// The receiver has taken it.
    Accepted,
    /// The receiver wants no more of it.
    Gone,
    /// The receiver answered otherwise.
    Refused {
        /// The status of the answer.
        status: u16,
        /// How long the receiver wants to be left alone.
        retry_after: Option<Duration>,
    },
    /// There was no answer.
    Failed(SendError),
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accepted => f.write_str("the receiver has taken it"),
            Self::Gone => f.write_str("the receiver answered 410: it wants no more"),
            Self::Refused { status: status @ 300..400, .. } => {
                write!(f, "the receiver answered {status}, and redirects are not followed")
            }
            Self::Refused { status, .. } => write!(f, "the receiver answered {status}"),
            Self::Failed(error) => error.fmt(f),
        }
    }
}

/// Why there was no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum SendError {
    /// The name of the host has no address.
    #[error("the name of the receiver cannot be resolved")]
    Resolve,
    /// The URL or an address is not one that webhooks are sent to.
    #[error(transparent)]
    Forbidden(#[from] CallbackError),
    /// No address of the host takes connections.
    #[error("the receiver cannot be connected to")]
    Connect,
    /// The receiver is not who its certificate says, or does not speak TLS.
    #[error("the receiver's TLS or certificate is not accepted")]
    Tls,
    /// What the receiver sends is not HTTP.
    #[error("the receiver's answer is not HTTP, or its head is too long")]
    Http,
    /// It took too long.
    #[error("the receiver did not answer within webhooks.timeout")]
    Timeout,
}
