//! The only file that knows the status codes of errors, and their codes.
//!
//! Invariant: docs/http.md lists every code, and a test compares the list with this file.

use super::error::ApiError;
use crate::{
    circuits::Refused, dispatch::Rejected, instance::Fault, jobs::JobError, witness::CalculatorError,
    worker::NoJobs,
};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use snapback_abi::reply::Tag;
use snapback_snapshot::proof_systems::CircuitError;

/// What a client is told of an error.
pub(super) struct Parts {
    pub(super) status: StatusCode,
    pub(super) code: &'static str,
    pub(super) message: String,
    /// A header that tells the client what to do.
    pub(super) header: Option<(HeaderName, HeaderValue)>,
}

impl ApiError {
    pub(super) fn parts(&self) -> Parts {
        let (status, code, message) = match self {
            Self::NoRoute => (
                StatusCode::NOT_FOUND,
                "no_route",
                "no such path; GET /v1/circuits and /v1/methods list what there is".into(),
            ),
            Self::WrongMethod => {
                (StatusCode::METHOD_NOT_ALLOWED, "wrong_method", "this path takes another HTTP method".into())
            }
            Self::BadQuery(reason) => (StatusCode::BAD_REQUEST, "bad_query", reason.clone()),
            Self::BadHost => (
                StatusCode::BAD_REQUEST,
                "bad_host",
                "a request has one header `Host` with a name or an address".into(),
            ),
            Self::UnknownHost(host) => (
                StatusCode::MISDIRECTED_REQUEST,
                "unknown_host",
                format!("this server is not called `{host}`: its operator can add the name to http.hosts"),
            ),
            Self::ForeignOrigin => (
                StatusCode::FORBIDDEN,
                "foreign_origin",
                "a web page of another site sent this: the operator can add its origin to http.origins"
                    .into(),
            ),
            Self::NoSuchImage(name) => (
                StatusCode::NOT_FOUND,
                "unknown_image",
                format!("no image is served as `{name}`; GET /v1/status lists them"),
            ),
            Self::NoSuchCircuit(name) => (
                StatusCode::NOT_FOUND,
                "unknown_circuit",
                format!("no circuit `{name}`; GET /v1/circuits lists them"),
            ),
            Self::NoSuchMethod(name) => (
                StatusCode::NOT_FOUND,
                "unknown_method",
                format!("no method `{name}`; GET /v1/methods lists them"),
            ),
            Self::Ambiguous { what, images } => (
                StatusCode::CONFLICT,
                "ambiguous",
                format!("`{what}` is in several images: add ?image= one of {}", images.join(", ")),
            ),
            Self::BadSettings(reason) => (StatusCode::BAD_REQUEST, "bad_settings", reason.clone()),
            Self::NoCircuitsAsData => (
                StatusCode::NOT_FOUND,
                "no_circuits_as_data",
                "no image here takes circuits: `snapback serve plonk` serves one that does".into(),
            ),
            Self::ChangesOff => (
                StatusCode::FORBIDDEN,
                "changes_off",
                "circuits are not changed here: use the admin routes, or see the setting circuits.changes"
                    .into(),
            ),
            Self::WitnessExportOff => (
                StatusCode::FORBIDDEN,
                "witness_export_off",
                "witnesses are not returned here: see the setting circuits.witness_export".into(),
            ),
            Self::BadProof(error) => (StatusCode::BAD_REQUEST, "malformed_input", error.to_string()),
            Self::BadUpload(reason) => (StatusCode::BAD_REQUEST, "bad_circuit", reason.clone()),
            Self::NotMultipart { parts } => (
                StatusCode::BAD_REQUEST,
                "bad_circuit",
                format!(
                    "send multipart/form-data with the parts {}: curl -F {}=@FILE",
                    parts.join(", "),
                    parts.first().map_or("", String::as_str)
                ),
            ),
            Self::UploadTooLarge { bytes_max } => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "upload_too_large",
                format!("the files are longer than circuits.upload_bytes_max = {bytes_max} bytes"),
            ),
            Self::UploadTooSlow { rate_min } => (
                StatusCode::REQUEST_TIMEOUT,
                "upload_timeout",
                format!(
                    "after http.body_timeout, the files came slower than circuits.upload_rate_min = {rate_min} bytes a second"
                ),
            ),
            Self::Refused(refused) => {
                let (status, code) = refused_status(refused);
                (status, code, refused.to_string())
            }
            Self::Denied(denied) => (StatusCode::UNAUTHORIZED, "unauthorised", denied.to_string()),
            Self::Forbidden { least } => (
                StatusCode::FORBIDDEN,
                "forbidden",
                format!("this needs a key of the role {least}: `snapback keys create` makes one"),
            ),
            Self::QuotaExceeded(exceeded) => {
                (StatusCode::TOO_MANY_REQUESTS, "quota_exceeded", exceeded.to_string())
            }
            Self::NoAuditLog => (
                StatusCode::NOT_FOUND,
                "no_audit_log",
                "changes are not recorded here: see the setting audit.log".into(),
            ),
            Self::BodyTooLarge { bytes_max } => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "body_too_large",
                format!("the body is longer than http.body_bytes_max = {bytes_max} bytes"),
            ),
            Self::BodyBroken => {
                (StatusCode::BAD_REQUEST, "body_broken", "the body ended before its length".into())
            }
            Self::BodyTooSlow => (
                StatusCode::REQUEST_TIMEOUT,
                "body_timeout",
                "the body took longer than http.body_timeout".into(),
            ),
            Self::Overloaded(limit) => (
                StatusCode::TOO_MANY_REQUESTS,
                "overloaded",
                format!("what is in transfer fills {limit}; try again"),
            ),
            Self::ConnectionsFull => (
                StatusCode::SERVICE_UNAVAILABLE,
                "connections_full",
                "http.connections_max or http.connections_per_peer_max connections are open; try again"
                    .into(),
            ),
            Self::Rejected(rejected @ Rejected::QueueFull { .. }) => {
                (StatusCode::TOO_MANY_REQUESTS, "queue_full", rejected.to_string())
            }
            Self::Rejected(rejected @ Rejected::BreakerOpen { .. }) => {
                (StatusCode::SERVICE_UNAVAILABLE, "breaker_open", rejected.to_string())
            }
            Self::Rejected(rejected @ Rejected::Draining) => {
                (StatusCode::SERVICE_UNAVAILABLE, "draining", rejected.to_string())
            }
            Self::Rejected(rejected @ Rejected::NoSuchService) => {
                (StatusCode::INTERNAL_SERVER_ERROR, "lost", rejected.to_string())
            }
            Self::Guest { tag, message } => {
                let (status, code) = guest_status(*tag);
                (status, code, message.clone())
            }
            Self::Fault(fault) => return fault_parts(fault),
            Self::BadBatch(reason) => (StatusCode::BAD_REQUEST, "bad_batch", reason.clone()),
            Self::NoJobs(NoJobs::Off) => (StatusCode::FORBIDDEN, "jobs_off", NoJobs::Off.to_string()),
            Self::NoJobs(NoJobs::Failed(error)) => {
                (StatusCode::SERVICE_UNAVAILABLE, "no_jobs", job_message(error))
            }
            Self::Job(error) => {
                let (status, code) = job_status(error);
                (status, code, job_message(error))
            }
            Self::WebhooksOff => (
                StatusCode::FORBIDDEN,
                "webhooks_off",
                "webhooks are not sent here: see the setting webhooks.deliver".into(),
            ),
            Self::BadCallback(error) => (StatusCode::BAD_REQUEST, "bad_callback", error.to_string()),
            Self::NoSuchDelivery => {
                (StatusCode::NOT_FOUND, "unknown_delivery", "there is no webhook about such a job".into())
            }
            Self::JobFailed(failure) => (
                StatusCode::CONFLICT,
                "job_failed",
                format!("the job has no result: {} ({})", failure.message, failure.code),
            ),
            Self::Lost => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "lost",
                "the call ended without an answer: please report this".into(),
            ),
        };
        let retry_after = |seconds: u64| Some((header::RETRY_AFTER, HeaderValue::from(seconds)));
        let header = match self {
            Self::Rejected(
                Rejected::QueueFull { retry_after: after } | Rejected::BreakerOpen { retry_after: after },
            ) => retry_after(after.as_secs()),
            Self::Rejected(Rejected::Draining) | Self::Overloaded(_) | Self::ConnectionsFull => {
                retry_after(1)
            }
            Self::Refused(Refused::TooMany(_)) => retry_after(10),
            Self::Job(JobError::Full { .. } | JobError::Storage { .. }) => retry_after(10),
            Self::QuotaExceeded(exceeded) => retry_after(exceeded.retry_after.as_secs().max(1)),
            Self::Denied(_) => Some((header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))),
            _ => None,
        };
        Parts { status, code, message, header }
    }
}

fn refused_status(refused: &Refused) -> (StatusCode, &'static str) {
    match refused {
        Refused::Name(_) | Refused::Circuit(CircuitError::Malformed(_)) => {
            (StatusCode::BAD_REQUEST, "bad_circuit")
        }
        Refused::Circuit(CircuitError::Unsupported(_)) => {
            (StatusCode::UNPROCESSABLE_ENTITY, "unsupported_circuit")
        }
        Refused::NameTaken(_) | Refused::NameTakenElsewhere { .. } | Refused::NameTakenByOther(_) => {
            (StatusCode::CONFLICT, "name_taken")
        }
        Refused::ForAll(_) => (StatusCode::FORBIDDEN, "forbidden"),
        Refused::StoredBytes { .. } => (StatusCode::TOO_MANY_REQUESTS, "quota_exceeded"),
        Refused::NoSuchCircuit(_) => (StatusCode::NOT_FOUND, "unknown_circuit"),
        Refused::TooLarge { .. } => (StatusCode::UNPROCESSABLE_ENTITY, "circuit_too_large"),
        Refused::NoSuchChange(_) => (StatusCode::NOT_FOUND, "unknown_change"),
        Refused::NotCancellable { .. } => (StatusCode::CONFLICT, "not_cancellable"),
        Refused::NoSuchGeneration(_) => (StatusCode::NOT_FOUND, "unknown_generation"),
        Refused::TooMany(_) => (StatusCode::TOO_MANY_REQUESTS, "too_many_changes"),
        Refused::NotServable { .. } => (StatusCode::CONFLICT, "not_servable"),
        Refused::Storage(_) => (StatusCode::INTERNAL_SERVER_ERROR, "catalogue_failed"),
    }
}

fn guest_status(tag: Tag) -> (StatusCode, &'static str) {
    match tag {
        Tag::Malformed => (StatusCode::BAD_REQUEST, "malformed_input"),
        Tag::Unsupported => (StatusCode::UNPROCESSABLE_ENTITY, "unsupported_input"),
        Tag::UnknownCircuit => (StatusCode::NOT_FOUND, "unknown_circuit"),
        Tag::NothingToProve => (StatusCode::UNPROCESSABLE_ENTITY, "nothing_to_prove"),
        Tag::Refuted => (StatusCode::UNPROCESSABLE_ENTITY, "refuted"),
        Tag::Internal | Tag::Ok => (StatusCode::INTERNAL_SERVER_ERROR, "guest_failed"),
    }
}

/// What a client is told of a fault.
pub(super) fn fault_parts(fault: &Fault) -> Parts {
    let (status, code) = fault_status(fault);
    Parts { status, code, message: fault_message(fault), header: None }
}

fn fault_status(fault: &Fault) -> (StatusCode, &'static str) {
    match fault {
        Fault::NoSuchMethod => (StatusCode::NOT_FOUND, "unknown_method"),
        Fault::Trap(_) => (StatusCode::INTERNAL_SERVER_ERROR, "guest_trapped"),
        Fault::OutOfMemory(_) => (StatusCode::UNPROCESSABLE_ENTITY, "out_of_memory"),
        Fault::Deadline(_) => (StatusCode::GATEWAY_TIMEOUT, "deadline"),
        Fault::Stalled(_) => (StatusCode::GATEWAY_TIMEOUT, "stalled"),
        Fault::Cancelled => (StatusCode::CONFLICT, "cancelled"),
        Fault::Contract(_) => (StatusCode::BAD_GATEWAY, "guest_broke_contract"),
        Fault::ReplyTooLarge { .. } => (StatusCode::BAD_GATEWAY, "reply_too_large"),
        Fault::Calculator(error) => calculator_status(error),
        Fault::Engine(_) => (StatusCode::INTERNAL_SERVER_ERROR, "engine_failed"),
    }
}

fn calculator_status(error: &CalculatorError) -> (StatusCode, &'static str) {
    match error {
        CalculatorError::Missing => (StatusCode::UNPROCESSABLE_ENTITY, "no_calculator"),
        CalculatorError::Inputs(_) => (StatusCode::BAD_REQUEST, "bad_inputs"),
        CalculatorError::Unsatisfied(_) => (StatusCode::UNPROCESSABLE_ENTITY, "refuted"),
        CalculatorError::Mismatch(_) => (StatusCode::UNPROCESSABLE_ENTITY, "calculator_mismatch"),
        CalculatorError::Trap(_) => (StatusCode::UNPROCESSABLE_ENTITY, "calculator_trapped"),
        CalculatorError::OutOfMemory(_) => (StatusCode::UNPROCESSABLE_ENTITY, "calculator_out_of_memory"),
        CalculatorError::Deadline(_) => (StatusCode::GATEWAY_TIMEOUT, "calculator_deadline"),
        CalculatorError::Engine(_) => (StatusCode::INTERNAL_SERVER_ERROR, "calculator_failed"),
    }
}

fn fault_message(fault: &Fault) -> String {
    match fault {
        Fault::OutOfMemory(out_of_memory) => format!("{out_of_memory}: see the setting memory.limit"),
        Fault::Deadline(_) => format!("{fault}: see the setting call.deadline"),
        Fault::Stalled(_) => format!("{fault}: see the setting call.stall_timeout"),
        Fault::ReplyTooLarge { .. } => format!("{fault}: see the setting call.reply_bytes_max"),
        _ => fault.to_string(),
    }
}

fn job_status(error: &JobError) -> (StatusCode, &'static str) {
    match error {
        JobError::NotFound => (StatusCode::NOT_FOUND, "unknown_job"),
        JobError::NotFinished(_) => (StatusCode::CONFLICT, "job_not_finished"),
        JobError::Gone(_) => (StatusCode::GONE, "job_without_result"),
        JobError::Full { .. } => (StatusCode::TOO_MANY_REQUESTS, "jobs_full"),
        JobError::IdempotencyMismatch => (StatusCode::UNPROCESSABLE_ENTITY, "idempotency_mismatch"),
        JobError::TextTooLong { .. } | JobError::TooLate(_) => (StatusCode::BAD_REQUEST, "bad_query"),
        JobError::Storage { .. } => (StatusCode::SERVICE_UNAVAILABLE, "jobs_not_stored"),
        JobError::Damaged { .. } => (StatusCode::INTERNAL_SERVER_ERROR, "job_damaged"),
        _ => (StatusCode::SERVICE_UNAVAILABLE, "no_jobs"),
    }
}

/// The message of an error of the engine. Those of its files are for the log, since they name paths.
fn job_message(error: &JobError) -> String {
    match error {
        JobError::NotFound
        | JobError::NotFinished(_)
        | JobError::Gone(_)
        | JobError::Full { .. }
        | JobError::IdempotencyMismatch
        | JobError::TextTooLong { .. }
        | JobError::TooLate(_)
        | JobError::Damaged { .. }
        | JobError::Closed => error.to_string(),
        JobError::Storage { fault, .. } => format!("jobs cannot be stored or read: {fault}; try again"),
        _ => "jobs cannot be kept here: the server's log says why".into(),
    }
}
