//! Who may change circuits on a public listener without keys; see `circuits.changes`.
//!
//! Invariant: without a token, a change comes from this machine, and no header says that a proxy passed it on. A proxy
//! that adds no header cannot be told from a client: behind one, changes have to be switched off.

use super::{Token, error::ApiError};
use crate::access::Denied;
use axum::http::{HeaderMap, HeaderName, header};
use std::sync::Arc;

/// Headers with which a proxy says that it passes on the request of somebody else.
const FORWARDING: [HeaderName; 7] = [
    header::FORWARDED,
    header::VIA,
    HeaderName::from_static("x-forwarded-for"),
    HeaderName::from_static("x-forwarded-host"),
    HeaderName::from_static("x-forwarded-proto"),
    HeaderName::from_static("x-real-ip"),
    HeaderName::from_static("cf-connecting-ip"),
];

/// Whether a header says that a proxy passed the request on.
pub(super) fn is_passed_on(headers: &HeaderMap) -> bool {
    FORWARDING.iter().any(|name| headers.contains_key(name))
}

/// Who may change circuits on the public listener.
pub enum PublicChanges {
    /// Nobody: the admin routes take changes.
    Refused,
    /// Clients of this machine. The listener has a loopback address.
    Local,
    /// Whoever has the token.
    Token(Arc<Token>),
    /// Clients of this machine, and whoever has the token.
    LocalOrToken(Arc<Token>),
}

impl PublicChanges {
    /// Refuses a change from a client that may make none.
    pub(super) fn check(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        let is_passed_on = is_passed_on(headers);
        let has = |token: &Token| if token.is_in(headers) { Ok(()) } else { Err(Denied::NoToken.into()) };
        match self {
            Self::Local | Self::LocalOrToken(_) if !is_passed_on => Ok(()),
            Self::Local | Self::Refused => Err(ApiError::ChangesOff),
            Self::Token(token) | Self::LocalOrToken(token) => has(token),
        }
    }
}
