//! Routes for operators, on a listener of their own, each with a token: prepare, swap, drain, policy, status,
//! events.
//!
//! Invariant: nothing here is done before the token was compared, and nothing here waits for a lane.

use super::{App, circuits, error::ApiError, status};
use crate::{
    config::set_policy,
    dispatch::{Dispatcher, Wish},
    events::Event,
    policy::Policy,
};
use axum::{
    Json, Router,
    body::Bytes,
    extract::{
        Query, Request, State,
        rejection::{BytesRejection, QueryRejection},
    },
    http::{StatusCode, header},
    middleware::{self, Next},
    response::{
        IntoResponse, Response,
        sse::{self, KeepAlive, Sse},
    },
    routing::{get, post, put},
};
use futures_util::{Stream, stream};
use serde::Deserialize;
use std::{
    collections::BTreeMap, convert::Infallible, fs, io, os::unix::fs::PermissionsExt, path::Path, sync::Arc,
};
use tokio::sync::broadcast::error::RecvError;

/// Shortest token that is taken.
const TOKEN_BYTES_MIN: usize = 16;

/// What admin requests have to carry. Only its hash is kept; comparing hashes takes the same time for any guess.
pub struct Token(blake3::Hash);

impl Token {
    /// Reads it from a file that is its owner's alone.
    ///
    /// # Errors
    /// When the file cannot be read, others may read it too, or the token is short.
    pub fn read(path: &Path) -> io::Result<Self> {
        let refuse = |why: String| Err(io::Error::new(io::ErrorKind::InvalidData, why));
        let file = fs::File::open(path)?;
        let mode = file.metadata()?.permissions().mode();
        if mode & 0o077 != 0 {
            return refuse(format!("others may read it (mode {:o}): chmod 600", mode & 0o777));
        }
        let text = zeroize::Zeroizing::new(io::read_to_string(file)?);
        let token = text.trim();
        if token.len() < TOKEN_BYTES_MIN {
            return refuse(format!("a token has at least {TOKEN_BYTES_MIN} characters"));
        }
        Ok(Self(blake3::hash(token.as_bytes())))
    }

    fn is(&self, candidate: &[u8]) -> bool {
        self.0 == blake3::hash(candidate)
    }
}

/// Every admin route.
pub(super) fn router(app: &Arc<App>, token: Token) -> Router {
    Router::new()
        .route("/v1/admin/status", get(status::status))
        .route("/v1/admin/prepare", post(prepare))
        .route("/v1/admin/swap", post(swap))
        .route("/v1/admin/drain", post(drain))
        .route("/v1/admin/policy", get(policy).patch(change_policy))
        .route("/v1/admin/events", get(events))
        .route(
            "/v1/circuits/{circuit}",
            circuits::changes(app, put(circuits::add_allowed).delete(circuits::remove_allowed)),
        )
        .route("/v1/jobs", get(circuits::jobs))
        .route("/v1/jobs/{id}", get(circuits::job))
        .route("/v1/jobs/{id}/events", get(circuits::job_events))
        .route("/v1/generations", get(circuits::generations))
        .route("/v1/generations/{id}/activate", post(circuits::activate_allowed))
        .fallback(|| async { ApiError::NoRoute })
        .method_not_allowed_fallback(|| async { ApiError::WrongMethod })
        .layer(middleware::from_fn_with_state(Arc::new(token), authorise))
        .layer(middleware::from_fn_with_state(Arc::clone(app), super::request_id::layer))
        .with_state(Arc::clone(app))
}

async fn authorise(State(token): State<Arc<Token>>, request: Request, next: Next) -> Response {
    let given = request.headers().get(header::AUTHORIZATION).map(|value| value.as_bytes());
    match given.and_then(|value| value.strip_prefix(b"Bearer ")) {
        Some(candidate) if token.is(candidate) => next.run(request).await,
        _ => ApiError::Unauthorised.into_response(),
    }
}

/// Which lanes and images are meant; without a name, all.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Which {
    image: Option<String>,
    lane: Option<usize>,
}

type WhichQuery = Result<Query<Which>, QueryRejection>;

async fn prepare(State(app): State<Arc<App>>, which: WhichQuery) -> Result<Response, ApiError> {
    wish(&app, which, Wish::Prepare)
}

async fn swap(State(app): State<Arc<App>>, which: WhichQuery) -> Result<Response, ApiError> {
    wish(&app, which, Wish::Swap)
}

/// Accepted: it is done between two calls of each lane, and told by the events.
fn wish(app: &App, which: WhichQuery, wish: Wish) -> Result<Response, ApiError> {
    let (services, lane) = find(app, which)?;
    for service in services {
        app.dispatcher.wish(wish, service, lane);
    }
    Ok(StatusCode::ACCEPTED.into_response())
}

fn find(app: &App, which: WhichQuery) -> Result<(Vec<usize>, Option<usize>), ApiError> {
    let Query(Which { image, lane }) = which.map_err(|error| ApiError::BadQuery(error.body_text()))?;
    let lanes = app.dispatcher.config().lanes;
    if let Some(lane) = lane.filter(|lane| *lane >= lanes) {
        return Err(ApiError::BadQuery(format!("there is no lane {lane}: they are 0 to {}", lanes - 1)));
    }
    let services = app.dispatcher.services();
    let services = match image {
        None => (0..services.len()).collect(),
        Some(name) => {
            let index = services.iter().position(|service| service.name() == name);
            vec![index.ok_or(ApiError::NoSuchImage(name))?]
        }
    };
    Ok((services, lane))
}

/// As SIGTERM does.
async fn drain(State(app): State<Arc<App>>) -> StatusCode {
    app.drain.notify_one();
    StatusCode::ACCEPTED
}

async fn policy(
    State(app): State<Arc<App>>,
    which: WhichQuery,
) -> Result<Json<BTreeMap<String, Policy>>, ApiError> {
    let (services, _) = find(&app, which)?;
    let all = app.dispatcher.services();
    Ok(Json(
        services
            .into_iter()
            .map(|index| (all[index].name().to_owned(), (*all[index].policy()).clone()))
            .collect(),
    ))
}

/// Changes keys of the table of settings, given as JSON: `{"swap.policy": "off"}`. All of them or none.
async fn change_policy(
    State(app): State<Arc<App>>,
    which: WhichQuery,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, ApiError> {
    let (services, _) = find(&app, which)?;
    let bad = |reason: String| ApiError::BadSettings(reason);
    let body = body.map_err(|error| bad(error.body_text()))?;
    let changes: BTreeMap<String, serde_json::Value> =
        serde_json::from_slice(&body).map_err(|error| bad(error.to_string()))?;
    // A publication that is under way comes first, and takes its time.
    let changed = tokio::task::spawn_blocking(move || serve_by(&app.dispatcher, services, &changes));
    changed.await.map_err(|_| ApiError::Lost)??;
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn serve_by(
    dispatcher: &Dispatcher,
    services: Vec<usize>,
    changes: &BTreeMap<String, serde_json::Value>,
) -> Result<(), ApiError> {
    let bad = |reason: String| ApiError::BadSettings(reason);
    let _changing = dispatcher.changing();
    let mut changed = Vec::new();
    for index in services {
        let service = &dispatcher.services()[index];
        let mut policy = (*service.policy()).clone();
        for (key, value) in changes {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            set_policy(&mut policy, key, &value)
                .map_err(|accepted| bad(format!("`{key}` = {value:?} is not accepted: {accepted}")))?;
        }
        policy.check(&service.current()).map_err(bad)?;
        changed.push((index, policy));
    }
    for (index, policy) in changed {
        dispatcher.serve_by(index, policy);
    }
    Ok(())
}

/// Events as they happen, until the client goes or the server stops.
async fn events(
    State(app): State<Arc<App>>,
) -> Sse<impl Stream<Item = Result<sse::Event, Infallible>> + Send> {
    let listener = app.dispatcher.events().listen();
    let metrics = Arc::clone(app.dispatcher.metrics());
    let stopping = app.stopping.subscribe();
    let stream =
        stream::unfold((listener, metrics, stopping), |(mut listener, metrics, mut stopping)| async move {
            let heard = tokio::select! {
                heard = listener.recv() => heard,
                _ = stopping.wait_for(|stopping| *stopping) => return None,
            };
            let event = match heard {
                Ok(event) => told(&event),
                Err(RecvError::Lagged(missed)) => {
                    metrics.events_missed(missed);
                    sse::Event::default().event("missed").data(missed.to_string())
                }
                Err(RecvError::Closed) => return None,
            };
            Some((Ok(event), (listener, metrics, stopping)))
        });
    Sse::new(stream).keep_alive(KeepAlive::default())
}

fn told(event: &Event) -> sse::Event {
    sse::Event::default().event(event.name()).data(event.to_string())
}
