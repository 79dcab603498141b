//! What every request and its response pass through: the check of the host and origin, that of the caller, the id of the
//! request, the shape of errors, the logs, and what is left of the body.
//!
//! All of it is one layer, because each layer of the router copies and boxes what is below it for every request.
//!
//! Invariant: a log line holds route, status, code and times, never a path as the client sent it, a header or a body.

use super::{
    App,
    error::ApiError,
    gate::{Judged, Keys, ListenerKind},
    origin,
    request_id::{self, RequestId},
    requests::Peer,
    routes::{Needs, is_change, needs},
    trace::{self, RequestSpan},
    trail::Trail,
    unread,
};
use crate::telemetry::traces::Trace;
use axum::{
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use std::{sync::Arc, time::Instant};

/// Answers a request, and gives the response its id and its shape.
pub(super) async fn layer(
    State((app, listener)): State<(Arc<App>, ListenerKind)>,
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
        Ok(()) => app.gate.judge(listener, needs, &request, app.dispatcher.metrics()),
        Err(error) => Judged { caller: None, verdict: Err(error) },
    };
    // What a quota refuses is not charged: a client could not know how long to wait then.
    let account = verdict.as_ref().ok().and_then(Option::as_ref).map(|admission| admission.account());
    let (mut request, rest) = unread::keep(request, account);
    let is_change = is_change(needs, &method);
    let was_passed = verdict.is_ok();
    // Where keys are needed, nobody without one has spans recorded.
    let is_unknown = needs == Needs::Nothing && app.gate.keys() == Keys::Needed;
    let mut span = RequestSpan {
        trace: if was_passed && !is_unknown {
            trace::begin(app.dispatcher.traces(), needs, route, request.headers())
        } else {
            Trace::default()
        },
        begun,
        method: &method,
        route,
        request_id: id.own(),
        client_request_id: id.given(),
        caller: caller.as_ref(),
        answer: None,
    };
    if span.trace.is_on() {
        request.extensions_mut().insert(span.trace.clone());
    }
    let trail = || Trail {
        app: Arc::clone(&app),
        request_id: id.own().to_owned(),
        client_request_id: id.given().map(str::to_owned),
        caller: caller.clone(),
        from,
        method: method.clone(),
        route: matched.clone(),
        uri: uri.clone(),
    };
    let response = match (verdict, &caller) {
        (Ok(admission), Some(caller)) => {
            request.extensions_mut().insert(Arc::clone(caller));
            if let Some(admission) = &admission {
                request.extensions_mut().insert(Arc::clone(admission));
            }
            // The place is held until there is an answer: handlers drop what they do not ask for before they begin.
            if is_change {
                trail().run(request, next, admission).await
            } else {
                let response = next.run(request).await;
                drop(admission);
                response
            }
        }
        (verdict, _) => {
            drop(request);
            verdict.err().unwrap_or(ApiError::Lost).into_response()
        }
    };
    let error = response.extensions().get::<Arc<ApiError>>().cloned();
    // A change that was carried out, or tried, is recorded by now.
    if error.as_ref().is_some_and(|error| error.is_refusal() && (!is_change || !was_passed)) {
        trail().record(&response);
    }

    let trace_id = span.trace.id().map(tracing::field::display);
    let route = route.unwrap_or("none");
    let mut response = error.as_ref().map_or(response, |error| error.respond(id.shown()));
    let took = begun.elapsed();
    let status = response.status().as_u16();
    app.dispatcher.metrics().request_ended(route, status, took);
    let (code, took_us) = (error.as_ref().map_or("ok", |error| error.code()), took.as_micros() as u64);
    let (request_id, client_request_id) = (id.own(), id.given());
    if let (Some(_), 500..) = (&error, status) {
        tracing::warn!(request_id, client_request_id, trace_id, %method, route, status, code, took_us, "request failed");
    } else {
        tracing::debug!(request_id, client_request_id, trace_id, %method, route, status, code, took_us, "request");
    }
    span.answer = Some((status, code));
    drop(span);
    response.headers_mut().insert(request_id::HEADER, id.header());
    unread::read_after(response, rest, &app)
}
