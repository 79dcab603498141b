//! Clients of HTTP/2: a well-behaved one, and frames by hand for the others.
#![expect(dead_code, reason = "each test file uses a part")]

use crate::harness::{Answer, Server};
use axum::body::{Body, Bytes};
use hyper::{Request, Response, body::Incoming, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{ClientConfig, pki_types::ServerName};
use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::Arc,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    runtime::Runtime,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// One connection, which a thread of its own drives.
pub(crate) struct Http2 {
    runtime: Runtime,
    sender: http2::SendRequest<Body>,
    port: u16,
}

/// A request whose head was sent.
pub(crate) type Pending = tokio::task::JoinHandle<hyper::Result<Response<Incoming>>>;

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime")
}

impl Http2 {
    /// Connects with prior knowledge.
    pub(crate) fn plain(server: &Server) -> Self {
        let (runtime, port) = (runtime(), server.address.port());
        let sender = runtime.block_on(async {
            let stream = tokio::net::TcpStream::connect(server.address).await.expect("it listens");
            sender(stream).await
        });
        Self { runtime, sender, port }
    }

    /// Connects with TLS, which has to agree on HTTP/2.
    pub(crate) fn encrypted(server: &Server, config: ClientConfig) -> Self {
        let (runtime, port) = (runtime(), server.address.port());
        let sender = runtime.block_on(async {
            let stream = connect(server, config).await.expect("a handshake");
            assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
            sender(stream).await
        });
        Self { runtime, sender, port }
    }

    /// Sends a request with a body that is there, or is still to come.
    pub(crate) fn send(&self, method: &str, path: &str, body: Body) -> Pending {
        let request = Request::builder()
            .method(method)
            .uri(format!("http://localhost:{}{path}", self.port))
            .body(body)
            .expect("a request");
        let mut sender = self.sender.clone();
        self.runtime.spawn(async move {
            sender.ready().await?;
            sender.send_request(request).await
        })
    }

    /// Waits for an answer.
    pub(crate) fn answer(&self, pending: Pending) -> Result<Answer, String> {
        self.runtime.block_on(async {
            let response = pending.await.expect("no panic").map_err(|error| format!("{error:?}"))?;
            let (head, body) = response.into_parts();
            let body = axum::body::to_bytes(Body::new(body), usize::MAX).await;
            let body = body.map_err(|error| format!("{error:?}"))?.to_vec();
            Ok(Answer::of(head.status.as_u16(), &head.headers, body))
        })
    }

    pub(crate) fn post(&self, path: &str, body: &[u8]) -> Answer {
        self.answer(self.send("POST", path, Body::from(body.to_vec()))).expect("an answer")
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.answer(self.send("GET", path, Body::empty())).expect("an answer")
    }

    /// Whether the connection takes no more requests.
    pub(crate) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }
}

/// A body that a test sends while it arrives.
pub(crate) fn slow_body() -> (tokio::sync::mpsc::UnboundedSender<&'static str>, Body) {
    let (send, receive) = tokio::sync::mpsc::unbounded_channel();
    let stream = futures_util::stream::unfold(receive, async |mut receive| {
        let piece: &'static str = receive.recv().await?;
        Some((Ok::<_, std::convert::Infallible>(Bytes::from_static(piece.as_bytes())), receive))
    });
    (send, Body::from_stream(stream))
}

/// A connection with TLS.
pub(crate) async fn connect(
    server: &Server,
    config: ClientConfig,
) -> std::io::Result<TlsStream<tokio::net::TcpStream>> {
    let stream = tokio::net::TcpStream::connect(server.address).await?;
    let name = ServerName::try_from("localhost").expect("a name");
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

async fn sender(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> http2::SendRequest<Body> {
    let (sender, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("a connection");
    tokio::spawn(connection);
    sender
}

/// A frame of HTTP/2.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const CONTINUATION: u8 = 9;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
const ACK: u8 = 1;

/// A connection whose frames a test writes by hand.
pub(crate) struct Frames(pub(crate) TcpStream);

impl Frames {
    /// Connects, and agrees on settings.
    pub(crate) fn connect(server: &Server, settings: &[u8]) -> Self {
        let mut frames = Self(server.connect());
        frames.0.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").expect("the server reads");
        frames.send(SETTINGS, 0, 0, settings).expect("the server reads");
        frames.send(SETTINGS, ACK, 0, &[]).expect("the server reads");
        frames
    }

    pub(crate) fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> std::io::Result<()> {
        let len = u32::try_from(payload.len()).expect("short").to_be_bytes();
        let stream = stream.to_be_bytes();
        let head = [&len[1..], &[kind, flags], &stream].concat();
        self.0.write_all(&[&head, payload].concat())
    }

    /// Sends the head of a request.
    pub(crate) fn request(&mut self, stream: u32, path: &str, flags: u8) -> std::io::Result<()> {
        // Entries of the static table: POST or GET, http; and literals for `:path` and `:authority`.
        let method = if flags & END_STREAM == 0 { 0x83 } else { 0x82 };
        let length = |text: &str| u8::try_from(text.len()).expect("short");
        let mut head = vec![method, 0x86, 0x44, length(path)];
        head.extend_from_slice(path.as_bytes());
        head.extend_from_slice(&[0x41, 9]);
        head.extend_from_slice(b"localhost");
        self.send(HEADERS, flags | END_HEADERS, stream, &head)
    }

    /// Reads the next frame; `None` once the server has closed the connection.
    pub(crate) fn next(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.0.read_exact(&mut head).ok()?;
        let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
        self.0.read_exact(&mut payload).ok()?;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        Some(Frame { kind: head[3], stream, payload })
    }

    /// Reads until a frame of this kind comes.
    pub(crate) fn until(&mut self, kind: u8) -> Option<Frame> {
        std::iter::from_fn(|| self.next()).find(|frame| frame.kind == kind)
    }
}
