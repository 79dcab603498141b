//! One task for each connection, and the room for them.
//!
//! Invariant: a connection that was accepted gets an answer to the request that is on its way, also while the server
//! drains.

use super::App;
use hyper::{
    server::conn::http1,
    service::{Service, service_fn},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use socket2::{SockFilter, SockRef};
use std::{io, pin::pin, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::JoinSet,
};

/// Longest head of a request, and largest piece in which a body is read, in bytes.
const READ_BUFFER_BYTES_MAX: usize = 64 << 10;
/// How long a handshake under way may take to complete after the signal.
const HANDSHAKE: Duration = Duration::from_millis(100);

/// The connections of one listener.
pub(super) struct Connections {
    app: Arc<App>,
    router: axum::Router,
    room: Arc<Semaphore>,
    draining: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl Connections {
    pub(super) fn new(app: &Arc<App>, router: axum::Router, room: Arc<Semaphore>) -> Self {
        Self {
            app: Arc::clone(app),
            router,
            room,
            draining: watch::Sender::new(false),
            tasks: JoinSet::new(),
        }
    }

    /// Accepts one connection once there is room for it. Cancel safe: a connection that was not accepted stays in the
    /// backlog.
    pub(super) async fn accept(&mut self, listener: &TcpListener) {
        while self.tasks.try_join_next().is_some() {}
        let permit = Arc::clone(&self.room).acquire_owned().await.expect("never closed");
        self.accept_into(listener, Some(permit)).await;
    }

    async fn accept_into(&mut self, listener: &TcpListener, permit: Option<OwnedSemaphorePermit>) {
        match listener.accept().await {
            Ok((stream, _)) => self.spawn(stream, permit),
            Err(error) => {
                // For example, out of descriptors. Open connections go on, and a pause keeps this from spinning.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }

    /// Accepts the connections that the kernel has accepted on behalf of the server, and closes the listener.
    pub(super) async fn accept_backlog(&mut self, listener: TcpListener) {
        if let Err(error) = refuse_new(&listener) {
            tracing::warn!(%error, "connections may be cut off at the moment of closing");
        }
        // Handshakes under way are let in without a permit: nothing new can begin one, so they are few.
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
        // A client that takes no bytes of its reply is given up after the time that it has to send a body.
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
            // An accepted connection has a request on its way. Closing it before that came would lose the request;
            // `http.header_timeout` bounds the wait.
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

    /// Lets every connection finish its current request.
    pub(super) async fn finish(mut self) {
        self.draining.send_replace(true);
        while self.tasks.join_next().await.is_some() {}
    }
}

/// Makes the kernel drop the first packet of every new connection, so that between the last `accept` and the close no
/// connection is established that the server would never accept. The client retries, and is refused.
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
