//! Many jobs in one request: all of them are stored, or none.
//!
//! Invariant: the bodies of a batch hold a share of the budget of all bodies until they are on disk.

use super::{
    App, body,
    call::Call,
    error::ApiError,
    job_access::job_engine,
    job_terms::{JobTerms, store},
    job_view::JobView,
    off_path::off_path,
    selection::{self, Which, has_method, service_of_circuit},
};
use crate::{
    access::{Admission, Caller},
    jobs::NewJob,
    lanes::{self, BodyKind},
    service::Service,
    telemetry::traces::Trace,
};
use axum::{
    Extension, Json,
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{self, SeqAccess, Visitor},
};
use serde_json::value::RawValue;
use snapback_abi::METHOD_PROVE;
use std::{collections::BTreeMap, fmt, marker::PhantomData, sync::Arc};
use utoipa::ToSchema;
use zeroize::Zeroizing;

/// Most jobs that are read of a batch: what `jobs.batch_max` may be set to.
const ITEMS_MAX: usize = 10_000;

/// Many jobs.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Batch<'a> {
    #[serde(borrow)]
    #[schema(value_type = Vec<Item>, min_items = 1, max_items = 10000)]
    jobs: Items<'a>,
}

/// The jobs of a batch. A list that is too long is refused while it is read, because a job takes two bytes in JSON and two
/// hundred in memory.
struct Items<'a>(Vec<Item<'a>>);

impl<'de: 'a, 'a> Deserialize<'de> for Items<'a> {
    fn deserialize<D: Deserializer<'de>>(list: D) -> Result<Self, D::Error> {
        struct Bounded<'a>(PhantomData<Item<'a>>);
        impl<'de: 'a, 'a> Visitor<'de> for Bounded<'a> {
            type Value = Items<'a>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a list of at most {ITEMS_MAX} jobs")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Items<'a>, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = list.next_element()? {
                    if items.len() == ITEMS_MAX {
                        return Err(de::Error::invalid_length(ITEMS_MAX + 1, &self));
                    }
                    items.push(item);
                }
                Ok(Items(items))
            }
        }
        list.deserialize_seq(Bounded(PhantomData))
    }
}

/// One job: a proof of inputs, or a call of a method with a body in Base64.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = BatchItem)]
struct Item<'a> {
    /// The image, if several have the circuit or the method.
    image: Option<String>,
    #[serde(default)]
    circuit: String,
    /// The method; `prove` without it.
    method: Option<String>,
    /// The inputs of the circuit by name, for circuits as data.
    #[serde(borrow)]
    #[schema(value_type = Option<Object>)]
    inputs: Option<&'a RawValue>,
    /// The body in Base64, instead of inputs.
    #[serde(borrow)]
    #[schema(value_type = Option<String>)]
    body: Option<&'a RawValue>,
    idempotency_key: Option<String>,
    #[schema(maximum = 9)]
    priority: Option<u8>,
    /// How long the job waits at least, such as `30s`.
    delay: Option<String>,
    /// How long the job may wait, and its result is kept, such as `2h`.
    expires_in: Option<String>,
    /// The image that the job runs on: 64 hexadecimal digits.
    image_digest: Option<String>,
    callback_url: Option<String>,
}

/// The jobs of a batch, in its order.
#[derive(Serialize, ToSchema)]
#[schema(as = JobBatch)]
pub(super) struct Accepted {
    jobs: Vec<JobView>,
}

/// Stores many jobs, and answers with 202 and their states, in their order.
pub(super) async fn submit(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Extension(caller): Extension<Arc<Caller>>,
    trace: Trace,
    admission: Option<Extension<Arc<Admission>>>,
    body: Body,
) -> Result<Response, ApiError> {
    let engine = job_engine(&app, &headers).await?;
    let body = body::take(&app, body).await?;
    // The jobs have bodies of their own, which are never longer than what they are read from.
    let mut share = app.buffered.reserve(body.bytes.len())?;
    let jobs = off_path({
        let app = Arc::clone(&app);
        move || {
            let jobs = jobs_of(&app, &caller, &headers, &trace, &body);
            if let (_, Some(whole)) = body.into_parts() {
                share.merge(whole);
            }
            jobs.map(|jobs| (jobs, share))
        }
    });
    let (jobs, share) = jobs.await??;
    // Each job is a request; the batch itself was counted as one.
    if let Some(Extension(admission)) = admission {
        admission.charge_requests(jobs.len() - 1);
    }
    let submitted = store(&app, engine, jobs, Some(share)).await?;
    let jobs = submitted.iter().map(|job| JobView::of(&app, job.record())).collect();
    Ok((StatusCode::ACCEPTED, Json(Accepted { jobs })).into_response())
}

fn jobs_of(
    app: &App,
    caller: &Caller,
    headers: &HeaderMap,
    trace: &Trace,
    body: &lanes::Body,
) -> Result<Vec<NewJob>, ApiError> {
    let malformed = |error: serde_json::Error| {
        // The message of serde may quote the body.
        ApiError::BadBatch(format!(
            "line {}, column {} of the JSON does not fit",
            error.line(),
            error.column()
        ))
    };
    let Batch { jobs: Items(jobs) } = serde_json::from_slice(&body.bytes).map_err(malformed)?;
    if jobs.is_empty() {
        return Err(ApiError::BadBatch("there is no job in it".into()));
    }
    let numbered = jobs.into_iter().enumerate();
    numbered
        .map(|(index, item)| {
            item.job(app, caller, headers, trace.clone()).map_err(|error| match error {
                ApiError::BadBatch(reason) | ApiError::BadQuery(reason) => {
                    ApiError::BadBatch(format!("job {index}: {reason}"))
                }
                error => error,
            })
        })
        .collect()
}

impl Item<'_> {
    fn job(self, app: &App, caller: &Caller, headers: &HeaderMap, trace: Trace) -> Result<NewJob, ApiError> {
        let Self { image, circuit, method, inputs, body, idempotency_key, .. } = &self;
        let (image, circuit) = (image.clone(), circuit.clone());
        let bad = |reason: &str| Err(ApiError::BadBatch(reason.into()));
        let method = method.clone().unwrap_or_else(|| METHOD_PROVE.into());
        let which = Which::new(image, circuit.clone());
        let service = service_of(app, caller, &which, &method)?;
        let has_registry = app.registries.get(service.id()).is_some();
        let (bytes, kind) = match (inputs, body) {
            (Some(_), _) if !has_registry || method != METHOD_PROVE => {
                return bad("`inputs` are for proofs by circuits as data: send `body`");
            }
            (Some(inputs), None) => (inputs.get().as_bytes().to_vec(), BodyKind::Inputs),
            (None, Some(text)) => match decoded(text.get()) {
                Some(bytes) => (bytes, BodyKind::Raw),
                None => return bad("`body` is not Base64"),
            },
            _ => return bad("one of `inputs` and `body` is expected"),
        };
        let terms = JobTerms::take(app, caller, &mut self.query(), headers)?.ok_or(ApiError::Lost)?;
        let terms = terms.with_idempotency_key(idempotency_key.as_deref())?;
        let body = lanes::Body::from(Zeroizing::new(bytes));
        let call = Call { service: service.id(), method, circuit, body, kind, tenant: caller.view(), trace };
        Ok(terms.job(app, service, call).0)
    }

    /// The parameters that the query of a single job has.
    fn query(&self) -> BTreeMap<String, String> {
        let Self { priority, delay, expires_in, image_digest, callback_url, .. } = self;
        let named = [
            ("async", Some("true".to_owned())),
            ("priority", priority.map(|number| number.to_string())),
            ("delay", delay.clone()),
            ("expires_in", expires_in.clone()),
            ("image_digest", image_digest.clone()),
            ("callback_url", callback_url.clone()),
        ];
        named.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect()
    }
}

/// Returns the bytes of a string of JSON that is Base64.
fn decoded(json: &str) -> Option<Vec<u8>> {
    let text = json.strip_prefix('"')?.strip_suffix('"')?;
    if !text.contains('\\') {
        return BASE64_STANDARD.decode(text).ok();
    }
    // Some write `/` as `\/`.
    let text = Zeroizing::new(serde_json::from_str::<String>(json).ok()?);
    BASE64_STANDARD.decode(text.as_bytes()).ok()
}

/// Returns the service of a job: the one that has its circuit, or else its method.
fn service_of<'a>(
    app: &'a App,
    caller: &Caller,
    which: &Which,
    method: &str,
) -> Result<&'a Arc<Service>, ApiError> {
    if !which.circuit.is_empty() {
        let service = service_of_circuit(app, caller, which, &which.circuit)?;
        let has_method = has_method(&service.current(), caller, method);
        return if has_method { Ok(service) } else { Err(ApiError::NoSuchMethod(method.into())) };
    }
    selection::service(
        app,
        which,
        method,
        |generation| has_method(generation, caller, method),
        ApiError::NoSuchMethod,
    )
}
