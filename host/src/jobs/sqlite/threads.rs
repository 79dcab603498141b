//! Threads that run tasks for futures: blocking reads, encryption and file writes stay off the executor's threads.
//!
//! Invariant: at most [`TASKS_MAX`] tasks wait or run, whatever becomes of the futures that they are for. A task for which
//! nobody waits any more when its turn comes is dropped; others are run, also when the threads end.

use crate::jobs::JobError;
use crossbeam_channel::{Receiver, Sender, unbounded};
use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
    thread,
};
use tokio::sync::{Semaphore, oneshot};

/// Most tasks that wait or run.
const TASKS_MAX: usize = 64;

type Task<T> = Box<dyn FnOnce(&mut T) + Send>;

/// The sender, until the threads are closed, and what tells for each thread that it has ended.
type Running<T> = (Option<Sender<Task<T>>>, Vec<oneshot::Receiver<()>>);

/// Threads that each own a `T`.
pub(super) struct Threads<T> {
    inner: Mutex<Running<T>>,
    permits: Arc<Semaphore>,
}

impl<T: Send + 'static> Threads<T> {
    /// Starts one thread for each `T`.
    pub(super) fn start(name: &str, owned: Vec<T>) -> io::Result<Self> {
        let (sender, tasks) = unbounded();
        let mut ends = Vec::with_capacity(owned.len());
        for value in owned {
            let (end, ended) = oneshot::channel();
            let tasks = tasks.clone();
            thread::Builder::new().name(name.into()).spawn(move || run(value, &tasks, end))?;
            ends.push(ended);
        }
        Ok(Self { inner: Mutex::new((Some(sender), ends)), permits: Arc::new(Semaphore::new(TASKS_MAX)) })
    }

    /// Runs a task on one of the threads. If the future is dropped, the task may still run.
    pub(super) async fn run<R: Send + 'static>(
        &self,
        task: impl FnOnce(&mut T) -> R + Send + 'static,
    ) -> Result<R, JobError> {
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(|_| JobError::Closed)?;
        let (answer, answered) = oneshot::channel();
        let sender = self.inner.lock().unwrap_or_else(PoisonError::into_inner).0.clone();
        let task: Task<T> = Box::new(move |value| {
            let _permit = permit;
            if !answer.is_closed() {
                drop(answer.send(task(value)));
            }
        });
        sender.ok_or(JobError::Closed)?.send(task).map_err(|_| JobError::Closed)?;
        answered.await.map_err(|_| JobError::Closed)
    }

    /// Ends the threads, and resolves once they have ended.
    pub(super) async fn close(&self) {
        let (sender, ends) = std::mem::take(&mut *self.inner.lock().unwrap_or_else(PoisonError::into_inner));
        drop(sender);
        for ended in ends {
            // The sender is dropped, not used.
            let _ = ended.await;
        }
    }
}

fn run<T>(mut value: T, tasks: &Receiver<Task<T>>, end: oneshot::Sender<()>) {
    for task in tasks {
        task(&mut value);
    }
    drop(value);
    drop(end);
}
