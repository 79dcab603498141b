//! Routes for operators: prepare, swap, drain, policy, events.
//!
//! Invariant: nothing here waits for a lane.

use super::{App, error::ApiError, off_path::off_path, standing};
use crate::{
    access::Caller,
    config::set_policy,
    dispatch::Dispatcher,
    ids::LaneId,
    lanes::LaneCommand,
    policy::{Policy, SwapPolicy},
    service::Service,
    telemetry::{events::Event, setting_changes::Author},
};
use axum::{
    Extension, Json,
    body::Bytes,
    extract::{
        Query, State,
        rejection::{BytesRejection, QueryRejection},
    },
    http::StatusCode,
    response::sse::{self, KeepAlive, Sse},
};
use futures_util::{Stream, StreamExt as _, stream};
use serde::Deserialize;
use std::{collections::BTreeMap, convert::Infallible, sync::Arc};
use tokio::sync::broadcast::error::RecvError;
use utoipa::IntoParams;

/// The lane and the image that a request concerns; without them, all lanes or images.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Target {
    /// The image; all of them without it.
    image: Option<String>,
    /// The lane; all of them without it.
    lane: Option<usize>,
}

pub(super) type TargetQuery = Result<Query<Target>, QueryRejection>;

pub(super) async fn prepare(
    State(app): State<Arc<App>>,
    target: TargetQuery,
) -> Result<StatusCode, ApiError> {
    command(&app, target, LaneCommand::Prepare)
}

pub(super) async fn swap(State(app): State<Arc<App>>, target: TargetQuery) -> Result<StatusCode, ApiError> {
    command(&app, target, LaneCommand::Swap)
}

/// Accepts a command. Each lane carries it out between two calls; events report that.
fn command(app: &App, target: TargetQuery, command: LaneCommand) -> Result<StatusCode, ApiError> {
    let (services, lane) = find(app, target)?;
    for service in services {
        app.dispatcher.command(command, &service, lane);
    }
    Ok(StatusCode::ACCEPTED)
}

fn find(app: &App, target: TargetQuery) -> Result<(Vec<Arc<Service>>, Option<LaneId>), ApiError> {
    let Query(Target { image, lane }) = target.map_err(|error| ApiError::BadQuery(error.body_text()))?;
    let lanes = app.dispatcher.config().lanes;
    if let Some(lane) = lane.filter(|lane| *lane >= lanes) {
        return Err(ApiError::BadQuery(format!("there is no lane {lane}: they are 0 to {}", lanes - 1)));
    }
    let services = match image {
        None => app.dispatcher.services().to_vec(),
        Some(name) => {
            vec![Arc::clone(app.dispatcher.service_named(&name).ok_or(ApiError::NoSuchImage(name))?)]
        }
    };
    Ok((services, lane.map(LaneId::from_index)))
}

/// Drains the server, as SIGTERM does.
pub(super) async fn drain(State(app): State<Arc<App>>) -> StatusCode {
    app.drain.notify_one();
    StatusCode::ACCEPTED
}

pub(super) async fn policy(
    State(app): State<Arc<App>>,
    target: TargetQuery,
) -> Result<Json<BTreeMap<String, Policy>>, ApiError> {
    let (services, _) = find(&app, target)?;
    let policies = services.iter().map(|service| (service.name().to_owned(), (*service.policy()).clone()));
    Ok(Json(policies.collect()))
}

/// Changes settings, given as JSON such as `{"swap.policy": "off"}`: all of them or none.
pub(super) async fn change_policy(
    State(app): State<Arc<App>>,
    target: TargetQuery,
    Extension(caller): Extension<Arc<Caller>>,
    body: Result<Bytes, BytesRejection>,
) -> Result<StatusCode, ApiError> {
    let (services, _) = find(&app, target)?;
    let bad = |reason: String| ApiError::BadSettings(reason);
    let body = body.map_err(|error| bad(error.body_text()))?;
    let changes: BTreeMap<String, serde_json::Value> =
        serde_json::from_slice(&body).map_err(|error| bad(error.to_string()))?;
    let by = caller.key.map_or(Author::Operator, |key| Author::Key(key.to_string()));
    // Waits for a publication that is under way.
    off_path(move || set_policies(&app.dispatcher, &services, &changes, &by)).await??;
    Ok(StatusCode::NO_CONTENT)
}

fn set_policies(
    dispatcher: &Dispatcher,
    services: &[Arc<Service>],
    changes: &BTreeMap<String, serde_json::Value>,
    by: &Author,
) -> Result<(), ApiError> {
    let bad = |reason: String| ApiError::BadSettings(reason);
    let _policies = dispatcher.lock_policies();
    let mut changed = Vec::new();
    for service in services {
        let mut policy = (*service.policy()).clone();
        let generation = service.current();
        let manifest = &generation.image().manifest;
        let of_guest = SwapPolicy::of_guest(manifest);
        for (key, value) in changes {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            set_policy(&mut policy, key, &value, of_guest)
                .map_err(|accepted| bad(format!("`{key}` = {value:?} is not accepted: {accepted}")))?;
        }
        policy.check(manifest.memory_bytes, dispatcher.config().standby_max).map_err(bad)?;
        changed.push((service, policy));
    }
    for (service, policy) in changed {
        dispatcher.set_policy(service, policy, by);
    }
    Ok(())
}

/// Sends events as they happen, until the client disconnects, its key is no longer accepted or the server stops.
pub(super) async fn events(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Arc<Caller>>,
) -> Sse<impl Stream<Item = Result<sse::Event, Infallible>> + Send> {
    let listener = app.dispatcher.events().listen();
    let metrics = Arc::clone(app.dispatcher.metrics());
    let stream = stream::unfold((listener, metrics), |(mut listener, metrics)| async move {
        let event = match listener.recv().await {
            Ok(event) => to_sse(&event),
            Err(RecvError::Lagged(missed)) => {
                metrics.events_missed(missed);
                sse::Event::default().event("missed").data(missed.to_string())
            }
            Err(RecvError::Closed) => return None,
        };
        Some((Ok(event), (listener, metrics)))
    });
    Sse::new(stream.take_until(standing::ended(app, caller))).keep_alive(KeepAlive::default())
}

fn to_sse(event: &Event) -> sse::Event {
    sse::Event::default().event(event.name()).data(event.to_string())
}
