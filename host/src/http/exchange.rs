//! What every request and its response pass through: the check of the host and origin, the id of the request, the shape
//! of errors, the log, and what is left of the body.
//!
//! All of it is one layer, because each layer of the router copies and boxes what is below it for every request.
//!
//! Invariant: a log line holds route, status, code and times, never a path as the client sent it, a header or a body.

use super::{
    App,
    error::ApiError,
    origin,
    request_id::{self, RequestId},
    unread,
};
use axum::{
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use std::{sync::Arc, time::Instant};

/// Answers a request, and gives the response its id and its shape.
pub(super) async fn layer(
    State(app): State<Arc<App>>,
    matched: Option<MatchedPath>,
    request: Request,
    next: Next,
) -> Response {
    let begun = Instant::now();
    let id = RequestId::of(&request);
    let method = request.method().clone();
    let (request, rest) = unread::keep(request);
    let response = match origin::check(&app, &request) {
        Ok(()) => next.run(request).await,
        Err(error) => {
            drop(request);
            error.into_response()
        }
    };

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
    response.headers_mut().insert(request_id::HEADER, id.header());
    unread::read_after(response, rest, &app)
}
