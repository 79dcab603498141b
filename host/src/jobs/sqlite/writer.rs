//! The one thread that changes the database. It takes all commands that wait, runs them in one transaction, and answers
//! them after one sync.
//!
//! Invariant: a command is answered with success only after its transaction is durable. What a command does outside the
//! database is an [`Effect`], and happens after the commit or not at all.

use super::{bodies::PendingFile, load, shared::Shared, turns::Turns};
use crate::jobs::{JobError, JobId, fairness::Queues};
use rusqlite::Connection;
use std::{
    sync::{Arc, MutexGuard},
    time::Duration,
};
use tokio::sync::{mpsc, oneshot};

/// Most commands of one transaction.
const GROUP_MAX: usize = 256;
/// Most commands that wait for the writer.
pub(super) const WAITING_MAX: usize = 1024;

/// Runs in a transaction, or learns why there is none. Returns what is told to who sent it.
pub(super) type Command = Box<dyn FnOnce(Result<&mut Writer, JobError>) -> Done + Send>;

/// A command that ran.
pub(super) struct Done {
    failure: Option<JobError>,
    /// Answers the sender, with the error of the transaction if that failed.
    answer: Box<dyn FnOnce(Result<(), JobError>)>,
}

/// What happens after a commit.
pub(super) enum Effect {
    /// A claim has a lease.
    Granted(JobId, u64),
    /// A lease has ended.
    Ended(JobId, u64),
    /// The holder of a job is told to stop.
    CancelRequested(JobId),
    /// A job pauses before a retry.
    Paused(Duration, i64),
    /// A pause is over.
    PauseEnded(Duration, i64),
    /// A record changed.
    Changed(JobId),
    /// A job may have become claimable.
    Work,
    /// A delivery may have become due.
    Deliver,
    /// No row names this file any more.
    Unnamed(String),
    /// A row names this file now.
    Named(PendingFile),
}

/// The state of the thread.
pub(super) struct Writer {
    pub(super) connection: Connection,
    pub(super) shared: Arc<Shared>,
    pub(super) effects: Vec<Effect>,
    /// Whose delivery is claimed next.
    pub(super) turns: Turns,
    /// Whether the command that runs changed the counts in memory.
    has_counted: bool,
}

/// Makes a command of a function, and returns what receives its answer.
pub(super) fn command<T: Send + 'static>(
    run: impl FnOnce(&mut Writer) -> Result<T, JobError> + Send + 'static,
) -> (Command, oneshot::Receiver<Result<T, JobError>>) {
    let (sender, receiver) = oneshot::channel();
    let command = move |writer: Result<&mut Writer, JobError>| {
        let result = writer.and_then(run);
        let failure = result.as_ref().err().cloned();
        // If nobody waits any more, the answer is dropped here; claimed jobs are abandoned that way.
        let answer = move |committed: Result<(), JobError>| drop(sender.send(committed.and(result)));
        Done { failure, answer: Box::new(answer) }
    };
    (Box::new(command), receiver)
}

impl Writer {
    pub(super) fn new(connection: Connection, shared: Arc<Shared>) -> Self {
        Self { connection, shared, effects: Vec::new(), turns: Turns::default(), has_counted: false }
    }

    /// Runs until all senders are gone, and closes the database.
    pub(super) fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        while let Some(first) = commands.blocking_recv() {
            let mut group = vec![first];
            while group.len() < GROUP_MAX
                && let Ok(command) = commands.try_recv()
            {
                group.push(command);
            }
            self.run_group(group);
        }
        // The process ends in order: what is still claimed did not kill it.
        let (give_back, _answer) = command(|writer| {
            let held = writer.shared.deadlines.held();
            held.into_iter().try_for_each(|(job, nonce)| writer.give_back(job, nonce))
        });
        self.run_group(vec![give_back]);
        let checkpoint = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        if let Err(error) = checkpoint {
            tracing::warn!(%error, "the write-ahead log of the jobs could not be merged: the next start does it");
        }
    }

    fn run_group(&mut self, group: Vec<Command>) {
        let mut done = Vec::with_capacity(group.len());
        let result = self.transact(group, &mut done);
        match &result {
            Ok(()) => self.apply_effects(),
            Err(error) => {
                tracing::error!(%error, "changes of jobs could not be stored, and were undone");
                self.effects.clear();
                self.reload();
            }
        }
        for done in done {
            (done.answer)(result.clone());
        }
    }

    fn transact(&mut self, group: Vec<Command>, done: &mut Vec<Done>) -> Result<(), JobError> {
        let mut transaction = self.begin();
        for command in group {
            match &transaction {
                Ok(()) => transaction = self.run_command(command, done),
                Err(error) => done.push(command(Err(error.clone()))),
            }
        }
        let committed = transaction.and_then(|()| Ok(self.connection.execute_batch("COMMIT")?));
        if committed.is_err() && !self.connection.is_autocommit() {
            // If this fails too, the next transaction tries again before it begins.
            let _ = self.connection.execute_batch("ROLLBACK");
        }
        committed
    }

    /// Runs a command, and undoes it alone if it fails. Returns an error if the transaction has failed.
    fn run_command(&mut self, command: Command, done: &mut Vec<Done>) -> Result<(), JobError> {
        if let Err(error) = self.connection.execute_batch("SAVEPOINT command").map_err(JobError::from) {
            done.push(command(Err(error.clone())));
            return Err(error);
        }
        self.has_counted = false;
        let effects = self.effects.len();
        done.push(command(Ok(self)));
        let Some(failure) = done.last().and_then(|done| done.failure.clone()) else {
            return Ok(self.connection.execute_batch("RELEASE command")?);
        };
        self.effects.truncate(effects);
        if self.connection.is_autocommit() {
            // The error was one of those with which SQLite undoes the whole transaction.
            return Err(failure);
        }
        self.connection.execute_batch("ROLLBACK TO command; RELEASE command")?;
        if self.has_counted {
            self.reload();
        }
        Ok(())
    }

    fn begin(&self) -> Result<(), JobError> {
        if self.connection.is_autocommit() {
            return Ok(self.connection.execute_batch("BEGIN IMMEDIATE")?);
        }
        // An earlier transaction could not be undone. It must not become part of this one.
        Ok(self.connection.execute_batch("ROLLBACK; BEGIN IMMEDIATE")?)
    }

    fn apply_effects(&mut self) {
        let shared = &self.shared;
        let now = shared.clock.monotonic();
        let mut has_work = false;
        for effect in self.effects.drain(..) {
            match effect {
                Effect::Granted(job, nonce) => shared.deadlines.grant(job, nonce, now + shared.limits.lease),
                Effect::Ended(job, nonce) => shared.deadlines.end(job, nonce),
                Effect::CancelRequested(job) => shared.deadlines.cancel(job),
                Effect::Paused(until, seq) => shared.deadlines.pause(until, seq),
                Effect::PauseEnded(until, seq) => shared.deadlines.end_pause(until, seq),
                Effect::Changed(job) => shared.watchers.changed(job),
                Effect::Work => has_work = true,
                Effect::Deliver => shared.delivery_work.notify_one(),
                Effect::Named(file) => file.keep(),
                Effect::Unnamed(name) => {
                    if let Err(error) = shared.bodies.remove(&name) {
                        tracing::warn!(%error, "a file of a job could not be removed: a sweep tries again");
                    }
                }
            }
        }
        if has_work {
            shared.notify_work();
        }
    }

    /// Counts again what the database has, after changes were undone.
    fn reload(&self) {
        match load::queues(&self.connection) {
            Ok(mut queues) => {
                let mut counted = self.shared.queues();
                queues.keep_positions(&counted);
                *counted = queues;
            }
            Err(error) => {
                tracing::error!(%error, "jobs could not be counted: the counts are those before the error")
            }
        }
    }

    /// The counts, to be changed together with the database.
    pub(super) fn count(&mut self) -> MutexGuard<'_, Queues> {
        self.has_counted = true;
        self.shared.queues()
    }

    pub(super) fn add_effect(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    /// Runs a function in a transaction of its own, before there are commands. If it fails, the database is closed, which
    /// undoes what it did.
    pub(super) fn recover(
        &mut self,
        run: impl FnOnce(&mut Self) -> Result<(), JobError>,
    ) -> Result<(), JobError> {
        self.connection.execute_batch("BEGIN IMMEDIATE")?;
        run(self)?;
        self.connection.execute_batch("COMMIT")?;
        self.apply_effects();
        Ok(())
    }
}
