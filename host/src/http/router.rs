//! Every route: the public ones, and those of operators.

use super::{
    App, admin, calls, changes, circuits, error::ApiError, exchange, gate::ListenerKind, generations, health,
    history, job_batch, jobs, listing, live, openapi, origin, page, status, webhooks, whoami,
};
use axum::{
    Router, middleware,
    routing::{get, post, put},
};
use std::sync::Arc;

/// The routes of the public listener.
pub(super) fn public(app: &Arc<App>) -> Router {
    let change = put(circuits::add).delete(circuits::remove);
    let router = operators()
        .route("/", get(page::index))
        .route("/ui", get(page::index))
        .route("/ui/{asset}", get(page::asset))
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(health::metrics))
        .route("/v1/status", get(status::status))
        .route("/v1/history", get(history::calls))
        .route("/v1/history/settings", get(history::settings))
        .route("/v1/events", get(live::events))
        .route("/v1/circuits", get(listing::circuits))
        .route("/v1/circuits/{circuit}/prove", post(calls::prove))
        .route("/v1/circuits/{circuit}/verify", post(calls::verify))
        .route("/v1/circuits/{circuit}/witness", post(calls::witness))
        .route("/v1/circuits/{circuit}", circuits::with_upload_limit(app, change))
        .route("/v1/changes", get(changes::list))
        .route("/v1/changes/{id}", get(changes::show).delete(changes::cancel))
        .route("/v1/changes/{id}/events", get(changes::events))
        .route("/v1/generations", get(generations::list))
        .route("/v1/generations/{id}/activate", post(generations::activate))
        .route("/v1/jobs", get(jobs::list).post(job_batch::submit))
        .route("/v1/jobs/{id}", get(jobs::show).delete(jobs::cancel))
        .route("/v1/jobs/{id}/result", get(jobs::result))
        .route("/v1/jobs/{id}/events", get(jobs::events))
        .route("/v1/webhooks/deliveries", get(webhooks::list))
        .route("/v1/webhooks/deliveries/{id}", get(webhooks::show))
        .route("/v1/webhooks/deliveries/{id}/resend", post(webhooks::resend))
        .route("/v1/openapi.json", get(openapi::document))
        .route("/docs", get(openapi::page))
        .route("/docs/page.js", get(openapi::script))
        .route("/docs/page.css", get(openapi::style))
        .route("/v1/methods", get(listing::methods))
        .route("/v1/methods/{method}", post(calls::method));
    with_layers(with_fallbacks(router), app, ListenerKind::Public)
}

/// The routes of the listener for operators.
pub(super) fn admin(app: &Arc<App>) -> Router {
    let change = put(circuits::add_as_operator).delete(circuits::remove_as_operator);
    let router = operators()
        .route("/v1/circuits", get(listing::circuits_as_operator))
        .route("/v1/circuits/{circuit}", circuits::with_upload_limit(app, change))
        .route("/v1/changes", get(changes::list))
        .route("/v1/changes/{id}", get(changes::show).delete(changes::cancel_as_operator))
        .route("/v1/changes/{id}/events", get(changes::events))
        .route("/v1/generations", get(generations::list))
        .route("/v1/generations/{id}/activate", post(generations::activate_as_operator));
    with_layers(with_fallbacks(router), app, ListenerKind::Admin)
}

/// The routes that operators have on both listeners.
fn operators() -> Router<Arc<App>> {
    Router::new()
        .route("/v1/admin/status", get(status::admin_status))
        .route("/v1/admin/prepare", post(admin::prepare))
        .route("/v1/admin/swap", post(admin::swap))
        .route("/v1/admin/drain", post(admin::drain))
        .route("/v1/admin/policy", get(admin::policy).patch(admin::change_policy))
        .route("/v1/admin/events", get(admin::events))
        .route("/v1/audit", get(whoami::audit))
        .route("/v1/whoami", get(whoami::whoami))
}

fn with_fallbacks(router: Router<Arc<App>>) -> Router<Arc<App>> {
    router
        .fallback(|| async { ApiError::NoRoute })
        .method_not_allowed_fallback(|| async { ApiError::WrongMethod })
}

fn with_layers(router: Router<Arc<App>>, app: &Arc<App>, listener: ListenerKind) -> Router {
    let router = router.layer(middleware::from_fn_with_state((Arc::clone(app), listener), exchange::layer));
    // Errors get their shape inside, and browsers show them to pages that may use the server.
    let router = match origin::cors(app) {
        Some(cors) => router.layer(cors),
        None => router,
    };
    router.with_state(Arc::clone(app))
}
