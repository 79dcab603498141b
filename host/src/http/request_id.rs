//! The id of a request.
//!
//! Invariant: an id is short and plain text, whatever the client sent.

use axum::{
    extract::Request,
    http::{HeaderName, HeaderValue},
};
use once_cell::sync::Lazy;
use std::{
    collections::hash_map::RandomState,
    hash::BuildHasher,
    sync::atomic::{AtomicU64, Ordering},
};

/// The header that carries the id: the client's where it is short and plain text, else one of this server.
pub(super) const HEADER: HeaderName = HeaderName::from_static("x-request-id");
const ID_LEN_MAX: usize = 64;

/// Identifies one request in the reply, in errors and in logs.
pub(super) struct RequestId(HeaderValue);

impl RequestId {
    /// Returns the id that the client gave, or a new one.
    pub(super) fn of(request: &Request) -> Self {
        match request.headers().get(HEADER) {
            Some(id) if is_plain(id.as_bytes()) => Self(id.clone()),
            _ => Self::new(),
        }
    }

    /// Returns an id that no other request of this process is likely to have, nor one of another process: a keyed hash
    /// of a counter, since asking the kernel for entropy would be a system call for every request.
    pub(super) fn new() -> Self {
        static KEY: Lazy<RandomState> = Lazy::new(RandomState::new);
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let id = KEY.hash_one(NEXT.fetch_add(1, Ordering::Relaxed));
        Self(HeaderValue::try_from(format!("{id:016x}")).expect("digits"))
    }

    /// The value of the header that carries the id.
    pub(super) fn header(self) -> HeaderValue {
        self.0
    }

    pub(super) fn as_str(&self) -> &str {
        self.0.to_str().expect("plain text")
    }
}

fn is_plain(id: &[u8]) -> bool {
    (1..=ID_LEN_MAX).contains(&id.len())
        && id.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}
