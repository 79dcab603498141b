//! Calls: prove and verify with a circuit, or any method with raw bytes.

use super::{
    App, body,
    call::{Call, JSON, Place, timed},
    error::ApiError,
    job_terms::{self, JobTerms},
    off_path::off_path,
    selection::{
        self, MethodQuery, PathText, Which, WhichQuery, has_circuit, has_method, segment, service_of_circuit,
        which,
    },
};
use crate::{
    access::Caller,
    config::WitnessExport,
    lanes::{self, BodyKind},
    service::Service,
    telemetry::traces::Trace,
    witness::inputs,
};
use axum::{
    Extension,
    body::Body,
    extract::{Query, State, rejection::QueryRejection},
    http::{HeaderMap, HeaderName, HeaderValue, header},
    response::Response,
};
use serde::Serialize;
use snapback_abi::{METHOD_PROVE, METHOD_VERIFY, methods, options as abi_options};
use std::{collections::BTreeMap, sync::Arc};
use utoipa::ToSchema;

/// The method in metrics of calls that compute a witness and do not reach the guest. No function of Rust has this name.
const METHOD_WITNESS: &str = "witness-export";

/// The answer to a proof that verifies. One that does not is an error.
#[derive(Serialize, ToSchema)]
pub(super) struct Verified {
    valid: bool,
}

pub(super) async fn prove(
    State(app): State<Arc<App>>,
    circuit: PathText,
    query: CallQuery,
    headers: HeaderMap,
    Extension(caller): Extension<Arc<Caller>>,
    (place, trace): (Place, Trace),
    body: Body,
) -> Result<Response, ApiError> {
    let circuit = segment(circuit)?;
    let (which, terms) = of_circuit(&app, &caller, query, &headers)?;
    let service = service_of_circuit(&app, &caller, &which, &circuit)?.id();
    let registry = app.registries.get(service).cloned();
    let body = body::take(&app, body).await?;
    let kind = if registry.is_some() && is_json(&headers, &body) { BodyKind::Inputs } else { BodyKind::Raw };
    let call = Call {
        service,
        method: METHOD_PROVE.into(),
        circuit: circuit.clone(),
        body,
        kind,
        tenant: caller.view(),
        trace,
    };
    if let Some(terms) = terms {
        return terms.submit(&app, &headers, call).await;
    }
    let answered = call.run(&app, place).await?;
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
    Extension(caller): Extension<Arc<Caller>>,
    (place, trace): (Place, Trace),
    body: Body,
) -> Result<Response, ApiError> {
    let circuit = segment(circuit)?;
    let service = service_of_circuit(&app, &caller, &which(query)?, &circuit)?.id();
    if app.http.witness_export == WitnessExport::Off {
        return Err(ApiError::WitnessExportOff);
    }
    let body = body::take(&app, body).await?;
    let call = Call {
        service,
        method: METHOD_WITNESS.into(),
        circuit,
        body,
        kind: BodyKind::InputsOfWitness,
        tenant: caller.view(),
        trace,
    };
    let mut answered = call.run(&app, place).await?;
    answered.media_type = HeaderValue::from_static(methods::DEFAULT);
    answered.send(&app).await
}

pub(super) async fn verify(
    State(app): State<Arc<App>>,
    circuit: PathText,
    query: CallQuery,
    headers: HeaderMap,
    Extension(caller): Extension<Arc<Caller>>,
    (place, trace): (Place, Trace),
    body: Body,
) -> Result<Response, ApiError> {
    let circuit = segment(circuit)?;
    let (which, terms) = of_circuit(&app, &caller, query, &headers)?;
    let service = service_of_circuit(&app, &caller, &which, &circuit)?.id();
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
    let call = Call {
        service,
        method: METHOD_VERIFY.into(),
        circuit,
        body,
        kind: BodyKind::Raw,
        tenant: caller.view(),
        trace,
    };
    if let Some(terms) = terms {
        return terms.submit(&app, &headers, call).await;
    }
    let answered = call.run(&app, place).await?;
    Ok(timed(axum::Json(Verified { valid: true }), answered.took))
}

pub(super) async fn method(
    State(app): State<Arc<App>>,
    method: PathText,
    query: CallQuery,
    headers: HeaderMap,
    Extension(caller): Extension<Arc<Caller>>,
    (place, trace): (Place, Trace),
    body: Body,
) -> Result<Response, ApiError> {
    let method = segment(method)?;
    let (which, mut options) = split(query)?;
    let terms = JobTerms::take(&app, &caller, &mut options, &headers)?;
    let service = selection::service(
        &app,
        &which,
        &method,
        |generation| has_method(generation, &caller, &method),
        ApiError::NoSuchMethod,
    )?;
    let circuit = which.circuit;
    // Growth is remembered for each circuit, so only circuits that exist may be named.
    if !circuit.is_empty() && !has_circuit(&service.current(), &caller, &circuit) {
        return Err(ApiError::NoSuchCircuit(circuit));
    }
    let head = options_of(service, &method, options, &headers)?;
    let service = service.id();
    let body = body::take_after(&app, &head, body).await?;
    let call = Call { service, method, circuit, body, kind: BodyKind::Raw, tenant: caller.view(), trace };
    match terms {
        Some(terms) => terms.submit(&app, &headers, call).await,
        None => call.run(&app, place).await?.send(&app).await,
    }
}

type CallQuery = Result<Query<MethodQuery>, QueryRejection>;

fn split(query: CallQuery) -> Result<(Which, BTreeMap<String, String>), ApiError> {
    query.map(|Query(query)| query.split()).map_err(|error| ApiError::BadQuery(error.body_text()))
}

/// Returns which circuit a request concerns, and the terms of the job that it asks for, if it does.
fn of_circuit(
    app: &App,
    caller: &Caller,
    query: CallQuery,
    headers: &HeaderMap,
) -> Result<(Which, Option<JobTerms>), ApiError> {
    let (which, mut others) = split(query)?;
    let terms = JobTerms::take(app, caller, &mut others, headers)?;
    match others.keys().next() {
        None => Ok((which, terms)),
        Some(key) => Err(unknown_field(key)),
    }
}

fn unknown_field(key: &str) -> ApiError {
    let known = job_terms::FIELDS.join("`, `");
    ApiError::BadQuery(format!("unknown field `{key}`, expected `image`, `circuit`, or for a job `{known}`"))
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
            Some(key) => Err(unknown_field(key)),
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
