//! The HTTP server: one file for each resource, `error` for every status of an error.
//!
//! Invariant: handlers wait for bodies and for lanes, and compute nothing.

mod admin;
mod body;
mod calls;
mod circuits;
mod error;
mod health;
mod listing;
mod request_id;
mod server;
mod status;

use crate::{circuits::Keeper, config::HttpConfig, dispatch::Dispatcher, process::Rollup};
use axum::{
    Router, middleware,
    routing::{get, post, put},
};
use error::ApiError;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::sync::{Notify, Semaphore, watch};

pub use admin::Token;
pub use server::{Admin, ServeError, serve};

/// How old the account of the process's memory may be: to make it walks every mapping of the pool.
const ROLLUP_AGE_MAX: Duration = Duration::from_secs(1);

/// Circuits that are taken in at once; more are told to come again.
const UPLOADS_MAX: usize = 2;

/// Who keeps the circuits that come as data.
#[derive(Default)]
pub struct Keepers {
    /// By the index of their service.
    pub of_services: BTreeMap<usize, Arc<Keeper>>,
    /// Whether the public listener takes changes.
    pub take_changes: bool,
}

/// What every handler sees.
pub struct App {
    dispatcher: Arc<Dispatcher>,
    http: HttpConfig,
    buffered: Arc<Semaphore>,
    /// Room for connections of clients.
    connections: Arc<Semaphore>,
    /// What the kernel last said of the process's memory, and when.
    rollup: Mutex<Option<(Instant, Rollup)>>,
    keepers: Keepers,
    /// Room for uploads.
    uploads: Arc<Semaphore>,
    started: Instant,
    /// Notified when an operator asks for a drain.
    drain: Notify,
    /// True once the server stops: streams that would never end do then.
    stopping: watch::Sender<bool>,
}

impl App {
    /// The application over a dispatcher.
    #[must_use]
    pub fn new(dispatcher: Arc<Dispatcher>, http: HttpConfig, keepers: Keepers) -> Arc<Self> {
        let buffered_bytes = usize::try_from(http.buffered_bytes_max).unwrap_or(usize::MAX);
        let buffered = Arc::new(Semaphore::new(buffered_bytes.min(Semaphore::MAX_PERMITS)));
        Arc::new(Self {
            dispatcher,
            http,
            buffered,
            connections: Arc::new(Semaphore::new(http.connections_max)),
            rollup: Mutex::new(None),
            keepers,
            uploads: Arc::new(Semaphore::new(UPLOADS_MAX)),
            started: Instant::now(),
            drain: Notify::new(),
            stopping: watch::Sender::new(false),
        })
    }

    /// Connections of clients that are open now.
    fn open_connections(&self) -> usize {
        self.http.connections_max.saturating_sub(self.connections.available_permits())
    }

    /// The memory of the process, not older than [`ROLLUP_AGE_MAX`]: whoever scrapes more often reads the same.
    fn rollup(&self) -> Option<Rollup> {
        // Held while the kernel is asked: others wait for the answer instead of asking too.
        let mut last = self.rollup.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_none_or(|(read, _)| read.elapsed() > ROLLUP_AGE_MAX) {
            *last = Rollup::read().map(|rollup| (Instant::now(), rollup));
        }
        last.map(|(_, rollup)| rollup)
    }

    /// Bytes of request bodies that are in memory now.
    fn buffered_bytes(&self) -> usize {
        let budget = usize::try_from(self.http.buffered_bytes_max).unwrap_or(usize::MAX);
        budget.min(Semaphore::MAX_PERMITS) - self.buffered.available_permits()
    }
}

/// Every route.
pub fn router(app: &Arc<App>) -> Router {
    Router::new()
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(health::metrics))
        .route("/v1/status", get(status::status))
        .route("/v1/circuits", get(listing::circuits))
        .route("/v1/circuits/{circuit}/prove", post(calls::prove))
        .route("/v1/circuits/{circuit}/verify", post(calls::verify))
        .route("/v1/circuits/{circuit}", circuits::changes(app, put(circuits::add).delete(circuits::remove)))
        .route("/v1/jobs", get(circuits::jobs))
        .route("/v1/jobs/{id}", get(circuits::job))
        .route("/v1/jobs/{id}/events", get(circuits::job_events))
        .route("/v1/generations", get(circuits::generations))
        .route("/v1/generations/{id}/activate", post(circuits::activate))
        .route("/v1/methods", get(listing::methods))
        .route("/v1/methods/{method}", post(calls::method))
        .fallback(|| async { ApiError::NoRoute })
        .method_not_allowed_fallback(|| async { ApiError::WrongMethod })
        .layer(middleware::from_fn_with_state(Arc::clone(app), request_id::layer))
        .with_state(Arc::clone(app))
}
