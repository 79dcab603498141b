//! Traces, as a collector sees them: their spans, where they come from and where they go to.

#[path = "harness/collector.rs"]
mod collector;
mod harness;

use collector::{Collector, Span};
use harness::{
    Answer, Server,
    circuits::{done, own_state, own_state_with, put, serve},
    fixture,
    jobs::{ended, fixtures, path, state},
    keyed::{Keyed, ask},
    operated::Operated,
    receiver::Receiver,
    until,
};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use serde_json::Value;
use std::{fs, os::unix::fs::PermissionsExt, path::Path};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";
/// What no span may hold.
const MARKER: &str = "an-input-that-stays-here";

/// Sends a request with a traceparent and further headers.
fn send(
    server: &Server,
    method: &str,
    path: &str,
    traceparent: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Answer {
    let request = ureq::http::Request::builder().method(method).uri(server.url(path));
    let request =
        headers.iter().fold(request.header("traceparent", traceparent), |request, (name, value)| {
            request.header(*name, *value)
        });
    Answer::run(request.body(body.to_owned()).expect("a request"))
}

fn sampled() -> String {
    format!("00-{TRACE}-{PARENT}-01")
}

fn has(name: &'static str) -> impl Fn(&[Span]) -> bool {
    move |spans| spans.iter().any(|span| span.name == name)
}

fn headers_file(directory: &Path) -> String {
    let file = directory.join("headers");
    fs::write(&file, "# of the collector\nauthorization: Bearer a-token-of-the-collector\n")
        .expect("written");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("ours");
    file.to_str().expect("text").to_owned()
}

#[test]
fn a_call_continues_the_trace_of_its_client() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut collector = Collector::start("Bearer a-token-of-the-collector");
    let headers = headers_file(directory.path());
    let server = Server::start(
        "fixtures",
        &[
            "--traces-endpoint",
            &collector.url,
            "--traces-headers-file",
            &headers,
            "--traces-service-name",
            "prover",
            "--traces-sample",
            "0%",
            "--log-level",
            "trace",
        ],
    );
    let echo = "/v1/methods/echo";
    let state = [
        ("tracestate", "rojo=00f067aa0ba902b7"),
        ("tracestate", "congo=t61rcWkgMzE"),
        ("x-request-id", "r-1"),
    ];
    let answer = send(&server, "POST", echo, &sampled(), &state, MARKER);
    assert_eq!(answer.header("x-request-id"), Some("r-1"));
    assert_eq!(answer.ok(), MARKER.as_bytes());
    // Neither of these is recorded: their clients do not record them, or nobody does.
    send(&server, "POST", echo, &format!("00-{}-{PARENT}-00", "1".repeat(32)), &[], MARKER).ok();
    server.post(echo, MARKER.as_bytes()).ok();
    let trapped =
        send(&server, "POST", "/v1/methods/trap", &format!("cc-{}-{PARENT}-01-x", "2".repeat(32)), &[], "");
    assert_eq!(trapped.status, 500, "{}", trapped.text());
    let log = server.stop();
    collector.refresh();

    let of_trap: Vec<&Span> = collector.spans.iter().filter(|span| span.trace == "2".repeat(32)).collect();
    let trapped = of_trap.iter().find(|span| span.name == "call").expect("it was called");
    assert_eq!((trapped.is_error, trapped.get("snapback.outcome")), (true, "trap"));
    let answered = of_trap.iter().find(|span| span.kind == SpanKind::Server).expect("it was answered");
    assert_eq!((answered.is_error, answered.get("error.type")), (true, "guest_trapped"));
    collector.spans.retain(|span| span.trace != "2".repeat(32));

    let names: Vec<&str> = collector.spans.iter().map(|span| &*span.name).collect();
    assert_eq!(names.len(), 4, "{names:?}");
    let answered = collector.one("POST /v1/methods/{method}");
    assert_eq!((&*answered.parent, answered.kind, answered.is_error), (PARENT, SpanKind::Server, false));
    assert_eq!(answered.resource["service.name"], "prover");
    for (key, value) in [
        ("http.request.method", "POST"),
        ("http.route", "/v1/methods/{method}"),
        ("http.response.status_code", "200"),
        ("snapback.client_request_id", "r-1"),
        ("snapback.tenant", "local"),
    ] {
        assert_eq!(answered.get(key), value, "{answered:?}");
    }
    for stage in ["queue", "call", "swap"].map(|name| collector.one(name)) {
        assert_eq!((&*stage.parent, stage.kind, stage.is_error), (&*answered.id, SpanKind::Internal, false));
        assert_eq!(stage.get("snapback.image"), "fixtures");
        assert!(stage.began_ns <= stage.ended_ns && stage.began_ns >= answered.began_ns, "{stage:?}");
        stage.number("snapback.lane");
    }
    for span in &collector.spans {
        assert_eq!((&*span.trace, &*span.state), (TRACE, "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"));
    }
    let [queue, call, swap] = ["queue", "call", "swap"].map(|name| collector.one(name));
    assert!(queue.ended_ns <= call.began_ns && call.ended_ns <= swap.began_ns, "one after another");
    assert!(call.ended_ns <= answered.ended_ns);
    for (key, value) in [
        ("snapback.method", "echo"),
        ("snapback.outcome", "ok"),
        ("snapback.generation", "1"),
        ("snapback.instance.condition", "fresh"),
    ] {
        assert_eq!(call.get(key), value, "{call:?}");
    }
    assert_eq!(call.get("snapback.image.digest").len(), 12);
    assert!(call.number("snapback.memory.before_bytes") <= call.number("snapback.memory.after_bytes"));
    assert!(call.number("snapback.instance") > 0);
    assert_eq!(swap.get("snapback.reason"), "every-call");

    for secret in [MARKER, "a-token-of-the-collector"] {
        let holds = |bytes: &[u8]| bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
        assert!(!holds(&collector.bytes) && !holds(log.as_bytes()), "{secret}");
    }
    let line = log.lines().find(|line| line.contains("request_id=\"r-1\"")).expect("it was logged");
    assert!(line.contains(&format!("trace_id={TRACE}")), "{line}");
}

#[test]
fn what_has_no_traceparent_begins_a_trace_unless_it_is_a_probe() {
    let mut collector = Collector::start("");
    let server = Server::start("fixtures", &["--traces-endpoint", &collector.url]);
    server.get("/healthz").ok();
    server.get("/metrics").ok();
    let upper = format!("00-{}-{PARENT}-01", TRACE.to_uppercase());
    send(&server, "POST", "/v1/methods/echo", &upper, &[("tracestate", "a=1")], "").ok();
    // A probe that somebody else records is recorded.
    send(&server, "GET", "/readyz", &sampled(), &[], "").ok();
    server.get("/v1/no/such/route").error(404, "no_route");
    server.stop();
    collector.refresh();
    let answered: Vec<_> = collector.spans.iter().filter(|span| span.kind == SpanKind::Server).collect();
    assert_eq!(answered.len(), 3, "{answered:#?}");
    let begun = collector.one("POST /v1/methods/{method}");
    assert!(begun.parent.is_empty() && begun.state.is_empty() && begun.trace != TRACE, "{begun:?}");
    assert_eq!(collector.one("GET /readyz").trace, TRACE);
    let lost = collector.one("GET");
    assert_eq!((lost.get("error.type"), lost.get("http.response.status_code")), ("no_route", "404"));
    assert!(!lost.is_error, "it is the client's");
}

#[test]
fn a_swap_between_calls_is_a_trace_of_its_own() {
    let mut collector = Collector::start("");
    let operated = Operated::start(1, &["--traces-endpoint", &collector.url, "--swap-policy", "threshold"]);
    operated.server.post("/v1/methods/echo", b"x").ok();
    assert_eq!(operated.post("/swap").status, 202);
    collector.until("the used instance is replaced", has("swap"));
    let swap = collector.one("swap");
    assert_eq!((swap.get("snapback.reason"), &*swap.parent), ("operator", ""));
    collector.until("the call is exported", has("call"));
    assert_ne!(collector.one("swap").trace, collector.one("call").trace);
}

#[test]
fn a_proof_has_a_witness_and_a_verification() {
    let state = own_state();
    let mut collector = Collector::start("");
    let server = serve(state.path(), &["--traces-endpoint", &collector.url]);
    let parts: [(&str, &[u8]); 2] =
        [("r1cs", &fixture("x5chain/x5chain.r1cs")), ("wasm", &fixture("x5chain/x5chain.wasm"))];
    done(&server, &put(&server, "/v1/circuits/x5chain", &parts));
    let inputs = String::from_utf8(fixture("x5chain/input.json")).expect("text");
    let json = [("content-type", "application/json")];
    let proof = send(&server, "POST", "/v1/circuits/x5chain/prove", &sampled(), &json, &inputs).ok();
    let other = format!("00-{}-{PARENT}-01", "3".repeat(32));
    let proof = String::from_utf8(proof).expect("text");
    send(&server, "POST", "/v1/circuits/x5chain/verify", &other, &json, &proof).ok();
    let refused = format!("00-{}-{PARENT}-01", "4".repeat(32));
    send(&server, "POST", "/v1/circuits/x5chain/prove", &refused, &json, "{\"x\": \"1\"}")
        .error(400, "bad_inputs");
    server.stop();
    collector.refresh();
    let of = |trace: &str, name: &str| {
        let found = collector.spans.iter().find(|span| span.trace == trace && span.name == name);
        found.unwrap_or_else(|| panic!("{name} in {:#?}", collector.spans))
    };
    let [queue, witness, call] = ["queue", "witness", "call"].map(|name| of(TRACE, name));
    let answered = of(TRACE, "POST /v1/circuits/{circuit}/prove");
    assert!(queue.ended_ns <= witness.began_ns && witness.ended_ns <= call.began_ns);
    assert!([queue, witness, call].iter().all(|stage| stage.parent == answered.id));
    assert_eq!((witness.get("snapback.circuit"), witness.get("snapback.outcome")), ("x5chain", "ok"));
    assert_eq!((call.get("snapback.circuit"), call.get("snapback.method")), ("x5chain", "prove"));
    assert_eq!(call.get("snapback.generation"), "2", "the circuit came with the second one");
    assert!(call.number("snapback.memory.before_bytes") < call.number("snapback.memory.after_bytes"));
    let verify = of(&"3".repeat(32), "verify");
    assert_eq!((verify.get("snapback.outcome"), verify.get("snapback.method")), ("ok", "verify"));
    let refused = of(&"4".repeat(32), "witness");
    assert_eq!((refused.get("snapback.outcome"), refused.is_error), ("no_witness", false));
    assert!(!collector.spans.iter().any(|span| span.trace == "4".repeat(32) && span.name == "call"));
    let proof: Value = serde_json::from_str(&proof).expect("JSON");
    let proof = proof["proof"].as_str().expect("a proof").as_bytes();
    for secret in [inputs.trim().as_bytes(), &proof[..32]] {
        assert!(!collector.bytes.windows(secret.len()).any(|window| window == secret));
    }
}

#[test]
fn a_job_keeps_its_trace_across_a_restart_and_passes_it_on() {
    let dir = own_state_with("fixtures");
    let mut collector = Collector::start("");
    let receiver = Receiver::start();
    let webhooks =
        ["--webhooks-deliver", "on", "--webhooks-private-addresses", "allow", "--webhooks-ports", "any"];
    let url = collector.url.clone();
    let traces = ["--traces-endpoint", &url, "--traces-sample", "0%", "--lanes", "1"];
    let args = [&webhooks[..], &traces[..]].concat();
    let server = fixtures(dir.path(), &args);
    let running = server.post("/v1/methods/spin?async=true", b"").json();
    until("the job runs", || state(&server, &running) == "claimed");
    let url: String = receiver.url("/hook").bytes().map(|byte| format!("%{byte:02x}")).collect();
    let submission = format!("/v1/methods/echo?async=true&callback_url={url}");
    let job = send(&server, "POST", &submission, &sampled(), &[("tracestate", "a=1")], MARKER).json();
    server.stop();
    collector.refresh();
    let submitted = collector.one("POST /v1/methods/{method}").clone();
    assert_eq!((&*submitted.parent, submitted.get("http.response.status_code")), (PARENT, "202"));
    assert!(!has("call")(&collector.spans), "it waits");

    let server = fixtures(dir.path(), &args);
    server.delete(&path(&running));
    assert_eq!(ended(&server, &job)["state"], "succeeded");
    let told = receiver.next();
    assert_eq!(told.header("traceparent"), format!("00-{TRACE}-{}-01", submitted.id));
    told.answer("204 No Content", "");
    collector.until("the job is told about", has("job"));
    let attempt = collector.one("job");
    assert_eq!(
        (&*attempt.trace, &*attempt.parent, attempt.kind),
        (TRACE, &*submitted.id, SpanKind::Consumer)
    );
    assert_eq!(attempt.get("snapback.job"), job["id"].as_str().expect("an id"));
    assert_eq!((attempt.get("snapback.job.attempt"), attempt.get("snapback.outcome")), ("1", "succeeded"));
    let instance = |span: &Span| span.resource["service.instance.id"].clone();
    assert_ne!(instance(attempt), instance(&submitted), "another process");
    collector.until("its call has ended", has("call"));
    let attempt = collector.one("job").id.clone();
    for stage in ["queue", "call"].map(|name| collector.one(name)) {
        assert_eq!((&*stage.trace, &stage.parent), (TRACE, &attempt));
    }
    server.stop();
    assert!(!collector.bytes.windows(MARKER.len()).any(|window| window == MARKER.as_bytes()));
}

#[test]
fn without_traces_a_job_passes_on_the_traceparent_of_its_client() {
    let dir = own_state_with("fixtures");
    let receiver = Receiver::start();
    let args =
        ["--webhooks-deliver", "on", "--webhooks-private-addresses", "allow", "--webhooks-ports", "any"];
    let server = fixtures(dir.path(), &args);
    let url: String = receiver.url("/hook").bytes().map(|byte| format!("%{byte:02x}")).collect();
    let submission = format!("/v1/methods/echo?async=true&callback_url={url}");
    for (sent, passed_on) in [(sampled(), sampled()), (sampled().to_uppercase(), String::new())] {
        assert_eq!(send(&server, "POST", &submission, &sent, &[], "").status, 202);
        let told = receiver.next();
        assert_eq!(told.header("traceparent"), passed_on);
        told.answer("204 No Content", "");
    }
    server.stop();
}

#[test]
fn nobody_without_a_key_is_traced_where_keys_are_needed() {
    let keyed = Keyed::new(own_state_with("fixtures"));
    let key = keyed.key("acme", "prover");
    let mut collector = Collector::start("");
    let server = keyed.serve("fixtures", &["--traces-endpoint", &collector.url]);
    assert_eq!(send(&server, "POST", "/v1/methods/echo", &sampled(), &[], MARKER).status, 401);
    assert_eq!(send(&server, "GET", "/healthz", &sampled(), &[], "").status, 200);
    ask(&server, &key, "POST", "/v1/methods/echo", MARKER.as_bytes()).ok();
    server.stop();
    collector.refresh();
    assert_eq!(collector.one("POST /v1/methods/{method}").get("snapback.tenant"), "acme");
    assert!(collector.spans.iter().all(|span| span.trace != TRACE), "{:#?}", collector.spans);
    let secret = key.as_bytes();
    assert!(!collector.bytes.windows(secret.len()).any(|window| window == secret));
}
