//! Clients that leave or are slow while what they asked for, and whose it is, changes.

mod harness;

use harness::{
    Answer, Server,
    circuits::{BOUNDARY, multipart, own_state, squares::squares},
    inside::{Host, policy},
    keyed::{Keyed, ask, upload},
    until,
};
use serde_json::Value;
use snapback_host::{
    access::{AuditLog, AuditSettings, KeyFile, KeyRing, Quota, Role},
    circuits::Registries,
    config::{Hosts, HttpConfig, WitnessExport},
    http::{App, Gate, Keys, Public, PublicChanges, serve, signals::Signals},
    policy::SwapPolicy,
    sandbox::Sandbox,
    seams::Seams,
    worker::JobHandle,
};
use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::Arc,
    time::Duration,
};

/// A request whose head the server has read, and whose body its handler waits for.
struct Begun(TcpStream);

impl Begun {
    fn new(address: SocketAddr, key: &str, head: &str, body: &[u8]) -> Self {
        let mut stream = TcpStream::connect(address).expect("the server listens");
        let head = format!(
            "{head} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {key}\r\nconnection: close\r\n\
             content-type: multipart/form-data; boundary={BOUNDARY}\r\nexpect: 100-continue\r\n\
             content-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).expect("the server reads");
        // The server says so when the handler asks for the body, after it has checked the rest.
        let expected = b"HTTP/1.1 100 Continue\r\n\r\n";
        let mut read = [0; 25];
        stream.read_exact(&mut read).expect("the server answers");
        assert_eq!(&read, expected, "{}", String::from_utf8_lossy(&read));
        Self(stream)
    }

    /// Sends the body.
    fn send(&mut self, body: &[u8]) {
        self.0.write_all(body).expect("the server reads");
    }

    /// Sends the body, and returns the answer.
    fn answer(mut self, body: &[u8]) -> String {
        self.send(body);
        let mut answer = String::new();
        self.0.read_to_string(&mut answer).expect("an answer");
        answer
    }
}

/// Serves a host on a port of this process, to those who have keys.
fn listen(host: &Host, ring: KeyRing, audit: AuditLog) -> SocketAddr {
    let http = HttpConfig {
        hosts: Hosts::Named(Vec::new()),
        origins: Vec::new(),
        body_bytes_max: 1 << 20,
        buffered_bytes_max: 64 << 20,
        unread_bytes_max: 1 << 20,
        connections_max: 16,
        connections_per_peer_max: None,
        streams_max: 16,
        send_rate_min: None,
        header_timeout: Duration::from_mins(10),
        body_timeout: Duration::from_mins(10),
        upload_bytes_max: 1,
        upload_rate_min: 1,
        witness_export: WitnessExport::Off,
    };
    let gate = Gate::new(Keys::Needed, Arc::new(ring), None, PublicChanges::Refused, Some(audit));
    let registries = Arc::new(Registries::new(&host.dispatcher, []));
    let dispatcher = Arc::clone(&host.dispatcher);
    let app = App::new(dispatcher, http, registries, gate, JobHandle::off(), None, Sandbox::NONE);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let public = Public { listener, tls: None };
            serve(app, public, None, None, Signals::none(), Duration::from_secs(1)).await
        })
    });
    address
}

#[test]
fn a_change_is_recorded_although_its_client_left_while_it_waited() {
    let directory = tempfile::tempdir().expect("a directory");
    let keys = directory.path().join("keys.json");
    let tenant = "house".parse().expect("a name");
    let key = KeyFile::update(&keys, |file| file.create(tenant, Role::Operator, None, None)).expect("room");
    let host = Host::start(1, policy(), Seams::default());
    let settings = AuditSettings { bytes_max: 1 << 20, files_max: 1, waiting_max: 16 };
    let audit = AuditLog::open(&directory.path().join("audit"), settings, host.dispatcher.metrics());
    let ring = KeyRing::open(keys, Quota::default()).expect("a key");
    let address = listen(&host, ring, audit.expect("a log"));
    let connections = || {
        let request = ureq::http::Request::get(format!("http://{address}/metrics"));
        let request = request.header("authorization", format!("Bearer {}", *key.text));
        let metrics = Answer::run(request.body(String::new()).expect("a request")).text();
        let line = metrics.lines().find_map(|line| line.strip_prefix("snapback_http_connections "));
        line.and_then(|number| number.parse::<u64>().ok()).expect("a number")
    };
    let alone = connections();

    // The change waits for the policies, and its client leaves meanwhile.
    let policies = host.dispatcher.lock_policies();
    let body = br#"{"swap.policy": "every-call"}"#;
    let mut client = Begun::new(address, &key.text, "PATCH /v1/admin/policy", body);
    client.send(body);
    drop(client);
    until("the server has noticed that the client left", || connections() <= alone);
    assert_eq!(host.service().policy().swap, SwapPolicy::Off, "it waits");
    drop(policies);

    let mut entries = String::new();
    until("the change is recorded", || {
        entries = fs::read_to_string(directory.path().join("audit/audit.jsonl")).unwrap_or_default();
        !entries.is_empty()
    });
    let entry: Value = serde_json::from_str(entries.lines().next().expect("a line")).expect("JSON");
    assert_eq!((&entry["what"], &entry["verdict"]), (&"PATCH /v1/admin/policy".into(), &"done".into()));
    assert_eq!(entry["who"]["tenant"], "house");
    assert_eq!(host.service().policy().swap, SwapPolicy::EveryCall);
}

/// Waits until a change that was accepted is done.
fn done(server: &Server, key: &str, accepted: &Answer) {
    assert_eq!(accepted.status, 202, "{}", accepted.text());
    let change = accepted.header("location").expect("its location").to_owned();
    let mut state = Value::Null;
    until("the change has ended", || {
        state = ask(server, key, "GET", &change, b"").json()["state"].take();
        !["waiting", "baking"].contains(&state.as_str().expect("a state"))
    });
    assert_eq!(state, "done");
}

#[test]
fn a_slow_body_reaches_no_circuit_that_became_anothers_meanwhile() {
    let keyed = Keyed::new(own_state());
    let [acme, beta] = ["acme", "beta"].map(|tenant| keyed.key(tenant, "registrar"));
    // As long as the bakes may take on a busy machine.
    let server = keyed.serve("plonk", &["--http-body-timeout", "10m"]);
    let (r1cs, witness) = squares(5, 3);
    done(&server, &acme, &upload(&server, &acme, "moving", &r1cs));
    let address = server.address;
    let begin = |head: &str, body: &[u8]| Begun::new(address, &acme, head, body);

    let call = begin("POST /v1/circuits/moving/prove", &witness);
    let raw = begin("POST /v1/methods/prove?circuit=moving", &witness);
    let job = begin("POST /v1/circuits/moving/prove?async=true", &witness);
    let (other, _) = squares(6, 3);
    let parts = multipart(&[("r1cs", &other)]);
    let addition = begin("PUT /v1/circuits/wanted", &parts);
    let replacement = begin("PUT /v1/circuits/moving?replace=true", &parts);
    done(&server, &acme, &ask(&server, &acme, "DELETE", "/v1/circuits/moving", b""));
    done(&server, &beta, &upload(&server, &beta, "moving", &r1cs));
    done(&server, &beta, &upload(&server, &beta, "wanted", &r1cs));

    for call in [call, raw] {
        let answer = call.answer(&witness);
        assert!(answer.starts_with("HTTP/1.1 404") && answer.contains("unknown_circuit"), "{answer}");
    }
    for change in [addition, replacement] {
        let answer = change.answer(&parts);
        assert!(answer.starts_with("HTTP/1.1 409") && answer.contains("name_taken"), "{answer}");
    }
    let answer = job.answer(&witness);
    if answer.starts_with("HTTP/1.1 202") {
        let job: Value =
            serde_json::from_str(answer.split("\r\n\r\n").nth(1).expect("a body")).expect("JSON");
        let job = format!("/v1/jobs/{}?wait=5m", job["id"].as_str().expect("an id"));
        let ended = ask(&server, &acme, "GET", &job, b"").json();
        assert_eq!((&ended["state"], &ended["error"]["code"]), (&"failed".into(), &"unknown_circuit".into()));
    } else {
        assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    }
    assert_eq!(ask(&server, &beta, "POST", "/v1/circuits/moving/prove", &witness).status, 200);
}

#[test]
fn the_stream_of_events_names_nothing_of_another_tenant() {
    let keyed = Keyed::new(own_state());
    let [acme, beta] = ["acme", "beta"].map(|tenant| keyed.key(tenant, "registrar"));
    let server = keyed.serve("plonk", &["--lanes", "2"]);
    let mut stream = server.connect();
    let head = format!("GET /v1/events HTTP/1.0\r\nhost: localhost\r\nauthorization: Bearer {beta}\r\n\r\n");
    stream.write_all(head.as_bytes()).expect("the server reads");
    let mut seen = Vec::new();
    let mut read = |stream: &mut TcpStream, until: &str| {
        let from = seen.len();
        let mut chunk = [0; 4096];
        while !String::from_utf8_lossy(&seen[from..]).contains(until) {
            let len = stream.read(&mut chunk).expect("the stream goes on");
            assert!(len > 0, "it ended before {until}");
            seen.extend_from_slice(&chunk[..len]);
        }
    };
    read(&mut stream, "event: status");

    let (r1cs, witness) = squares(5, 3);
    done(&server, &acme, &upload(&server, &acme, "hidden-circuit", &r1cs));
    // The stream says that there is another generation, and not what is in it.
    read(&mut stream, "event: published");
    let job = ask(&server, &acme, "POST", "/v1/circuits/hidden-circuit/prove?async=true", &witness).json();
    let id = job["id"].as_str().expect("an id").to_owned();
    let ended = ask(&server, &acme, "GET", &format!("/v1/jobs/{id}?wait=5m"), b"").json();
    assert_eq!(ended["state"], "succeeded");
    done(&server, &acme, &ask(&server, &acme, "DELETE", "/v1/circuits/hidden-circuit", b""));
    read(&mut stream, "event: published");
    read(&mut stream, "event: status");
    let seen = String::from_utf8_lossy(&seen);
    for secret in ["hidden", &id, "acme"] {
        assert!(!seen.contains(secret), "{secret}: {seen}");
    }
}
