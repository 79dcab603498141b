//! Serves until a signal arrives, and stops without losing a request.
//!
//! Stopping takes four steps: connections that the kernel has accepted are accepted; the listener closes; requests
//! under way are answered; the lanes end. `drain.deadline` bounds all of it, and a second signal cuts it short.

use super::{App, Tls, connections::Connections, live, router, signals::Signals};
use crate::dispatch::Joined;
use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{net::TcpListener, sync::Semaphore, task::JoinHandle};

/// Connections to the admin routes that may be open at once.
const ADMIN_CONNECTIONS_MAX: usize = 16;

/// How long closing the jobs may take once a drain was cut short.
const JOBS_CLOSE_MAX: Duration = Duration::from_secs(5);

/// Why a server ended badly.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The listener cannot be used.
    #[error("cannot serve: {0}")]
    Io(#[from] io::Error),
    /// A second signal came before everything was answered.
    #[error("stopped by a second signal, with requests unanswered")]
    Interrupted,
    /// Calls were still running when `drain.deadline` passed.
    #[error("drain.deadline passed with calls still running")]
    DrainDeadline,
}

/// The listener of the public routes.
pub struct Public {
    /// The listener.
    pub listener: std::net::TcpListener,
    /// What encrypts its connections, if they are.
    pub tls: Option<Arc<Tls>>,
}

/// Serves until a signal or an operator asks for a drain, then drains. `admin` is the listener for operators; `worker` runs
/// jobs and ends once the server drains.
///
/// # Errors
/// Returns an error if the listener fails, or the drain takes longer than its deadline.
pub async fn serve(
    app: Arc<App>,
    public: Public,
    admin: Option<std::net::TcpListener>,
    worker: Option<JoinHandle<()>>,
    mut signals: Signals,
    drain_deadline: Duration,
) -> Result<(), ServeError> {
    let listener = into_async(public.listener)?;
    let mut connections = Connections::new(&app, router::public(&app), &app.connections, public.tls);
    let buffered = Arc::clone(&app.buffered);
    let _returns_memory = AbortOnDrop(tokio::spawn(async move { buffered.return_memory().await }));
    let _pulse = AbortOnDrop(tokio::spawn(live::pulse(Arc::clone(&app))));
    // Operators can watch a drain to its end: their connections end with the server, and the drain does not wait for
    // them.
    let admin = admin.map(|admin| spawn_admin(&app, admin)).transpose()?;
    loop {
        tokio::select! {
            () = signals.next() => break,
            () = app.drain.notified() => break,
            () = connections.accept(&listener) => {}
        }
    }

    tracing::info!("draining");
    app.begin_drain();
    let begun = Instant::now();
    let deadline = begun + drain_deadline;
    let drain = async {
        connections.accept_backlog(listener).await;
        connections.finish().await;
        // Its jobs are given back by now, and no client submits another.
        if let Some(worker) = worker {
            let _ = worker.await;
        }
        if let Some(jobs) = app.jobs.engine_if_open() {
            jobs.close().await;
        }
        // This comes last, so that a request that was read is admitted whenever the signal arrived.
        app.dispatcher.drain();
        let left = deadline.saturating_duration_since(Instant::now());
        let joined = tokio::task::spawn_blocking({
            let app = Arc::clone(&app);
            move || app.dispatcher.join(left)
        });
        joined.await.unwrap_or(Joined::GaveUp)
    };
    let ended = tokio::select! {
        joined = tokio::time::timeout(drain_deadline, drain) => match joined {
            Ok(Joined::Finished) => {
                app.dispatcher.metrics().drain_ended(begun.elapsed());
                tracing::info!(took_ms = begun.elapsed().as_millis() as u64, "drained");
                Ok(())
            }
            _ => Err(ServeError::DrainDeadline),
        },
        () = signals.next() => Err(ServeError::Interrupted),
    };
    // A drain that was cut short gives the jobs back as well, so that their attempts do not count.
    if let (Err(_), Some(jobs)) = (&ended, app.jobs.engine_if_open()) {
        let _ = tokio::time::timeout(JOBS_CLOSE_MAX, jobs.close()).await;
    }
    drop(admin);
    ended
}

fn spawn_admin(app: &Arc<App>, listener: std::net::TcpListener) -> io::Result<AbortOnDrop> {
    let listener = into_async(listener)?;
    let room = Arc::new(Semaphore::new(ADMIN_CONNECTIONS_MAX));
    let mut connections = Connections::new(app, router::admin(app), &room, None);
    Ok(AbortOnDrop(tokio::spawn(async move {
        loop {
            connections.accept(&listener).await;
        }
    })))
}

fn into_async(listener: std::net::TcpListener) -> io::Result<TcpListener> {
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

/// A task that ends with its owner.
struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
