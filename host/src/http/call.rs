//! One call on behalf of a client: submitted to the lanes, and answered with its reply.
//!
//! Invariant: a client sees at most [`MESSAGE_BYTES_MAX`] bytes of a guest's own message.

use super::{
    App,
    error::ApiError,
    error_status::{Parts, fault_parts},
    off_path::off_path,
};
use crate::{
    access::Admission,
    circuits::{ProofTimes, Registry},
    dispatch::Rejected,
    ids::{ServiceId, Tenant},
    instance::Fault,
    jobs::JobFailure,
    lanes::{self, BodyKind, CallRequest, Outcome, ReplySink},
    telemetry::{metrics::Limit, traces::Trace},
};
use axum::{
    Extension,
    http::{HeaderName, HeaderValue, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use snapback_abi::{methods, reply::Tag};
use snapback_snapshot::call::Reply;
use std::{sync::Arc, time::Duration};
use tokio::sync::oneshot;
use zeroize::Zeroizing;

/// Longest message of a guest that a client sees, in bytes.
const MESSAGE_BYTES_MAX: usize = 4096;
pub(super) const JSON: &str = "application/json";
/// Says how long a call ran on its lane.
pub(super) const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// The place of a request within the quota of its tenant, if it takes one.
pub(super) type Place = Option<Extension<Arc<Admission>>>;

/// A call that a request asks for.
pub(super) struct Call {
    pub(super) service: ServiceId,
    pub(super) method: String,
    /// The circuit that the call concerns; empty if none.
    pub(super) circuit: String,
    pub(super) body: lanes::Body,
    pub(super) kind: BodyKind,
    /// Whose circuits it may concern, beside those for all; `None` if everybody's.
    pub(super) tenant: Option<Tenant>,
    /// The trace of the request.
    pub(super) trace: Trace,
}

impl Call {
    /// Submits the call and waits for its reply. The place of the request is held until the call has ended, also if the
    /// client leaves before.
    pub(super) async fn run(self, app: &App, place: Place) -> Result<Answered, ApiError> {
        let Self { service, method, circuit, body, kind, tenant, trace } = self;
        let media_type = media_type(app, service, &method);
        let request = CallRequest { service, method, circuit, body, kind, tenant, stop: None, trace };
        let (reply, outcome) = oneshot::channel();
        let sink = Placed { reply, place };
        app.dispatcher.submit(request, Box::new(sink)).map_err(|rejected| {
            match rejected {
                Rejected::QueueFull { .. } => app.dispatcher.metrics().request_rejected(Limit::QueueDepth),
                Rejected::BreakerOpen { .. } => app.dispatcher.metrics().request_rejected(Limit::Breaker),
                Rejected::Draining | Rejected::NoSuchService => {}
            }
            ApiError::Rejected(rejected)
        })?;
        let Outcome { result, took, witness_took } = outcome.await.map_err(|_| ApiError::Lost)?;
        let reply = result.map_err(ApiError::Fault)?;
        if reply.tag != Tag::Ok {
            return Err(refusal(&reply));
        }
        Ok(Answered { body: reply.body, media_type, took, witness_took })
    }
}

/// The sink of a call that has a place within a quota. A lane drops it once the call has ended, or was left in the queue.
struct Placed {
    reply: oneshot::Sender<Outcome>,
    place: Place,
}

impl ReplySink for Placed {
    fn is_closed(&self) -> bool {
        self.reply.is_closed()
    }

    fn deliver(self: Box<Self>, outcome: Outcome) {
        let Self { reply, place } = *self;
        // Left before the client can know that, and send its next request.
        drop(place);
        Box::new(reply).deliver(outcome);
    }
}

/// The error that a guest's refusal is to its client.
pub(super) fn refusal(reply: &Reply) -> ApiError {
    // Shortened: escaping a guest's megabytes would take long on the runtime's threads.
    let message = &reply.body[..reply.body.len().min(MESSAGE_BYTES_MAX)];
    ApiError::Guest { tag: reply.tag, message: String::from_utf8_lossy(message).into_owned() }
}

/// Names why a call returned no result, as its client is told, for outcomes that are kept.
pub(crate) fn explain(ended: Result<&Reply, &Fault>) -> JobFailure {
    let Parts { code, message, .. } = match ended {
        Ok(reply) => refusal(reply).parts(),
        Err(fault) => fault_parts(fault),
    };
    JobFailure { code: code.into(), message }
}

/// The media type of a method's reply.
fn media_type(app: &App, service: ServiceId, method: &str) -> HeaderValue {
    let service = app.dispatcher.service(service);
    let declared =
        service.and_then(|service| HeaderValue::from_str(service.current().reply_type(method)).ok());
    declared.unwrap_or(HeaderValue::from_static(methods::DEFAULT))
}

/// A reply, and how long it took.
pub(super) struct Answered {
    body: Zeroizing<Vec<u8>>,
    pub(super) media_type: HeaderValue,
    pub(super) took: Duration,
    witness_took: Duration,
}

impl Answered {
    /// Sends the reply as it is.
    pub(super) async fn send(self, app: &App) -> Result<Response, ApiError> {
        let Self { body, media_type, took, .. } = self;
        let mut response = timed(Bytes::from(app.replies.hold(body).await?), took);
        response.headers_mut().insert(header::CONTENT_TYPE, media_type);
        Ok(response)
    }

    /// Sends the proof as JSON, with its timings.
    pub(super) async fn into_json(
        self,
        app: &App,
        circuit: String,
        registry: Arc<Registry>,
    ) -> Result<Response, ApiError> {
        let took = self.took;
        let times = ProofTimes { call: took, witness: self.witness_took };
        let text = off_path(move || registry.proof_json(&circuit, &self.body, times)).await?;
        let text = text.map_err(|error| ApiError::Guest {
            tag: Tag::Internal,
            message: format!("the guest's proof cannot be read: {error}"),
        })?;
        let mut response = timed(Bytes::from(app.replies.hold(text).await?), took);
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(JSON));
        Ok(response)
    }
}

/// The response with the header `server-timing`: how long the call ran on its lane.
pub(super) fn timed(response: impl IntoResponse, took: Duration) -> Response {
    let mut response = response.into_response();
    let timing = format!("call;dur={:.3}", took.as_secs_f64() * 1e3);
    response.headers_mut().insert(SERVER_TIMING, HeaderValue::try_from(timing).expect("digits"));
    response
}
