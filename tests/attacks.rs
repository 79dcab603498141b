//! Hostile clients: what they try costs them, and health, other clients and the shutdown go on.

mod harness;

use harness::{
    Server,
    circuits::{done, own_state, put, serve, squares::squares},
    operated::{Operated, TOKEN},
    until,
};
use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    thread,
};

const MIB: usize = 1 << 20;

fn echo_head(body_bytes: usize) -> String {
    format!("POST /v1/methods/echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: {body_bytes}\r\n\r\n")
}

/// Whether a connection answers a probe of health.
fn is_healthy(server: &Server) -> bool {
    server.get("/healthz").status == 200
}

#[test]
fn a_flood_of_activations_blinds_nobody() {
    let state = own_state();
    let server = serve(state.path(), &[]);
    let (r1cs, _) = squares(4, 3);
    let second = done(&server, &put(&server, "/v1/circuits/squares", &[("r1cs", &r1cs)]));
    // The requests alternate, so that none is free.
    let head = |id: u64| {
        format!("POST /v1/generations/{id}/activate HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
    };
    let flood: Vec<TcpStream> = (0..300)
        .map(|index| {
            let mut stream = server.connect();
            let id = if index % 2 == 0 { 1 } else { second };
            stream.write_all(head(id).as_bytes()).expect("the server reads");
            stream
        })
        .collect();
    assert!(is_healthy(&server));
    assert_eq!(server.get("/metrics").status, 200);
    assert_eq!(server.get("/v1/changes").status, 200);
    until("requests beyond those that may wait are refused", || {
        server.metric(r#"snapback_rejected_total{limit="circuits.changes_max"}"#) >= 1.0
    });
    server.stop();
    drop(flood);
}

#[test]
fn slow_readers_fill_their_budget_and_no_more() {
    let mut args = vec!["--http-buffered-bytes-max", "128MiB", "--http-send-rate-min", "off"];
    args.extend(["--lanes", "1", "--memory-sample-interval", "100ms"]);
    let server = Server::start("fixtures", &args);
    let private = || {
        let memory = &server.get("/v1/status").json()["memory"];
        memory["private_resident_bytes"].as_u64().expect("a size")
    };
    until("memory is sampled", || private() > 0);
    let before = private();
    let readers: Vec<TcpStream> = (0..48)
        .map(|index| {
            // Equal replies would be in memory once.
            let body = vec![index; 8 * MIB];
            let mut stream = server.connect();
            // Only a part of the body may be taken: the budget is full.
            let _ = stream.write_all(echo_head(body.len()).as_bytes()).and_then(|()| stream.write_all(&body));
            stream
        })
        .collect();
    until("the budget is full", || {
        server.metric(r#"snapback_rejected_total{limit="http.buffered_bytes_max"}"#) >= 1.0
    });
    assert!(server.metric("snapback_http_buffered_bytes") <= (128 * MIB) as f64);
    assert!(is_healthy(&server));
    drop(readers);
    until("the budget is free", || server.metric("snapback_http_buffered_bytes") == 0.0);
    server.post("/v1/methods/echo", &[7; 8 * MIB]).ok();
    until("memory is given back", || private() < before + (32 * MIB) as u64);
}

#[test]
fn a_client_that_takes_nothing_of_its_reply_is_cut_off() {
    let server = Server::start("fixtures", &["--http-send-rate-min", "1MiB", "--log-level", "debug"]);
    let mut stream = server.connect();
    stream.write_all(echo_head(8 * MIB).as_bytes()).expect("the server reads");
    stream.write_all(&vec![7; 8 * MIB]).expect("the server reads");
    until("the connection is given up", || server.log_so_far().contains("a connection ended early"));
    let mut taken = Vec::new();
    // What the kernels had buffered still comes, and then the connection is closed or reset.
    let _ = stream.read_to_end(&mut taken);
    assert!(taken.len() < 8 * MIB, "{}", taken.len());
}

#[test]
fn equal_large_replies_are_in_memory_once() {
    let server =
        Server::start("fixtures", &["--http-buffered-bytes-max", "32MiB", "--http-send-rate-min", "off"]);
    let body = vec![7; 8 * MIB];
    let readers: Vec<TcpStream> = (0..12)
        .map(|index| {
            let mut stream = server.connect();
            stream.write_all(echo_head(body.len()).as_bytes()).expect("the server reads");
            stream.write_all(&body).expect("the server reads");
            until("the call has ended", || {
                server.metric(r#"snapback_calls_total{image="fixtures",outcome="ok"}"#)
                    == f64::from(index + 1)
            });
            stream
        })
        .collect();
    // Twelve replies of 8 MiB would not fit a budget of 32.
    until("the bodies of the requests are gone", || {
        server.metric("snapback_http_buffered_bytes") <= (9 * MIB) as f64
    });
    for mut reader in readers {
        let mut head = [0; 15];
        reader.read_exact(&mut head).expect("an answer");
        assert_eq!(&head, b"HTTP/1.1 200 OK");
    }
}

#[test]
fn readers_of_events_do_not_hold_up_the_shutdown() {
    let operated = Operated::start(1, &[]);
    let mut stream = TcpStream::connect(
        operated.admin.strip_prefix("http://").expect("an address").split('/').next().expect("an address"),
    )
    .expect("it listens");
    let head =
        format!("GET /v1/admin/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n\r\n");
    stream.write_all(head.as_bytes()).expect("the server reads");
    let mut start = [0; 15];
    stream.read_exact(&mut start).expect("an answer");
    assert_eq!(&start, b"HTTP/1.1 200 OK");
    operated.server.stop();

    let state = own_state();
    let server = serve(state.path(), &[]);
    let (r1cs, _) = squares(4, 3);
    let accepted = put(&server, "/v1/circuits/squares", &[("r1cs", &r1cs)]);
    let id = accepted.json()["id"].as_u64().expect("a number");
    let mut stream = server.connect();
    let head = format!("GET /v1/changes/{id}/events HTTP/1.1\r\nHost: localhost\r\n\r\n");
    stream.write_all(head.as_bytes()).expect("the server reads");
    stream.read_exact(&mut start).expect("an answer");
    server.stop();
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
    let begin = |_| {
        let mut stream = server.connect();
        stream.write_all(echo_head(1000).as_bytes()).expect("the server reads");
        stream
    };
    (0..count).map(begin).collect()
}

#[test]
fn slow_bodies_leave_room_for_probes_and_the_shutdown() {
    let server = Server::start("fixtures", &["--http-connections-max", "8", "--http-body-timeout", "1h"]);
    let slow = slow_bodies(&server, 8);
    until("all places are taken by requests", || server.post("/v1/methods/echo", b"").status == 503);
    server.post("/v1/methods/echo", b"").error(503, "connections_full");
    assert!(is_healthy(&server));
    assert!(server.metric(r#"snapback_rejected_total{limit="http.connections_max"}"#) >= 1.0);
    drop(slow);
    server.stop();
}

#[test]
fn a_client_that_does_not_take_its_answer_does_not_hold_up_the_shutdown() {
    let mut args = vec!["--http-send-rate-min", "off", "--call-deadline", "20s"];
    args.extend(["--http-header-timeout", "1s", "--http-body-timeout", "10s"]);
    let server = Server::start("fixtures", &args);
    let mut stream = server.connect();
    stream.write_all(echo_head(8 * MIB).as_bytes()).expect("the server reads");
    stream.write_all(&vec![7; 8 * MIB]).expect("the server reads");
    until("the call has ended", || {
        server.metric(r#"snapback_calls_total{image="fixtures",outcome="ok"}"#) == 1.0
    });
    // The client stays, and takes nothing.
    server.stop();
    drop(stream);
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
fn a_proof_in_json_takes_no_more_memory_than_its_file_may() {
    let state = own_state();
    let server = serve(state.path(), &["--http-body-bytes-max", "1MiB"]);
    let (r1cs, _) = squares(4, 3);
    done(&server, &put(&server, "/v1/circuits/squares", &[("r1cs", &r1cs)]));
    let list = vec!["\"0\""; 200_000].join(",");
    let json = format!(r#"{{"circuit": "{}", "public": [{list}], "proof": ""}}"#, "0".repeat(64));
    let message =
        server.post_json("/v1/circuits/squares/verify", json.as_bytes()).error(400, "malformed_input");
    assert!(message.contains("public signals"), "{message}");
}

/// Requests within requests, lengths that lie, two at once.
#[test]
fn a_request_has_one_meaning() {
    let server = Server::start("fixtures", &[]);
    let echo = "POST /v1/methods/echo HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n";
    for (what, rest) in [
        ("two lengths", "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"),
        ("a length and chunks", "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n"),
        ("chunks, but not last", "Transfer-Encoding: chunked, identity\r\n\r\n1\r\na\r\n0\r\n\r\n"),
        ("a chunk without a length", "Transfer-Encoding: chunked\r\n\r\nxyz\r\n"),
        ("a negative length", "Content-Length: -1\r\n\r\n"),
        ("a header on two lines", "X-Header: a\r\n b\r\n\r\n"),
        ("a space before the colon", "Content-Length : 3\r\n\r\nabc"),
    ] {
        let answer = server.raw(format!("{echo}{rest}").as_bytes());
        let answers = answer.matches("HTTP/1.1 ").count();
        assert!(answers <= 1 && !answer.contains("HTTP/1.1 5"), "{what}: {answer}");
    }
    // Several requests in one packet are answered one after another, in order.
    let one = |body: &str, connection: &str| {
        format!(
            "POST /v1/methods/echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\nConnection: {connection}\r\n\r\n{body}",
            body.len()
        )
    };
    let pipelined = [one("first", "keep-alive"), one("second", "keep-alive"), one("third", "close")].concat();
    let answer = server.raw(pipelined.as_bytes());
    let places: Vec<_> = ["first", "second", "third"].iter().map(|body| answer.find(body)).collect();
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{answer}");
}

#[test]
fn a_thousand_connections_are_served() {
    let server =
        Server::start("fixtures", &["--http-connections-per-peer-max", "off", "--queue-depth", "4096"]);
    let answered: usize = thread::scope(|scope| {
        let clients: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let mut streams: Vec<TcpStream> = (0..275).map(|_| server.connect()).collect();
                    let mut answered = 0;
                    for stream in &mut streams {
                        // One that has waited longest may have been closed to make room for another.
                        let mut start = [0; 15];
                        let asked = stream
                            .write_all(format!("{}on", echo_head(2)).as_bytes())
                            .and_then(|()| stream.read_exact(&mut start));
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
