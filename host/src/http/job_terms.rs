//! Calls that become jobs: what a request asks for beside the call, and the answer to it.
//!
//! Invariant: 202 is answered only once the job is on disk. Parameters of jobs are refused on calls that are none.

use super::{
    App,
    call::Call,
    error::ApiError,
    job_access::{check_jobs, job_engine},
    job_view::JobView,
    trace::parent_of,
};
use crate::{
    access::Caller,
    jobs::{
        Bound, Callback, IdempotencyKey, ImageChoice, InputKind, JobEngine, JobError, NewJob, Priority,
        Submitted, Tenant, Timestamp,
    },
    lanes::BodyKind,
    service::Service,
    telemetry::{metrics::Limit, traces::TraceParent},
};
use axum::{
    Json,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use snapback_snapshot::Digest;
use std::{collections::BTreeMap, str::FromStr, sync::Arc, time::Duration};
use tokio::sync::OwnedSemaphorePermit;

/// The parameters of the query that jobs have.
pub(super) const FIELDS: [&str; 6] =
    ["async", "priority", "delay", "expires_in", "image_digest", "callback_url"];
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Source: RFC 7240.
const PREFER: HeaderName = HeaderName::from_static("prefer");
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");
const RESPOND_ASYNC: &str = "respond-async";

/// What a request asks for beside its call.
pub(super) struct JobTerms {
    tenant: Tenant,
    priority: Priority,
    delay: Option<Duration>,
    expires_in: Option<Duration>,
    image_digest: Option<String>,
    callback: Option<Callback>,
    idempotency_key: Option<IdempotencyKey>,
    /// Where the trace of the request comes from.
    parent: Option<TraceParent>,
}

impl JobTerms {
    /// Takes the parameters of a job out of a query. Returns `None` if the client waits for the answer.
    ///
    /// # Errors
    /// Returns an error if a value is not accepted, or jobs are not accepted of this client.
    pub(super) fn take(
        app: &App,
        caller: &Caller,
        query: &mut BTreeMap<String, String>,
        headers: &HeaderMap,
    ) -> Result<Option<Self>, ApiError> {
        let is_async = match query.remove("async").as_deref() {
            // A preference that cannot be honoured is none.
            None => prefers_async(headers) && check_jobs(app, headers).is_ok(),
            Some("true") => {
                check_jobs(app, headers)?;
                true
            }
            Some("false") => false,
            Some(_) => return Err(bad("async", "`true` or `false`")),
        };
        // A method may have options of the same names.
        if !is_async {
            return Ok(None);
        }
        let mut terms = Self::from_headers(caller, headers)?;
        if let Some(priority) = query.remove("priority") {
            let number = priority.parse::<u8>().ok().and_then(|number| Priority::try_from(number).ok());
            terms.priority = number.ok_or_else(|| bad("priority", "a number from 0 to 9"))?;
        }
        let mut duration = |field| match query.remove(field) {
            None => Ok(None),
            Some(text) => {
                humantime::parse_duration(&text).map(Some).map_err(|_| bad(field, "a time such as 30s or 2h"))
            }
        };
        terms.delay = duration("delay")?;
        terms.expires_in = duration("expires_in")?;
        if let Some(digest) = query.remove("image_digest") {
            let digest =
                digest.parse::<Digest>().map_err(|_| bad("image_digest", "64 hexadecimal digits"))?;
            terms.image_digest = Some(digest.to_string());
        }
        terms.callback = callback(app, caller, query.remove("callback_url").as_deref())?;
        Ok(Some(terms))
    }

    fn from_headers(caller: &Caller, headers: &HeaderMap) -> Result<Self, ApiError> {
        // The draft of the IETF writes a string of a structured field: with quotes.
        let unquoted = |text: &str| {
            text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text).to_owned()
        };
        let idempotency_key = headers.get(IDEMPOTENCY_KEY).map(|value| {
            value
                .to_str()
                .ok()
                .and_then(|text| IdempotencyKey::from_str(&unquoted(text)).ok())
                .ok_or_else(bad_key)
        });
        let idempotency_key = idempotency_key.transpose()?;
        Ok(Self {
            tenant: caller.tenant.clone(),
            priority: Priority::default(),
            delay: None,
            expires_in: None,
            image_digest: None,
            callback: None,
            idempotency_key,
            parent: parent_of(headers),
        })
    }

    /// Sets the idempotency key of a job of a batch.
    ///
    /// # Errors
    /// Returns an error if it is not accepted, or the request has one as a header: that would be the key of many jobs.
    pub(super) fn with_idempotency_key(self, key: Option<&str>) -> Result<Self, ApiError> {
        if self.idempotency_key.is_some() {
            return Err(bad("Idempotency-Key", "none, because each job has its own: `idempotency_key`"));
        }
        let idempotency_key =
            key.map(|key| IdempotencyKey::from_str(key).map_err(|_| bad_key())).transpose()?;
        Ok(Self { idempotency_key, ..self })
    }

    /// Stores the call as a job, and answers with 202 and the job's address.
    pub(super) async fn submit(
        self,
        app: &App,
        headers: &HeaderMap,
        call: Call,
    ) -> Result<Response, ApiError> {
        let engine = job_engine(app, headers).await?;
        let service = app.dispatcher.service(call.service).ok_or(ApiError::Lost)?;
        let (job, share) = self.job(app, service, call);
        let submitted = store(app, engine, vec![job], share).await?.pop().ok_or(ApiError::Lost)?;
        let record = submitted.record();
        let location = HeaderValue::try_from(format!("/v1/jobs/{}", record.id)).expect("hexadecimal digits");
        let mut response = (StatusCode::ACCEPTED, Json(JobView::of(app, record))).into_response();
        response.headers_mut().insert(header::LOCATION, location);
        response.headers_mut().insert(PREFERENCE_APPLIED, HeaderValue::from_static(RESPOND_ASYNC));
        Ok(response)
    }

    /// Returns the job that a call becomes, with the share of its body in the budget of all bodies.
    pub(super) fn job(
        self,
        app: &App,
        service: &Service,
        call: Call,
    ) -> (NewJob, Option<OwnedSemaphorePermit>) {
        let Self { tenant, priority, delay, expires_in, image_digest, callback, idempotency_key, parent } =
            self;
        let Call { method, circuit, body, kind, trace, .. } = call;
        // Without traces of its own, this server passes on what it was given.
        let traceparent = trace.parent().or(parent).map(|parent| parent.to_string());
        let (bytes, share) = body.into_parts();
        let now = Timestamp::now();
        let job = NewJob {
            tenant,
            service: service.name().to_owned(),
            estimate: app.jobs.estimates().of(service.name(), &method, &circuit),
            circuit: (!circuit.is_empty()).then_some(circuit),
            method,
            image: image_digest.map_or(ImageChoice::Current, ImageChoice::Digest),
            body: bytes,
            kind: if kind == BodyKind::Inputs { InputKind::Inputs } else { InputKind::Raw },
            options: None,
            media_type: None,
            priority,
            not_before: delay.map(|delay| now.after(delay)),
            expires_at: expires_in.map(|time| now.after(time)),
            idempotency_key,
            callback,
            traceparent,
        };
        (job, share)
    }
}

/// Stores jobs, all or none, and counts a refusal. The share of the memory that their bodies take is held until they are on
/// disk, whatever becomes of the client.
pub(super) async fn store(
    app: &App,
    engine: Arc<dyn JobEngine>,
    jobs: Vec<NewJob>,
    share: Option<OwnedSemaphorePermit>,
) -> Result<Vec<Submitted>, ApiError> {
    let submitted = tokio::spawn(async move {
        let submitted = engine.submit(jobs).await;
        drop(share);
        submitted
    });
    let submitted = submitted.await.map_err(|_| ApiError::Lost)?;
    if let Err(JobError::Full { which }) = &submitted {
        app.dispatcher.metrics().request_rejected(match which {
            Bound::Queued | Bound::TenantQueued => Limit::WaitingJobs,
            Bound::QueuedBytes | Bound::TenantQueuedBytes => Limit::WaitingJobBytes,
            Bound::BodyBytes => Limit::BodyBytes,
            Bound::Batch => Limit::JobBatch,
            Bound::Remembered | Bound::TenantRemembered => Limit::RememberedJobs,
            Bound::ResultBytes | Bound::TenantResultBytes => Limit::JobResults,
            Bound::Deliveries => Limit::WaitingWebhooks,
        });
    }
    Ok(submitted?)
}

/// Who is told about the end of a job: what its client asks for, or else its tenant's URL, or else the server's.
fn callback(app: &App, caller: &Caller, url: Option<&str>) -> Result<Option<Callback>, ApiError> {
    match (&app.callbacks, url) {
        (None, None) => Ok(None),
        (None, Some(_)) => Err(ApiError::WebhooksOff),
        (Some(callbacks), None) => match app.gate.ring().callback_url(&caller.tenant) {
            None => Ok(callbacks.default_callback()),
            Some(url) => callbacks.accept(&url).map(Some).map_err(ApiError::BadCallback),
        },
        (Some(callbacks), Some(url)) => callbacks.accept(url).map(Some).map_err(ApiError::BadCallback),
    }
}

fn prefers_async(headers: &HeaderMap) -> bool {
    let values = headers.get_all(PREFER).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|preference| {
        preference.split(';').next().is_some_and(|name| name.trim().eq_ignore_ascii_case(RESPOND_ASYNC))
    })
}

fn bad_key() -> ApiError {
    bad("Idempotency-Key", "1 to 255 visible ASCII characters")
}

fn bad(field: &str, accepted: &str) -> ApiError {
    ApiError::BadQuery(format!("`{field}` is not accepted: {accepted}"))
}
