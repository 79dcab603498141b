//! Generations that are kept, and serving an earlier one again.

use super::{
    App,
    error::ApiError,
    off_path::off_path,
    selection::{WhichQuery, registry, which},
};
use crate::{access::Caller, circuits::GenerationRecord, ids::GenerationId};
use axum::{
    Extension, Json,
    extract::{Path, State, rejection::PathRejection},
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// A generation, and what it costs to keep it.
#[derive(Serialize, ToSchema)]
#[schema(as = Generation)]
struct GenerationView {
    #[serde(flatten)]
    record: GenerationRecord,
    /// Size of its image and native code on disk, in bytes. Generations with the same image share them.
    disk_bytes: u64,
}

/// The generations of an image that are kept.
#[derive(Serialize, ToSchema)]
#[schema(as = GenerationList)]
pub(super) struct Generations {
    image: String,
    /// The one that is served.
    #[schema(value_type = u64)]
    active: GenerationId,
    generations: Vec<GenerationView>,
}

/// The answer to an activation.
#[derive(Serialize, ToSchema)]
pub(super) struct Activated {
    #[schema(value_type = u64)]
    active: GenerationId,
}

pub(super) async fn list(
    State(app): State<Arc<App>>,
    query: WhichQuery,
    Extension(caller): Extension<Arc<Caller>>,
) -> Result<Response, ApiError> {
    let registry = registry(&app, &which(query)?)?;
    let image = registry.service().name().to_owned();
    let view = off_path(move || {
        let (generations, active) = registry.generations();
        let view = |mut record: GenerationRecord| {
            record.circuits.retain(|_, entry| caller.sees(entry.owner()));
            // What is known of a circuit is in the list of circuits.
            record.circuits.values_mut().for_each(|entry| (entry.shape, entry.added) = (None, None));
            GenerationView { disk_bytes: registry.disk_bytes(&record.image), record }
        };
        (generations.into_iter().map(view).collect::<Vec<_>>(), active)
    });
    let (generations, active) = view.await?;
    Ok(Json(Generations { image, active, generations }).into_response())
}

type GenerationPath = Result<Path<GenerationId>, PathRejection>;

pub(super) async fn activate(
    State(app): State<Arc<App>>,
    id: GenerationPath,
    query: WhichQuery,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    app.gate.check_change(&app.registries, &headers)?;
    activate_as_operator(State(app), id, query).await
}

pub(super) async fn activate_as_operator(
    State(app): State<Arc<App>>,
    id: GenerationPath,
    query: WhichQuery,
) -> Result<Response, ApiError> {
    let Path(id) = id.map_err(|_| ApiError::NoRoute)?;
    let registry = registry(&app, &which(query)?)?;
    app.circuit_work.run(&app.draining, move || registry.activate(id)).await??;
    Ok(Json(Activated { active: id }).into_response())
}
