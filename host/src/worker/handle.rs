//! The handle through which the job engine is reached once it is open.
//!
//! Invariant: an engine that cannot be opened costs the jobs, and nothing else: calls are served without it.

use super::estimates::Estimates;
use crate::jobs::{JobEngine, JobError};
use std::sync::Arc;
use tokio::sync::watch;

/// Why there is no engine.
#[derive(Clone, Debug, thiserror::Error)]
pub enum NoJobs {
    /// `jobs.accept` is off.
    #[error("calls are not accepted as jobs here: see the setting jobs.accept")]
    Off,
    /// The engine could not be opened.
    #[error(transparent)]
    Failed(#[from] JobError),
}

/// Who may submit jobs, and see those that there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobClients {
    /// Clients of this machine whose requests no proxy passed on.
    Local,
    /// Whoever may call.
    All,
}

/// The engine, or that it is still being opened.
type Opened = Option<Result<Arc<dyn JobEngine>, NoJobs>>;

/// Gives the engine to handlers, and estimates to those who ask how long a job will take.
pub struct JobHandle {
    opened: watch::Sender<Opened>,
    clients: JobClients,
    estimates: Estimates,
}

impl JobHandle {
    /// Creates a handle whose engine is still to be opened.
    #[must_use]
    pub fn opening(clients: JobClients) -> Arc<Self> {
        Arc::new(Self { opened: watch::Sender::new(None), clients, estimates: Estimates::default() })
    }

    /// Creates a handle without an engine.
    #[must_use]
    pub fn off() -> Arc<Self> {
        let jobs = Self::opening(JobClients::Local);
        jobs.open(Err(NoJobs::Off));
        jobs
    }

    /// Sets the engine, or why there is none.
    pub(super) fn open(&self, opened: Result<Arc<dyn JobEngine>, NoJobs>) {
        self.opened.send_replace(Some(opened));
    }

    /// Returns the engine. Waits while it is being opened.
    ///
    /// # Errors
    /// Returns why there is none.
    pub async fn engine(&self) -> Result<Arc<dyn JobEngine>, NoJobs> {
        let mut opened = self.opened.subscribe();
        match opened.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(opened)) => opened.clone(),
            // The sender lives as long as this handle.
            _ => Err(NoJobs::Failed(JobError::Closed)),
        }
    }

    /// Who may submit jobs, and see those that there are.
    #[must_use]
    pub fn clients(&self) -> JobClients {
        self.clients
    }

    /// Why there are no jobs, if that is known by now.
    #[must_use]
    pub fn refusal(&self) -> Option<NoJobs> {
        self.opened.borrow().as_ref()?.as_ref().err().cloned()
    }

    /// Returns the engine if it is open.
    #[must_use]
    pub fn engine_if_open(&self) -> Option<Arc<dyn JobEngine>> {
        self.opened.borrow().clone()?.ok()
    }

    /// How long calls of each kind take.
    #[must_use]
    pub fn estimates(&self) -> &Estimates {
        &self.estimates
    }
}
