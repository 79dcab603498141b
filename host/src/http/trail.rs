//! What the audit log says of a request.
//!
//! Invariant: a change runs to its end and is recorded whatever becomes of its client; an entry holds the path of the
//! request, and no query, header or body.

use super::{App, error::ApiError};
use crate::access::{Admission, AuditEntry, Caller, Verdict};
use axum::{
    extract::{MatchedPath, Request},
    http::{Method, Uri},
    middleware::Next,
    response::{IntoResponse, Response},
};
use std::{net::IpAddr, sync::Arc};

/// Longest path in the audit log, in bytes.
const TARGET_BYTES_MAX: usize = 256;

/// What is known of a request before it is answered.
pub(super) struct Trail {
    pub(super) app: Arc<App>,
    pub(super) request_id: String,
    pub(super) client_request_id: Option<String>,
    pub(super) caller: Option<Arc<Caller>>,
    pub(super) from: Option<IpAddr>,
    pub(super) method: Method,
    pub(super) route: Option<MatchedPath>,
    pub(super) uri: Uri,
}

impl Trail {
    /// Carries a change out and records it. It has a task of its own, because a client that leaves ends the task of its
    /// connection, and not the work that it has begun. The place of the request is held until that has ended.
    pub(super) async fn run(self, request: Request, next: Next, place: Option<Arc<Admission>>) -> Response {
        let change = tokio::spawn(async move {
            let response = next.run(request).await;
            self.record(&response);
            drop(place);
            response
        });
        change.await.unwrap_or_else(|_| ApiError::Lost.into_response())
    }

    /// Records what became of the request.
    pub(super) fn record(&self, response: &Response) {
        let error = response.extensions().get::<Arc<ApiError>>();
        let route = self.route.as_ref().map_or("none", MatchedPath::as_str);
        let path = self.uri.path();
        self.app.gate.record(&AuditEntry {
            request_id: &self.request_id,
            client_request_id: self.client_request_id.as_deref(),
            who: self.caller.as_deref(),
            from: self.from,
            what: &format!("{} {route}", self.method),
            // A path is ASCII.
            target: path.get(..TARGET_BYTES_MAX).unwrap_or(path),
            verdict: if error.is_none() { Verdict::Done } else { Verdict::Refused },
            code: error.map_or("ok", |error| error.code()),
        });
    }
}
