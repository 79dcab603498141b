//! Lists the circuits and methods of all images.

use super::{App, error::ApiError, off_path::off_path, shape::Shape};
use crate::{
    access::Caller,
    circuits::{Added, Entry},
    service::Service,
};
use axum::{Extension, Json, extract::State};
use serde::Serialize;
use snapback_snapshot::Digest;
use std::sync::Arc;
use utoipa::ToSchema;

#[derive(Serialize, ToSchema)]
#[schema(as = CircuitList)]
pub(super) struct Circuits {
    circuits: Vec<Circuit>,
}

#[derive(Serialize, ToSchema)]
struct Circuit {
    name: String,
    /// The digest that proofs carry; `None` for a circuit that came with the image.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    circuit: Option<Digest>,
    /// Digest of its verifying key.
    #[schema(value_type = String)]
    vk_digest: Digest,
    image: String,
    #[schema(value_type = String)]
    image_digest: Digest,
    /// Size of the memory of the image, which all its circuits share, in bytes.
    image_bytes: u64,
    #[serde(flatten)]
    shape: Shape,
    #[serde(skip_serializing_if = "Option::is_none")]
    added: Option<Added>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = MethodList)]
pub(super) struct Methods {
    methods: Vec<Method>,
}

#[derive(Serialize, ToSchema)]
struct Method {
    name: String,
    image: String,
    /// Media type of the request's body.
    request: String,
    /// Media type of the reply's body.
    reply: String,
    /// Whether equal requests have equal replies.
    pure: bool,
}

pub(super) async fn circuits(
    State(app): State<Arc<App>>,
    caller: Extension<Arc<Caller>>,
) -> Result<Json<Circuits>, ApiError> {
    let Json(mut list) = circuits_as_operator(State(app), caller).await?;
    // Addresses of clients are for operators.
    list.circuits.iter_mut().filter_map(|circuit| circuit.added.as_mut()).for_each(|added| added.by = None);
    Ok(Json(list))
}

pub(super) async fn circuits_as_operator(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Arc<Caller>>,
) -> Result<Json<Circuits>, ApiError> {
    off_path(move || {
        let services = app.dispatcher.services().iter();
        Json(Circuits { circuits: services.flat_map(|service| of_service(&app, service, &caller)).collect() })
    })
    .await
}

/// The circuits of one service that the caller sees, with what its catalogue knows of them.
fn of_service(app: &App, service: &Service, caller: &Caller) -> Vec<Circuit> {
    let generation = service.current();
    let image = generation.image();
    let registry = app.registries.get(service.id());
    let mut entries = registry.map(|registry| registry.circuits_of(generation.id())).unwrap_or_default();
    let seen = image.manifest.circuits.iter().filter(|circuit| caller.sees(generation.owner(&circuit.name)));
    let circuits = seen.map(|circuit| {
        let Entry { circuit: digest, shape, added, .. } = entries.remove(&circuit.name).unwrap_or_default();
        Circuit {
            name: circuit.name.clone(),
            circuit: digest,
            vk_digest: circuit.vk_digest,
            image: service.name().into(),
            image_digest: image.digest,
            image_bytes: image.manifest.memory_bytes,
            shape: shape.map(Shape::from).unwrap_or_default(),
            added,
        }
    });
    circuits.collect()
}

pub(super) async fn methods(State(app): State<Arc<App>>) -> Json<Methods> {
    let mut methods = Vec::new();
    for service in app.dispatcher.services() {
        let generation = service.current();
        methods.extend(generation.image().manifest.methods.iter().map(|method| Method {
            name: method.name.clone(),
            image: service.name().into(),
            request: method.request.clone(),
            reply: method.reply.clone(),
            pure: method.is_pure,
        }));
    }
    Json(Methods { methods })
}
