//! Who may submit jobs, and see those that there are; see `jobs.accept`.
//!
//! Invariant: every route of jobs asks here first. Without keys of their own, clients see the jobs of each other.

use super::{App, error::ApiError, permission::is_passed_on};
use crate::{
    jobs::JobEngine,
    worker::{JobClients, NoJobs},
};
use axum::http::HeaderMap;
use std::sync::Arc;

/// Refuses a client that may not use jobs, as far as that is known without waiting for them.
pub(super) fn check_jobs(app: &App, headers: &HeaderMap) -> Result<(), ApiError> {
    if app.jobs.clients() == JobClients::Local && is_passed_on(headers) {
        return Err(ApiError::NoJobs(NoJobs::Off));
    }
    app.jobs.refusal().map_or(Ok(()), |refusal| Err(refusal.into()))
}

/// Returns the engine of the jobs, if the client of this request may use it.
pub(super) async fn job_engine(app: &App, headers: &HeaderMap) -> Result<Arc<dyn JobEngine>, ApiError> {
    check_jobs(app, headers)?;
    Ok(app.jobs.engine().await?)
}
