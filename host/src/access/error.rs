//! Why keys cannot be read or changed, and why a request with a key is refused.

use super::KeyId;
use std::{io, path::PathBuf};

/// Why the file of keys cannot be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// An operation on the file failed.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The file must not be used.
    #[error("{} is not used: {reason}", path.display())]
    Refused {
        /// The file.
        path: PathBuf,
        /// Why not, and what to do.
        reason: String,
    },
    /// A key of this identifier does not exist.
    #[error("no key {0}: `snapback keys list` lists them")]
    NoSuchKey(KeyId),
    /// A tenant of this name has no settings.
    #[error("`{0}` has no quotas of its own: `snapback tenants list` lists those that have")]
    NoSuchTenant(String),
    /// There are too many keys.
    #[error("there are {0} keys already: revoke some, and they are forgotten after 90 days")]
    TooMany(usize),
    /// Another key has the same certificate.
    #[error("key {0} has this certificate already: revoke it first")]
    CertificateTaken(KeyId),
}

/// Why a request is not that of a known caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// It carries no key.
    #[error("send a key: Authorization: Bearer KEY (`snapback keys create` makes one)")]
    NoKey,
    /// It does not carry the token of operators.
    #[error("send the token of admin.token_file, or the key of an operator: Authorization: Bearer TOKEN")]
    NoToken,
    /// No key has this text.
    #[error("no key has this text: `snapback keys list` lists those that there are")]
    Unknown,
    /// The key has expired.
    #[error("key {0} has expired: `snapback keys create` makes another")]
    Expired(KeyId),
    /// The key was revoked.
    #[error("key {0} was revoked: `snapback keys create` makes another")]
    Revoked(KeyId),
}
