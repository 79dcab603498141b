//! Who a client is to the server, and what it changed of late.

use super::{App, error::ApiError, gate::Keys};
use crate::access::{Caller, KeyId, Quota, Role};
use axum::{
    Extension, Json,
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use std::sync::Arc;

/// The caller of a request, as it is told.
#[derive(Serialize)]
pub(super) struct Whoami {
    /// Whether requests need a key here.
    keys: &'static str,
    tenant: String,
    role: Role,
    key: Option<KeyId>,
    quota: Quota,
}

pub(super) async fn whoami(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Arc<Caller>>,
) -> Json<Whoami> {
    let (keys, role) = match app.gate.keys() {
        Keys::Needed => ("required", caller.role),
        // Anybody may change circuits here, or nobody: `circuits.changes` decides. Routes of operators need one.
        Keys::NotNeeded => ("off", Role::Registrar),
    };
    let quota = if caller.key.is_some() { app.gate.ring().quota(&caller.tenant) } else { Quota::default() };
    Json(Whoami { keys, tenant: caller.tenant.as_str().to_owned(), role, key: caller.key, quota })
}

/// Answers with the latest changes and refusals, oldest first.
pub(super) async fn audit(State(app): State<Arc<App>>) -> Result<Response, ApiError> {
    let entries = app.gate.recent().ok_or(ApiError::NoAuditLog)?;
    let list = format!("{{\"entries\":[{}]}}", entries.join(","));
    Ok(([(header::CONTENT_TYPE, "application/json")], list).into_response())
}
