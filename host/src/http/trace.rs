//! The trace of a request: where it comes from, and the span that its answer is.
//!
//! Source: the semantic conventions of OpenTelemetry for HTTP, but that a path with the ids of jobs is no attribute.
//!
//! Invariant: only requests that the gate lets through are traced, so that nobody without a key fills the queue of spans. A
//! span holds nothing of a body.

use super::routes::Needs;
use crate::{
    access::Caller,
    telemetry::traces::{Attribute, Kind, Roots, Status, Trace, TraceParent, TraceState, Traces, attribute},
};
use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, HeaderName, Method, request::Parts},
};
use std::{convert::Infallible, sync::Arc, time::Instant};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Where the trace of a request comes from, if its header is as the standard has it and there is one.
pub(super) fn parent_of(headers: &HeaderMap) -> Option<TraceParent> {
    let mut values = headers.get_all(TRACEPARENT).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok()?.parse().ok(),
        _ => None,
    }
}

/// Begins the span of a request.
pub(super) fn begin(traces: &Traces, needs: Needs, route: Option<&str>, headers: &HeaderMap) -> Trace {
    if !traces.are_on() {
        return Trace::default();
    }
    // Nobody looks for the traces of probes and scrapes, unless they are a part of others.
    let roots =
        if needs == Needs::Nothing || route == Some("/metrics") { Roots::None } else { Roots::Sampled };
    let parent = parent_of(headers);
    let texts = || headers.get_all(TRACESTATE).iter().map(|value| value.to_str().unwrap_or("not text"));
    let state = parent.and_then(|_| TraceState::of(texts()));
    traces.begin(parent, state, roots)
}

impl<S: Sync> FromRequestParts<S> for Trace {
    type Rejection = Infallible;

    /// The trace of the request; off if it has none.
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_default())
    }
}

/// The span of a request, until it is answered. One that is dropped before is that of a client that left.
pub(super) struct RequestSpan<'a> {
    pub(super) trace: Trace,
    pub(super) begun: Instant,
    pub(super) method: &'a Method,
    pub(super) route: Option<&'a str>,
    pub(super) request_id: &'a str,
    /// The id that the client gave the request.
    pub(super) client_request_id: Option<&'a str>,
    pub(super) caller: Option<&'a Arc<Caller>>,
    /// The status and the code of the answer.
    pub(super) answer: Option<(u16, &'static str)>,
}

impl RequestSpan<'_> {
    fn name(&self) -> String {
        let method = known(self.method);
        self.route.map_or_else(|| method.to_owned(), |route| format!("{method} {route}"))
    }

    fn attributes(&self) -> Vec<Attribute> {
        let mut attributes = vec![
            attribute("http.request.method", known(self.method)),
            attribute("snapback.request_id", self.request_id.to_owned()),
        ];
        let given = self.client_request_id.map(str::to_owned);
        attributes.extend(given.map(|id| attribute("snapback.client_request_id", id)));
        attributes.extend(self.route.map(|route| attribute("http.route", route.to_owned())));
        let tenant = self.caller.map(|caller| caller.tenant.as_str().to_owned());
        attributes.extend(tenant.map(|tenant| attribute("snapback.tenant", tenant)));
        match self.answer {
            Some((status, code)) => {
                attributes.push(attribute("http.response.status_code", u64::from(status)));
                if status >= 400 {
                    attributes.push(attribute("error.type", code));
                }
            }
            None => attributes.push(attribute("error.type", "client_left")),
        }
        attributes
    }
}

impl Drop for RequestSpan<'_> {
    fn drop(&mut self) {
        if !self.trace.is_recorded() {
            return;
        }
        // What a client did wrong is no error of the server.
        let status =
            if self.answer.is_some_and(|(status, _)| status >= 500) { Status::Error } else { Status::Unset };
        let times = (self.begun, Instant::now());
        self.trace.end(Kind::Server, times, status, || (self.name().into(), self.attributes()));
    }
}

/// The method, if it is one that every server knows: names of spans are few.
fn known(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "_OTHER",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn one_valid_traceparent_is_taken_and_two_are_none() {
        let mut headers = HeaderMap::new();
        assert_eq!(parent_of(&headers), None);
        headers.append(TRACEPARENT, HeaderValue::from_static(PARENT));
        assert_eq!(parent_of(&headers).map(|parent| parent.to_string()).as_deref(), Some(PARENT));
        headers.append(TRACEPARENT, HeaderValue::from_static(PARENT));
        assert_eq!(parent_of(&headers), None);
        headers.insert(TRACEPARENT, HeaderValue::from_bytes(b"00-\xff").expect("a value"));
        assert_eq!(parent_of(&headers), None);
    }

    #[test]
    fn names_of_spans_are_few() {
        assert_eq!(known(&Method::PATCH), "PATCH");
        assert_eq!(known(&Method::from_bytes(b"BREW").expect("a method")), "_OTHER");
    }
}
