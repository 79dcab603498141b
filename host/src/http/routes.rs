//! What each route needs of its callers.
//!
//! Invariant: a route that is not listed here is for operators.

use crate::access::Permission;
use axum::http::Method;

/// What a route needs of its callers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Needs {
    /// Nothing: probes, and pages that hold no data.
    Nothing,
    /// A key, where keys are needed.
    Key(Permission),
    /// An operator, always.
    Operator,
}

/// Returns what a route needs; `None` is a path that is no route.
pub(super) fn needs(route: Option<&str>, method: &Method) -> Needs {
    let Some(route) = route else { return Needs::Key(Permission::Prove) };
    let reads = matches!(*method, Method::GET | Method::HEAD);
    match route {
        "/healthz" | "/readyz" | "/" | "/ui" | "/ui/{asset}" => Needs::Nothing,
        "/v1/openapi.json" | "/docs" | "/docs/page.js" | "/docs/page.css" => Needs::Nothing,
        "/v1/circuits/{circuit}" if !reads => Needs::Key(Permission::ChangeCircuits),
        "/v1/changes/{id}" if !reads => Needs::Key(Permission::ChangeCircuits),
        "/metrics" | "/v1/generations/{id}/activate" => Needs::Key(Permission::Operate),
        "/v1/whoami"
        | "/v1/status"
        | "/v1/circuits"
        | "/v1/circuits/{circuit}"
        | "/v1/circuits/{circuit}/prove"
        | "/v1/circuits/{circuit}/verify"
        | "/v1/circuits/{circuit}/witness"
        | "/v1/events"
        | "/v1/history"
        | "/v1/history/settings"
        | "/v1/changes"
        | "/v1/changes/{id}"
        | "/v1/changes/{id}/events"
        | "/v1/generations"
        | "/v1/jobs"
        | "/v1/jobs/{id}"
        | "/v1/jobs/{id}/result"
        | "/v1/jobs/{id}/events"
        | "/v1/webhooks/deliveries"
        | "/v1/webhooks/deliveries/{id}"
        | "/v1/webhooks/deliveries/{id}/resend"
        | "/v1/methods"
        | "/v1/methods/{method}" => Needs::Key(Permission::Prove),
        _ => Needs::Operator,
    }
}

/// Whether a request with these needs changes the server, so that it is recorded whatever becomes of it.
pub(super) fn is_change(needs: Needs, method: &Method) -> bool {
    let reads = matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
    !reads && (*method == Method::DELETE || needs != Needs::Key(Permission::Prove))
}
