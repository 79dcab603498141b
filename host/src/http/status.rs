//! `/v1/status`: what is served, by how many lanes, with how much memory.

use super::App;
use crate::dispatch::Readiness;
use axum::{Json, extract::State};
use serde::Serialize;
use snapback_snapshot::Digest;
use std::{fs, sync::Arc};

#[derive(Serialize)]
pub(crate) struct Status {
    version: &'static str,
    uptime_seconds: u64,
    state: &'static str,
    images: Vec<Image>,
    lanes: usize,
    queue: Queue,
    memory: Memory,
    swaps: Swaps,
}

#[derive(Serialize)]
struct Image {
    name: String,
    digest: Digest,
    generation: u64,
    guest: String,
    circuits: Vec<String>,
    native_bytes: u64,
    memory_bytes: u64,
}

#[derive(Serialize)]
struct Queue {
    length: usize,
    depth: usize,
}

#[derive(Serialize)]
struct Memory {
    instance_limit_bytes: u64,
    resident_bytes: Option<u64>,
}

#[derive(Serialize)]
struct Swaps {
    policy: String,
    total: u64,
}

pub(crate) async fn status(State(app): State<Arc<App>>) -> Json<Status> {
    let dispatcher = &app.dispatcher;
    let config = dispatcher.config();
    let images = dispatcher.services().iter().map(|service| {
        let generation = service.current();
        let image = generation.image();
        Image {
            name: service.name().into(),
            digest: image.digest,
            generation: generation.id(),
            guest: image.manifest.guest.name.clone(),
            circuits: image.manifest.circuits.iter().map(|circuit| circuit.name.clone()).collect(),
            native_bytes: image.native_bytes,
            memory_bytes: image.manifest.memory_bytes,
        }
    });
    Json(Status {
        version: env!("CARGO_PKG_VERSION"),
        uptime_seconds: app.started.elapsed().as_secs(),
        state: match dispatcher.readiness() {
            Readiness::Ready => "ready",
            Readiness::Starting => "starting",
            Readiness::QueueFull => "queue-full",
            Readiness::Draining => "draining",
        },
        images: images.collect(),
        lanes: config.lanes,
        queue: Queue { length: dispatcher.queue_len(), depth: config.queue_depth },
        memory: Memory { instance_limit_bytes: config.memory_limit_bytes, resident_bytes: resident_bytes() },
        swaps: Swaps { policy: config.swap.to_string(), total: dispatcher.metrics().swaps_total() },
    })
}

/// Resident memory of this process: proc(5), `statm`, second field, in pages.
fn resident_bytes() -> Option<u64> {
    let pages: u64 = fs::read_to_string("/proc/self/statm").ok()?.split(' ').nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}
