//! What the page is made of and asks for, without a browser: its files, the stream of events, the history.

mod harness;

use harness::{Answer, Server, operated::Operated, until};
use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader, Write},
    net::TcpStream,
};

fn send(server: &Server, method: &str, path: &str, header: (&str, &str)) -> Answer {
    let request =
        ureq::http::Request::builder().method(method).uri(server.url(path)).header(header.0, header.1);
    Answer::run(request.body(String::new()).expect("a request"))
}

/// Opens the stream of events, and returns it after the status line of the answer.
fn stream(server: &Server) -> (String, BufReader<TcpStream>) {
    let mut stream = server.connect();
    write!(stream, "GET /v1/events HTTP/1.1\r\nhost: localhost\r\n\r\n").expect("the server reads");
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).expect("an answer");
    (line, reader)
}

/// Reads on to the next event of this name, and returns its data; `None` at the end of the stream.
fn next(reader: &mut BufReader<TcpStream>, name: &str) -> Option<Value> {
    let mut is_wanted = false;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if let Some(event) = line.strip_prefix("event: ") {
            is_wanted = event.trim_end() == name;
        } else if let Some(data) = line.strip_prefix("data: ").filter(|_| is_wanted) {
            return Some(serde_json::from_str(data).expect("JSON"));
        }
    }
}

#[test]
fn the_page_comes_with_a_strict_policy_and_is_sent_once() {
    let server = Server::start("fixtures", &[]);
    let page = send(&server, "GET", "/", ("accept", "text/html"));
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    let policy = page.header("content-security-policy").expect("a policy").to_owned();
    for part in [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ] {
        assert!(policy.split("; ").any(|known| known == part), "{part}: {policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    let html = page.text();
    assert_eq!(server.get("/ui").text(), html);
    let assets: Vec<&str> = html.split('"').filter(|text| text.starts_with("/ui/")).collect();
    assert!(assets.len() > 10, "{assets:?}");
    for asset in ["/"].into_iter().chain(assets) {
        let answer = send(&server, "GET", asset, ("accept", "*/*"));
        assert_eq!(answer.status, 200, "{asset}");
        for (name, value) in [
            ("content-security-policy", policy.as_str()),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("cache-control", "no-cache"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{asset}");
        }
        let tag = answer.header("etag").expect("a tag").to_owned();
        let known = send(&server, "GET", asset, ("if-none-match", &tag));
        assert_eq!((known.status, known.body.len()), (304, 0), "{asset}");
        let head = send(&server, "HEAD", asset, ("accept", "*/*"));
        assert_eq!((head.status, head.body.len()), (200, 0), "{asset}");
    }
    server.get("/ui/nothing.js").error(404, "no_route");
    server.get("/ui/..%2fpage.rs").error(404, "no_route");
    server.post("/", b"").error(405, "wrong_method");
    // A host name that is not the server's own gets no page either.
    send(&server, "GET", "/", ("host", "evil.example")).error(421, "unknown_host");
}

#[test]
fn the_stream_tells_the_status_and_what_happens_and_ends_with_a_drain() {
    let server = Server::start("fixtures", &["--lanes", "1", "--swap-policy", "every-call"]);
    let (status, mut reader) = stream(&server);
    assert!(status.contains("200"), "{status}");
    let first = next(&mut reader, "status").expect("the status");
    assert_eq!((&first["state"], &first["queue"]["length"]), (&json!("ready"), &json!(0)));
    assert_eq!(first["instances"]["fixtures"].as_array().map(Vec::len), Some(1));
    assert_eq!(first["instances"]["fixtures"][0]["samples"], json!([]), "they would be sent again and again");
    assert!(first["start"]["seconds"].as_f64().expect("a time") > 0.0);
    next(&mut reader, "status").expect("another one");
    server.post("/v1/methods/echo", b"x").ok();
    let swapped = next(&mut reader, "swap-complete").expect("the swap");
    assert_eq!((&swapped["image"], &swapped["reason"]), (&json!("fixtures"), &json!("every-call")));
    server.terminate();
    while next(&mut reader, "status").is_some() {}
    assert!(server.wait().0.success());
}

#[test]
fn streams_leave_connections_to_others() {
    let server = Server::start("fixtures", &["--http-connections-max", "8"]);
    let mut streams = vec![stream(&server), stream(&server)];
    assert!(streams.iter().all(|(status, _)| status.contains("200")));
    server.get("/v1/events").error(503, "connections_full");
    assert_eq!(server.metric(r#"snapback_rejected_total{limit="http.connections_max"}"#), 1.0);
    streams.pop();
    let mut again = stream(&server);
    until("a place is free again", || {
        let is_open = again.0.contains("200");
        if !is_open {
            again = stream(&server);
        }
        is_open
    });
}

#[test]
fn the_history_counts_calls_and_names_who_changed_settings() {
    let operated = Operated::start(1, &[]);
    let server = &operated.server;
    server.post("/v1/methods/echo", b"x").ok();
    server.post("/v1/methods/fail", b"x");
    server.post("/v1/methods/trap", b"");
    let sum = |history: &Value, column: &str| -> u64 {
        history[column]
            .as_array()
            .expect("a column")
            .iter()
            .map(|value| value.as_u64().expect("a count"))
            .sum()
    };
    let history = server.get("/v1/history").json();
    assert_eq!(history["bucket_seconds"], 10);
    for (column, count) in [("calls", 3), ("refused", 1), ("failed", 1), ("lost", 0)] {
        assert_eq!(sum(&history, column), count, "{column}");
    }
    // A swap follows the reply.
    until("the swaps are counted", || sum(&server.get("/v1/history").json(), "swaps") >= 3);

    assert_eq!(server.get("/v1/history/settings").json(), json!({ "changes": [] }));
    assert_eq!(operated.change(r#"{"swap.policy": "off", "memory.warn": "60%"}"#).status, 204);
    operated.change(r#"{"swap.policy": "never"}"#).error(400, "bad_settings");
    assert_eq!(operated.change(r#"{"swap.policy": "off"}"#).status, 204);
    let changes = server.get("/v1/history/settings").json();
    let changes = changes["changes"].as_array().expect("a list");
    assert_eq!(changes.len(), 1, "one changed something");
    assert_eq!((&changes[0]["image"], &changes[0]["by"]), (&json!("fixtures"), &json!("operator")));
    let changed = json!({ "memory.warn": ["70%", "60%"], "swap.policy": ["every-call", "off"] });
    assert_eq!(changes[0]["changed"], changed);
}

#[test]
fn the_page_knows_every_alert_that_it_can_evaluate() {
    let rules = include_str!("../docs/alerts.yml");
    let page = include_str!("../host/src/http/page/alerts.js");
    let alerts: Vec<&str> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(alerts.len() >= 10, "{alerts:?}");
    // A page that hears nothing of its server says so itself.
    for alert in alerts.iter().filter(|alert| **alert != "SnapbackDown") {
        assert!(page.contains(&format!("\"{alert}\"")), "{alert}");
    }
}
