//! What every handler shares.

use super::permission::PublicChanges;
use crate::{
    circuits::{Registries, Registry},
    config::HttpConfig,
    dispatch::Dispatcher,
    memory::process::Rollup,
};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::sync::{Notify, Semaphore, watch};

/// How old the kernel's account of the process's memory may be: to make it, the kernel walks every mapping of the pool.
const ROLLUP_AGE_MAX: Duration = Duration::from_secs(1);

/// Circuits that are received and checked at once.
const UPLOADS_MAX: usize = 2;

/// What every handler shares.
pub struct App {
    pub(super) dispatcher: Arc<Dispatcher>,
    pub(super) http: HttpConfig,
    /// The circuits of services that take them as data.
    pub(super) registries: Registries,
    pub(super) public_changes: PublicChanges,
    /// Budget for bodies in memory, in bytes.
    pub(super) buffered: Arc<Semaphore>,
    /// Budget for open connections of clients.
    pub(super) connections: Arc<Semaphore>,
    /// Budget for uploads of circuits.
    pub(super) uploads: Arc<Semaphore>,
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
        registries: Registries,
        public_changes: PublicChanges,
    ) -> Arc<Self> {
        Arc::new(Self {
            buffered: Arc::new(Semaphore::new(buffered_budget(&http))),
            connections: Arc::new(Semaphore::new(http.connections_max)),
            uploads: Arc::new(Semaphore::new(UPLOADS_MAX)),
            dispatcher,
            http,
            registries,
            public_changes,
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

    /// Bytes of request bodies in memory.
    pub(super) fn buffered_bytes(&self) -> usize {
        buffered_budget(&self.http) - self.buffered.available_permits()
    }

    /// Notifies everything that would never end by itself that the server drains.
    pub(super) fn begin_drain(&self) {
        self.draining.send_replace(true);
        // A bake belongs to no request: it begins again at the next start.
        self.registries.iter().map(AsRef::as_ref).for_each(Registry::stop);
    }
}

fn buffered_budget(http: &HttpConfig) -> usize {
    usize::try_from(http.buffered_bytes_max).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS)
}
