//! Why requests are not carried out.
//!
//! Invariant: a message holds no path of the server, and no part of a request's body except in the guest's own message
//! to its client.

use crate::{
    access::{Denied, Exceeded, Role},
    circuits::Refused,
    dispatch::Rejected,
    instance::Fault,
    jobs::{JobError, JobFailure},
    telemetry::metrics::Limit,
    webhooks::CallbackError,
    worker::NoJobs,
};
use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};
use snapback_abi::reply::Tag;
use snapback_snapshot::proof_systems::MalformedProof;
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
    /// The caller is not known.
    Denied(Denied),
    /// The role of the caller's key does not permit the request.
    Forbidden {
        least: Role,
    },
    QuotaExceeded(Exceeded),
    NoAuditLog,
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
    /// A batch of jobs is malformed.
    BadBatch(String),
    NoJobs(NoJobs),
    Job(JobError),
    /// Webhooks are not sent here.
    WebhooksOff,
    BadCallback(CallbackError),
    NoSuchDelivery,
    /// The job ended in this error.
    JobFailed(JobFailure),
    Lost,
}

impl From<Denied> for ApiError {
    fn from(denied: Denied) -> Self {
        Self::Denied(denied)
    }
}

impl From<NoJobs> for ApiError {
    fn from(none: NoJobs) -> Self {
        Self::NoJobs(none)
    }
}

impl From<JobError> for ApiError {
    fn from(error: JobError) -> Self {
        if let JobError::Storage { .. } | JobError::Damaged { .. } = error {
            tracing::error!(%error, "jobs cannot be stored or read");
        }
        Self::Job(error)
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

impl ApiError {
    /// Whether the caller may not do what they asked for, whatever the state of the server.
    pub(super) fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::Denied(_)
                | Self::Forbidden { .. }
                | Self::QuotaExceeded(_)
                | Self::ForeignOrigin
                | Self::UnknownHost(_)
                | Self::ChangesOff
                | Self::WitnessExportOff
                | Self::NoJobs(NoJobs::Off)
        )
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
