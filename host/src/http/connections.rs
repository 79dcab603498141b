//! One task for each connection.
//!
//! Invariant: a request whose head has arrived gets an answer, also while the server drains, unless its client does not
//! take answers.

use super::{
    App,
    error::ApiError,
    guarded::Guarded,
    occupancy::Access,
    request_id::{self, RequestId},
    room::{Begin, Place, Room},
    stream::{Connection, Stream},
};
use crate::telemetry::metrics::Limit;
use axum::{
    body::Body,
    http::{HeaderValue, Request, Response, header},
};
use hyper::{
    body::Incoming,
    server::conn::http1,
    service::{Service, service_fn},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use socket2::{SockFilter, SockRef};
use std::{convert::Infallible, io, net::IpAddr, pin::pin, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    task::JoinSet,
};

/// Longest head of a request, and largest piece in which a body is read, in bytes.
const READ_BUFFER_BYTES_MAX: usize = 64 << 10;
/// How long a handshake under way may take to complete after the signal.
const HANDSHAKE: Duration = Duration::from_millis(100);
/// Connections that look for a place at once.
const ADMISSIONS_MAX: usize = 64;
/// How long a drain that has waited for everything else waits for clients to take their answers.
const SENDING: Duration = Duration::from_secs(5);
/// How often a drain checks whether requests are still without an answer once the longest deadline has nearly passed.
const DRAIN_CHECK: Duration = Duration::from_millis(100);
/// Routes that are answered although there is no room for more connections.
const PROBES: [&str; 3] = ["/healthz", "/readyz", "/metrics"];

/// The address that a request came from.
#[derive(Clone, Copy)]
pub(super) struct Peer(pub(super) IpAddr);

/// The connections of one listener.
pub(super) struct Connections {
    app: Arc<App>,
    router: axum::Router,
    room: Arc<Room>,
    /// Connections that may look for a place at once; all others stay in the backlog of the kernel.
    admissions: Arc<Semaphore>,
    draining: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl Connections {
    pub(super) fn new(app: &Arc<App>, router: axum::Router, places: &Arc<Semaphore>) -> Self {
        Self {
            app: Arc::clone(app),
            router,
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
        let (app, router) = (Arc::clone(&self.app), self.router.clone());
        let draining = self.draining.subscribe();
        self.tasks.spawn(async move {
            let place = match place {
                None => None,
                Some(place) => match place.await {
                    Some(place) => Some(place),
                    None => return app.dispatcher.metrics().request_rejected(Limit::Connections),
                },
            };
            serve(&app, router, stream, Peer(peer), Connection::new(place), draining).await;
        });
    }

    /// Lets every connection finish its current request. Clients that do not take their answers are given up once the
    /// longest deadline has passed and every request has its answer.
    pub(super) async fn finish(mut self) {
        self.draining.send_replace(true);
        let http = &self.app.http;
        let longest = self.app.dispatcher.longest_deadline().max(http.header_timeout + http.body_timeout);
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

/// Serves the requests of one connection.
async fn serve(
    app: &Arc<App>,
    router: axum::Router,
    stream: TcpStream,
    peer: Peer,
    connection: Arc<Connection>,
    mut draining: watch::Receiver<bool>,
) {
    let stream = Stream::new(stream, &connection, app.http.send_rate_min);
    let (begin, mut begun) = watch::channel(false);
    let router = TowerToHyperService::new(router);
    let service = service_fn(|mut request: Request<Incoming>| {
        begin.send_if_modified(|begun| !std::mem::replace(begun, true));
        request.extensions_mut().insert(peer);
        let under_way = app.under_way.begin();
        let answer = admit(&connection, request).map(|request| router.call(request));
        let connection = Arc::clone(&connection);
        async move {
            let mut response = match answer {
                Ok(answer) => answer.await?,
                Err(limit) => refusal(app, limit),
            };
            drop(under_way);
            if connection.place.as_ref().is_some_and(|place| place.access() == Access::Probes) {
                // One request for each place, so that nobody keeps one.
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, Infallible>(response.map(|body| Guarded::new(body, Answered(connection))))
        }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(app.http.header_timeout)
        .max_buf_size(READ_BUFFER_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let mut served = pin!(served);
    // An accepted connection has a request on its way. Closing it before that came would lose the request;
    // `http.header_timeout` bounds the wait.
    let may_close = async {
        let _ = draining.wait_for(|draining| *draining).await;
        let _ = begun.wait_for(|begun| *begun).await;
    };
    let makes_room = async {
        match &connection.place {
            Some(place) => place.must_close().await,
            None => std::future::pending().await,
        }
    };
    let ended = tokio::select! {
        ended = served.as_mut() => ended,
        () = may_close => {
            served.as_mut().graceful_shutdown();
            served.await
        }
        () = makes_room => {
            if !connection.is_refusing() {
                return;
            }
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}

/// Hands on a request, unless there is no room for its connection.
///
/// # Errors
/// Returns the limit because of which there is no room.
fn admit(connection: &Connection, request: Request<Incoming>) -> Result<Request<Body>, Limit> {
    let begin = connection.begin();
    let Some(place) = &connection.place else { return Ok(request.map(Body::new)) };
    match (begin, place.access()) {
        (Begin::Yes, Access::Full) => Ok(request.map(Body::new)),
        // The body is dropped, so that nobody holds the place by sending one.
        (Begin::Yes, Access::Probes) if PROBES.contains(&request.uri().path()) => {
            Ok(request.map(|_| Body::empty()))
        }
        _ => Err(place.limit()),
    }
}

/// The answer to a request for whose connection there is no room.
fn refusal(app: &App, limit: Limit) -> Response<Body> {
    app.dispatcher.metrics().request_rejected(limit);
    let id = RequestId::new();
    let mut refusal = ApiError::ConnectionsFull.respond(id.as_str());
    refusal.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    refusal.headers_mut().insert(request_id::HEADER, id.header());
    refusal
}

/// Tells a connection that its answer was written into the connection's buffer.
struct Answered(Arc<Connection>);

impl Drop for Answered {
    fn drop(&mut self) {
        self.0.answered();
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
