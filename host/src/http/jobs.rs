//! Jobs: their states, one by one, as a list or as a stream of events; their results; and their cancellation.
//!
//! Invariant: a client that waits holds a place of `http.connections_max` and the memory of its connection, and no thread.

use super::{
    App,
    call::JSON,
    error::ApiError,
    job_access::job_engine,
    job_view::JobView,
    off_path::off_path,
    selection::{PathText, segment},
    standing,
};
use crate::{
    access::Caller,
    jobs::{Cursor, JobEngine, JobFilter, JobId, JobRecord, State as JobState, Tenant},
};
use axum::{
    Extension, Json,
    extract::{Query, State, rejection::QueryRejection},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{
        IntoResponse, Response,
        sse::{self, KeepAlive, Sse},
    },
};
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use serde::{Deserialize, Serialize};
use snapback_abi::methods;
use std::{convert::Infallible, pin::pin, sync::Arc, time::Duration};
use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};
use utoipa::{IntoParams, ToSchema};
use zeroize::Zeroizing;

/// Longest time that a request waits for the end of a job.
const WAIT_MAX: Duration = Duration::from_mins(5);
/// Jobs of a page, and most that a client may ask for.
const PAGE_LEN: usize = 50;
const PAGE_LEN_MAX: usize = 1000;

/// The query of a job.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct WaitQuery {
    /// How long to wait for the end of the job, such as `30s`; at most five minutes.
    wait: Option<String>,
}

/// The query of the list.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListQuery {
    /// Jobs in this state alone.
    state: Option<JobState>,
    /// Jobs of this image alone.
    image: Option<String>,
    /// Jobs of this circuit alone.
    circuit: Option<String>,
    /// Jobs of a page; 50 without it.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
    /// Where the page begins: the field `next` of the page before it.
    cursor: Option<String>,
}

/// A page of the list.
#[derive(Serialize, ToSchema)]
#[schema(as = JobPage)]
pub(super) struct Page {
    jobs: Vec<JobView>,
    /// Where the next page begins.
    #[schema(value_type = Option<String>)]
    next: Option<Cursor>,
}

/// Returns the id in a path. Text that is no id names no job.
pub(super) fn id_of(path: PathText) -> Result<JobId, ApiError> {
    segment(path)?.parse().map_err(|_| ApiError::Job(crate::jobs::JobError::NotFound))
}

pub(super) fn bad_query(error: &QueryRejection) -> ApiError {
    ApiError::BadQuery(error.body_text())
}

/// Answers with a job: at once, or with `?wait=30s` when it has ended or that time has passed.
pub(super) async fn show(
    State(app): State<Arc<App>>,
    id: PathText,
    query: Result<Query<WaitQuery>, QueryRejection>,
    headers: HeaderMap,
    Extension(caller): Extension<Arc<Caller>>,
) -> Result<Response, ApiError> {
    let id = id_of(id)?;
    let Query(WaitQuery { wait }) = query.map_err(|error| bad_query(&error))?;
    let accepted = || ApiError::BadQuery("`wait` is not accepted: a time such as 30s".into());
    let wait = wait.map(|text| humantime::parse_duration(&text).map_err(|_| accepted())).transpose()?;
    let engine = job_engine(&app, &headers).await?;
    let mut follower = Follower::new(&app, &caller, engine, id);
    let mut record = follower.read().await?;
    if let Some(wait) = wait {
        let end = Instant::now() + wait.min(WAIT_MAX);
        let mut standing = pin!(standing::ended(Arc::clone(&app), Arc::clone(&caller)));
        while !record.state.has_ended() {
            let changed = timeout_at(end, follower.changed());
            tokio::select! {
                biased;
                denied = &mut standing => return Err(denied.into()),
                changed = changed => match changed {
                    Ok(Some(())) => record = follower.read().await?,
                    Ok(None) | Err(_) => break,
                },
            }
        }
    }
    // A job without a callback has no delivery, and one that has not ended has none yet.
    let delivery = match &record.callback {
        Some(_) if record.state.has_ended() => follower.engine.delivery(Some(&caller.tenant), id).await.ok(),
        _ => None,
    };
    let view = JobView::of(&app, &record).with_delivery(delivery.map(|delivery| delivery.state));
    Ok(Json(view).into_response())
}

/// Answers with the result of a job that has succeeded.
pub(super) async fn result(
    State(app): State<Arc<App>>,
    id: PathText,
    headers: HeaderMap,
    Extension(caller): Extension<Arc<Caller>>,
) -> Result<Response, ApiError> {
    let id = id_of(id)?;
    let engine = job_engine(&app, &headers).await?;
    let record = engine.get(Some(&caller.tenant), id).await?;
    if let (JobState::Failed | JobState::Quarantined, Some(failure)) = (record.state, record.error) {
        return Err(ApiError::JobFailed(failure));
    }
    let etag = |digest| HeaderValue::try_from(format!("\"{digest}\"")).expect("hexadecimal digits");
    if let Some(known) = &record.result
        && headers.get_all(header::IF_NONE_MATCH).iter().any(|given| *given == etag(known.digest))
    {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, etag(known.digest))]).into_response());
    }
    // Opened within the budget: the share stands for the bytes until the reply has one of its own.
    let bytes = record.result.as_ref().map_or(0, |result| result.bytes);
    let share = app.buffered.reserve(usize::try_from(bytes).unwrap_or(usize::MAX))?;
    let result = engine.result(Some(&caller.tenant), id).await?;
    drop(share);
    let media_type = result.media_type.and_then(|text| HeaderValue::try_from(text).ok());
    let media_type = media_type.unwrap_or(HeaderValue::from_static(methods::DEFAULT));
    let tag = etag(result.digest);
    let bytes = Bytes::from(app.replies.hold(result.bytes).await?);
    Ok(([(header::CONTENT_TYPE, media_type), (header::ETAG, tag)], bytes).into_response())
}

/// Cancels a job: one that waits at once, one that runs when its lane has stopped it. One that has ended stays as it is.
pub(super) async fn cancel(
    State(app): State<Arc<App>>,
    id: PathText,
    headers: HeaderMap,
    Extension(caller): Extension<Arc<Caller>>,
) -> Result<Response, ApiError> {
    let id = id_of(id)?;
    let record = job_engine(&app, &headers).await?.cancel(Some(&caller.tenant), id).await?;
    Ok(Json(JobView::of(&app, &record)).into_response())
}

/// Answers with a page of the jobs, newest first.
pub(super) async fn list(
    State(app): State<Arc<App>>,
    query: Result<Query<ListQuery>, QueryRejection>,
    headers: HeaderMap,
    Extension(caller): Extension<Arc<Caller>>,
) -> Result<Response, ApiError> {
    let Query(ListQuery { state, image, circuit, limit, cursor }) =
        query.map_err(|error| bad_query(&error))?;
    let limit = limit.unwrap_or(PAGE_LEN);
    if !(1..=PAGE_LEN_MAX).contains(&limit) {
        let message = format!("`limit` is not accepted: a number from 1 to {PAGE_LEN_MAX}");
        return Err(ApiError::BadQuery(message));
    }
    let unknown = |_| ApiError::BadQuery("`cursor` is not accepted: the field `next` of a page".into());
    let cursor = cursor.map(|text| text.parse::<Cursor>().map_err(unknown)).transpose()?;
    let filter = JobFilter { tenant: Some(caller.tenant.clone()), state, service: image, circuit };
    let page = job_engine(&app, &headers).await?.list(filter, cursor, limit).await?;
    let jobs: Vec<JobView> = page.jobs.iter().map(|record| JobView::of(&app, record)).collect();
    let page = Page { jobs, next: page.next };
    let list = off_path(move || serde_json::to_vec(&page));
    let list = Zeroizing::new(list.await?.expect("it has string keys only"));
    Ok(([(header::CONTENT_TYPE, JSON)], Bytes::from(app.replies.hold(list).await?)).into_response())
}

/// Follows a job, and ends when the job does, the key of the client is no longer accepted or the server drains.
pub(super) async fn events(
    State(app): State<Arc<App>>,
    id: PathText,
    headers: HeaderMap,
    Extension(caller): Extension<Arc<Caller>>,
) -> Result<Sse<impl Stream<Item = Result<sse::Event, Infallible>> + Send>, ApiError> {
    let id = id_of(id)?;
    let engine = job_engine(&app, &headers).await?;
    let mut follower = Follower::new(&app, &caller, engine, id);
    let first = follower.read().await?;
    let standing = standing::ended(Arc::clone(&app), caller);
    let following = Following { app, follower, sent: None };
    let stream = stream::unfold((following, Some(first)), |(mut following, first)| async {
        let record = match first {
            Some(first) => first,
            None => following.next().await?,
        };
        let text = serde_json::to_string(&JobView::of(&following.app, &record)).expect("string keys only");
        following.sent = Some(record.state);
        Some((Ok(sse::Event::default().event("job").data(text)), (following, None)))
    });
    Ok(Sse::new(stream.take_until(standing)).keep_alive(KeepAlive::default()))
}

struct Following {
    app: Arc<App>,
    follower: Follower,
    /// The state in the last event.
    sent: Option<JobState>,
}

impl Following {
    /// Waits for the next change; returns `None` after the end of the job, and once the server drains.
    async fn next(&mut self) -> Option<JobRecord> {
        if self.sent.is_some_and(JobState::has_ended) {
            return None;
        }
        self.follower.changed().await?;
        self.follower.read().await.ok()
    }
}

/// Follows one job.
struct Follower {
    engine: Arc<dyn JobEngine>,
    tenant: Tenant,
    id: JobId,
    changes: watch::Receiver<u64>,
    draining: watch::Receiver<bool>,
}

impl Follower {
    fn new(app: &App, caller: &Caller, engine: Arc<dyn JobEngine>, id: JobId) -> Self {
        let changes = engine.watch(id);
        Self { engine, tenant: caller.tenant.clone(), id, changes, draining: app.draining.subscribe() }
    }

    /// Reads the job. Changes after this one are noticed.
    async fn read(&mut self) -> Result<JobRecord, ApiError> {
        self.changes.mark_unchanged();
        Ok(self.engine.get(Some(&self.tenant), self.id).await?)
    }

    /// Waits until the job has changed; returns `None` once the server drains.
    async fn changed(&mut self) -> Option<()> {
        tokio::select! {
            changed = self.changes.changed() => changed.ok(),
            _ = self.draining.wait_for(|draining| *draining) => None,
        }
    }
}
