//! Who a client is to the server, and what it changed of late.

use super::{App, error::ApiError, gate::Keys};
use crate::access::{Caller, KeyId, Quota, Role};
use axum::{
    Extension, Json,
    extract::State,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use serde_json::value::RawValue;
use std::sync::Arc;
use utoipa::ToSchema;

/// The caller of a request, as it is told.
#[derive(Serialize, ToSchema)]
pub(super) struct Whoami {
    /// Whether requests need a key here: `required` or `off`.
    keys: &'static str,
    tenant: String,
    role: Role,
    /// The id of its key; `null` if it has none.
    #[schema(value_type = Option<String>)]
    key: Option<KeyId>,
    quota: Quota,
}

/// The latest changes and refusals, oldest first.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditList)]
pub(super) struct Audit {
    #[schema(value_type = Vec<Object>)]
    entries: Vec<Box<RawValue>>,
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
    let entries = entries.iter().map(|entry| RawValue::from_string(entry.to_string()));
    let entries = entries.collect::<Result<_, _>>().map_err(|_| ApiError::Lost)?;
    Ok(Json(Audit { entries }).into_response())
}
