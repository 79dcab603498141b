//! A job, as clients see it.
//!
//! Invariant: a view holds nothing of a body, a result or an idempotency key.

use super::App;
use crate::jobs::{DeliveryState, ImageChoice, JobFailure, JobId, JobRecord, ResultDigest, State, Timestamp};
use serde::Serialize;
use std::time::{Duration, UNIX_EPOCH};
use utoipa::ToSchema;

/// A job, as clients see it. Times are of RFC 3339.
#[derive(Serialize, ToSchema)]
#[schema(as = Job)]
pub(super) struct JobView {
    #[schema(value_type = String, format = "uuid")]
    id: JobId,
    state: State,
    image: String,
    method: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    circuit: Option<String>,
    /// Digest of the image that was asked for, or that the job ran on.
    #[serde(skip_serializing_if = "Option::is_none")]
    image_digest: Option<String>,
    priority: u8,
    attempts: u32,
    body_bytes: u64,
    #[schema(format = DateTime)]
    submitted: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    not_before: Option<String>,
    /// When it ends if it still waits, or when its result is deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    expires: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    claimed: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    finished: Option<String>,
    /// Jobs that come before this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<u64>,
    /// Estimates from what calls of this kind took.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    expected_start: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    expected_end: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<JobFailure>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<ResultView>,
    /// The job that computed the result, if it is that of identical work.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "uuid")]
    computed_by: Option<JobId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    callback: Option<CallbackView>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    cancel_requested: bool,
}

/// Who is told about the end of the job, as far as that is no secret.
#[derive(Serialize, ToSchema)]
#[schema(as = JobCallback)]
struct CallbackView {
    origin: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    delivery: Option<DeliveryState>,
}

/// The result of a job.
#[derive(Serialize, ToSchema)]
#[schema(as = JobResult)]
struct ResultView {
    /// BLAKE3 digest of its bytes.
    #[schema(value_type = String)]
    digest: ResultDigest,
    bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    media_type: Option<String>,
    /// The path that returns it.
    location: String,
}

pub(super) fn text(time: Timestamp) -> String {
    humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_millis(time.as_millis())).to_string()
}

impl JobView {
    pub(super) fn of(app: &App, record: &JobRecord) -> Self {
        let JobRecord { id, state, .. } = *record;
        let (start, end) = expected(app, record).unzip();
        Self {
            id,
            state,
            image: record.service.clone(),
            method: record.method.clone(),
            circuit: record.circuit.clone(),
            image_digest: match &record.image {
                ImageChoice::Current => None,
                ImageChoice::Digest(digest) => Some(digest.clone()),
            },
            priority: record.priority.get(),
            attempts: record.attempts,
            body_bytes: record.body_bytes,
            submitted: text(record.submitted),
            not_before: record.not_before.map(text),
            expires: record.expires_at.map(text),
            claimed: record.claimed.map(text),
            finished: record.finished.map(text),
            place: record.place,
            expected_start: start.flatten().map(text),
            expected_end: end.map(text),
            error: record.error.clone(),
            result: record.result.as_ref().map(|result| ResultView {
                digest: result.digest,
                bytes: result.bytes,
                media_type: result.media_type.clone(),
                location: format!("/v1/jobs/{id}/result"),
            }),
            computed_by: record.computed_by,
            callback: record.callback.clone().map(|origin| CallbackView { origin, delivery: None }),
            cancel_requested: record.cancel_requested && !state.has_ended(),
        }
    }

    /// Adds what became of the webhook.
    pub(super) fn with_delivery(mut self, delivery: Option<DeliveryState>) -> Self {
        if let Some(callback) = &mut self.callback {
            callback.delivery = delivery;
        }
        self
    }
}

/// When the job is expected to start, if it has not, and to end. All jobs before it are taken for calls of its own kind.
fn expected(app: &App, record: &JobRecord) -> Option<(Option<Timestamp>, Timestamp)> {
    let circuit = record.circuit.as_deref().unwrap_or_default();
    let took = app.jobs.estimates().of(&record.service, &record.method, circuit)?;
    match record.state {
        State::Queued => {
            let lanes = app.dispatcher.config().lanes.max(1) as f64;
            let before = took.mul_f64(record.place? as f64 / lanes);
            let earliest = Timestamp::now().max(record.not_before.unwrap_or_default());
            let start = earliest.after(before);
            Some((Some(start), start.after(took)))
        }
        State::Claimed => Some((None, record.claimed?.after(took).max(Timestamp::now()))),
        _ => None,
    }
}
