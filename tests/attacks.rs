//! Hostile clients: what they try costs them, and health, other clients and the shutdown go on.

mod harness;

use harness::{
    Server,
    circuits::{done, own_state, put, serve, squares::squares},
    operated::{Operated, TOKEN},
    until,
};
use std::{
    io::{Read, Write},
    net::TcpStream,
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
    // A body that is as long as it may be has no room to spare.
    let args = ["--http-buffered-bytes-max", "32MiB", "--http-body-bytes-max", "8MiB"];
    let server = Server::start("fixtures", &[&args[..], &["--http-send-rate-min", "off"]].concat());
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
