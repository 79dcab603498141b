//! For orchestrators and scrapers: alive, ready, metrics.

use super::App;
use crate::dispatch::Readiness;
use axum::{
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use std::sync::Arc;

/// The process answers.
pub(crate) async fn healthz() -> &'static str {
    "ok\n"
}

/// A call that came now would run at once or soon: the lanes live, and the queue has room.
pub(crate) async fn readyz(State(app): State<Arc<App>>) -> Response {
    let unready = |reason: &'static str| (StatusCode::SERVICE_UNAVAILABLE, reason).into_response();
    match app.dispatcher.readiness() {
        Readiness::Ready => "ready\n".into_response(),
        Readiness::LanesMissing => unready("lanes missing: some are stuck\n"),
        Readiness::BreakerOpen => unready("breaker open: the image fails its calls\n"),
        Readiness::SwapStorm => unready("swap storm: the image swaps more than swap.per_minute_max\n"),
        Readiness::QueueFull => unready("queue full\n"),
        Readiness::Draining => unready("draining\n"),
    }
}

pub(crate) async fn metrics(State(app): State<Arc<App>>) -> Response {
    app.dispatcher.metrics().buffered(app.buffered_bytes());
    app.dispatcher.metrics().connections_are(app.open_connections());
    // Reading the kernel's account of every mapping takes a while, and is nothing for the runtime's threads.
    let text = tokio::task::spawn_blocking(move || {
        if let Some(rollup) = app.rollup() {
            app.dispatcher.metrics().process_is(&rollup);
        }
        app.dispatcher.render_metrics()
    });
    let text = text.await.unwrap_or_default();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}
