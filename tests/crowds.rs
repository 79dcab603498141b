//! Clients in numbers: connections that stay, send half of something, or come all at once.

mod harness;

use harness::{
    Server,
    circuits::{done, own_state, put, serve, squares::squares},
    operated::Operated,
    until,
};
use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    thread,
};

/// Whether a connection answers a probe of health.
fn is_healthy(server: &Server) -> bool {
    server.get("/healthz").status == 200
}

#[test]
fn half_heads_make_room_for_whole_ones() {
    let server = Server::start("fixtures", &["--http-connections-max", "8", "--http-header-timeout", "1h"]);
    let half_heads: Vec<TcpStream> = (0..100)
        .map(|_| {
            let mut stream = server.connect();
            // The server may have closed it already, to make room.
            let _ = stream.write_all(b"POST /v1/methods/echo HTTP/1.1\r\nHost: localh");
            stream
        })
        .collect();
    for _ in 0..20 {
        assert!(is_healthy(&server));
        assert_eq!(server.post("/v1/methods/echo", b"on").ok(), b"on");
    }
    drop(half_heads);
}

/// Connections whose requests have begun and whose bodies do not end.
fn slow_bodies(server: &Server, count: usize) -> Vec<TcpStream> {
    let head = "POST /v1/methods/echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\
                Expect: 100-continue\r\n\r\n";
    let begun = || {
        let mut stream = server.connect();
        stream.write_all(head.as_bytes()).expect("the server reads");
        // The server asks for the body once the request has its place. A connection that found none, since an idle one
        // was too slow to make room, is refused instead or closed.
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).is_ok_and(|()| &answer == b"HTTP/1.1 100").then_some(stream)
    };
    (0..count)
        .map(|_| {
            let mut slow = None;
            until("a request has begun", || {
                slow = begun();
                slow.is_some()
            });
            slow.expect("it has begun")
        })
        .collect()
}

#[test]
fn slow_bodies_leave_room_for_probes_and_the_shutdown() {
    let server = Server::start("fixtures", &["--http-connections-max", "8", "--http-body-timeout", "1h"]);
    let slow = slow_bodies(&server, 8);
    server.post("/v1/methods/echo", b"").error(503, "connections_full");
    assert!(is_healthy(&server));
    assert!(server.metric(r#"snapback_rejected_total{limit="http.connections_max"}"#) >= 1.0);
    drop(slow);
    server.stop();
}

#[test]
fn one_address_has_a_share_of_the_connections() {
    let args = ["--http-connections-per-peer-max", "4", "--http-body-timeout", "1h"];
    let server = Server::start("fixtures", &args);
    let slow = slow_bodies(&server, 4);
    server.post("/v1/methods/echo", b"").error(503, "connections_full");
    // Another address of this machine is another client.
    let bound = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    bound.bind(&std::net::SocketAddr::from(([127, 0, 0, 2], 0)).into()).expect("an address of this machine");
    bound.connect(&server.address.into()).expect("the server listens");
    let mut other = TcpStream::from(bound);
    other
        .write_all(b"POST /v1/methods/echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
        .expect("read");
    let mut start = [0; 15];
    other.read_exact(&mut start).expect("an answer");
    assert_eq!(&start, b"HTTP/1.1 200 OK");
    assert!(server.metric(r#"snapback_rejected_total{limit="http.connections_per_peer_max"}"#) >= 1.0);
    drop(slow);
}

#[test]
fn half_heads_do_not_lock_operators_out() {
    let operated = Operated::start(1, &["--http-header-timeout", "1h"]);
    let address =
        operated.admin.strip_prefix("http://").expect("a URL").split('/').next().expect("an address");
    let half_heads: Vec<TcpStream> = (0..40)
        .map(|_| {
            let mut stream = TcpStream::connect(address).expect("it listens");
            let _ = stream.write_all(b"GET /v1/admin/sta");
            stream
        })
        .collect();
    assert_eq!(operated.get("/status").status, 200);
    drop(half_heads);
}

#[test]
fn idle_uploads_block_no_others() {
    let state = own_state();
    let server = serve(state.path(), &["--http-body-timeout", "1h"]);
    let idle: Vec<TcpStream> = (0..4)
        .map(|_| {
            let mut stream = server.connect();
            let head = "PUT /v1/circuits/idle HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\
                        Content-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\n";
            stream.write_all(head.as_bytes()).expect("the server reads");
            stream
        })
        .collect();
    let (r1cs, _) = squares(4, 3);
    done(&server, &put(&server, "/v1/circuits/squares", &[("r1cs", &r1cs)]));
    drop(idle);
}

#[test]
fn a_thousand_connections_are_served() {
    let server =
        Server::start("fixtures", &["--http-connections-per-peer-max", "off", "--queue-depth", "4096"]);
    let request = b"POST /v1/methods/echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\non";
    let answered: usize = thread::scope(|scope| {
        let clients: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let mut streams: Vec<TcpStream> = (0..275).map(|_| server.connect()).collect();
                    let mut answered = 0;
                    for stream in &mut streams {
                        // One that has waited longest may have been closed to make room for another.
                        let mut start = [0; 15];
                        let asked = stream.write_all(request).and_then(|()| stream.read_exact(&mut start));
                        match asked {
                            Ok(()) if &start == b"HTTP/1.1 200 OK" => answered += 1,
                            Ok(()) => assert_eq!(&start, b"HTTP/1.1 503 Se"),
                            Err(error) => assert!(
                                [ErrorKind::UnexpectedEof, ErrorKind::ConnectionReset, ErrorKind::BrokenPipe]
                                    .contains(&error.kind()),
                                "{error}"
                            ),
                        }
                    }
                    answered
                })
            })
            .collect();
        clients.into_iter().map(|client| client.join().expect("it ends")).sum()
    });
    assert!(answered >= 1000, "{answered} of 1,100");
    assert!(is_healthy(&server));
}
