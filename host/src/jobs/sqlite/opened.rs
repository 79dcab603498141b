//! An engine that is open: its threads, and the ways to them.
//!
//! Invariant: the lock of the directory is released after the writer has ended.

use super::{
    bodies::Bodies,
    deadlines::Deadlines,
    load,
    open::{self, Directory},
    schema::DATABASE,
    shared::Shared,
    threads::Threads,
    writer::{self, Command, Writer},
};
use crate::jobs::{JobClock, JobError, JobLimits, SealingKey, ids::JobIds, seal::Seal, watchers::Watchers};
use rusqlite::Connection;
use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    thread,
};
use tokio::sync::{mpsc, oneshot};

/// Threads that seal and open large values.
const SEALERS: usize = 2;
/// Longest value that is sealed or opened on the caller's thread, in bytes. It takes about 0.1 ms.
const SEAL_HERE_BYTES_MAX: u64 = 64 << 10;

/// The way to the writer, until the engine is closed, and what tells that the writer has ended.
type RunningWriter = (Option<mpsc::Sender<Command>>, Option<oneshot::Receiver<()>>);

/// A job engine on a local directory.
pub struct SqliteJobs {
    pub(super) shared: Arc<Shared>,
    pub(super) ids: Mutex<JobIds>,
    pub(super) writer: Mutex<RunningWriter>,
    pub(super) reader: Threads<Connection>,
    pub(super) sealers: Threads<()>,
}

impl SqliteJobs {
    /// Opens a directory of jobs, and creates it if it is missing. Jobs that were claimed by a process that is gone wait
    /// again, or are quarantined. Blocks while the database is checked.
    ///
    /// # Errors
    /// Returns an error if another process has the directory, if it is on a network file system, if the database is
    /// damaged, missing beside its files, of another version or sealed with another key, or if files cannot be used.
    pub fn open(
        directory: &Path,
        key: &SealingKey,
        limits: JobLimits,
        clock: Arc<dyn JobClock>,
    ) -> Result<Self, JobError> {
        let directory = Directory::lock(directory)?;
        let seal = Seal::new(key);
        let connection = directory.database(&seal)?;
        open::read_all(&connection, &directory.path.join(DATABASE))?;
        let shared = Arc::new(Shared {
            limits,
            clock,
            seal,
            bodies: Bodies::new(directory.bodies.clone()),
            queues: Mutex::default(),
            deadlines: Deadlines::default(),
            watchers: Watchers::default(),
            work: Arc::default(),
            delivery_work: Arc::default(),
        });
        let mut writer = Writer::new(connection, Arc::clone(&shared));
        // Counted first, because jobs that end now have deliveries.
        *shared.queues() = load::queues(&writer.connection)?;
        writer.recover(Writer::recover_attempts)?;
        *shared.queues() = load::queues(&writer.connection)?;
        let orphans = open::remove_orphans(&writer.connection, &shared.bodies, &shared.bodies.suspects()?)?;
        if orphans > 0 {
            tracing::info!(orphans, "files of jobs that were never stored are removed");
        }
        let reader = Threads::start("jobs reader", vec![directory.reader()?])?;
        let sealers = Threads::start("jobs sealer", vec![(); SEALERS])?;
        let (sender, commands) = mpsc::channel(writer::WAITING_MAX);
        let (end, ended) = oneshot::channel::<()>();
        let lock = directory.lock;
        thread::Builder::new().name("jobs writer".into()).spawn(move || {
            writer.run(commands);
            // The directory is free before anybody is told so.
            drop(lock);
            drop(end);
        })?;
        shared.notify_work();
        Ok(Self {
            shared,
            ids: Mutex::default(),
            writer: Mutex::new((Some(sender), Some(ended))),
            reader,
            sealers,
        })
    }

    /// Has the writer run a command.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        run: impl FnOnce(&mut Writer) -> Result<T, JobError> + Send + 'static,
    ) -> Result<T, JobError> {
        let sender = self.writer.lock().unwrap_or_else(PoisonError::into_inner).0.clone();
        let (command, answer) = writer::command(run);
        sender.ok_or(JobError::Closed)?.send(command).await.map_err(|_| JobError::Closed)?;
        answer.await.map_err(|_| JobError::Closed)?
    }

    /// Has the reader run a query.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        run: impl FnOnce(&Connection) -> Result<T, JobError> + Send + 'static,
    ) -> Result<T, JobError> {
        self.reader.run(move |connection| run(connection)).await?
    }

    /// Runs a task that seals or opens a value of this length: here if it is short, or else on a thread for it.
    pub(super) async fn with_seal<T: Send + 'static>(
        &self,
        length: u64,
        run: impl FnOnce(&Shared) -> T + Send + 'static,
    ) -> Result<T, JobError> {
        if length <= self.shared.limits.inline_bytes_max.min(SEAL_HERE_BYTES_MAX) {
            return Ok(run(&self.shared));
        }
        let shared = Arc::clone(&self.shared);
        self.sealers.run(move |()| run(&shared)).await
    }
}
