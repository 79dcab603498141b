//! The id of a request.
//!
//! Invariant: an id is short and plain text, whatever the client sent.

use axum::{
    extract::Request,
    http::{HeaderName, HeaderValue},
};
use std::{fmt::Write, sync::Arc};

/// The header that carries the id: the client's where it is short and plain text, else a random one.
pub(super) const HEADER: HeaderName = HeaderName::from_static("x-request-id");
const ID_LEN_MAX: usize = 64;

/// Identifies one request in the reply, in errors and in logs.
#[derive(Clone)]
pub(super) struct RequestId(Arc<str>);

impl RequestId {
    /// Returns the id that the client gave, or a random one.
    pub(super) fn of(request: &Request) -> Self {
        let given = request.headers().get(HEADER).and_then(|value| value.to_str().ok());
        match given {
            Some(id) if is_plain(id) => Self(id.into()),
            _ => Self::random(),
        }
    }

    pub(super) fn random() -> Self {
        let mut bytes = [0u8; 8];
        getrandom::fill(&mut bytes).expect("the operating system provides entropy");
        let mut id = String::with_capacity(16);
        for byte in bytes {
            write!(id, "{byte:02x}").expect("writing to a string does not fail");
        }
        Self(id.into())
    }

    /// The value of the header that carries the id.
    pub(super) fn header(&self) -> HeaderValue {
        HeaderValue::from_str(self.as_str()).expect("plain text")
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_plain(id: &str) -> bool {
    (1..=ID_LEN_MAX).contains(&id.len())
        && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}
