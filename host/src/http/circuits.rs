//! Adds and removes circuits.
//!
//! Invariant: a change that is answered with 202 is on disk.

use super::{
    App,
    changes::ChangeView,
    error::ApiError,
    requests::Peer,
    selection::{PathText, Which, WhichQuery, registry, segment, which},
    upload::{self, ENVELOPE_BYTES_MAX, Terms},
};
use crate::{
    access::{Caller, Permission},
    circuits::{Reach, Refused, Registry, Replace, Sender, Submitted},
    ids::GenerationId,
};
use axum::{
    Extension, Json,
    extract::{DefaultBodyLimit, Query, Request, State, rejection::QueryRejection},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::MethodRouter,
};
use serde::{Deserialize, Serialize};
use std::{net::IpAddr, sync::Arc};
use utoipa::{IntoParams, ToSchema};

/// Gives routes that take circuits a limit of their own for bodies.
pub(super) fn with_upload_limit(app: &App, routes: MethodRouter<Arc<App>>) -> MethodRouter<Arc<App>> {
    let bytes_max = app.http.upload_bytes_max + ENVELOPE_BYTES_MAX;
    routes.layer(DefaultBodyLimit::max(usize::try_from(bytes_max).unwrap_or(usize::MAX)))
}

/// The query of a request that adds a circuit.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct How {
    /// The image, if several take circuits.
    image: Option<String>,
    /// Whether the parts that are sent replace all of the circuit's files.
    #[serde(default)]
    replace: bool,
}

/// The answer to a change that is not needed.
#[derive(Serialize, ToSchema)]
pub(super) struct Unchanged {
    #[schema(pattern = "^unchanged$")]
    state: &'static str,
    /// The generation that is served.
    #[schema(value_type = u64)]
    generation: GenerationId,
}

pub(super) type HowQuery = Result<Query<How>, QueryRejection>;

pub(super) async fn add(
    State(app): State<Arc<App>>,
    name: PathText,
    how: HowQuery,
    headers: HeaderMap,
    Extension(caller): Extension<Arc<Caller>>,
    Extension(Peer(peer)): Extension<Peer>,
    request: Request,
) -> Result<Response, ApiError> {
    app.gate.check_change(&app.registries, &headers)?;
    add_from(app, (caller, Some(peer)), name, how, request).await
}

pub(super) async fn add_as_operator(
    State(app): State<Arc<App>>,
    name: PathText,
    how: HowQuery,
    Extension(caller): Extension<Arc<Caller>>,
    request: Request,
) -> Result<Response, ApiError> {
    add_from(app, (caller, None), name, how, request).await
}

/// Returns who sends a change. Those of operators have no address, because they have no share of their own to keep to.
fn sender(app: &App, caller: &Caller, address: Option<IpAddr>) -> Sender {
    let reach = if caller.may(Permission::Operate) { Reach::All } else { Reach::Own };
    let tenant = caller.owner();
    let stored_bytes_max = tenant.as_ref().and_then(|tenant| app.gate.ring().quota(tenant).stored_bytes_max);
    Sender { address, tenant, reach, stored_bytes_max }
}

async fn add_from(
    app: Arc<App>,
    (caller, address): (Arc<Caller>, Option<IpAddr>),
    name: PathText,
    how: HowQuery,
    request: Request,
) -> Result<Response, ApiError> {
    let name = segment(name)?;
    let Query(How { image, replace }) = how.map_err(|error| ApiError::BadQuery(error.body_text()))?;
    let replace = if replace { Replace::Yes } else { Replace::No };
    let registry = registry(&app, &Which::image(image))?;
    let receiver = Arc::clone(&registry);
    let terms = Terms::new(&app, registry.system().files());
    let parts = terms.open(request).await?;
    let (files, share) = upload::read(terms, move || receiver.receive(), parts).await?;
    let worker = Arc::clone(&app);
    let accepted = worker.circuit_work.run(&worker.draining, move || {
        let sender = sender(&app, &caller, address);
        let submitted = app.registries.add(&registry, &name, files, replace, sender)?;
        drop(share);
        answer(&registry, submitted, &caller)
    });
    accepted.await?
}

pub(super) async fn remove(
    State(app): State<Arc<App>>,
    name: PathText,
    query: WhichQuery,
    headers: HeaderMap,
    Extension(caller): Extension<Arc<Caller>>,
    Extension(Peer(peer)): Extension<Peer>,
) -> Result<Response, ApiError> {
    app.gate.check_change(&app.registries, &headers)?;
    remove_from(app, (caller, Some(peer)), name, query).await
}

pub(super) async fn remove_as_operator(
    State(app): State<Arc<App>>,
    name: PathText,
    query: WhichQuery,
    Extension(caller): Extension<Arc<Caller>>,
) -> Result<Response, ApiError> {
    remove_from(app, (caller, None), name, query).await
}

async fn remove_from(
    app: Arc<App>,
    (caller, address): (Arc<Caller>, Option<IpAddr>),
    name: PathText,
    query: WhichQuery,
) -> Result<Response, ApiError> {
    let name = segment(name)?;
    let registry = registry(&app, &which(query)?)?;
    let sender = sender(&app, &caller, address);
    let removed = app
        .circuit_work
        .run(&app.draining, move || answer(&registry, registry.remove(&name, &sender)?, &caller));
    removed.await?
}

/// The answer to a change that was accepted, or is not needed.
fn answer(registry: &Registry, submitted: Submitted, caller: &Caller) -> Result<Response, ApiError> {
    match submitted {
        Submitted::Unchanged(generation) => {
            Ok(Json(Unchanged { state: "unchanged", generation }).into_response())
        }
        Submitted::Accepted(id) => {
            let view = ChangeView::of(registry, id, caller).ok_or(Refused::NoSuchChange(id))?;
            let mut response = (StatusCode::ACCEPTED, Json(view)).into_response();
            let place = format!("/v1/changes/{id}?image={}", registry.service().name());
            let place = HeaderValue::from_str(&place).expect("names are plain text");
            response.headers_mut().insert(header::LOCATION, place);
            Ok(response)
        }
    }
}
