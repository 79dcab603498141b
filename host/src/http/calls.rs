//! Calls: prove and verify a circuit, or any method with raw bytes.

use super::{App, body, error::ApiError};
use crate::{
    circuits::ProofJson,
    dispatch::Rejected,
    generation::Generation,
    job::{self, Ask, Form, Outcome},
    metrics::Limit,
    witness::inputs,
};
use axum::{
    body::Body,
    extract::{
        Path, Query, State,
        rejection::{PathRejection, QueryRejection},
    },
    http::{HeaderMap, HeaderName, HeaderValue, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use snapback_abi::{METHOD_PROVE, METHOD_VERIFY, reply::Tag};
use std::{sync::Arc, time::Duration};
use zeroize::Zeroizing;

/// Where several images are served, a client may have to say which one it means.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Which {
    pub(super) image: Option<String>,
    /// What the call of a method concerns, where its path does not say.
    circuit: Option<String>,
}

/// Longest message of a guest that a client sees.
const MESSAGE_BYTES_MAX: usize = 4096;

type PathText = Result<Path<String>, PathRejection>;
type WhichQuery = Result<Query<Which>, QueryRejection>;

pub(crate) async fn prove(
    State(app): State<Arc<App>>,
    circuit: PathText,
    which: WhichQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let circuit = text(circuit)?;
    let service = of_circuit(&app, &circuit, which)?;
    let is_data = app.keepers.of_services.contains_key(&service);
    let body = body::take(&app, body).await?;
    let form = if is_data && is_json(&headers, &body) { Form::Inputs } else { Form::Raw };
    let as_json = is_data && (form == Form::Inputs || says_json(&headers, header::ACCEPT));
    let answered = call(&app, service, METHOD_PROVE, circuit, body, form).await?;
    if !as_json {
        return Ok(answered.into_response());
    }
    let written = tokio::task::spawn_blocking(move || answered.into_json());
    written.await.map_err(|_| ApiError::Lost)?
}

pub(crate) async fn verify(
    State(app): State<Arc<App>>,
    circuit: PathText,
    which: WhichQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let circuit = text(circuit)?;
    let service = of_circuit(&app, &circuit, which)?;
    let mut body = body::take(&app, body).await?;
    if app.keepers.of_services.contains_key(&service) && is_json(&headers, &body) {
        let read = move || ProofJson::read(&body.bytes).map(|bytes| (bytes, body));
        let read = tokio::task::spawn_blocking(read).await.map_err(|_| ApiError::Lost)?;
        let (bytes, taken) = read.map_err(ApiError::BadProof)?;
        body = taken;
        body.bytes = bytes.into();
    }
    call(&app, service, METHOD_VERIFY, circuit, body, Form::Raw).await?;
    Ok(axum::Json(serde_json::json!({ "valid": true })).into_response())
}

/// Whether the body is JSON: it says so, or begins so.
fn is_json(headers: &HeaderMap, body: &job::Body) -> bool {
    says_json(headers, header::CONTENT_TYPE) || inputs::is_json(&body.bytes)
}

fn says_json(headers: &HeaderMap, name: HeaderName) -> bool {
    let value = headers.get(name).and_then(|value| value.to_str().ok());
    value.is_some_and(|value| value.split([';', ',']).any(|part| part.trim() == "application/json"))
}

pub(crate) async fn method(
    State(app): State<Arc<App>>,
    method: PathText,
    which: WhichQuery,
    body: Body,
) -> Result<Response, ApiError> {
    let method = text(method)?;
    let has = |generation: &Generation| generation.methods().any(|name| name == method);
    let circuit = which.as_ref().ok().and_then(|Query(which)| which.circuit.clone()).unwrap_or_default();
    let service = find(&app, which, &method, has, ApiError::NoSuchMethod)?;
    // What is remembered of circuits is remembered of those that there are.
    if !circuit.is_empty() && !has_circuit(&app.dispatcher.services()[service].current(), &circuit) {
        return Err(ApiError::NoSuchCircuit(circuit));
    }
    let body = body::take(&app, body).await?;
    Ok(call(&app, service, &method, circuit, body, Form::Raw).await?.into_response())
}

/// A segment of the path that is not UTF-8 names nothing there is.
fn text(segment: PathText) -> Result<String, ApiError> {
    segment.map(|Path(text)| text).map_err(|_| ApiError::NoRoute)
}

fn of_circuit(app: &App, circuit: &str, which: WhichQuery) -> Result<usize, ApiError> {
    find(app, which, circuit, |generation| has_circuit(generation, circuit), ApiError::NoSuchCircuit)
}

fn has_circuit(generation: &Generation, circuit: &str) -> bool {
    generation.image().manifest.circuits.iter().any(|known| known.name == circuit)
}

/// The one service that has what is asked for, in the image that is asked for.
fn find(
    app: &App,
    which: WhichQuery,
    what: &str,
    has: impl Fn(&Generation) -> bool,
    absent: impl Fn(String) -> ApiError,
) -> Result<usize, ApiError> {
    let Query(Which { image, circuit: _ }) = which.map_err(|error| ApiError::BadQuery(error.body_text()))?;
    let services = app.dispatcher.services();
    if let Some(image) = image {
        let index = services.iter().position(|service| service.name() == image);
        let index = index.ok_or(ApiError::NoSuchImage(image))?;
        return if has(&services[index].current()) { Ok(index) } else { Err(absent(what.into())) };
    }
    let fits: Vec<usize> = (0..services.len()).filter(|index| has(&services[*index].current())).collect();
    match fits.as_slice() {
        [one] => Ok(*one),
        [] => Err(absent(what.into())),
        several => Err(ApiError::Ambiguous {
            what: what.into(),
            images: several.iter().map(|index| services[*index].name().to_owned()).collect(),
        }),
    }
}

async fn call(
    app: &App,
    service: usize,
    method: &str,
    circuit: String,
    body: job::Body,
    form: Form,
) -> Result<Answered, ApiError> {
    let ask = Ask { service, method: method.into(), circuit, body, form };
    let answer = app.dispatcher.submit(ask).map_err(|rejected| {
        match rejected {
            Rejected::QueueFull { .. } => app.dispatcher.metrics().rejected(Limit::QueueDepth),
            Rejected::BreakerOpen { .. } => app.dispatcher.metrics().rejected(Limit::Breaker),
            Rejected::Draining => {}
        }
        ApiError::Rejected(rejected)
    })?;
    let Outcome { result, took, witness_took } = answer.await.map_err(|_| ApiError::Lost)?;
    let reply = result.map_err(ApiError::Fault)?;
    if reply.tag != Tag::Ok {
        // A message, not a document: a guest's megabytes would be escaped and copied on the runtime's threads.
        let said = &reply.body[..reply.body.len().min(MESSAGE_BYTES_MAX)];
        let message = String::from_utf8_lossy(said).into_owned();
        return Err(ApiError::Guest { tag: reply.tag, message });
    }
    Ok(Answered { body: Zeroizing::new(reply.body), took, witness_took })
}

/// A reply, and how long it took.
struct Answered {
    /// Overwritten once it is sent, as the request was.
    body: Zeroizing<Vec<u8>>,
    took: Duration,
    witness_took: Duration,
}

impl Answered {
    /// A proof as JSON, with its timings.
    fn into_json(self) -> Result<Response, ApiError> {
        #[derive(Serialize)]
        struct Timings {
            witness_ms: f64,
            proof_ms: f64,
        }
        #[derive(Serialize)]
        struct Proven {
            #[serde(flatten)]
            proof: ProofJson,
            timings: Timings,
        }
        let proof = ProofJson::of(&self.body).map_err(|error| {
            let message = format!("the guest's proof cannot be read: {error}");
            ApiError::Guest { tag: Tag::Internal, message }
        })?;
        let ms = |time: Duration| (time.as_secs_f64() * 1e6).round() / 1e3;
        let proof_took = self.took.saturating_sub(self.witness_took);
        let timings = Timings { witness_ms: ms(self.witness_took), proof_ms: ms(proof_took) };
        Ok(axum::Json(Proven { proof, timings }).into_response())
    }
}

impl IntoResponse for Answered {
    fn into_response(self) -> Response {
        let mut response = Bytes::from_owner(self.body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        let timing = format!("call;dur={:.3}", self.took.as_secs_f64() * 1e3);
        headers.insert("server-timing", HeaderValue::from_str(&timing).expect("digits"));
        response
    }
}
