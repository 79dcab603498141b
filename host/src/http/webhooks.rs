//! Webhooks: those that wait, were delivered or were given up, and sending them again.
//!
//! Invariant: a client sees the webhooks of the jobs that it sees, and of their URLs the origin alone.

use super::{
    App,
    error::ApiError,
    job_access::job_engine,
    job_view::text,
    jobs::{bad_query, id_of},
    selection::PathText,
};
use crate::{
    access::Caller,
    jobs::{Cursor, DeliveryFilter, DeliveryRecord, DeliveryState, JobError, JobId, State as JobState},
};
use axum::{
    Extension, Json,
    extract::{Query, State, rejection::QueryRejection},
    http::HeaderMap,
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

/// Webhooks of a page, and most that a client may ask for.
const PAGE_LEN: usize = 50;
const PAGE_LEN_MAX: usize = 1000;

/// The query of the list.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    state: Option<DeliveryState>,
    limit: Option<usize>,
    cursor: Option<String>,
}

/// A webhook, as clients see it.
#[derive(Serialize, ToSchema)]
#[schema(as = Webhook)]
pub(super) struct DeliveryView {
    /// The job, and the `webhook-id`.
    #[schema(value_type = String, format = "uuid")]
    id: JobId,
    state: DeliveryState,
    /// The state in which the job ended.
    job_state: JobState,
    origin: String,
    attempts: u32,
    #[schema(format = DateTime)]
    finished: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    next_attempt: Option<String>,
    /// Why the last attempt failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl From<DeliveryRecord> for DeliveryView {
    fn from(record: DeliveryRecord) -> Self {
        let DeliveryRecord { job, outcome, origin, state, attempts, finished, next, reason, .. } = record;
        let (finished, next_attempt) = (text(finished), next.map(text));
        Self { id: job, state, job_state: outcome, origin, attempts, finished, next_attempt, reason }
    }
}

/// A page of the list.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookPage)]
pub(super) struct Page {
    deliveries: Vec<DeliveryView>,
    /// Where the next page begins.
    #[schema(value_type = Option<String>)]
    next: Option<Cursor>,
}

/// Answers with a page of the webhooks, newest first.
pub(super) async fn list(
    State(app): State<Arc<App>>,
    query: Result<Query<ListQuery>, QueryRejection>,
    headers: HeaderMap,
    Extension(caller): Extension<Arc<Caller>>,
) -> Result<Json<Page>, ApiError> {
    let Query(ListQuery { state, limit, cursor }) = query.map_err(|error| bad_query(&error))?;
    let limit = limit.unwrap_or(PAGE_LEN);
    if !(1..=PAGE_LEN_MAX).contains(&limit) {
        let message = format!("`limit` is not accepted: a number from 1 to {PAGE_LEN_MAX}");
        return Err(ApiError::BadQuery(message));
    }
    let unknown = |_| ApiError::BadQuery("`cursor` is not accepted: the field `next` of a page".into());
    let cursor = cursor.map(|text| text.parse::<Cursor>().map_err(unknown)).transpose()?;
    let filter = DeliveryFilter { tenant: Some(caller.tenant.clone()), state };
    let page = job_engine(&app, &headers).await?.list_deliveries(filter, cursor, limit).await?;
    let deliveries = page.deliveries.into_iter().map(DeliveryView::from).collect();
    Ok(Json(Page { deliveries, next: page.next }))
}

/// Answers with the webhook of a job.
pub(super) async fn show(
    State(app): State<Arc<App>>,
    id: PathText,
    headers: HeaderMap,
    Extension(caller): Extension<Arc<Caller>>,
) -> Result<Json<DeliveryView>, ApiError> {
    let id = id_of(id).map_err(|_| ApiError::NoSuchDelivery)?;
    let record = job_engine(&app, &headers).await?.delivery(Some(&caller.tenant), id).await;
    Ok(Json(record.map_err(of_delivery)?.into()))
}

/// Sends a webhook again, or at once if it waits for its time.
pub(super) async fn resend(
    State(app): State<Arc<App>>,
    id: PathText,
    headers: HeaderMap,
    Extension(caller): Extension<Arc<Caller>>,
) -> Result<Json<DeliveryView>, ApiError> {
    let id = id_of(id).map_err(|_| ApiError::NoSuchDelivery)?;
    let engine = job_engine(&app, &headers).await?;
    if app.callbacks.is_none() {
        return Err(ApiError::WebhooksOff);
    }
    let record = engine.resend(Some(&caller.tenant), id).await;
    Ok(Json(record.map_err(of_delivery)?.into()))
}

fn of_delivery(error: JobError) -> ApiError {
    match error {
        JobError::NotFound => ApiError::NoSuchDelivery,
        error => error.into(),
    }
}
