//! The body of a webhook.
//!
//! Invariant: it names the job and how it ended; neither inputs nor results are in it.

use crate::jobs::{ClaimedDelivery, JobEnd, JobFailure, JobId, State, Timestamp};
use serde::Serialize;
use std::time::{Duration, UNIX_EPOCH};

#[derive(Serialize)]
struct Event<'a> {
    r#type: String,
    /// When the job ended.
    timestamp: String,
    data: Data<'a>,
}

#[derive(Serialize)]
struct Data<'a> {
    id: JobId,
    state: State,
    /// Name of the service.
    image: &'a str,
    method: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    circuit: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    image_digest: Option<&'a str>,
    error: Option<&'a JobFailure>,
    /// Where the result is.
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<String>,
}

/// The body that tells about the end of a job.
pub(super) fn body(delivery: &ClaimedDelivery) -> Vec<u8> {
    let JobEnd { state, finished, service, method, circuit, image, error } = &delivery.end;
    let id = delivery.claim.job();
    let event = Event {
        r#type: format!("job.{state}"),
        timestamp: text(*finished),
        data: Data {
            id,
            state: *state,
            image: service,
            method,
            circuit: circuit.as_deref(),
            image_digest: image.as_deref(),
            error: error.as_ref(),
            result: (*state == State::Succeeded).then(|| format!("/v1/jobs/{id}/result")),
        },
    };
    serde_json::to_vec(&event).expect("it has string keys only")
}

fn text(time: Timestamp) -> String {
    humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_millis(time.as_millis())).to_string()
}
