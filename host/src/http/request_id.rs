//! Gives every request an id, logs its end, and renders errors.
//!
//! Invariant: a log line holds route, status, code and times, never a path as the client sent it, a header or a body.

use super::{App, error::ApiError};
use axum::{
    extract::{MatchedPath, Request, State},
    http::{HeaderName, HeaderValue},
    middleware::Next,
    response::Response,
};
use std::{fmt::Write, sync::Arc, time::Instant};

/// The header that carries the id: the client's where it is short and plain text, else a random one.
pub(super) const HEADER: HeaderName = HeaderName::from_static("x-request-id");
const ID_LEN_MAX: usize = 64;

/// Identifies one request in the reply, in errors and in logs.
#[derive(Clone)]
pub(super) struct RequestId(Arc<str>);

impl RequestId {
    fn of(request: &Request) -> Self {
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

pub(super) async fn layer(
    State(app): State<Arc<App>>,
    matched: Option<MatchedPath>,
    request: Request,
    next: Next,
) -> Response {
    let begun = Instant::now();
    let id = RequestId::of(&request);
    let method = request.method().clone();
    let response = next.run(request).await;

    let route = matched.as_ref().map_or("none", MatchedPath::as_str);
    let error = response.extensions().get::<Arc<ApiError>>().cloned();
    let mut response = error.as_ref().map_or(response, |error| error.respond(id.as_str()));
    let took = begun.elapsed();
    let status = response.status().as_u16();
    app.dispatcher.metrics().request_ended(route, status, took);
    let (code, took_us) = (error.as_ref().map_or("ok", |error| error.code()), took.as_micros() as u64);
    if let (Some(_), 500..) = (&error, status) {
        tracing::warn!(request_id = id.as_str(), %method, route, status, code, took_us, "request failed");
    } else {
        tracing::debug!(request_id = id.as_str(), %method, route, status, code, took_us, "request");
    }
    response.headers_mut().insert(HEADER, id.header());
    response
}
