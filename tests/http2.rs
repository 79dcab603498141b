//! HTTP/2 with prior knowledge: several requests at once, and what clients try with that.

mod harness;
#[path = "harness/http2.rs"]
mod http2;

use axum::body::Body;
use harness::{SECONDS_OF_WORK, Server, until};
use http2::{
    CONTINUATION, DATA, END_STREAM, Frames, GOAWAY, HEADERS, Http2, Pending, RST_STREAM, SETTINGS, slow_body,
};
use socket2::{Domain, Socket, Type};
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
};

const MIB: usize = 1 << 20;
const ECHO: &str = "/v1/methods/echo";

/// Requests whose bodies do not end, once the server has begun to read them.
fn slow(
    client: &Http2,
    server: &Server,
    count: usize,
) -> Vec<(tokio::sync::mpsc::UnboundedSender<&'static str>, Pending)> {
    let slow: Vec<_> = (0..count)
        .map(|_| {
            let (send, body) = slow_body();
            send.send("slow").expect("it is polled");
            (send, client.send("POST", ECHO, body))
        })
        .collect();
    until("the bodies are read", || buffered_bytes(server) >= (4 * count) as f64);
    slow
}

/// Reads a metric from another address than that of the clients, whose connections are counted.
fn buffered_bytes(server: &Server) -> f64 {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.bind(&SocketAddr::from(([127, 0, 0, 2], 0)).into()).expect("an address of this machine");
    socket.connect(&server.address.into()).expect("the server listens");
    let mut stream = TcpStream::from(socket);
    let request = b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    stream.write_all(request).expect("the server reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("the server answers");
    let value = answer.lines().find_map(|line| line.strip_prefix("snapback_http_buffered_bytes "));
    value.expect("the metric").parse().expect("a number")
}

#[test]
fn requests_are_answered_as_over_http_1() {
    let server = Server::start("fixtures", &["--lanes", "2"]);
    let client = Http2::plain(&server);
    assert_eq!(client.post(ECHO, b"body").ok(), b"body");
    assert_eq!(client.post("/v1/methods/nothing", b"").error(404, "unknown_method"), {
        server.post("/v1/methods/nothing", b"").error(404, "unknown_method")
    });
    let large = vec![7; 8 * MIB];
    assert!(client.post(ECHO, &large).ok() == large);
    // Over one connection, in any order.
    let pending: Vec<_> =
        (0..50).map(|index| (index, client.send("POST", ECHO, Body::from(format!("{index}"))))).collect();
    for (index, pending) in pending.into_iter().rev() {
        assert_eq!(client.answer(pending).expect("an answer").ok(), format!("{index}").as_bytes());
    }
    // An early answer, and a body that nobody reads.
    client
        .answer(client.send("POST", "/v1/nothing", Body::from(vec![0; MIB])))
        .expect("an answer")
        .error(404, "no_route");
    until("nothing is kept", || server.metric("snapback_http_buffered_bytes") == 0.0);
    drop(client);
    server.stop();
}

#[test]
fn a_drain_answers_what_is_under_way_and_closes_what_is_not() {
    let server = Server::start("fixtures", &["--lanes", "1"]);
    let client = Http2::plain(&server);
    let idle = Http2::plain(&server);
    assert_eq!(idle.get("/healthz").status, 200);
    let running = client.send("POST", "/v1/methods/leak", Body::from(SECONDS_OF_WORK));
    until("the call runs", || server.metric(r#"snapback_queue_wait_seconds_count{image="fixtures"}"#) == 1.0);
    let (body_ends, body) = slow_body();
    let waiting = client.send("POST", ECHO, body);
    body_ends.send("half a ").expect("it is polled");
    until("its body is read", || server.metric("snapback_http_buffered_bytes") > 0.0);
    server.terminate();
    until("the idle client is told", || idle.is_closed());
    body_ends.send("body").expect("it is polled");
    drop(body_ends);
    client.answer(running).expect("an answer").ok();
    assert_eq!(client.answer(waiting).expect("an answer").ok(), b"half a body");
    let (status, log) = server.wait();
    assert!(status.success(), "{log}");
}

#[test]
fn a_drain_is_not_held_up_by_a_client_that_ignores_it() {
    let args = ["--http-header-timeout", "1s", "--http-body-timeout", "5s", "--call-deadline", "5s"];
    let server = Server::start("fixtures", &args);
    let mut frames = Frames::connect(&server, &[]);
    frames.request(1, "/healthz", END_STREAM).expect("the server reads");
    assert!(frames.until(HEADERS).is_some());
    server.terminate();
    assert!(frames.until(GOAWAY).is_some());
    // It does not answer the ping by which the server finds out which request is the last.
    let mut stream = 3;
    while frames.request(stream, "/healthz", END_STREAM).is_ok() && frames.until(HEADERS).is_some() {
        stream += 2;
    }
    let (status, log) = server.wait();
    assert!(status.success(), "{log}");
}

#[test]
fn a_connection_that_waits_makes_room_and_one_with_a_request_keeps_its_place() {
    let server = Server::start("fixtures", &["--http-connections-max", "1", "--http-header-timeout", "1h"]);
    let idle = Http2::plain(&server);
    assert_eq!(idle.post(ECHO, b"first").ok(), b"first");
    until("the idle connection makes room", || server.post(ECHO, b"on").status == 200);
    until("the client is told", || idle.is_closed());
    let client = Http2::plain(&server);
    let (body_ends, body) = slow_body();
    let slow = client.send("POST", ECHO, body);
    body_ends.send("slow").expect("it is polled");
    // A connection of its own might come first, and take the place.
    until("the body is read", || client.get("/metrics").metric("snapback_http_buffered_bytes") >= 4.0);
    // Others on the same connection end, and the place is still needed. A request leaves its place a moment after its client
    // has the answer.
    until("another request is answered", || client.post(ECHO, b"other").status == 200);
    server.post(ECHO, b"").error(503, "connections_full");
    // There is no room for more than a probe, and that takes HTTP/1.1.
    let mut probe = server.connect();
    probe.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").expect("the server reads");
    let mut answer = Vec::new();
    let _ = probe.read_to_end(&mut answer);
    assert!(answer.is_empty());
    drop(body_ends);
    assert_eq!(client.answer(slow).expect("an answer").ok(), b"slow");
    until("the connection waits again", || server.post(ECHO, b"on").status == 200);
}

#[test]
fn a_connection_waits_again_when_its_client_gives_its_request_up() {
    let server = Server::start(
        "fixtures",
        &["--http-connections-max", "1", "--http-header-timeout", "1h", "--http-body-timeout", "1h"],
    );
    let mut frames = Frames::connect(&server, &[]);
    frames.request(1, ECHO, 0).expect("the server reads");
    frames.send(DATA, 0, 1, b"slow").expect("the server reads");
    // Once this is answered, the other request has begun.
    frames.request(3, "/healthz", END_STREAM).expect("the server reads");
    assert!(frames.until(HEADERS).is_some());
    until("the body is read", || server.metric("snapback_http_buffered_bytes") >= 4.0);
    server.post(ECHO, b"").error(503, "connections_full");
    frames.send(RST_STREAM, 0, 1, &8_u32.to_be_bytes()).expect("the server reads");
    until("it is given up", || server.metric("snapback_http_buffered_bytes") == 0.0);
    until("the connection waits again", || server.post(ECHO, b"on").status == 200);
}

#[test]
fn streams_beyond_the_limit_are_refused_one_by_one() {
    let server = Server::start("fixtures", &["--http-streams-max", "4", "--http-body-timeout", "1h"]);
    let mut frames = Frames::connect(&server, &[]);
    for stream in [1, 3, 5, 7, 9, 11] {
        frames.request(stream, ECHO, 0).expect("the server reads");
    }
    for stream in [9, 11] {
        let refused = frames.until(RST_STREAM).expect("a refusal");
        assert_eq!((refused.stream, &refused.payload[..]), (stream, &7_u32.to_be_bytes()[..]));
    }
    // The others go on.
    frames.send(DATA, END_STREAM, 1, b"on").expect("the server reads");
    assert_eq!(frames.until(DATA).expect("an answer").payload, b"on");
}

#[test]
fn requests_at_once_count_as_connections_of_their_address() {
    let args = ["--http-connections-per-peer-max", "4", "--http-body-timeout", "1h"];
    let server = Server::start("fixtures", &args);
    let client = Http2::plain(&server);
    let held = slow(&client, &server, 4);
    client.post(ECHO, b"").error(503, "connections_full");
    // Another connection has no place either, but that of a probe.
    server.post(ECHO, b"").error(503, "connections_full");
    assert!(server.metric(r#"snapback_rejected_total{limit="http.connections_per_peer_max"}"#) >= 1.0);
    for (body_ends, pending) in held {
        drop(body_ends);
        assert_eq!(client.answer(pending).expect("an answer").ok(), b"slow");
    }
    until("their places are free again", || client.post(ECHO, b"on").status == 200);
}

#[test]
fn a_client_that_takes_nothing_of_one_reply_is_cut_off() {
    let server = Server::start("fixtures", &["--http-send-rate-min", "1MiB", "--log-level", "debug"]);
    // It lets the server send nothing of any reply; the kernel's buffer stays empty.
    let no_window = [&4_u16.to_be_bytes()[..], &0_u32.to_be_bytes()].concat();
    let mut frames = Frames::connect(&server, &no_window);
    frames.request(1, ECHO, 0).expect("the server reads");
    frames.send(DATA, END_STREAM, 1, b"body").expect("the server reads");
    assert!(frames.until(HEADERS).is_some());
    assert!(server.metric("snapback_http_buffered_bytes") >= 4.0);
    until("the connection is given up", || server.log_so_far().contains("takes too little of a reply"));
    until("the reply is dropped", || server.metric("snapback_http_buffered_bytes") == 0.0);
}

#[test]
fn streams_that_are_opened_and_reset_at_once_end_the_connection() {
    let server = Server::start("fixtures", &["--log-level", "debug"]);
    let mut frames = Frames::connect(&server, &[]);
    for stream in (1..200_001).step_by(2) {
        let sent = frames
            .request(stream, ECHO, 0)
            .and_then(|()| frames.send(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
        if sent.is_err() {
            break;
        }
    }
    let ended = std::iter::from_fn(|| frames.next()).find(|frame| frame.kind == GOAWAY);
    // ENHANCE_YOUR_CALM, unless the kernel has dropped it with the connection.
    assert!(ended.is_none_or(|frame| frame.payload[4..8] == 11_u32.to_be_bytes()));
    assert_eq!(server.post(ECHO, b"on").ok(), b"on");
    drop(frames);
    until("nothing is left", || server.metric("snapback_http_connections") <= 1.0);
}

#[test]
fn heads_and_settings_without_end_are_bounded() {
    let server = Server::start("fixtures", &[]);
    let mut frames = Frames::connect(&server, &[]);
    // A head that goes on and on.
    let header = [&[0, 1, b'x', 126][..], &[b'x'; 126]].concat();
    frames.send(HEADERS, 0, 1, &[0x82, 0x86, 0x84]).expect("the server reads");
    while frames.send(CONTINUATION, 0, 1, &header.repeat(100)).is_ok() {}
    // Settings that nobody acknowledges.
    let mut frames = Frames::connect(&server, &[]);
    let mut sent = 0;
    while sent < 1_000_000 && frames.send(SETTINGS, 0, 0, &[]).is_ok() {
        sent += 1;
    }
    drop(frames);
    assert_eq!(server.post(ECHO, b"on").ok(), b"on");
}

#[test]
fn a_connection_without_requests_is_closed() {
    let server = Server::start("fixtures", &["--http-header-timeout", "300ms"]);
    let mut streams: Vec<_> = [&b"P"[..], b"PRI * HT", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"]
        .map(|start| {
            let mut stream = server.connect();
            stream.write_all(start).expect("the server reads");
            stream
        })
        .into();
    for stream in &mut streams {
        // It may be reset instead, with a ping unread.
        let _ = stream.read_to_end(&mut Vec::new());
    }
    let mut frames = Frames::connect(&server, &[]);
    frames.request(1, "/healthz", END_STREAM).expect("the server reads");
    let closed = frames.until(GOAWAY).expect("the server says that it closes");
    assert_eq!(closed.payload[4..8], 0_u32.to_be_bytes(), "without an error");
}
