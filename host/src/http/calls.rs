//! Calls: prove and verify with a circuit, or any method with raw bytes.

use super::{
    App, body,
    error::ApiError,
    off_path::off_path,
    selection::{self, MethodQuery, PathText, WhichQuery, segment, service_of_circuit, which},
};
use crate::{
    circuits::Registry,
    config::WitnessExport,
    dispatch::Rejected,
    ids::ServiceId,
    lanes::{self, BodyKind, CallRequest, Outcome},
    service::Service,
    telemetry::metrics::Limit,
    witness::inputs,
};
use axum::{
    body::Body,
    extract::{Query, State, rejection::QueryRejection},
    http::{HeaderMap, HeaderName, HeaderValue, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use serde_json::json;
use snapback_abi::{METHOD_PROVE, METHOD_VERIFY, methods, options as abi_options, reply::Tag};
use snapback_snapshot::proof_systems::JsonObject;
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::sync::oneshot;
use zeroize::Zeroizing;

/// Longest message of a guest that a client sees, in bytes.
const MESSAGE_BYTES_MAX: usize = 4096;
const JSON: &str = "application/json";
/// The method in metrics of calls that compute a witness and do not reach the guest. No function of Rust has this name.
const METHOD_WITNESS: &str = "witness-export";
/// Says how long a call ran on its lane.
pub(super) const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

pub(super) async fn prove(
    State(app): State<Arc<App>>,
    circuit: PathText,
    query: WhichQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let circuit = segment(circuit)?;
    let service = service_of_circuit(&app, &which(query)?, &circuit)?.id();
    let registry = app.registries.get(service).cloned();
    let body = body::take(&app, body).await?;
    let kind = if registry.is_some() && is_json(&headers, &body) { BodyKind::Inputs } else { BodyKind::Raw };
    let call = Call { service, method: METHOD_PROVE, circuit: circuit.clone(), body, kind };
    let answered = call.run(&app).await?;
    match registry {
        Some(registry) if kind == BodyKind::Inputs || says_json(&headers, header::ACCEPT) => {
            answered.into_json(&app, circuit, registry).await
        }
        _ => answered.send(&app).await,
    }
}

/// Answers with the witness that the circuit's calculator computes of inputs.
pub(super) async fn witness(
    State(app): State<Arc<App>>,
    circuit: PathText,
    query: WhichQuery,
    body: Body,
) -> Result<Response, ApiError> {
    let circuit = segment(circuit)?;
    let service = service_of_circuit(&app, &which(query)?, &circuit)?.id();
    if app.http.witness_export == WitnessExport::Off {
        return Err(ApiError::WitnessExportOff);
    }
    let body = body::take(&app, body).await?;
    let call = Call { service, method: METHOD_WITNESS, circuit, body, kind: BodyKind::InputsOfWitness };
    let answered = call.run(&app).await?;
    Answered { media_type: HeaderValue::from_static(methods::DEFAULT), ..answered }.send(&app).await
}

pub(super) async fn verify(
    State(app): State<Arc<App>>,
    circuit: PathText,
    query: WhichQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let circuit = segment(circuit)?;
    let service = service_of_circuit(&app, &which(query)?, &circuit)?.id();
    let mut body = body::take(&app, body).await?;
    if let Some(registry) = app.registries.get(service).cloned()
        && is_json(&headers, &body)
    {
        let bytes_max = usize::try_from(app.http.body_bytes_max).unwrap_or(usize::MAX);
        // A number of one digit takes four bytes in JSON and 32 when it is read, in a list that may double, and in the
        // file that is made of it.
        let mut share = app.buffered.reserve(bytes_max.min(8 * body.bytes.len()).saturating_mul(3))?;
        // The share goes along, so that it counts as long as the thread works, whatever becomes of the client.
        let read = move || {
            registry.system().proof_from_json(&body.bytes, bytes_max).map(|bytes| {
                let share = share.split(bytes.capacity());
                lanes::Body { bytes: bytes.into(), share }
            })
        };
        body = off_path(read).await?.map_err(ApiError::BadProof)?;
    }
    let call = Call { service, method: METHOD_VERIFY, circuit, body, kind: BodyKind::Raw };
    let Answered { took, .. } = call.run(&app).await?;
    Ok(timed(axum::Json(json!({ "valid": true })), took))
}

pub(super) async fn method(
    State(app): State<Arc<App>>,
    method: PathText,
    query: Result<Query<MethodQuery>, QueryRejection>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let method = segment(method)?;
    let Query(query) = query.map_err(|error| ApiError::BadQuery(error.body_text()))?;
    let (which, options) = query.split();
    let service = selection::service(
        &app,
        &which,
        &method,
        |generation| generation.has_method(&method),
        ApiError::NoSuchMethod,
    )?;
    let circuit = which.circuit;
    // Growth is remembered for each circuit, so only circuits that exist may be named.
    if !circuit.is_empty() && !service.current().has_circuit(&circuit) {
        return Err(ApiError::NoSuchCircuit(circuit));
    }
    let head = options_of(service, &method, options, &headers)?;
    let service = service.id();
    let body = body::take_after(&app, &head, body).await?;
    let call = Call { service, method: &method, circuit, body, kind: BodyKind::Raw };
    call.run(&app).await?.send(&app).await
}

/// Returns what comes before the body: the options, for a method that takes some.
///
/// # Errors
/// Returns an error if there are options for a method that takes none.
fn options_of(
    service: &Service,
    method: &str,
    mut options: BTreeMap<String, String>,
    headers: &HeaderMap,
) -> Result<Vec<u8>, ApiError> {
    let generation = service.current();
    let known = generation.image().manifest.methods.iter().find(|known| known.name == method);
    if !known.is_some_and(|known| abi_options::are_taken(&known.request)) {
        return match options.keys().next() {
            Some(key) => {
                Err(ApiError::BadQuery(format!("unknown field `{key}`, expected `image` or `circuit`")))
            }
            None => Ok(Vec::new()),
        };
    }
    if let Some(content_type) = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()) {
        options.entry("content_type".into()).or_insert_with(|| content_type.into());
    }
    if options.is_empty() {
        return Ok(Vec::new());
    }
    Ok(abi_options::encode(&serde_json::to_vec(&options).expect("texts have a JSON form")))
}

/// Whether the body is JSON: its headers say so, or it begins like JSON.
fn is_json(headers: &HeaderMap, body: &lanes::Body) -> bool {
    says_json(headers, header::CONTENT_TYPE) || inputs::is_json(&body.bytes)
}

fn says_json(headers: &HeaderMap, name: HeaderName) -> bool {
    let value = headers.get(name).and_then(|value| value.to_str().ok());
    value.is_some_and(|value| value.split([';', ',']).any(|part| part.trim() == JSON))
}

/// A call that a request asks for.
struct Call<'a> {
    service: ServiceId,
    method: &'a str,
    circuit: String,
    body: lanes::Body,
    kind: BodyKind,
}

impl Call<'_> {
    /// Submits the call and waits for its reply.
    async fn run(self, app: &App) -> Result<Answered, ApiError> {
        let Self { service, method, circuit, body, kind } = self;
        let media_type = media_type(app, service, method);
        let request = CallRequest { service, method: method.to_owned(), circuit, body, kind, stop: None };
        let (sink, outcome) = oneshot::channel();
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
            // Shortened: escaping a guest's megabytes would take long on the runtime's threads.
            let message = &reply.body[..reply.body.len().min(MESSAGE_BYTES_MAX)];
            let message = String::from_utf8_lossy(message).into_owned();
            return Err(ApiError::Guest { tag: reply.tag, message });
        }
        Ok(Answered { body: reply.body, media_type, took, witness_took })
    }
}

/// The media type of a method's reply, as the manifest of the image has it.
fn media_type(app: &App, service: ServiceId, method: &str) -> HeaderValue {
    let generation = app.dispatcher.service(service).map(|service| service.current());
    let declared = generation.as_ref().and_then(|generation| {
        let methods = &generation.image().manifest.methods;
        HeaderValue::from_str(&methods.iter().find(|known| known.name == method)?.reply).ok()
    });
    declared.unwrap_or(HeaderValue::from_static(methods::DEFAULT))
}

/// A reply, and how long it took.
struct Answered {
    body: Zeroizing<Vec<u8>>,
    media_type: HeaderValue,
    took: Duration,
    witness_took: Duration,
}

impl Answered {
    /// Sends the reply as it is.
    async fn send(self, app: &App) -> Result<Response, ApiError> {
        let Self { body, media_type, took, .. } = self;
        let mut response = timed(Bytes::from(app.replies.hold(body).await?), took);
        response.headers_mut().insert(header::CONTENT_TYPE, media_type);
        Ok(response)
    }

    /// Sends the proof as JSON, with its timings.
    async fn into_json(
        self,
        app: &App,
        circuit: String,
        registry: Arc<Registry>,
    ) -> Result<Response, ApiError> {
        let took = self.took;
        let text = off_path(move || self.json_text(&circuit, &registry)).await??;
        let mut response = timed(Bytes::from(app.replies.hold(text).await?), took);
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(JSON));
        Ok(response)
    }

    fn json_text(&self, circuit: &str, registry: &Registry) -> Result<Zeroizing<Vec<u8>>, ApiError> {
        let mut json = registry.system().proof_to_json(&self.body).map_err(|error| {
            let message = format!("the guest's proof cannot be read: {error}");
            ApiError::Guest { tag: Tag::Internal, message }
        })?;
        if let Some(signals) = named_signals(&json, circuit, registry) {
            json.insert("signals".into(), signals);
        }
        let ms = |time: Duration| (time.as_secs_f64() * 1e6).round() / 1e3;
        let proof_took = self.took.saturating_sub(self.witness_took);
        let timings = json!({ "witness_ms": ms(self.witness_took), "proof_ms": ms(proof_took) });
        json.insert("timings".into(), timings);
        Ok(Zeroizing::new(serde_json::to_vec(&json).expect("it has string keys only")))
    }
}

/// The public signals of a proof by name, where the names are known.
fn named_signals(proof: &JsonObject, circuit: &str, registry: &Registry) -> Option<serde_json::Value> {
    let names = registry.public_names(circuit, proof.get("circuit")?.as_str()?);
    let public = proof.get("public")?.as_array()?;
    let are_known = !names.is_empty() && names.len() == public.len();
    are_known.then(|| names.into_iter().zip(public.iter().cloned()).collect::<JsonObject>().into())
}

/// The response with the header `server-timing`: how long the call ran on its lane.
fn timed(response: impl IntoResponse, took: Duration) -> Response {
    let mut response = response.into_response();
    let timing = format!("call;dur={:.3}", took.as_secs_f64() * 1e3);
    response.headers_mut().insert(SERVER_TIMING, HeaderValue::try_from(timing).expect("digits"));
    response
}
