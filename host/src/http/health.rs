//! Routes for orchestrators and scrapers: liveness, readiness, metrics.

use super::App;
use crate::{
    dispatch::Readiness,
    jobs::{DeliveryState, State as JobState},
    policy::Pressure,
};
use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// The answer of a process that is alive, with its memory at the last sample.
#[derive(Serialize, ToSchema)]
pub(super) struct Health {
    status: &'static str,
    memory: Memory,
}

/// The memory of the process at its last sample.
#[derive(Serialize, ToSchema)]
#[schema(as = HealthMemory)]
struct Memory {
    private_resident_bytes: u64,
    granted_bytes: u64,
    limit_bytes: Option<u64>,
    pressure: Pressure,
}

pub(super) async fn healthz(State(app): State<Arc<App>>) -> Json<Health> {
    let process = app.dispatcher.process();
    Json(Health {
        status: "ok",
        memory: Memory {
            private_resident_bytes: process.resident_bytes(),
            granted_bytes: process.granted_bytes(),
            limit_bytes: process.limit_bytes(),
            pressure: process.pressure(),
        },
    })
}

/// Answers with 200 if a call that came now would run at once or soon: the lanes work, and the queue has room.
pub(super) async fn readyz(State(app): State<Arc<App>>) -> Response {
    let unready = |reason: &'static str| (StatusCode::SERVICE_UNAVAILABLE, reason).into_response();
    match app.dispatcher.readiness() {
        Readiness::Ready => "ready\n".into_response(),
        Readiness::LanesMissing => unready("lanes missing: some stalled and could not be replaced\n"),
        Readiness::BreakerOpen => unready("breaker open: the image fails its calls\n"),
        Readiness::SwapStorm => unready("swap storm: the image swaps more than swap.per_minute_max\n"),
        Readiness::QueueFull => unready("queue full\n"),
        Readiness::Draining => unready("draining\n"),
    }
}

pub(super) async fn metrics(State(app): State<Arc<App>>) -> Response {
    app.dispatcher.metrics().set_buffered_bytes(app.buffered.used());
    app.dispatcher.metrics().set_connections(app.open_connections());
    if let Some(jobs) = app.jobs.engine_if_open()
        && let Ok(stats) = jobs.stats().await
    {
        let states = JobState::ALL.map(|state| (state.name(), stats.states.of(state)));
        let oldest = stats.oldest_waiting.unwrap_or_default();
        app.dispatcher.metrics().set_jobs(states, stats.queued_bytes, oldest);
        let webhooks = jobs.delivery_counts();
        let webhooks = DeliveryState::ALL.map(|state| (state.name(), webhooks.of(state)));
        app.dispatcher.metrics().set_webhooks(webhooks);
    }
    // The kernel's account of every mapping takes a while, which the runtime's threads must not wait for.
    let text = tokio::task::spawn_blocking(move || {
        if let Some(rollup) = app.rollup() {
            app.dispatcher.metrics().set_process_memory(&rollup);
        }
        app.dispatcher.render_metrics()
    });
    let text = text.await.unwrap_or_default();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}
