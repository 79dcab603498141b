//! Circuits that come and go: add, remove, the jobs that this takes, the generations that come of it.
//!
//! Invariant: what is accepted is on disk; what is wrong with a circuit itself is said at once, not by a job.

use super::{App, calls::Which, error::ApiError};
use crate::circuits::{Edition, Files, GenerationId, Job, JobId, JobState, Keeper, Refused, Submitted};
use axum::{
    Json,
    extract::{
        DefaultBodyLimit, Multipart, Path, Query, State,
        multipart::{Field, MultipartError},
        rejection::{PathRejection, QueryRejection},
    },
    http::{HeaderValue, StatusCode, header},
    response::{
        IntoResponse, Response,
        sse::{self, KeepAlive, Sse},
    },
    routing::MethodRouter,
};
use futures_util::{Stream, stream};
use serde::{Deserialize, Serialize};
use snapback_abi::circuits::is_name;
use snapback_guest_plonk as plonk;
use snapback_snapshot::{Digest, Refusal, calculators};
use std::{convert::Infallible, sync::Arc};

/// The routes that change circuits, with a limit of their own for bodies.
pub(super) fn changes(app: &App, routes: MethodRouter<Arc<App>>) -> MethodRouter<Arc<App>> {
    /// What a multipart is made of beside its files.
    const ENVELOPE_BYTES_MAX: u64 = 64 << 10;
    let bytes_max = app.http.upload_bytes_max + ENVELOPE_BYTES_MAX;
    routes.layer(DefaultBodyLimit::max(usize::try_from(bytes_max).unwrap_or(usize::MAX)))
}

/// How a circuit is to be added.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct How {
    image: Option<String>,
    #[serde(default)]
    replace: bool,
}

#[derive(Serialize)]
struct JobView {
    id: JobId,
    image: String,
    change: serde_json::Value,
    #[serde(flatten)]
    state: JobState,
    /// What the bake is at.
    #[serde(skip_serializing_if = "Option::is_none")]
    stage: Option<String>,
    percent: u32,
}

impl JobView {
    fn of(keeper: &Keeper, image: &str, id: JobId) -> Option<Self> {
        let (Job { id, change, state }, step) = keeper.job(id)?;
        let change = serde_json::to_value(change).expect("a change has string keys only");
        let (stage, percent) = match (&state, step) {
            (JobState::Done { .. }, _) => (None, 100),
            (_, Some((stage, percent))) => (Some(stage), percent),
            (_, None) => (None, 0),
        };
        Some(Self { id, image: image.into(), change, state, stage, percent })
    }
}

type WhichQuery = Result<Query<Which>, QueryRejection>;
type HowQuery = Result<Query<How>, QueryRejection>;

/// A keeper, and the name of its image.
type Kept = (Arc<Keeper>, String);

/// The keeper of the image that is asked for; of the only one, where there is one.
fn keeper(app: &App, image: Option<&str>) -> Result<Kept, ApiError> {
    let services = app.dispatcher.services();
    let kept = || app.keepers.of_services.iter().map(|(index, keeper)| (&services[*index], keeper));
    let mut fits = kept().filter(|(service, _)| image.is_none_or(|image| service.name() == image));
    if let Some(image) = image
        && !services.iter().any(|service| service.name() == image)
    {
        return Err(ApiError::NoSuchImage(image.into()));
    }
    match (fits.next(), fits.next()) {
        (Some((service, keeper)), None) => Ok((Arc::clone(keeper), service.name().to_owned())),
        (Some(_), Some(_)) => Err(ApiError::Ambiguous {
            what: "circuits as data".into(),
            images: kept().map(|(service, _)| service.name().to_owned()).collect(),
        }),
        (None, _) => Err(ApiError::NoCircuitsAsData),
    }
}

fn which(query: WhichQuery) -> Result<Option<String>, ApiError> {
    query.map(|Query(which)| which.image).map_err(|error| ApiError::BadQuery(error.body_text()))
}

/// What keepers do waits for disks and for each other: not for the runtime's threads.
async fn off_path<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, ApiError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| ApiError::Lost)
}

/// Refuses changes where they are not taken; see `circuits.changes`.
fn allowed(app: &App) -> Result<(), ApiError> {
    match app.keepers.take_changes {
        true => Ok(()),
        false if app.keepers.of_services.is_empty() => Err(ApiError::NoCircuitsAsData),
        false => Err(ApiError::ChangesOff),
    }
}

pub(crate) async fn add(
    State(app): State<Arc<App>>,
    name: Result<Path<String>, PathRejection>,
    how: HowQuery,
    parts: Result<Multipart, axum::extract::multipart::MultipartRejection>,
) -> Result<Response, ApiError> {
    allowed(&app)?;
    add_allowed(State(app), name, how, parts).await
}

pub(crate) async fn add_allowed(
    State(app): State<Arc<App>>,
    name: Result<Path<String>, PathRejection>,
    how: HowQuery,
    parts: Result<Multipart, axum::extract::multipart::MultipartRejection>,
) -> Result<Response, ApiError> {
    let Path(name) = name.map_err(|_| ApiError::NoRoute)?;
    let Query(How { image, replace }) = how.map_err(|error| ApiError::BadQuery(error.body_text()))?;
    let (keeper, image) = keeper(&app, image.as_deref())?;
    if !is_name(&name) || name.starts_with(['.', '-']) {
        let message =
            format!("`{name}` cannot name a circuit: 1 to 128 of a-z A-Z 0-9 . _ -, first a letter or digit");
        return Err(ApiError::BadCircuit(message));
    }
    let elsewhere = app.dispatcher.services().iter().find(|service| {
        let generation = service.current();
        let mut circuits = generation.image().manifest.circuits.iter();
        service.name() != image && circuits.any(|circuit| circuit.name == name)
    });
    if let Some(service) = elsewhere {
        return Err(ApiError::Refused(Refused::NameTaken(format!("{name} of {}", service.name()))));
    }
    let parts = parts.map_err(|_| {
        ApiError::BadCircuit("send multipart/form-data with a part `r1cs`: curl -F r1cs=@FILE".into())
    })?;
    // Room for what the files become while they are checked; kept until that is done, whatever the client does.
    let room = Arc::clone(&app.uploads).try_acquire_owned().map_err(|_| ApiError::UploadsFull)?;
    let reading = tokio::time::timeout(app.http.body_timeout, read(&app, parts)).await;
    let files = reading.map_err(|_| ApiError::BodyTooSlow)??;
    let accepted = off_path(move || {
        let memory_bytes_max = keeper.config().calculators.memory_bytes_max;
        let submitted =
            check(files, memory_bytes_max).and_then(|files| Ok(keeper.add(&name, &files, replace)?));
        drop(room);
        accepted(&keeper, &image, submitted?)
    });
    accepted.await?
}

/// The files of an upload.
#[derive(Default)]
struct Upload {
    r1cs: Option<Vec<u8>>,
    sym: Option<Vec<u8>>,
    wasm: Option<Vec<u8>>,
}

async fn read(app: &App, mut parts: Multipart) -> Result<Upload, ApiError> {
    let mut upload = Upload::default();
    let mut left = app.http.upload_bytes_max;
    while let Some(field) = parts.next_field().await.map_err(|error| broken(app, &error))? {
        let name = field.name().unwrap_or_default().to_owned();
        let place = match name.as_str() {
            "r1cs" => &mut upload.r1cs,
            "sym" => &mut upload.sym,
            "wasm" => &mut upload.wasm,
            _ => {
                let message =
                    format!("no part is called `{name}`; there are r1cs, and optionally sym and wasm");
                return Err(ApiError::BadCircuit(message));
            }
        };
        if place.replace(bytes(app, field, &mut left).await?).is_some() {
            return Err(ApiError::BadCircuit(format!("part `{name}` comes twice")));
        }
    }
    Ok(upload)
}

async fn bytes(app: &App, mut field: Field<'_>, left: &mut u64) -> Result<Vec<u8>, ApiError> {
    let bytes_max = app.http.upload_bytes_max;
    let mut bytes = Vec::new();
    while let Some(chunk) = field.chunk().await.map_err(|error| broken(app, &error))? {
        *left = left.checked_sub(chunk.len() as u64).ok_or(ApiError::UploadTooLarge { bytes_max })?;
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

fn broken(app: &App, error: &MultipartError) -> ApiError {
    if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
        return ApiError::UploadTooLarge { bytes_max: app.http.upload_bytes_max };
    }
    ApiError::BadCircuit(error.body_text())
}

/// Reads the circuit as the bake will, so that what is wrong with it is said at once.
fn check(Upload { r1cs, sym, wasm }: Upload, memory_bytes_max: u64) -> Result<Files, ApiError> {
    let r1cs = r1cs.ok_or_else(|| ApiError::BadCircuit("the part `r1cs` is missing".into()))?;
    let bad = |error: plonk::Error| match error {
        plonk::Error::Unsupported(message) => ApiError::UnsupportedCircuit(message),
        error => ApiError::BadCircuit(error.to_string()),
    };
    let circuit = plonk::identify(&r1cs).map_err(bad)?;
    if let Some(sym) = &sym {
        let wires = plonk::r1cs::Header::read(&r1cs).map_err(bad)?.wires;
        plonk::sym::Names::read(sym, wires).map_err(bad)?;
    }
    if let Some(wasm) = &wasm {
        let refuse = |error: Refusal| ApiError::BadCircuit(format!("the part `wasm` is refused: {error}"));
        calculators::check(wasm, memory_bytes_max).map_err(refuse)?;
    }
    Ok(Files { circuit: Digest::from_bytes(circuit), r1cs, sym, wasm })
}

pub(crate) async fn remove(
    State(app): State<Arc<App>>,
    name: Result<Path<String>, PathRejection>,
    query: WhichQuery,
) -> Result<Response, ApiError> {
    allowed(&app)?;
    remove_allowed(State(app), name, query).await
}

pub(crate) async fn remove_allowed(
    State(app): State<Arc<App>>,
    name: Result<Path<String>, PathRejection>,
    query: WhichQuery,
) -> Result<Response, ApiError> {
    let Path(name) = name.map_err(|_| ApiError::NoRoute)?;
    let (keeper, image) = keeper(&app, which(query)?.as_deref())?;
    off_path(move || accepted(&keeper, &image, keeper.remove(&name)?)).await?
}

fn accepted(keeper: &Keeper, image: &str, submitted: Submitted) -> Result<Response, ApiError> {
    match submitted {
        Submitted::Unchanged(generation) => {
            Ok(Json(serde_json::json!({ "state": "unchanged", "generation": generation })).into_response())
        }
        Submitted::Accepted(id) => {
            let view = JobView::of(keeper, image, id).ok_or(ApiError::NoSuchJob(id))?;
            let mut response = (StatusCode::ACCEPTED, Json(view)).into_response();
            let place = format!("/v1/jobs/{id}?image={image}");
            response.headers_mut().insert(header::LOCATION, HeaderValue::from_str(&place).expect("plain"));
            Ok(response)
        }
    }
}

pub(crate) async fn jobs(State(app): State<Arc<App>>, query: WhichQuery) -> Result<Response, ApiError> {
    let (keeper, image) = keeper(&app, which(query)?.as_deref())?;
    let jobs = off_path(move || {
        let ids = keeper.jobs();
        ids.into_iter().filter_map(|id| JobView::of(&keeper, &image, id)).collect::<Vec<_>>()
    });
    Ok(Json(serde_json::json!({ "jobs": jobs.await? })).into_response())
}

type JobPath = Result<Path<JobId>, PathRejection>;

pub(crate) async fn job(
    State(app): State<Arc<App>>,
    id: JobPath,
    query: WhichQuery,
) -> Result<Response, ApiError> {
    let Path(id) = id.map_err(|_| ApiError::NoRoute)?;
    let (keeper, image) = keeper(&app, which(query)?.as_deref())?;
    let view = view(&keeper, &image, id).await?;
    Ok(Json(view.ok_or(ApiError::NoSuchJob(id))?).into_response())
}

/// A job as it is now.
async fn view(keeper: &Arc<Keeper>, image: &str, id: JobId) -> Result<Option<JobView>, ApiError> {
    let (keeper, image) = (Arc::clone(keeper), image.to_owned());
    off_path(move || JobView::of(&keeper, &image, id)).await
}

/// A job as it goes on; ends when the job does.
pub(crate) async fn job_events(
    State(app): State<Arc<App>>,
    id: JobPath,
    query: WhichQuery,
) -> Result<Sse<impl Stream<Item = Result<sse::Event, Infallible>> + Send>, ApiError> {
    let Path(id) = id.map_err(|_| ApiError::NoRoute)?;
    let (keeper, image) = keeper(&app, which(query)?.as_deref())?;
    view(&keeper, &image, id).await?.ok_or(ApiError::NoSuchJob(id))?;
    let changes = keeper.watch();
    let stopping = app.stopping.subscribe();
    let begin = (keeper, image, changes, stopping, String::new(), false);
    let stream =
        stream::unfold(begin, move |(keeper, image, mut changes, mut stopping, last, ended)| async move {
            if ended {
                return None;
            }
            loop {
                changes.mark_unchanged();
                let view = view(&keeper, &image, id).await.ok()??;
                let ended = !view.state.is_open();
                let text = serde_json::to_string(&view).expect("a view has string keys only");
                if text != last {
                    let event = sse::Event::default().event("job").data(text.clone());
                    return Some((Ok(event), (keeper, image, changes, stopping, text, ended)));
                }
                tokio::select! {
                    changed = changes.changed() => changed.ok()?,
                    _ = stopping.wait_for(|stopping| *stopping) => return None,
                }
            }
        });
    Ok(Sse::new(stream).keep_alive(KeepAlive::default()))
}

pub(crate) async fn generations(
    State(app): State<Arc<App>>,
    query: WhichQuery,
) -> Result<Response, ApiError> {
    let (keeper, image) = keeper(&app, which(query)?.as_deref())?;
    let (editions, active): (Vec<Edition>, GenerationId) = off_path(move || keeper.generations()).await?;
    Ok(Json(serde_json::json!({ "image": image, "active": active, "generations": editions })).into_response())
}

pub(crate) async fn activate(
    State(app): State<Arc<App>>,
    id: Result<Path<GenerationId>, PathRejection>,
    query: WhichQuery,
) -> Result<Response, ApiError> {
    allowed(&app)?;
    activate_allowed(State(app), id, query).await
}

pub(crate) async fn activate_allowed(
    State(app): State<Arc<App>>,
    id: Result<Path<GenerationId>, PathRejection>,
    query: WhichQuery,
) -> Result<Response, ApiError> {
    let Path(id) = id.map_err(|_| ApiError::NoRoute)?;
    let (keeper, _) = keeper(&app, which(query)?.as_deref())?;
    off_path(move || keeper.activate(id)).await??;
    Ok(Json(serde_json::json!({ "active": id })).into_response())
}
