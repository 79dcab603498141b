//! The only file that knows the status codes of errors, and the one shape in which clients see them:
//! `{"code": ..., "message": ..., "request_id": ...}`.
//!
//! Invariant: a message holds no path of the server, and no part of a request's body except in the guest's own message
//! to its client. docs/http.md lists the codes, and a test compares the list with this file.

use crate::{
    circuits::Refused, dispatch::Rejected, instance::Fault, telemetry::metrics::Limit,
    witness::CalculatorError,
};
use axum::{
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use snapback_abi::reply::Tag;
use snapback_snapshot::proof_systems::{CircuitError, MalformedProof};
use std::sync::Arc;

/// Why a request was not carried out.
#[derive(Debug)]
pub(crate) enum ApiError {
    NoRoute,
    WrongMethod,
    BadQuery(String),
    BadHost,
    UnknownHost(String),
    ForeignOrigin,
    NoSuchImage(String),
    NoSuchCircuit(String),
    NoSuchMethod(String),
    Ambiguous {
        what: String,
        images: Vec<String>,
    },
    BadSettings(String),
    NoCircuitsAsData,
    ChangesOff,
    WitnessExportOff,
    /// The upload of a circuit is not multipart, or has unexpected parts.
    BadUpload(String),
    NotMultipart {
        parts: Vec<String>,
    },
    BadProof(MalformedProof),
    UploadTooLarge {
        bytes_max: u64,
    },
    UploadTooSlow {
        rate_min: u64,
    },
    Refused(Refused),
    Unauthorised,
    BodyTooLarge {
        bytes_max: u64,
    },
    BodyBroken,
    BodyTooSlow,
    /// A budget for bytes is used up.
    Overloaded(Limit),
    ConnectionsFull,
    Rejected(Rejected),
    Guest {
        tag: Tag,
        message: String,
    },
    Fault(Fault),
    Lost,
}

struct Parts {
    status: StatusCode,
    code: &'static str,
    message: String,
    /// A header that tells the client what to do.
    header: Option<(HeaderName, HeaderValue)>,
}

#[derive(Serialize)]
struct Body<'a> {
    code: &'a str,
    message: &'a str,
    request_id: &'a str,
}

impl ApiError {
    fn parts(&self) -> Parts {
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
            Self::Unauthorised => (
                StatusCode::UNAUTHORIZED,
                "unauthorised",
                "send the token of admin.token_file: Authorization: Bearer TOKEN".into(),
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
            Self::Fault(fault) => {
                let (status, code) = fault_status(fault);
                (status, code, fault_message(fault))
            }
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
            Self::Unauthorised => Some((header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))),
            _ => None,
        };
        Parts { status, code, message, header }
    }

    /// Renders the reply, with the id of the request that it answers.
    pub(crate) fn respond(&self, request_id: &str) -> Response {
        let Parts { status, code, message, header } = self.parts();
        let body = Body { code, message: &message, request_id };
        let json = serde_json::to_vec(&body).expect("three strings");
        let mut response = (status, [(header::CONTENT_TYPE, "application/json")], json).into_response();
        if let Some((name, value)) = header {
            response.headers_mut().insert(name, value);
        }
        response
    }

    /// The code alone, for logs: the message of a guest may hold data of a client.
    pub(crate) fn code(&self) -> &'static str {
        self.parts().code
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
        Refused::NameTaken(_) | Refused::NameTakenElsewhere { .. } => (StatusCode::CONFLICT, "name_taken"),
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

impl From<Refused> for ApiError {
    fn from(refused: Refused) -> Self {
        if let Refused::Storage(cause) = &refused {
            tracing::error!(error = %cause, "a change of circuits cannot be stored");
        }
        Self::Refused(refused)
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

impl IntoResponse for ApiError {
    /// Passes the error on to the layer that knows the request's id; see [`super::request_id`].
    fn into_response(self) -> Response {
        let mut response = StatusCode::INTERNAL_SERVER_ERROR.into_response();
        response.extensions_mut().insert(Arc::new(self));
        response
    }
}
