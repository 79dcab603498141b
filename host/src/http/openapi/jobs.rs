//! The operations on durable jobs.
//!
//! Invariant: an operation here has the types that `http::jobs` and `http::job_batch` take and answer with.

use super::{
    errors::{BATCH, BODY, IMAGE, JOB, JOBS, RESULT, SUBMISSION},
    operation::{BYTES, Described, Op, bytes},
    parameters,
};
use crate::http::{
    job_batch::{Accepted, Batch},
    job_view::JobView,
    jobs::{ListQuery, Page, WaitQuery},
};
use serde_json::{Value, json};
use utoipa::openapi::Type;

const TAG: &str = "jobs";
const ID: &str = "The id of the job.";

/// A job that has succeeded.
pub(super) fn job_example() -> Value {
    json!({
        "id": "019acb12-3c4d-7e5f-8a6b-7c8d9e0f1a2b",
        "state": "succeeded",
        "image": "plonk",
        "method": "prove",
        "circuit": "x5chain",
        "priority": 4,
        "attempts": 1,
        "body_bytes": 1024,
        "submitted": "2026-11-27T14:40:00.123Z",
        "finished": "2026-11-27T14:40:02.456Z",
        "expires": "2026-11-28T14:40:02.456Z",
        "result": {
            "digest": "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262",
            "bytes": 2048,
            "media_type": "application/octet-stream",
            "location": "/v1/jobs/019acb12-3c4d-7e5f-8a6b-7c8d9e0f1a2b/result"
        }
    })
}

pub(super) fn operations() -> Vec<Described> {
    vec![list(), submit(), show(), cancel(), result(), events()]
}

fn list() -> Described {
    Op::get("/v1/jobs", TAG, "list_jobs", "Lists the jobs of the caller's tenant, newest first")
        .query::<ListQuery>()
        .json::<Page>(200, "A page of jobs.", json!({ "jobs": [job_example()], "next": null }))
        .fails(&[JOBS, &["overloaded"]])
        .end()
}

fn submit() -> Described {
    let batch = json!({ "jobs": [
        { "circuit": "x5chain", "inputs": { "x": "3", "k": "5" }, "idempotency_key": "order-17" },
        { "method": "echo", "body": "aGVsbG8=", "priority": 9, "delay": "30s" }
    ] });
    Op::post("/v1/jobs", TAG, "submit_jobs", "Submits many jobs: all of them are stored, or none")
        .takes_json::<Batch<'_>>("The jobs.", batch)
        .json::<Accepted>(202, "The jobs, in the order of the request.", json!({ "jobs": [job_example()] }))
        .fails(&[JOBS, IMAGE, BODY, SUBMISSION, BATCH])
        .end()
}

fn show() -> Described {
    Op::get("/v1/jobs/{id}", TAG, "show_job", "Returns a job, at once or when it has ended")
        .segment("id", Type::String, ID)
        .query::<WaitQuery>()
        .json::<JobView>(200, "The job.", job_example())
        .fails(&[JOBS, JOB])
        .end()
}

fn cancel() -> Described {
    Op::delete("/v1/jobs/{id}", TAG, "cancel_job", "Cancels a job, unless it has ended")
        .segment("id", Type::String, ID)
        .json::<JobView>(200, "The job.", job_example())
        .fails(&[JOBS, JOB])
        .end()
}

fn result() -> Described {
    Op::get("/v1/jobs/{id}/result", TAG, "job_result", "Returns the result of a job that has succeeded")
        .segment("id", Type::String, ID)
        .parameter(parameters::if_none_match())
        .replies(
            200,
            "The result, with the media type that the field `result` of the job names.",
            BYTES,
            bytes(),
        )
        .header(200, "ETag", "The digest of the result.")
        .empty(304, "The client has the result.")
        .header(304, "ETag", "The digest of the result.")
        .fails(&[JOBS, JOB, RESULT])
        .end()
}

fn events() -> Described {
    let example = format!("event: job\ndata: {}\n\n", job_example());
    Op::get("/v1/jobs/{id}/events", TAG, "job_events", "Follows a job until it ends")
        .segment("id", Type::String, ID)
        .events("Events named `job`, each with the job as JSON.", &example)
        .fails(&[JOBS, JOB])
        .end()
}
