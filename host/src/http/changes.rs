//! The states of changes of circuits, as a list, one by one, or as a stream of events; and their cancellation.

use super::{
    App,
    error::ApiError,
    off_path::off_path,
    selection::{WhichQuery, registry, which},
    standing,
};
use crate::{
    access::{Caller, Permission},
    circuits::{Change, ChangeKind, ChangeState, Entry, Progress, Refused, Registry},
    ids::{ChangeId, GenerationId},
};
use axum::{
    Extension, Json,
    extract::{Path, State, rejection::PathRejection},
    http::HeaderMap,
    response::{
        IntoResponse, Response,
        sse::{self, KeepAlive, Sse},
    },
};
use futures_util::{Stream, StreamExt as _, stream};
use serde::Serialize;
use std::{convert::Infallible, sync::Arc};
use tokio::sync::watch;
use utoipa::ToSchema;

/// A change, as clients see it.
#[derive(Serialize, ToSchema)]
#[schema(as = Change)]
pub(super) struct ChangeView {
    #[schema(value_type = u64)]
    id: ChangeId,
    image: String,
    change: KindView,
    #[serde(flatten)]
    state: StateView,
    /// The stage of the bake.
    #[serde(skip_serializing_if = "Option::is_none")]
    stage: Option<String>,
    percent: u32,
    /// How long the rest of the stage is likely to take, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    left_s: Option<u64>,
}

/// What is to change.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ChangeKind)]
enum KindView {
    Add(AddedCircuit),
    Remove(RemovedCircuit),
    Rebuild,
    Compact,
}

/// A circuit that is added, or replaces another of its name.
#[derive(Serialize, ToSchema)]
struct AddedCircuit {
    name: String,
    entry: Box<Entry>,
}

/// A circuit that is removed.
#[derive(Serialize, ToSchema)]
struct RemovedCircuit {
    name: String,
}

impl From<ChangeKind> for KindView {
    fn from(kind: ChangeKind) -> Self {
        match kind {
            ChangeKind::Add { name, mut entry } => {
                // What is known of a circuit is in the list of circuits, and who sent a change is for operators.
                (entry.shape, entry.added) = (None, None);
                Self::Add(AddedCircuit { name, entry })
            }
            ChangeKind::Remove { name } => Self::Remove(RemovedCircuit { name }),
            ChangeKind::Rebuild => Self::Rebuild,
            ChangeKind::Compact => Self::Compact,
        }
    }
}

/// The state of a change.
#[derive(Serialize, ToSchema)]
#[schema(as = ChangeState)]
struct StateView {
    state: StateName,
    /// The first generation that has a change that is done.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>)]
    generation: Option<GenerationId>,
    /// Why a change failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// What becomes of a change.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ChangeStateName)]
enum StateName {
    Waiting,
    Baking,
    Done,
    Failed,
    Cancelled,
}

impl From<ChangeState> for StateView {
    fn from(state: ChangeState) -> Self {
        let (state, generation, reason) = match state {
            ChangeState::Waiting => (StateName::Waiting, None, None),
            ChangeState::Baking => (StateName::Baking, None, None),
            ChangeState::Done { generation } => (StateName::Done, Some(generation), None),
            ChangeState::Failed { reason } => (StateName::Failed, None, Some(reason)),
            ChangeState::Cancelled => (StateName::Cancelled, None, None),
        };
        Self { state, generation, reason }
    }
}

/// The changes that wait, and the latest that ended.
#[derive(Serialize, ToSchema)]
#[schema(as = ChangeList)]
pub(super) struct Changes {
    changes: Vec<ChangeView>,
}

impl ChangeView {
    /// Returns the view of a change; `None` if there is none that the caller sees.
    pub(super) fn of(registry: &Registry, id: ChangeId, caller: &Caller) -> Option<Self> {
        let (Change { id, kind, state, tenant, .. }, progress) = registry.change(id)?;
        if !caller.sees(tenant.as_ref()) {
            return None;
        }
        let (stage, percent, left_s) = match (&state, progress) {
            (ChangeState::Done { .. }, _) => (None, 100, None),
            (_, Some(Progress { stage, percent, left_s })) => (Some(stage), percent, left_s),
            (_, None) => (None, 0, None),
        };
        let image = registry.service().name().to_owned();
        Some(Self { id, image, change: kind.into(), state: state.into(), stage, percent, left_s })
    }
}

pub(super) async fn list(
    State(app): State<Arc<App>>,
    query: WhichQuery,
    Extension(caller): Extension<Arc<Caller>>,
) -> Result<Response, ApiError> {
    let registry = registry(&app, &which(query)?)?;
    let changes = off_path(move || {
        let ids = registry.changes();
        ids.into_iter().filter_map(|id| ChangeView::of(&registry, id, &caller)).collect()
    });
    Ok(Json(Changes { changes: changes.await? }).into_response())
}

type ChangePath = Result<Path<ChangeId>, PathRejection>;

pub(super) async fn show(
    State(app): State<Arc<App>>,
    id: ChangePath,
    query: WhichQuery,
    Extension(caller): Extension<Arc<Caller>>,
) -> Result<Response, ApiError> {
    let Path(id) = id.map_err(|_| ApiError::NoRoute)?;
    let registry = registry(&app, &which(query)?)?;
    let view = view(&registry, id, &caller).await?;
    Ok(Json(view.ok_or(Refused::NoSuchChange(id))?).into_response())
}

pub(super) async fn cancel(
    State(app): State<Arc<App>>,
    id: ChangePath,
    query: WhichQuery,
    headers: HeaderMap,
    caller: Extension<Arc<Caller>>,
) -> Result<Response, ApiError> {
    app.gate.check_change(&app.registries, &headers)?;
    cancel_as_operator(State(app), id, query, caller).await
}

pub(super) async fn cancel_as_operator(
    State(app): State<Arc<App>>,
    id: ChangePath,
    query: WhichQuery,
    Extension(caller): Extension<Arc<Caller>>,
) -> Result<Response, ApiError> {
    let Path(id) = id.map_err(|_| ApiError::NoRoute)?;
    let registry = registry(&app, &which(query)?)?;
    let cancelled = app.circuit_work.run(&app.draining, move || {
        let (change, _) = registry.change(id).ok_or(Refused::NoSuchChange(id))?;
        if !caller.sees(change.tenant.as_ref()) {
            return Err(Refused::NoSuchChange(id));
        }
        // What is for all is for operators to change.
        if change.tenant.is_none() && !caller.may(Permission::Operate) {
            return Err(Refused::ForAll(change.kind.name().unwrap_or("every circuit").to_owned()));
        }
        registry.cancel(id)?;
        ChangeView::of(&registry, id, &caller).ok_or(Refused::NoSuchChange(id))
    });
    Ok(Json(cancelled.await??).into_response())
}

async fn view(
    registry: &Arc<Registry>,
    id: ChangeId,
    caller: &Arc<Caller>,
) -> Result<Option<ChangeView>, ApiError> {
    let (registry, caller) = (Arc::clone(registry), Arc::clone(caller));
    off_path(move || ChangeView::of(&registry, id, &caller)).await
}

/// Follows a change, and ends when the change does, the key of the client is no longer accepted or the server drains.
pub(super) async fn events(
    State(app): State<Arc<App>>,
    id: ChangePath,
    query: WhichQuery,
    Extension(caller): Extension<Arc<Caller>>,
) -> Result<Sse<impl Stream<Item = Result<sse::Event, Infallible>> + Send>, ApiError> {
    let Path(id) = id.map_err(|_| ApiError::NoRoute)?;
    let registry = registry(&app, &which(query)?)?;
    view(&registry, id, &caller).await?.ok_or(Refused::NoSuchChange(id))?;
    let standing = standing::ended(Arc::clone(&app), Arc::clone(&caller));
    let follower = Follower {
        id,
        caller,
        changes: registry.watch(),
        draining: app.draining.subscribe(),
        registry,
        last: String::new(),
        has_ended: false,
    };
    let stream = stream::unfold(follower, |mut follower| async {
        let event = follower.next().await?;
        Some((Ok(event), follower))
    });
    Ok(Sse::new(stream.take_until(standing)).keep_alive(KeepAlive::default()))
}

/// Follows one change.
struct Follower {
    id: ChangeId,
    caller: Arc<Caller>,
    registry: Arc<Registry>,
    changes: watch::Receiver<u64>,
    draining: watch::Receiver<bool>,
    /// The last event that was sent.
    last: String,
    has_ended: bool,
}

impl Follower {
    /// Waits for the next event; returns `None` after the last one.
    async fn next(&mut self) -> Option<sse::Event> {
        if self.has_ended {
            return None;
        }
        loop {
            self.changes.mark_unchanged();
            let view = view(&self.registry, self.id, &self.caller).await.ok()??;
            self.has_ended = !matches!(view.state.state, StateName::Waiting | StateName::Baking);
            let text = serde_json::to_string(&view).expect("a view has string keys only");
            if text != self.last {
                self.last.clone_from(&text);
                return Some(sse::Event::default().event("change").data(text));
            }
            tokio::select! {
                changed = self.changes.changed() => changed.ok()?,
                _ = self.draining.wait_for(|draining| *draining) => return None,
            }
        }
    }
}
