//! Collectors that are of no use, and settings of traces that cannot be used: requests are answered all the same.

mod harness;

use harness::{Server, receiver::Receiver, run_err, snapback, until};
use std::{fs, net::TcpListener, os::unix::fs::PermissionsExt};

/// The number of spans with this outcome.
fn counted(server: &Server, outcome: &str) -> f64 {
    server.metric(&format!("snapback_trace_spans_total{{outcome=\"{outcome}\"}}"))
}

/// Sends requests until spans with this outcome are counted; each of them has to be answered.
fn serves_until_counted(server: &Server, outcome: &str) {
    until("spans are counted", || {
        assert_eq!(server.post("/v1/methods/echo", b"x").ok(), b"x");
        counted(server, outcome) > 0.0
    });
}

#[test]
fn a_collector_that_is_of_no_use_costs_spans_and_no_request() {
    // Connections are accepted by the kernel, and nobody answers.
    let hanging = TcpListener::bind("127.0.0.1:0").expect("a port");
    let dead = TcpListener::bind("127.0.0.1:0").expect("a port");
    let dead_address = dead.local_addr().expect("bound");
    drop(dead);
    for address in [hanging.local_addr().expect("bound"), dead_address] {
        let server = Server::start(
            "fixtures",
            &["--traces-endpoint", &format!("http://{address}"), "--traces-queue-max", "1"],
        );
        serves_until_counted(&server, "queue_full");
        assert_eq!(counted(&server, "exported"), 0.0);
        // Stopping does not wait for the collector for long either.
        server.stop();
    }
}

#[test]
fn a_collector_that_refuses_spans_or_lies_about_them_is_believed_in_bounds() {
    let receiver = Receiver::start();
    let server = Server::start("fixtures", &["--traces-endpoint", &receiver.url("")]);
    // One span, and so one request to the collector.
    server.get("/v1/methods").ok();
    receiver.next().answer("400 Bad Request", "");
    until("they are counted", || counted(&server, "refused") > 0.0);
    let refused = counted(&server, "refused");
    // A redirect is not followed.
    server.get("/v1/methods").ok();
    receiver.next().answer("302 Found", "location: /elsewhere\r\n");
    until("they are counted", || counted(&server, "refused") > refused);
    assert!(receiver.next_if_any().is_none());
    // An answer without an end is not read to it.
    server.get("/v1/methods").ok();
    let endless = "HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\n\r\n";
    receiver.next().answer_without_end(endless, &"\u{a}\u{7f}".repeat(1 << 10));
    until("they are counted", || counted(&server, "exported") > 0.0);
    server.get("/v1/methods").ok();
    // One that asks to be left alone for years does not keep a server from stopping.
    receiver.next().answer("503 Service Unavailable", "retry-after: 99999999999\r\n");
    server.terminate();
    receiver.next().answer("200 OK", "");
    let (status, log) = server.wait();
    assert!(status.success(), "{log}");
}

#[test]
fn what_cannot_be_used_is_told_before_the_server_starts() {
    let directory = tempfile::tempdir().expect("a directory");
    let open = directory.path().join("open");
    fs::write(&open, "authorization: a-secret\n").expect("written");
    fs::set_permissions(&open, fs::Permissions::from_mode(0o644)).expect("ours");
    let serve = |args: &[&str]| {
        let mut command = snapback();
        command.args(["serve", "fixtures", "--listen", "127.0.0.1:0", "--state-dir"]).arg(directory.path());
        run_err(command.args(["--traces-endpoint", "http://127.0.0.1:9"]).args(args), 1)
    };
    let file = open.to_str().expect("text");
    for error in [
        serve(&["--traces-headers-file", file]),
        serve(&["--traces-ca-file", file]),
        serve(&["--traces-ca-file", "/nonexistent"]),
    ] {
        assert!(error.contains("traces.") && !error.contains("a-secret"), "{error}");
    }
}
