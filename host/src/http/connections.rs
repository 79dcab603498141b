//! One task for each connection.
//!
//! Invariant: a request whose head has arrived gets an answer, also while the server drains, unless its client does not
//! take answers.

use super::{
    App,
    connection::Connection,
    opening,
    requests::Peer,
    room::{Place, Room},
    tls::Tls,
};
use crate::telemetry::metrics::Limit;
use socket2::{SockFilter, SockRef};
use std::{io, net::IpAddr, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    task::JoinSet,
};

/// How long a handshake under way may take to complete after the signal.
const HANDSHAKE: Duration = Duration::from_millis(100);
/// Connections that look for a place at once.
const ADMISSIONS_MAX: usize = 64;
/// How long a drain that has waited for everything else waits for clients to take their answers.
const SENDING: Duration = Duration::from_secs(5);
/// How often a drain checks whether requests are still without an answer once the longest deadline has nearly passed.
const DRAIN_CHECK: Duration = Duration::from_millis(100);

/// The connections of one listener.
pub(super) struct Connections {
    app: Arc<App>,
    router: axum::Router,
    tls: Option<Arc<Tls>>,
    room: Arc<Room>,
    /// Connections that may look for a place at once; all others stay in the backlog of the kernel.
    admissions: Arc<Semaphore>,
    draining: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl Connections {
    /// With `tls`, all of them are encrypted.
    pub(super) fn new(
        app: &Arc<App>,
        router: axum::Router,
        places: &Arc<Semaphore>,
        tls: Option<Arc<Tls>>,
    ) -> Self {
        Self {
            app: Arc::clone(app),
            router,
            tls,
            room: Room::new(places, app.http.connections_per_peer_max),
            admissions: Arc::new(Semaphore::new(ADMISSIONS_MAX)),
            draining: watch::Sender::new(false),
            tasks: JoinSet::new(),
        }
    }

    /// Accepts one connection and finds room for it. Cancel safe: a connection that was not accepted stays in the
    /// backlog, and one that was accepted is served.
    pub(super) async fn accept(&mut self, listener: &TcpListener) {
        while self.tasks.try_join_next().is_some() {}
        let admission = Arc::clone(&self.admissions).acquire_owned().await.expect("never closed");
        let Some((stream, peer)) = accept(listener).await else { return };
        // The task finds the room, so that a cancelled accept does not drop the stream.
        let room = Arc::clone(&self.room);
        let turn = room.accepted();
        let place = async move {
            let place = room.admit(peer, turn).await;
            drop(admission);
            place
        };
        self.spawn(stream, peer, Some(place));
    }

    /// Accepts the connections that the kernel has accepted on behalf of the server, and closes the listener.
    pub(super) async fn accept_backlog(&mut self, listener: TcpListener) {
        if let Err(error) = refuse_new(&listener) {
            tracing::warn!(%error, "connections may be cut off at the moment of closing");
        }
        // Handshakes under way are let in without a place: nothing new can begin one, so they are few.
        let _ = tokio::time::timeout(HANDSHAKE, async {
            loop {
                if let Some((stream, peer)) = accept(&listener).await {
                    self.spawn(stream, peer, None::<std::future::Ready<Option<Place>>>);
                }
            }
        })
        .await;
    }

    /// Serves a connection, once it has the place that it waits for, if it needs one.
    fn spawn(
        &mut self,
        stream: TcpStream,
        peer: IpAddr,
        place: Option<impl Future<Output = Option<Place>> + Send + 'static>,
    ) {
        // Replies are written whole; waiting to fill a segment would only delay them.
        let _ = stream.set_nodelay(true);
        // A client that acknowledges no bytes of its reply is given up after the time that it has to send a body.
        let _ = SockRef::from(&stream).set_tcp_user_timeout(Some(self.app.http.body_timeout));
        let (app, router, tls) = (Arc::clone(&self.app), self.router.clone(), self.tls.clone());
        let draining = self.draining.subscribe();
        self.tasks.spawn(async move {
            let place = match place {
                None => None,
                Some(place) => match place.await {
                    Some(place) => Some(place),
                    None => return app.dispatcher.metrics().request_rejected(Limit::Connections),
                },
            };
            let (peer, connection) = (Peer(peer), Connection::new(place));
            opening::serve(&app, router, stream, peer, connection, tls.as_deref(), draining).await;
        });
    }

    /// Lets every connection finish its current request. Clients that do not take their answers are given up once the
    /// longest deadline has passed and every request has its answer.
    pub(super) async fn finish(mut self) {
        self.draining.send_replace(true);
        let http = &self.app.http;
        // A connection may take the time of a head to be opened, and then another for its first head.
        let request = 2 * http.header_timeout + http.body_timeout;
        let longest = self.app.dispatcher.longest_deadline().max(request);
        if self.all_end_within(longest.saturating_sub(SENDING)).await {
            return;
        }
        loop {
            while !self.app.under_way.is_empty() {
                if self.all_end_within(DRAIN_CHECK).await {
                    return;
                }
            }
            // Answers that were made only now are still on their way, and so may be heads of requests.
            if self.all_end_within(SENDING).await {
                return;
            }
            if self.app.under_way.is_empty() {
                break;
            }
        }
        tracing::warn!(connections = self.tasks.len(), "clients that do not take their answers are given up");
        self.tasks.shutdown().await;
    }

    /// Whether every connection ends within a time.
    async fn all_end_within(&mut self, time: Duration) -> bool {
        let ended = async { while self.tasks.join_next().await.is_some() {} };
        tokio::time::timeout(time, ended).await.is_ok()
    }
}

async fn accept(listener: &TcpListener) -> Option<(TcpStream, IpAddr)> {
    match listener.accept().await {
        Ok((stream, peer)) => Some((stream, peer.ip())),
        Err(error) => {
            // For example, out of descriptors. Open connections go on, and a pause keeps this from spinning.
            tracing::warn!(%error, "cannot accept a connection");
            tokio::time::sleep(Duration::from_millis(50)).await;
            None
        }
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
