//! The HTTP server, with clients that behave well and others. The guest echoes, leaks, traps and spins on request.

mod harness;

use harness::{SECONDS_OF_WORK, Server, run_err, snapback, state_with, until};
use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener},
    thread,
};

#[test]
fn any_method_takes_and_returns_raw_bytes() {
    let server = Server::start("fixtures", &[]);
    let bytes: Vec<u8> = (0..=255).cycle().take(1_000_000).collect();
    assert!(server.post("/v1/methods/echo", &bytes).ok() == bytes);
    assert_eq!(server.post("/v1/methods/echo", b"").ok(), b"");
    let methods = server.get("/v1/methods").json();
    let names: Vec<&str> =
        methods["methods"].as_array().expect("a list").iter().filter_map(|m| m["name"].as_str()).collect();
    assert_eq!(
        names,
        [
            "churn", "claim", "echo", "entropy", "fail", "leak", "remember", "retire", "spin", "sums",
            "table", "trap", "wear"
        ]
    );
}

#[test]
fn no_call_finds_data_of_an_earlier_one() {
    let server = Server::start("fixtures", &["--lanes", "1"]);
    for secret in ["first", "second", "third"] {
        assert_eq!(server.post("/v1/methods/remember", secret.as_bytes()).ok(), b"");
    }
    // With swap.policy = off the server is a plain host: the same instance runs the next call, and remembers.
    let plain = Server::start("fixtures", &["--lanes", "1", "--swap-policy", "off"]);
    assert_eq!(plain.post("/v1/methods/remember", b"first").ok(), b"");
    assert_eq!(plain.post("/v1/methods/remember", b"second").ok(), b"first");
    // After a fault the instance is replaced under this policy too.
    plain.post("/v1/methods/trap", b"").error(500, "guest_trapped");
    assert_eq!(plain.post("/v1/methods/remember", b"third").ok(), b"");
}

#[test]
fn every_call_has_entropy_of_its_own() {
    let server = Server::start("fixtures", &[]);
    let mut seen: Vec<Vec<u8>> = (0..32).map(|_| server.post("/v1/methods/entropy", b"").ok()).collect();
    assert!(seen.iter().all(|entropy| entropy.len() == 32));
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 32);
}

#[test]
fn every_kind_of_failure_has_an_error_of_its_own_and_the_server_goes_on() {
    let spin = "method.spin.deadline=200ms";
    let args = ["--memory-limit", "64MiB", "--set", spin, "--call-reply-bytes-max", "1MiB"];
    let server = Server::start("fixtures", &args);
    server.post("/v1/methods/trap", b"").error(500, "guest_trapped");
    let message = server.post("/v1/methods/leak", b"100000000").error(422, "out_of_memory");
    assert!(message.contains("memory.limit") && message.contains("67108864"), "{message}");
    let message = server.post("/v1/methods/spin", b"").error(504, "deadline");
    assert!(message.contains("call.deadline"), "{message}");
    server.post("/v1/methods/echo", &vec![1; 2 << 20]).error(502, "reply_too_large");
    for (tag, status, code) in [
        (1, 400, "malformed_input"),
        (2, 422, "unsupported_input"),
        (3, 404, "unknown_circuit"),
        (4, 422, "nothing_to_prove"),
        (5, 422, "refuted"),
        (6, 500, "guest_failed"),
    ] {
        server.post("/v1/methods/fail", tag.to_string().as_bytes()).error(status, code);
    }
    server.post("/v1/methods/nothing", b"").error(404, "unknown_method");
    server.get("/v1/nothing").error(404, "no_route");
    server.get("/v1/methods/echo").error(405, "wrong_method");
    server.post("/v1/methods/echo?image=other", b"").error(404, "unknown_image");
    server.post("/v1/methods/echo?imag=other", b"").error(400, "bad_query");
    assert_eq!(server.post("/v1/methods/echo?image=fixtures", b"on").ok(), b"on");

    let metrics = server.get("/metrics").text();
    for line in [
        r#"snapback_calls_total{image="fixtures",outcome="trap"} 1"#,
        r#"snapback_calls_total{image="fixtures",outcome="out_of_memory"} 1"#,
        r#"snapback_calls_total{image="fixtures",outcome="deadline"} 1"#,
        r#"snapback_memory_growth_refused_total{image="fixtures",outcome="failed"} 1"#,
        "# HELP snapback_swaps_total",
        "# TYPE snapback_swap_pause_seconds histogram",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
}

#[test]
fn bodies_are_bounded_in_length_and_time() {
    let server = Server::start("fixtures", &["--http-body-bytes-max", "1000"]);
    assert_eq!(server.post("/v1/methods/echo", &[1; 1000]).ok(), [1; 1000]);
    let message = server.post("/v1/methods/echo", &[1; 1001]).error(413, "body_too_large");
    assert!(message.contains("http.body_bytes_max = 1000"), "{message}");

    let head = "POST /v1/methods/echo HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n";
    // A length that is too large is refused before a byte of the body arrives.
    let answer = server.raw(format!("{head}Content-Length: 99999999999\r\n\r\n").as_bytes());
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    // Chunks announce no length, so the server counts the bytes that arrive.
    let chunks = format!("{head}Transfer-Encoding: chunked\r\n\r\n400\r\n{}\r\n", "x".repeat(0x400));
    assert!(server.raw(chunks.as_bytes()).starts_with("HTTP/1.1 413"));
    // This client stalls in the middle of its body.
    let impatient = Server::start("fixtures", &["--http-body-timeout", "500ms"]);
    let answer = impatient.raw(format!("{head}Content-Length: 10\r\n\r\nabc").as_bytes());
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("body_timeout"), "{answer}");
    // This client disconnects in the middle of its body.
    let mut stream = server.connect();
    stream.write_all(format!("{head}Content-Length: 10\r\n\r\nabc").as_bytes()).expect("the server reads");
    stream.shutdown(Shutdown::Write).expect("an open connection");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("the server closes");
    // The answer may not reach the client. It only matters that the server gives up the body.
    assert!(answer.is_empty() || answer.contains("body_broken"), "{answer}");
    // These bytes are not HTTP.
    assert!(server.raw(b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n").starts_with("HTTP/1.1 400"));
    assert_eq!(server.post("/v1/methods/echo", b"on").ok(), b"on");
}

#[test]
fn clients_that_never_finish_the_head_of_a_request_are_disconnected() {
    let server = Server::start("fixtures", &["--http-header-timeout", "500ms"]);
    let answer = server.raw(b"POST /v1/methods/echo HTTP/1.1\r\nHost: localhost\r\nX-Slow:");
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert_eq!(server.post("/v1/methods/echo", b"on").ok(), b"on");
}

#[test]
fn the_error_for_a_full_queue_says_when_to_try_again() {
    let server = Server::start("fixtures", &["--lanes", "1", "--queue-depth", "1", "--call-deadline", "1h"]);
    thread::scope(|scope| {
        let running = scope.spawn(|| server.post("/v1/methods/leak", SECONDS_OF_WORK));
        until("the call runs", || {
            server.metric(r#"snapback_queue_wait_seconds_count{image="fixtures"}"#) == 1.0
        });
        let waiting = scope.spawn(|| server.post("/v1/methods/echo", b"patience"));
        until("the call waits", || server.metric("snapback_queue_length") == 1.0);

        let refused = server.post("/v1/methods/echo", b"one too many");
        refused.error(429, "queue_full");
        let seconds: u64 = refused.header("retry-after").expect("a header").parse().expect("seconds");
        assert!(seconds >= 1);
        assert_eq!(server.get("/readyz").status, 503);
        assert_eq!(server.get("/healthz").status, 200);

        running.join().expect("an answer").ok();
        assert_eq!(waiting.join().expect("an answer").ok(), b"patience");
    });
    assert_eq!(server.get("/readyz").status, 200);
    assert_eq!(server.metric(r#"snapback_rejected_total{limit="queue.depth"}"#), 1.0);
}

#[test]
fn a_client_that_disconnects_loses_its_place_and_its_body_counts_until_then() {
    let server = Server::start("fixtures", &["--lanes", "1", "--call-deadline", "1h"]);
    thread::scope(|scope| {
        let running = scope.spawn(|| server.post("/v1/methods/leak", SECONDS_OF_WORK));
        until("the call runs", || {
            server.metric(r#"snapback_queue_wait_seconds_count{image="fixtures"}"#) == 1.0
        });
        let mut leaver = server.connect();
        let head = "POST /v1/methods/echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n";
        leaver.write_all(head.as_bytes()).expect("the server reads");
        leaver.write_all(&[7; 1000]).expect("the server reads");
        until("the call waits", || server.metric("snapback_queue_length") == 1.0);
        drop(leaver);
        assert!(server.metric("snapback_http_buffered_bytes") >= 1000.0);
        running.join().expect("an answer").ok();
    });
    until("the call is abandoned", || server.metric("snapback_calls_abandoned_total") == 1.0);
    assert_eq!(server.metric("snapback_http_buffered_bytes"), 0.0);
}

#[test]
fn a_used_instance_that_runs_out_of_memory_costs_no_call() {
    // On this plain host, the guest leaks 20 MB in each call under a limit of 64 MiB, so its instance is full after a
    // few calls.
    let args = ["--lanes", "1", "--swap-policy", "off", "--memory-limit", "64MiB"];
    let server = Server::start("fixtures", &args);
    for _ in 0..12 {
        server.post("/v1/methods/leak", b"20000000").ok();
    }
    assert!(server.metric(r#"snapback_calls_retried_total{image="fixtures"}"#) >= 3.0);
    server.post("/v1/methods/leak", b"100000000").error(422, "out_of_memory");
}

#[test]
fn bodies_in_transfer_share_a_budget() {
    let server =
        Server::start("fixtures", &["--http-buffered-bytes-max", "64KiB", "--http-body-bytes-max", "64KiB"]);
    let mut hog = server.connect();
    let head = "POST /v1/methods/echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 65536\r\n\r\n";
    hog.write_all(head.as_bytes()).expect("the server reads");
    hog.write_all(&[7; 65_535]).expect("the server reads");
    until("the body has arrived", || server.metric("snapback_http_buffered_bytes") >= 65_535.0);
    server.post("/v1/methods/echo", &[1; 1000]).error(429, "overloaded");
    hog.write_all(&[7]).expect("the server reads");
    until("there is room again", || server.post("/v1/methods/echo", &[1; 1000]).status == 200);
}

#[test]
fn a_plain_request_id_is_kept_and_any_other_is_replaced() {
    let server = Server::start("fixtures", &[]);
    let head = "GET /v1/nothing HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX-Request-Id:";
    let answer = server.raw(format!("{head} my-request.1\r\n\r\n").as_bytes());
    assert!(
        answer.contains("x-request-id: my-request.1") && answer.contains(r#""request_id":"my-request.1""#)
    );
    let answer = server.raw(format!("{head} a b\"c\r\n\r\n").as_bytes());
    let drawn = answer.lines().find_map(|line| line.strip_prefix("x-request-id: ")).expect("an id");
    assert!(drawn.len() == 16 && !answer.contains("a b"), "{answer}");
    server.post("/v1/methods/%ff", b"").error(404, "no_route");
}

#[test]
fn data_of_clients_is_not_logged() {
    let server = Server::start("fixtures", &["--log-level", "trace", "--log-format", "json"]);
    let secret = "correct-horse-battery-staple";
    server.post("/v1/methods/echo", secret.as_bytes()).ok();
    server.post("/v1/methods/remember", secret.as_bytes()).ok();
    server.post("/v1/methods/table", secret.as_bytes()).error(400, "malformed_input");
    server.post("/v1/methods/trap", secret.as_bytes()).error(500, "guest_trapped");
    let log = server.stop();
    assert!(log.contains(r#""route":"/v1/methods/{method}""#), "{log}");
    assert!(!log.contains("horse"), "{log}");
}

#[test]
fn several_images_are_served_side_by_side() {
    let state = state_with("fixtures");
    let server =
        Server::of(snapback().args(["serve", "one=fixtures", "two=fixtures", "--state-dir"]).arg(&state));
    server.post("/v1/methods/echo", b"").error(409, "ambiguous");
    assert_eq!(server.post("/v1/methods/echo?image=two", b"hi").ok(), b"hi");
    let status = server.get("/v1/status").json();
    let names: Vec<&str> = status["images"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|image| image["name"].as_str())
        .collect();
    assert_eq!(names, ["one", "two"]);
    assert_eq!(status["state"], "ready");
    assert!(status["memory"]["resident_bytes"].as_u64().expect("bytes") > 1 << 20);
    assert!(status["uptime_seconds"].is_u64());

    let stderr = run_err(snapback().args(["serve", "fixtures", "fixtures", "--state-dir"]).arg(&state), 2);
    assert!(stderr.contains("two images are called `fixtures`"), "{stderr}");
}

#[test]
fn a_server_that_cannot_start_reports_the_reason() {
    let state = state_with("fixtures");
    let serve = |args: &[&str]| {
        let mut command = snapback();
        command.args(["serve", "fixtures", "--state-dir"]).arg(&state).args(args);
        command
    };
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("bound").to_string();
    let stderr = run_err(&mut serve(&["--listen", &address]), 1);
    assert!(stderr.contains(&address) && stderr.contains("listen"), "{stderr}");

    let free = ["--listen", "127.0.0.1:0"];
    let stderr = run_err(serve(&free).args(["--lanes", "0"]), 2);
    assert!(stderr.contains("--lanes") && stderr.contains("1 to 1024"), "{stderr}");
    let stderr = run_err(serve(&free).env("SNAPBACK_SWAP_POLICY", "sometimes"), 2);
    assert!(stderr.contains("SNAPBACK_SWAP_POLICY") && stderr.contains("`every-call`"), "{stderr}");
    let stderr = run_err(serve(&free).args(["--memory-limit", "1MiB"]), 2);
    assert!(stderr.contains("memory.limit"), "{stderr}");

    let stderr = run_err(snapback().args(["serve", "zcash", "--state-dir", "/dev/null/state"]).args(free), 1);
    assert!(stderr.contains("/dev/null/state") && stderr.contains("`state_dir`"), "{stderr}");
    let stderr = run_err(snapback().args(["serve", "0123456789ab", "--state-dir"]).arg(&state).args(free), 2);
    assert!(stderr.contains("no image `0123456789ab`"), "{stderr}");
    // A guest cannot be served as an image.
    let dir = tempfile::tempdir().expect("a directory");
    let guest = dir.path().join("guest.wasm");
    std::fs::write(&guest, wat::parse_str("(module)").expect("a module")).expect("the file is written");
    let stderr = run_err(snapback().arg("serve").arg(&guest).arg("--state-dir").arg(&state).args(free), 1);
    assert!(stderr.contains("snapback bake"), "{stderr}");
}
