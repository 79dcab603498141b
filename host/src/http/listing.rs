//! Lists the circuits and methods of all images.

use super::App;
use axum::{Json, extract::State};
use serde::Serialize;
use snapback_snapshot::Digest;
use std::sync::Arc;

#[derive(Serialize)]
pub(super) struct Circuits {
    circuits: Vec<Circuit>,
}

#[derive(Serialize)]
struct Circuit {
    name: String,
    vk_digest: Digest,
    image: String,
    image_digest: Digest,
}

#[derive(Serialize)]
pub(super) struct Methods {
    methods: Vec<Method>,
}

#[derive(Serialize)]
struct Method {
    name: String,
    image: String,
    /// Media type of the request's body.
    request: String,
    /// Media type of the reply's body.
    reply: String,
}

pub(super) async fn circuits(State(app): State<Arc<App>>) -> Json<Circuits> {
    let mut circuits = Vec::new();
    for service in app.dispatcher.services() {
        let generation = service.current();
        let image = generation.image();
        circuits.extend(image.manifest.circuits.iter().map(|circuit| Circuit {
            name: circuit.name.clone(),
            vk_digest: circuit.vk_digest,
            image: service.name().into(),
            image_digest: image.digest,
        }));
    }
    Json(Circuits { circuits })
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
        }));
    }
    Json(Methods { methods })
}
