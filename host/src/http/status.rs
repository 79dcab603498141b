//! `/v1/status` and `/v1/admin/status`: the images that are served, the lanes, and the memory.

use super::App;
use crate::{
    access::Caller,
    dispatch::Readiness,
    ids::GenerationId,
    ids::Tenant,
    lanes::ExecutorStatus,
    policy::{BreakerState, Policy},
    sandbox::Sandbox,
    service::Service,
};
use axum::{Extension, Json, extract::State};
use serde::Serialize;
use snapback_snapshot::{Digest, Feature, Simd};
use std::{collections::BTreeMap, fs, sync::Arc};
use utoipa::ToSchema;

/// The status of the server.
#[derive(Serialize, ToSchema)]
pub(super) struct Status {
    version: &'static str,
    uptime_seconds: u64,
    state: &'static str,
    images: Vec<Image>,
    lanes: Lanes,
    queue: Queue,
    memory: Memory,
    swaps: Swaps,
    sandbox: Sandbox,
}

#[derive(Serialize, ToSchema)]
#[schema(as = ServedImage)]
struct Image {
    name: String,
    #[schema(value_type = String)]
    digest: Digest,
    /// Number of the generation, as in `/v1/generations`.
    #[schema(value_type = u64)]
    generation: GenerationId,
    guest: String,
    /// Whether its code has vector instructions: `on` or `off`.
    #[schema(value_type = String)]
    simd: Simd,
    /// The features of WebAssembly that its code uses.
    #[schema(value_type = Vec<String>)]
    features: Vec<Feature>,
    circuits: Vec<String>,
    native_bytes: u64,
    /// How the native code was checked before it was mapped: `identity`, `full` or `memory`.
    native_check: &'static str,
    /// Why it was hashed, if it was.
    native_check_reason: Option<String>,
    memory_bytes: u64,
    breaker: BreakerState,
    /// The value of each setting.
    #[schema(value_type = BTreeMap<String, serde_json::Value>)]
    policy: Policy,
}

#[derive(Serialize, ToSchema)]
struct Queue {
    length: usize,
    depth: usize,
}

#[derive(Serialize, ToSchema)]
struct Memory {
    resident_bytes: Option<u64>,
    private_resident_bytes: u64,
    granted_bytes: u64,
    process_limit_bytes: Option<u64>,
}

#[derive(Serialize, ToSchema)]
struct Lanes {
    configured: usize,
    at_work: usize,
}

#[derive(Serialize, ToSchema)]
struct Swaps {
    total: u64,
}

/// The status for operators: what `/v1/status` has, and the instances of every image on every lane.
#[derive(Serialize, ToSchema)]
pub(super) struct AdminStatus {
    #[serde(flatten)]
    status: Status,
    instances: BTreeMap<String, Vec<ExecutorStatus>>,
    /// Calls by image, method and outcome.
    calls: BTreeMap<String, BTreeMap<String, BTreeMap<String, u64>>>,
}

pub(super) async fn status(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Arc<Caller>>,
) -> Json<Status> {
    Json(read(&app, |owner| caller.sees(owner)))
}

/// The status as it streams to the page: with the instances, without their samples and the calls.
#[derive(Serialize)]
pub(super) struct LiveStatus {
    #[serde(flatten)]
    status: Status,
    instances: BTreeMap<String, Vec<ExecutorStatus>>,
}

impl LiveStatus {
    pub(super) fn of(app: &App) -> Self {
        let mut instances = instances(app);
        instances.values_mut().flatten().for_each(|lane| lane.samples.clear());
        // Every stream gets the same message, so it names the circuits that are for all.
        Self { status: read(app, |owner| owner.is_none()), instances }
    }
}

fn instances(app: &App) -> BTreeMap<String, Vec<ExecutorStatus>> {
    let services = app.dispatcher.services().iter();
    services.map(|service| (service.name().to_owned(), app.dispatcher.executors(service))).collect()
}

pub(super) async fn admin_status(State(app): State<Arc<App>>) -> Json<AdminStatus> {
    let services = app.dispatcher.services();
    let name = |service: &Service| service.name().to_owned();
    let metrics = app.dispatcher.metrics();
    let calls = services.iter().map(|service| (name(service), metrics.calls_by_method(service.name())));
    Json(AdminStatus { status: read(&app, |_| true), instances: instances(&app), calls: calls.collect() })
}

/// Reads the status, with the circuits whose owner is `seen`.
fn read(app: &App, seen: impl Fn(Option<&Tenant>) -> bool) -> Status {
    let dispatcher = &app.dispatcher;
    let config = dispatcher.config();
    let images = dispatcher.services().iter().map(|service| {
        let generation = service.current();
        let image = generation.image();
        let names = || image.manifest.circuits.iter().map(|circuit| &circuit.name);
        Image {
            name: service.name().into(),
            digest: image.digest,
            generation: generation.id(),
            guest: image.manifest.guest.name.clone(),
            simd: image.manifest.simd(),
            features: image.manifest.features.clone(),
            circuits: names().filter(|name| seen(generation.owner(name))).cloned().collect(),
            native_bytes: image.native_bytes,
            native_check: image.check.name(),
            native_check_reason: image.check.why_full().map(ToString::to_string),
            memory_bytes: image.manifest.memory_bytes,
            breaker: dispatcher.breaker(service),
            policy: (*service.policy()).clone(),
        }
    });
    Status {
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
        sandbox: app.sandbox,
    }
}

/// Resident memory of this process: proc(5), `statm`, second field, in pages.
fn resident_bytes() -> Option<u64> {
    let pages: u64 = fs::read_to_string("/proc/self/statm").ok()?.split(' ').nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}
