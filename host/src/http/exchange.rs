//! What every request and its response pass through: the check of the host and origin, that of the caller, the id of the
//! request, the shape of errors, the logs, and what is left of the body.
//!
//! All of it is one layer, because each layer of the router copies and boxes what is below it for every request.
//!
//! Invariant: a log line holds route, status, code and times, never a path as the client sent it, a header or a body.

use super::{
    App,
    error::ApiError,
    gate::{Door, Judged},
    origin,
    request_id::{self, RequestId},
    requests::Peer,
    routes::{is_change, needs},
    unread,
};
use crate::access::{AuditEntry, Verdict};
use axum::{
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use std::{sync::Arc, time::Instant};

/// Longest path in the audit log, in bytes.
const TARGET_BYTES_MAX: usize = 256;

/// Answers a request, and gives the response its id and its shape.
pub(super) async fn layer(
    State((app, door)): State<(Arc<App>, Door)>,
    matched: Option<MatchedPath>,
    request: Request,
    next: Next,
) -> Response {
    let begun = Instant::now();
    let id = RequestId::of(&request);
    let method = request.method().clone();
    let uri = request.uri().clone();
    let from = request.extensions().get::<Peer>().map(|Peer(address)| *address);
    let route = matched.as_ref().map(MatchedPath::as_str);
    let needs = needs(route, &method);
    let Judged { caller, verdict } = match origin::check(&app, &request) {
        Ok(()) => app.gate.judge(door, needs, &request, app.dispatcher.metrics()),
        Err(error) => Judged { caller: None, verdict: Err(error) },
    };
    let (mut request, rest) = unread::keep(request, verdict.as_ref().ok().cloned().flatten());
    let response = match (verdict, &caller) {
        (Ok(_admission), Some(caller)) => {
            request.extensions_mut().insert(Arc::clone(caller));
            next.run(request).await
        }
        (verdict, _) => {
            drop(request);
            verdict.err().unwrap_or(ApiError::Lost).into_response()
        }
    };

    let is_change = is_change(needs, &method);
    let route = route.unwrap_or("none");
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
    if is_change || error.as_ref().is_some_and(|error| error.is_refusal()) {
        let verdict = if error.is_none() { Verdict::Done } else { Verdict::Refused };
        app.gate.record(&AuditEntry {
            request_id: id.as_str(),
            who: caller.as_deref(),
            from,
            what: &format!("{method} {route}"),
            target: beginning_of(uri.path()),
            verdict,
            code,
        });
    }
    response.headers_mut().insert(request_id::HEADER, id.header());
    unread::read_after(response, rest, &app)
}

/// The beginning of a path, which is ASCII.
fn beginning_of(path: &str) -> &str {
    path.get(..TARGET_BYTES_MAX).unwrap_or(path)
}
