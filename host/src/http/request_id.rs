//! The ids of a request: one of this server, and the client's.
//!
//! Invariant: an id is short and plain text, whatever the client sent, and that of the server is never the client's choice.

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

/// Identifies one request: by its own id in logs, and in the reply and in errors by the client's, where it gave one.
pub(super) struct RequestId {
    own: HeaderValue,
    given: Option<HeaderValue>,
}

impl RequestId {
    /// Returns a new id beside the one that the client gave, if that is short and plain text.
    pub(super) fn of(request: &Request) -> Self {
        let given = request.headers().get(HEADER).filter(|id| is_plain(id.as_bytes()));
        Self { given: given.cloned(), ..Self::new() }
    }

    /// Returns an id that no other request of this process is likely to have, nor one of another process: a keyed hash
    /// of a counter, since asking the kernel for entropy would be a system call for every request.
    pub(super) fn new() -> Self {
        static KEY: Lazy<RandomState> = Lazy::new(RandomState::new);
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let id = KEY.hash_one(NEXT.fetch_add(1, Ordering::Relaxed));
        Self { own: HeaderValue::try_from(format!("{id:016x}")).expect("digits"), given: None }
    }

    /// The value of the header that carries the id in the reply.
    pub(super) fn header(self) -> HeaderValue {
        self.given.unwrap_or(self.own)
    }

    /// The id by which the client knows the request.
    pub(super) fn shown(&self) -> &str {
        text(self.given.as_ref().unwrap_or(&self.own))
    }

    /// The id that this server made.
    pub(super) fn own(&self) -> &str {
        text(&self.own)
    }

    /// The id that the client gave. It may have given the same to any number of requests.
    pub(super) fn given(&self) -> Option<&str> {
        self.given.as_ref().map(text)
    }
}

fn text(id: &HeaderValue) -> &str {
    id.to_str().expect("plain text")
}

fn is_plain(id: &[u8]) -> bool {
    (1..=ID_LEN_MAX).contains(&id.len())
        && id.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::{body::Body, http};

    fn of(given: &str) -> RequestId {
        RequestId::of(&http::Request::builder().header(HEADER, given).body(Body::empty()).expect("a request"))
    }

    #[test]
    fn a_client_chooses_its_own_id_and_never_the_servers() {
        let (first, second) = (of("order-17"), of("order-17"));
        assert_eq!((first.shown(), first.given()), ("order-17", Some("order-17")));
        assert!(first.own() != second.own() && first.own() != "order-17");
        let copied = of(first.own());
        assert_ne!(copied.own(), first.own());
        for bad in ["", "a b", "a\"b", &"x".repeat(ID_LEN_MAX + 1)] {
            let id = of(bad);
            assert_eq!((id.given(), id.shown()), (None, id.own()), "{bad}");
        }
    }
}
