//! Refusals reach the client while it is still sending: every early answer is seen by every kind of client, and costs the
//! server bounded bytes and time.

mod harness;

use futures_util::stream;
use harness::{Answer, SECONDS_OF_WORK, Server, circuits, snapback, state_with, until};
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{Shutdown, TcpStream},
    process::{Command, Stdio},
    thread,
};

const MIB: usize = 1 << 20;
/// Length of the bodies that are refused.
const BODY: usize = 100 * MIB;

/// A request that is answered before its body has arrived.
struct Refusal<'a> {
    server: &'a Server,
    method: &'static str,
    path: &'static str,
    headers: &'static [(&'static str, &'static str)],
    status: u16,
    code: &'static str,
}

impl Refusal<'_> {
    fn check(&self, client: &str, status: u16, body: &str) {
        assert_eq!(status, self.status, "{client}: {} {}: {body}", self.method, self.path);
        assert!(body.contains(&format!("\"code\":\"{}\"", self.code)), "{client}: {body}");
    }

    /// A client that writes all of its body before it reads.
    fn by_socket(&self) {
        let mut stream = TcpStream::connect(self.server.address).expect("the server listens");
        let headers: String =
            self.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let head = format!(
            "{} {} HTTP/1.1\r\nHost: localhost\r\n{headers}Content-Length: {BODY}\r\nConnection: close\r\n\r\n",
            self.method, self.path
        );
        stream.write_all(head.as_bytes()).expect("the server reads");
        let piece = vec![b'x'; MIB];
        for _ in 0..BODY / MIB {
            stream.write_all(&piece).expect("the server reads on after its answer");
        }
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("the answer is there");
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        self.check("socket", status, &answer);
    }

    fn by_ureq(&self) {
        let request = ureq::http::Request::builder().method(self.method).uri(self.server.url(self.path));
        let request =
            self.headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let answer = Answer::run(request.body("x".repeat(BODY)).expect("a request"));
        self.check("ureq", answer.status, &answer.text());
    }

    fn by_reqwest(&self) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let pieces = (0..BODY / MIB).map(|_| Ok::<_, std::io::Error>(vec![b'x'; MIB]));
            let body = reqwest::Body::wrap_stream(stream::iter(pieces));
            let method = self.method.parse().expect("a method");
            let request = reqwest::Client::new().request(method, self.server.url(self.path));
            let request =
                self.headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
            let answer = request.body(body).send().await.expect("the answer, not a broken pipe");
            let status = answer.status().as_u16();
            self.check("reqwest", status, &answer.text().await.expect("a body"));
        });
    }

    /// With `Expect: 100-continue`, as it sends it by default, and without.
    fn by_curl(&self) {
        for expect in ["Expect: 100-continue", "Expect:"] {
            let mut curl = Command::new("curl");
            curl.args(["--silent", "--show-error", "--request", self.method, "--header", expect]);
            for (name, value) in self.headers {
                curl.args(["--header", &format!("{name}: {value}")]);
            }
            curl.args(["--data-binary", "@-", "--write-out", "\n%{http_code}", &self.server.url(self.path)]);
            let mut curl =
                curl.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("curl is installed");
            let mut stdin = curl.stdin.take().expect("piped");
            // curl may end before it has read all of it.
            let writer = thread::spawn(move || drop(stdin.write_all(&vec![b'x'; BODY])));
            let output = curl.wait_with_output().expect("it ends");
            writer.join().expect("it writes");
            assert!(output.status.success(), "curl: {} {}", output.status, self.path);
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let (body, status) = text.rsplit_once('\n').expect("a status");
            self.check("curl", status.parse().expect("a status"), body);
        }
    }

    fn by_every_client(&self) {
        self.by_socket();
        self.by_ureq();
        self.by_reqwest();
        self.by_curl();
        // What was read and dropped is not kept.
        until("no body is kept", || self.server.metric("snapback_http_buffered_bytes") == 0.0);
    }
}

/// On a busy machine, 100 MB take a while.
const ALL_THE_TIME: [&str; 2] = ["--http-body-timeout", "1h"];

/// A server that takes circuits, with a state directory of its own.
fn own_server(args: &[&str]) -> (tempfile::TempDir, Server) {
    let state = circuits::own_state();
    let server = circuits::serve(state.path(), &[&ALL_THE_TIME, args].concat());
    (state, server)
}

const MULTIPART: &[(&str, &str)] = &[("content-type", "multipart/form-data; boundary=0123456789")];

#[test]
fn an_early_answer_is_seen_by_every_client() {
    let server = Server::start("fixtures", &ALL_THE_TIME);
    let refusal =
        |method, path, status, code| Refusal { server: &server, method, path, headers: &[], status, code };
    refusal("POST", "/v1/nothing", 404, "no_route").by_every_client();
    refusal("PUT", "/v1/methods/echo", 405, "wrong_method").by_every_client();
    refusal("POST", "/v1/methods/nothing", 404, "unknown_method").by_every_client();
    refusal("POST", "/v1/methods/echo?x=1", 400, "bad_query").by_every_client();
    refusal("POST", "/v1/methods/echo", 413, "body_too_large").by_every_client();
    assert!(server.metric("snapback_http_unread_bytes_total") >= BODY as f64);
    assert_eq!(server.post("/v1/methods/echo", b"on").ok(), b"on");
}

#[test]
fn refusals_of_circuits_are_seen_by_every_client() {
    fn put<'s>(server: &'s Server, status: u16, code: &'static str) -> Refusal<'s> {
        Refusal { server, method: "PUT", path: "/v1/circuits/x", headers: MULTIPART, status, code }
    }
    let (_closed_state, closed) = own_server(&["--circuits-changes", "off"]);
    put(&closed, 403, "changes_off").by_every_client();
    drop(closed);
    let (open_state, open) = own_server(&["--circuits-upload-bytes-max", "64MiB"]);
    // A length that was announced is refused before the body is sent.
    let announced = put(&open, 413, "upload_too_large");
    announced.by_socket();
    announced.by_ureq();
    announced.by_curl();
    // Without a length and without a boundary, the body is refused in the middle.
    put(&open, 400, "bad_circuit").by_reqwest();
    until("no file is kept", || {
        std::fs::read_dir(open_state.path().join("circuits/plonk/files"))
            .is_ok_and(|files| files.count() == 0)
    });
}

#[test]
fn ambiguous_requests_are_seen_by_every_client() {
    let server = Server::of(
        snapback()
            .args(["serve", "one=fixtures", "two=fixtures"])
            .arg("--state-dir")
            .arg(state_with("fixtures")),
    );
    let ambiguous = Refusal {
        server: &server,
        method: "POST",
        path: "/v1/methods/echo",
        headers: &[],
        status: 409,
        code: "ambiguous",
    };
    ambiguous.by_every_client();
}

/// A request is admitted after its body has been read, so these answers are not early; but bodies that fill
/// `http.buffered_bytes_max` together are refused in the middle.
#[test]
fn an_overloaded_server_is_seen_by_every_client() {
    let args = ["--http-body-bytes-max", "200MiB", "--http-buffered-bytes-max", "200MiB"];
    let server = Server::start("fixtures", &[&ALL_THE_TIME[..], &args].concat());
    // Half a body that never goes on holds more than half of the budget.
    let mut stream = server.connect();
    let head =
        format!("POST /v1/methods/echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", 180 * MIB);
    stream.write_all(head.as_bytes()).expect("the server reads");
    let piece = vec![b'x'; MIB];
    (0..140).for_each(|_| stream.write_all(&piece).expect("the server reads"));
    until("the body is in memory", || server.metric("snapback_http_buffered_bytes") >= (128 * MIB) as f64);
    let refused = Refusal {
        server: &server,
        method: "POST",
        path: "/v1/methods/echo",
        headers: &[],
        status: 429,
        code: "overloaded",
    };
    refused.by_socket();
    refused.by_ureq();
    refused.by_reqwest();
    refused.by_curl();
}

/// 503: the breaker is open, and the server does not wait for a body to say so.
#[test]
fn an_open_breaker_is_seen_by_every_client() {
    let args = ["--breaker-failures", "1", "--breaker-open-for", "1h", "--http-body-bytes-max", "200MiB"];
    let server = Server::start("fixtures", &[&ALL_THE_TIME[..], &args].concat());
    server.post("/v1/methods/trap", b"").error(500, "guest_trapped");
    let refused = Refusal {
        server: &server,
        method: "POST",
        path: "/v1/methods/echo",
        headers: &[],
        status: 503,
        code: "breaker_open",
    };
    refused.by_every_client();
}

#[test]
fn a_refusal_costs_bounded_bytes() {
    let server = Server::start("fixtures", &["--http-unread-bytes-max", "4MiB"]);
    let mut stream = server.connect();
    let head = "POST /v1/nothing HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).expect("the server reads");
    // The answer comes although the body has no end.
    let mut reader = BufReader::new(stream.try_clone().expect("a socket"));
    let mut status = String::new();
    let chunk = format!("{MIB:x}\r\n{}\r\n", "x".repeat(MIB));
    stream.write_all(chunk.as_bytes()).expect("the server reads");
    reader.read_line(&mut status).expect("the answer is there");
    assert!(status.starts_with("HTTP/1.1 404"), "{status}");
    // Then the server stops reading, at the limit and a buffer.
    while stream.write_all(chunk.as_bytes()).is_ok() {}
    let discarded = server.metric("snapback_http_unread_bytes_total");
    assert!(discarded <= (5 * MIB) as f64, "{discarded}");
    // The connection of the question is the only one left.
    until("the connection ends", || server.metric("snapback_http_connections") <= 1.0);
}

#[test]
fn a_refusal_costs_bounded_time_and_none_when_the_server_stops() {
    let server = Server::start("fixtures", &["--http-body-timeout", "300ms"]);
    let head = "POST /v1/nothing HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\nx";
    // A client that sends nothing more gets its answer, and is cut off.
    let mut stream = server.connect();
    stream.write_all(head.as_bytes()).expect("the server reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it closes");
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    drop(server);

    // One that is still being read from does not hold a shutdown up.
    let server = Server::start("fixtures", &["--http-body-timeout", "1h", "--call-deadline", "1h"]);
    let mut stream = server.connect();
    stream.write_all(head.as_bytes()).expect("the server reads");
    let mut status = String::new();
    BufReader::new(stream.try_clone().expect("a socket"))
        .read_line(&mut status)
        .expect("the answer is there");
    assert!(status.starts_with("HTTP/1.1 404"), "{status}");
    // And a call that was accepted is still answered.
    thread::scope(|scope| {
        let running = scope.spawn(|| server.post("/v1/methods/leak", SECONDS_OF_WORK));
        until("it runs", || server.metric(r#"snapback_queue_wait_seconds_count{image="fixtures"}"#) == 1.0);
        server.terminate();
        running.join().expect("an answer").ok();
    });
    let (status, log) = server.wait();
    assert!(status.success(), "{log}");
    drop(stream.shutdown(Shutdown::Both));
}
