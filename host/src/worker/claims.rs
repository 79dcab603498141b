//! Claims jobs while there is room for them, and sweeps when time has changed something.
//!
//! Invariant: at most `jobs.running_max` jobs are on their way, and none is claimed once the server drains.

use super::{
    answer::Explain,
    handle::{JobHandle, NoJobs},
    run::{self, Ran, RunContext},
};
use crate::{
    circuits::Registries,
    config::Sharing,
    dispatch::Dispatcher,
    jobs::{JobEngine, JobError},
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep_until},
};

/// Pause after the engine failed to give out jobs.
const PAUSE: Duration = Duration::from_secs(1);
/// Longest pause of a service whose calls are not admitted.
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// Pauses between two sweeps: the shortest, and the longest, which also follows a sweep that failed.
const SWEEP_PAUSE_MIN: Duration = Duration::from_millis(100);
const SWEEP_PAUSE_MAX: Duration = Duration::from_secs(60);
/// A lease is renewed this many times before it would run out.
const RENEWALS_PER_LEASE: u32 = 3;

/// Opens the engine and runs its jobs until the server drains.
pub struct Worker {
    /// Where the engine goes once it is open.
    pub jobs: Arc<JobHandle>,
    /// Where calls go.
    pub dispatcher: Arc<Dispatcher>,
    /// The circuits of services that take them as data.
    pub registries: Arc<Registries>,
    /// Names why calls fail.
    pub explain: Explain,
    /// `jobs.running_max`
    pub running_max: usize,
    /// `jobs.lease`
    pub lease: Duration,
    /// `jobs.share_pure`
    pub sharing: Sharing,
}

impl Worker {
    /// Opens the engine with `open`, on a thread of its own, and runs its jobs until the server drains.
    pub async fn run(
        self,
        open: impl FnOnce() -> Result<Arc<dyn JobEngine>, JobError> + Send + 'static,
        draining: watch::Receiver<bool>,
    ) {
        let opened = tokio::task::spawn_blocking(open).await.unwrap_or(Err(JobError::Closed));
        let opened = opened.map_err(NoJobs::from).inspect_err(|error| {
            tracing::error!(%error, "calls are not accepted as jobs");
        });
        self.jobs.open(opened.clone());
        if let Ok(engine) = opened {
            self.work(engine, draining).await;
        }
    }

    async fn work(self, engine: Arc<dyn JobEngine>, mut draining: watch::Receiver<bool>) {
        let Self { jobs, dispatcher, registries, explain, running_max, lease, sharing } = self;
        let names: Vec<String> =
            dispatcher.services().iter().map(|service| service.name().to_owned()).collect();
        let context = Arc::new(RunContext {
            engine: Arc::clone(&engine),
            dispatcher,
            registries,
            jobs,
            explain,
            beside: Arc::default(),
            renew_every: lease / RENEWALS_PER_LEASE,
            sharing,
        });
        let work = engine.work();
        let mut running = JoinSet::new();
        let mut pauses = Pauses::default();
        // Whether the last job that was claimed is suspected of having killed a server. It runs alone, so that nothing is
        // claimed until it has ended.
        let mut is_suspected = false;
        while !*draining.borrow() {
            is_suspected &= !running.is_empty();
            let can_run = pauses.without_paused(&names);
            let has_room = !is_suspected && running.len() < running_max && !can_run.is_empty();
            if has_room {
                match engine.claim(&can_run, 1).await.map(|mut claimed| claimed.pop()) {
                    Ok(None) => {}
                    Ok(Some(claimed)) => {
                        is_suspected = claimed.losses > 0;
                        running.spawn(run::run(Arc::clone(&context), claimed, draining.clone()));
                        continue;
                    }
                    Err(error) => {
                        tracing::error!(%error, "jobs cannot be claimed");
                        can_run.into_iter().for_each(|service| pauses.pause(service, PAUSE));
                    }
                }
            }
            let sweep = async {
                let due = engine.next_due().await.unwrap_or(SWEEP_PAUSE_MAX).min(SWEEP_PAUSE_MAX);
                sleep_until((Instant::now() + due).max(pauses.sweep_from)).await;
            };
            tokio::select! {
                () = drained(&mut draining) => break,
                () = work.notified(), if has_room => {}
                () = sleep_until(pauses.first_end()) => {}
                Some(ran) = running.join_next() => {
                    if let Ok(Ran::NotAdmitted { service, pause }) = ran {
                        pauses.pause(service, pause.min(PAUSE_MAX));
                    }
                }
                () = sweep => match engine.sweep().await {
                    Ok(swept) => {
                        pauses.sweep_from = Instant::now() + SWEEP_PAUSE_MIN;
                        tracing::debug!(?swept, "jobs swept");
                    }
                    Err(error) => {
                        pauses.sweep_from = Instant::now() + SWEEP_PAUSE_MAX;
                        tracing::error!(%error, "jobs cannot be swept");
                    }
                },
            }
        }
        // Each notices the drain itself, stops its call, and gives its job back.
        while running.join_next().await.is_some() {}
    }
}

/// What has to wait although there is room.
struct Pauses {
    /// Services whose jobs are not claimed before these times.
    services: BTreeMap<String, Instant>,
    /// The next sweep is not before this.
    sweep_from: Instant,
}

impl Default for Pauses {
    fn default() -> Self {
        Self { services: BTreeMap::new(), sweep_from: Instant::now() }
    }
}

impl Pauses {
    fn pause(&mut self, service: String, pause: Duration) {
        self.services.insert(service, Instant::now() + pause);
    }

    /// Returns the services that have no pause now.
    fn without_paused(&mut self, names: &[String]) -> Vec<String> {
        let now = Instant::now();
        self.services.retain(|_, end| *end > now);
        names.iter().filter(|name| !self.services.contains_key(*name)).cloned().collect()
    }

    /// When the first pause ends; far in the future if there is none.
    fn first_end(&self) -> Instant {
        self.services.values().min().copied().unwrap_or_else(|| Instant::now() + SWEEP_PAUSE_MAX)
    }
}

/// Waits until the server drains.
async fn drained(draining: &mut watch::Receiver<bool>) {
    // Fails if the server has ended, which is as good.
    let _ = draining.wait_for(|draining| *draining).await;
}
