//! Calls: prove and verify a circuit, or any method with raw bytes.

use super::{App, body, error::ApiError};
use crate::{
    dispatch::Rejected,
    generation::Generation,
    job::{Ask, Outcome},
    metrics::Limit,
};
use axum::{
    body::Body,
    extract::{
        Path, Query, State,
        rejection::{PathRejection, QueryRejection},
    },
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use serde::Deserialize;
use snapback_abi::{METHOD_PROVE, METHOD_VERIFY, reply::Tag};
use std::sync::Arc;
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
    body: Body,
) -> Result<Response, ApiError> {
    let circuit = text(circuit)?;
    let service = of_circuit(&app, &circuit, which)?;
    call(&app, service, METHOD_PROVE, circuit, body).await
}

pub(crate) async fn verify(
    State(app): State<Arc<App>>,
    circuit: PathText,
    which: WhichQuery,
    body: Body,
) -> Result<Response, ApiError> {
    let circuit = text(circuit)?;
    let service = of_circuit(&app, &circuit, which)?;
    call(&app, service, METHOD_VERIFY, circuit, body).await?;
    Ok(axum::Json(serde_json::json!({ "valid": true })).into_response())
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
    call(&app, service, &method, circuit, body).await
}

/// A segment of the path that is not UTF-8 names nothing there is.
fn text(segment: PathText) -> Result<String, ApiError> {
    segment.map(|Path(text)| text).map_err(|_| ApiError::NoRoute)
}

fn of_circuit(app: &App, circuit: &str, which: WhichQuery) -> Result<usize, ApiError> {
    let has = |generation: &Generation| {
        generation.image().manifest.circuits.iter().any(|known| known.name == circuit)
    };
    find(app, which, circuit, has, ApiError::NoSuchCircuit)
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
    body: Body,
) -> Result<Response, ApiError> {
    let body = body::take(app, body).await?;
    let ask = Ask { service, method: method.into(), circuit, body };
    let answer = app.dispatcher.submit(ask).map_err(|rejected| {
        match rejected {
            Rejected::QueueFull { .. } => app.dispatcher.metrics().rejected(Limit::QueueDepth),
            Rejected::BreakerOpen { .. } => app.dispatcher.metrics().rejected(Limit::Breaker),
            Rejected::Draining => {}
        }
        ApiError::Rejected(rejected)
    })?;
    let Outcome { result, took } = answer.await.map_err(|_| ApiError::Lost)?;
    let reply = result.map_err(ApiError::Fault)?;
    if reply.tag != Tag::Ok {
        // A message, not a document: a guest's megabytes would be escaped and copied on the runtime's threads.
        let said = &reply.body[..reply.body.len().min(MESSAGE_BYTES_MAX)];
        let message = String::from_utf8_lossy(said).into_owned();
        return Err(ApiError::Guest { tag: reply.tag, message });
    }
    // Overwritten once it is sent, as the request was.
    let mut response = Bytes::from_owner(Zeroizing::new(reply.body)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    let timing = format!("call;dur={:.3}", took.as_secs_f64() * 1e3);
    headers.insert("server-timing", HeaderValue::from_str(&timing).expect("digits"));
    Ok(response)
}
