//! What every handler shares.

use super::{budget::Budget, circuit_work::CircuitWork, gate::Gate, reply::Replies, watchers::Watchers};
use crate::{
    circuits::{Registries, Registry},
    config::HttpConfig,
    dispatch::Dispatcher,
    memory::process::Rollup,
    sandbox::Sandbox,
    telemetry::metrics::Limit,
    webhooks::Callbacks,
    worker::JobHandle,
};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::sync::{Notify, Semaphore, watch};

/// How old the kernel's account of the process's memory may be: to make it, the kernel walks every mapping of the pool.
const ROLLUP_AGE_MAX: Duration = Duration::from_secs(1);

/// What every handler shares.
pub struct App {
    pub(super) dispatcher: Arc<Dispatcher>,
    pub(super) http: HttpConfig,
    /// The circuits of services that take them as data.
    pub(super) registries: Arc<Registries>,
    /// Who may do what.
    pub(super) gate: Gate,
    /// Durable jobs.
    pub(super) jobs: Arc<JobHandle>,
    /// Decides about the callbacks of jobs; `None` where webhooks are not sent.
    pub(super) callbacks: Option<Callbacks>,
    /// What the server has given up.
    pub(super) sandbox: Sandbox,
    /// Budget for bodies and replies in memory, in bytes.
    pub(super) buffered: Arc<Budget>,
    /// Budget for circuits on disk that arrive, in bytes.
    pub(super) uploaded: Budget,
    /// Budget for open connections of clients.
    pub(super) connections: Arc<Semaphore>,
    /// Requests that have no answer yet.
    pub(super) under_way: UnderWay,
    /// Replies that are being sent.
    pub(super) replies: Replies,
    /// Threads for work on circuits.
    pub(super) circuit_work: CircuitWork,
    /// The streams to pages.
    pub(super) watchers: Watchers,
    /// The kernel's last account of the process's memory, and when it was taken.
    rollup: Mutex<Option<(Instant, Rollup)>>,
    pub(super) started: Instant,
    /// Notified when an operator asks for a drain.
    pub(super) drain: Notify,
    /// True once the server drains: streams that would never end do then.
    pub(super) draining: watch::Sender<bool>,
}

impl App {
    /// Creates the application over a dispatcher.
    #[must_use]
    pub fn new(
        dispatcher: Arc<Dispatcher>,
        http: HttpConfig,
        registries: Arc<Registries>,
        gate: Gate,
        jobs: Arc<JobHandle>,
        callbacks: Option<Callbacks>,
        sandbox: Sandbox,
    ) -> Arc<Self> {
        let metrics = dispatcher.metrics();
        let buffered = Arc::new(Budget::new(http.buffered_bytes_max, Limit::BufferedBytes, metrics));
        Arc::new(Self {
            connections: Arc::new(Semaphore::new(http.connections_max)),
            under_way: UnderWay::default(),
            replies: Replies::new(&buffered),
            circuit_work: CircuitWork::new(registries.changes_max(), metrics),
            watchers: Watchers::new(http.connections_max),
            uploaded: Budget::new(http.upload_bytes_max, Limit::UploadBytes, metrics),
            buffered,
            dispatcher,
            http,
            registries,
            gate,
            jobs,
            callbacks,
            sandbox,
            rollup: Mutex::new(None),
            started: Instant::now(),
            drain: Notify::new(),
            draining: watch::Sender::new(false),
        })
    }

    /// Number of open connections of clients.
    pub(super) fn open_connections(&self) -> usize {
        self.http.connections_max.saturating_sub(self.connections.available_permits())
    }

    /// The kernel's account of the process's memory, at most [`ROLLUP_AGE_MAX`] old.
    pub(super) fn rollup(&self) -> Option<Rollup> {
        // Held while the kernel is asked, so that others wait for the same answer instead of asking too.
        let mut last = self.rollup.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_none_or(|(read, _)| read.elapsed() > ROLLUP_AGE_MAX) {
            *last = Rollup::read().map(|rollup| (Instant::now(), rollup));
        }
        last.map(|(_, rollup)| rollup)
    }

    /// Becomes true once the server drains.
    #[must_use]
    pub fn draining(&self) -> watch::Receiver<bool> {
        self.draining.subscribe()
    }

    /// Notifies everything that would never end by itself that the server drains.
    pub(super) fn begin_drain(&self) {
        self.draining.send_replace(true);
        // A bake belongs to no request: it begins again at the next start.
        self.registries.iter().map(AsRef::as_ref).for_each(Registry::stop);
    }
}

/// Counts what is under way.
#[derive(Clone, Default)]
pub(super) struct UnderWay(Arc<()>);

impl UnderWay {
    /// Counts one more until the returned value is dropped.
    pub(super) fn begin(&self) -> Self {
        self.clone()
    }

    pub(super) fn is_empty(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }
}
