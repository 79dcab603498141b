//! Accepts connections, serves them, and stops without losing a request.
//!
//! Stopping takes four steps: what the kernel has accepted for us is accepted; the listener closes; requests
//! under way are answered; the lanes end. `drain.deadline` bounds all of it, a second signal cuts it short.

use super::{App, Token, admin, router};
use crate::{dispatch::Joined, shutdown::Signals};
use hyper::{
    server::conn::http1,
    service::{Service, service_fn},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use socket2::{SockFilter, SockRef};
use std::{
    io,
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::{JoinHandle, JoinSet},
};

/// Longest head of a request, and the largest piece in which a body is read.
const READ_BUFFER_BYTES_MAX: usize = 64 << 10;
/// How long a handshake under way may take to complete after the signal.
const HANDSHAKE: Duration = Duration::from_millis(100);

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

/// The listener of the admin routes, and the token that they take.
pub struct Admin {
    /// Where they are.
    pub listener: std::net::TcpListener,
    /// What requests carry.
    pub token: Token,
}

/// Connections to the admin routes that may be open at once.
const ADMIN_CONNECTIONS_MAX: usize = 16;

/// Serves until a signal or an operator says otherwise, then drains.
///
/// # Errors
/// When the listener fails, or the drain takes longer than its deadline.
pub async fn serve(
    app: Arc<App>,
    listener: std::net::TcpListener,
    admin: Option<Admin>,
    mut signals: Signals,
    drain_deadline: Duration,
) -> Result<(), ServeError> {
    let listener = into_async(listener)?;
    let mut connections = Connections::new(&app, router(&app), Arc::clone(&app.connections));
    // Operators watch a drain to its end: their connections end with the server, and are not waited for.
    let admin = match admin {
        Some(Admin { listener, token }) => {
            let listener = into_async(listener)?;
            let mut connections = Connections::new(
                &app,
                admin::router(&app, token),
                Arc::new(Semaphore::new(ADMIN_CONNECTIONS_MAX)),
            );
            Some(AbortOnDrop(tokio::spawn(async move {
                loop {
                    connections.accept(&listener).await;
                }
            })))
        }
        None => None,
    };
    loop {
        tokio::select! {
            () = signals.next() => break,
            () = app.drain.notified() => break,
            () = connections.accept(&listener) => {}
        }
    }

    tracing::info!("draining");
    // A bake under way is nobody's request: it begins again at the next start.
    app.keepers.of_services.values().for_each(|keeper| keeper.stop());
    let begun = Instant::now();
    let deadline = begun + drain_deadline;
    let drain = async {
        connections.accept_backlog(listener).await;
        connections.finish().await;
        // Only now: a request that was read is admitted, whatever the moment at which the signal came.
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
                app.dispatcher.metrics().drained(begun.elapsed());
                tracing::info!(took_ms = begun.elapsed().as_millis() as u64, "drained");
                Ok(())
            }
            _ => Err(ServeError::DrainDeadline),
        },
        () = signals.next() => Err(ServeError::Interrupted),
    };
    app.stopping.send_replace(true);
    drop(admin);
    ended
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

struct Connections {
    app: Arc<App>,
    router: axum::Router,
    room: Arc<Semaphore>,
    draining: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl Connections {
    fn new(app: &Arc<App>, router: axum::Router, room: Arc<Semaphore>) -> Self {
        Self {
            app: Arc::clone(app),
            router,
            room,
            draining: watch::Sender::new(false),
            tasks: JoinSet::new(),
        }
    }

    /// Accepts one connection once there is room for it. Cancel safe: a connection that was not accepted
    /// stays in the backlog.
    async fn accept(&mut self, listener: &TcpListener) {
        while self.tasks.try_join_next().is_some() {}
        let permit = Arc::clone(&self.room).acquire_owned().await.expect("never closed");
        self.accept_into(listener, Some(permit)).await;
    }

    async fn accept_into(&mut self, listener: &TcpListener, permit: Option<OwnedSemaphorePermit>) {
        match listener.accept().await {
            Ok((stream, _)) => self.spawn(stream, permit),
            Err(error) => {
                // Out of descriptors, say. What is open goes on, and a pause keeps this from spinning.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }

    /// Accepts what the kernel has accepted on our behalf, and closes the listener.
    async fn accept_backlog(&mut self, listener: TcpListener) {
        if let Err(error) = refuse_new(&listener) {
            tracing::warn!(%error, "connections may be cut off at the moment of closing");
        }
        // Handshakes under way are let in, whatever the room: nothing new can begin one, so they are few.
        let _ = tokio::time::timeout(HANDSHAKE, async {
            loop {
                self.accept_into(&listener, None).await;
            }
        })
        .await;
    }

    fn spawn(&mut self, stream: TcpStream, permit: Option<OwnedSemaphorePermit>) {
        // Replies are written whole; waiting to fill a segment would only delay them.
        let _ = stream.set_nodelay(true);
        // A client that takes no bytes of its reply is given up after the time it would have to send them.
        let _ = SockRef::from(&stream).set_tcp_user_timeout(Some(self.app.http.body_timeout));
        let (begin, mut begun) = watch::channel(false);
        let router = TowerToHyperService::new(self.router.clone());
        let service = service_fn(move |request| {
            begin.send_replace(true);
            router.call(request)
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.app.http.header_timeout)
            .max_buf_size(READ_BUFFER_BYTES_MAX)
            .serve_connection(TokioIo::new(stream), service);
        let mut draining = self.draining.subscribe();
        self.tasks.spawn(async move {
            let mut connection = pin!(connection);
            // A connection that was accepted has a request on its way: closing it before that came would lose
            // it. `http.header_timeout` bounds the wait.
            let may_close = async {
                let _ = draining.wait_for(|draining| *draining).await;
                let _ = begun.wait_for(|begun| *begun).await;
            };
            let ended = tokio::select! {
                ended = connection.as_mut() => ended,
                () = may_close => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(error) = ended {
                tracing::debug!(%error, "a connection ended early");
            }
            drop(permit);
        });
    }

    /// Lets every connection finish the request it is at.
    async fn finish(mut self) {
        self.draining.send_replace(true);
        while self.tasks.join_next().await.is_some() {}
    }
}

/// Makes the kernel drop the first packet of every new connection, so that between the last `accept` and the
/// close no connection is established that nobody would ever accept. Its client tries again, and is refused.
fn refuse_new(listener: &TcpListener) -> io::Result<()> {
    // Classic BPF over the TCP header: a set SYN (bit 1 of byte 13) drops the packet.
    const LOAD_BYTE: u16 = 0x30;
    const JUMP_IF_SET: u16 = 0x45;
    const RETURN: u16 = 0x06;
    SockRef::from(listener).attach_filter(&[
        SockFilter::new(LOAD_BYTE, 0, 0, 13),
        SockFilter::new(JUMP_IF_SET, 0, 1, 0x02),
        SockFilter::new(RETURN, 0, 0, 0),
        SockFilter::new(RETURN, 0, 0, u32::MAX),
    ])
}
