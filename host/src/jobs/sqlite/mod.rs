//! The engine on one machine: a database of SQLite and a directory of files, of which one process at a time has both.
//!
//! | file | what it does |
//! |---|---|
//! | `open`, `schema` | opens or creates the directory |
//! | `writer` | runs commands, many to a transaction |
//! | `submit`, `claim`, `finish`, `sweep` | the commands |
//! | `load` | counts jobs |
//! | `read`, `rows` | reads jobs |
//! | `bodies` | seals values, and keeps the files of large ones |
//! | `deadlines` | leases and pauses, in memory |
//! | `threads` | runs blocking tasks for futures |
//!
//! Invariant: only the writer's thread changes the database. Reads use another connection, so that they never wait for a
//! sync.

mod bodies;
mod claim;
mod deadlines;
mod engine;
mod finish;
mod load;
mod open;
mod read;
mod rows;
mod schema;
mod submit;
mod sweep;
mod threads;
mod writer;

use self::{
    bodies::Bodies,
    deadlines::Deadlines,
    open::Directory,
    threads::Threads,
    writer::{Command, Writer},
};
use crate::jobs::{
    JobClock, JobError, JobLimits, SealingKey, fairness::Queues, ids::JobIds, seal::Seal, watchers::Watchers,
};
use rusqlite::Connection;
use std::{
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};
use tokio::sync::{Notify, mpsc, oneshot};

/// Name of the database in its directory.
const DATABASE: &str = "jobs.sqlite";
/// Threads that seal and open large values.
const SEALERS: usize = 2;

/// What the threads of an engine share.
struct Shared {
    limits: JobLimits,
    clock: Arc<dyn JobClock>,
    seal: Seal,
    bodies: Arc<Bodies>,
    queues: Mutex<Queues>,
    deadlines: Deadlines,
    watchers: Watchers,
    work: Arc<Notify>,
}

impl Shared {
    fn queues(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes everybody who waits for work, and the next one who will.
    fn notify_work(&self) {
        self.work.notify_waiters();
        self.work.notify_one();
    }
}

/// The way to the writer, until the engine is closed, and what tells that the writer has ended.
type RunningWriter = (Option<mpsc::Sender<Command>>, Option<oneshot::Receiver<()>>);

/// A job engine on a local directory.
pub struct SqliteJobs {
    shared: Arc<Shared>,
    ids: Mutex<JobIds>,
    writer: Mutex<RunningWriter>,
    reader: Threads<Connection>,
    sealers: Threads<()>,
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
        });
        let mut writer = Writer::new(connection, Arc::clone(&shared));
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
    async fn write<T: Send + 'static>(
        &self,
        run: impl FnOnce(&mut Writer) -> Result<T, JobError> + Send + 'static,
    ) -> Result<T, JobError> {
        let sender = self.writer.lock().unwrap_or_else(PoisonError::into_inner).0.clone();
        let (command, answer) = writer::command(run);
        sender.ok_or(JobError::Closed)?.send(command).await.map_err(|_| JobError::Closed)?;
        answer.await.map_err(|_| JobError::Closed)?
    }

    /// Has the reader run a query.
    async fn read<T: Send + 'static>(
        &self,
        run: impl FnOnce(&Connection) -> Result<T, JobError> + Send + 'static,
    ) -> Result<T, JobError> {
        self.reader.run(move |connection| run(connection)).await?
    }

    /// Runs a task that seals or opens a value of this length: here if it is short, or else on a thread for it.
    async fn with_seal<T: Send + 'static>(
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

/// Longest value that is sealed or opened on the caller's thread, in bytes. It takes about 0.1 ms.
const SEAL_HERE_BYTES_MAX: u64 = 64 << 10;
