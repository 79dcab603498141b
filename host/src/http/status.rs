//! `/v1/status`: what is served, by how many lanes, with how much memory.

use super::App;
use crate::{breaker::BreakerState, dispatch::Readiness, policy::Policy};
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
    lanes: Lanes,
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
    breaker: BreakerState,
    policy: Policy,
}

#[derive(Serialize)]
struct Queue {
    length: usize,
    depth: usize,
}

#[derive(Serialize)]
struct Memory {
    resident_bytes: Option<u64>,
    private_resident_bytes: u64,
    granted_bytes: u64,
    process_limit_bytes: Option<u64>,
}

#[derive(Serialize)]
struct Lanes {
    configured: usize,
    at_work: usize,
}

#[derive(Serialize)]
struct Swaps {
    total: u64,
}

pub(crate) async fn status(State(app): State<Arc<App>>) -> Json<Status> {
    let dispatcher = &app.dispatcher;
    let config = dispatcher.config();
    let images = dispatcher.services().iter().enumerate().map(|(index, service)| {
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
            breaker: dispatcher.breaker(index),
            policy: (*service.policy()).clone(),
        }
    });
    Json(Status {
        version: env!("CARGO_PKG_VERSION"),
        uptime_seconds: app.started.elapsed().as_secs(),
        state: match dispatcher.readiness() {
            Readiness::Ready => "ready",
            Readiness::LanesMissing => "lanes-missing",
            Readiness::BreakerOpen => "breaker-open",
            Readiness::SwapStorm => "swap-storm",
            Readiness::QueueFull => "queue-full",
            Readiness::Draining => "draining",
        },
        images: images.collect(),
        lanes: Lanes { configured: config.lanes, at_work: dispatcher.lanes_at_work() },
        queue: Queue { length: dispatcher.queue_len(), depth: config.queue_depth },
        memory: Memory {
            resident_bytes: resident_bytes(),
            private_resident_bytes: dispatcher.process().resident_bytes(),
            granted_bytes: dispatcher.process().granted_bytes(),
            process_limit_bytes: dispatcher.process().limit_bytes(),
        },
        swaps: Swaps { total: dispatcher.metrics().swaps_total() },
    })
}

/// Resident memory of this process: proc(5), `statm`, second field, in pages.
fn resident_bytes() -> Option<u64> {
    let pages: u64 = fs::read_to_string("/proc/self/statm").ok()?.split(' ').nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}
