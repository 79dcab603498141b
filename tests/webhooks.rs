//! Webhooks about jobs, as receivers, clients and operators see them.

mod harness;

use harness::{
    Server,
    circuits::own_state_with,
    jobs::{ended, fixtures, path},
    receiver::Receiver,
    run_err, run_ok, snapback, until,
};
use serde_json::{Value, json};
use std::{
    fs,
    io::Write,
    net::TcpListener,
    path::Path,
    process::Command,
    sync::{Arc, mpsc},
    thread,
};

const ON: [&str; 4] = ["--webhooks-deliver", "on", "--webhooks-private-addresses", "allow"];

/// Starts a server that sends webhooks to any port of this machine.
fn sending(state: &Path, args: &[&str]) -> Server {
    fixtures(state, &[&ON[..], &["--webhooks-ports", "any"], args].concat())
}

/// Submits a call of a method as a job that tells a URL about its end.
fn submit(server: &Server, method: &str, body: &[u8], url: &str) -> Value {
    let url: String = url.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let answer = server.post(&format!("/v1/methods/{method}?async=true&callback_url={url}"), body);
    assert_eq!(answer.status, 202, "{}", answer.text());
    answer.json()
}

fn delivery(server: &Server, job: &Value) -> Value {
    server.get(&format!("/v1/webhooks/deliveries/{}", job["id"].as_str().expect("an id"))).json()
}

/// The secret of the only tenant.
fn secret() -> String {
    run_ok(snapback().args(["webhooks", "secret"])).trim().to_owned()
}

#[test]
fn a_receiver_is_told_about_the_end_of_a_job() {
    let dir = own_state_with("fixtures");
    let server = sending(dir.path(), &[]);
    let receiver = Receiver::start();
    let job = submit(&server, "echo", b"an input that stays here", &receiver.url("/hook/7?token=a%20b"));
    let request = receiver.next();
    assert_eq!(request.line, "POST /hook/7?token=a%20b HTTP/1.1");
    assert_eq!(request.header("host"), receiver.address.to_string());
    assert_eq!(request.header("content-type"), "application/json");
    assert_eq!(request.header("webhook-id"), job["id"]);
    assert!(request.is_signed_with(&secret()));
    let event = request.json();
    let result = json!(format!("{}/result", path(&job)));
    assert_eq!((&event["type"], &event["data"]["result"]), (&json!("job.succeeded"), &result), "{event}");
    for (key, value) in [
        ("id", job["id"].clone()),
        ("state", json!("succeeded")),
        ("image", json!("fixtures")),
        ("method", json!("echo")),
        ("error", Value::Null),
    ] {
        assert_eq!(event["data"][key], value, "{event}");
    }
    assert_eq!(event["timestamp"], ended(&server, &job)["finished"]);
    assert!(!String::from_utf8_lossy(&request.body).contains("stays here"));
    assert_eq!(ended(&server, &job)["callback"]["delivery"], "waiting");
    request.answer("204 No Content", "");
    until("it is delivered", || delivery(&server, &job)["state"] == "delivered");
    let callback = json!({ "origin": format!("http://{}", receiver.address), "delivery": "delivered" });
    assert_eq!(ended(&server, &job)["callback"], callback, "and no path");

    let failed = submit(&server, "trap", b"", &receiver.url("/"));
    let request = receiver.next();
    let event = request.json();
    assert_eq!(event["type"], "job.failed");
    assert_eq!(event["data"]["error"]["code"], "guest_trapped");
    assert!(event["data"].get("result").is_none(), "{event}");
    request.answer("200 OK", "");
    until("it is delivered", || delivery(&server, &failed)["state"] == "delivered");
    assert_eq!(server.metric(r#"snapback_webhook_attempts_total{outcome="delivered"}"#), 2.0);
    assert_eq!(server.metric(r#"snapback_webhooks{state="delivered"}"#), 2.0);
    assert_eq!(server.metric(r#"snapback_webhooks{state="waiting"}"#), 0.0);
    let log = server.stop();
    assert!(!log.contains("token=") && !log.contains(&secret()), "{log}");
}

#[test]
fn jobs_without_a_url_of_their_own_have_the_default() {
    let dir = own_state_with("fixtures");
    let [default, own] = [(); 2].map(|()| Receiver::start());
    let server = sending(dir.path(), &["--webhooks-default-url", &default.url("/default")]);
    let batch = json!({ "jobs": [
        { "method": "echo", "body": "YQ==" },
        { "method": "echo", "body": "YQ==", "callback_url": own.url("/own") },
    ]});
    let jobs = server.post_json("/v1/jobs", batch.to_string().as_bytes()).json();
    for (receiver, job) in [(&default, &jobs["jobs"][0]), (&own, &jobs["jobs"][1])] {
        let request = receiver.next();
        assert_eq!(request.header("webhook-id"), job["id"]);
        request.answer("200 OK", "");
    }
}

#[test]
fn urls_that_are_not_accepted_are_named() {
    let dir = own_state_with("fixtures");
    let off = fixtures(dir.path(), &[]);
    let call = |server: &Server, url: &str| {
        server.post(&format!("/v1/methods/echo?async=true&callback_url={url}"), b"")
    };
    call(&off, "https://hooks.example/").error(403, "webhooks_off");
    off.post("/v1/webhooks/deliveries/7/resend", b"").error(404, "unknown_delivery");
    off.stop();

    let server = fixtures(dir.path(), &["--webhooks-deliver", "on"]);
    for url in [
        "ftp://hooks.example/",
        "https://a:b@hooks.example/",
        "https://127.1/",
        "",
        "http://hooks.example:22/",
    ] {
        call(&server, url).error(400, "bad_callback");
    }
    for url in ["http://127.0.0.1/", "http://[::ffff:a9fe:a9fe]/", "http://localhost/", "http://10.0.0.1:80/"]
    {
        let message = call(&server, url).error(400, "bad_callback");
        assert!(message.contains("webhooks.private_addresses"), "{message}");
    }
    let batch = json!({ "jobs": [{ "method": "echo", "body": "", "callback_url": "http://127.0.0.1/" }] });
    server.post_json("/v1/jobs", batch.to_string().as_bytes()).error(400, "bad_callback");
    server.post("/v1/methods/echo?callback_url=https://hooks.example/", b"").error(400, "bad_query");
    assert_eq!(server.get("/v1/jobs").json()["jobs"], json!([]));
    for path in ["", "/resend"] {
        let path = format!("/v1/webhooks/deliveries/01890a5d-ac96-774b-bcce-b302099a8057{path}");
        let answer = if path.ends_with("resend") { server.post(&path, b"") } else { server.get(&path) };
        answer.error(404, "unknown_delivery");
    }
    server.get("/v1/webhooks/deliveries?state=lost").error(400, "bad_query");
    server.get("/v1/webhooks/deliveries?limit=0").error(400, "bad_query");
    server.stop();

    for (args, expected) in [
        (["--webhooks-default-url", "http://127.0.0.1/"], "webhooks.private_addresses"),
        (["--webhooks-ca-file", "/does/not/exist"], "webhooks.ca_file"),
        (["--webhooks-ports", "0"], "webhooks.ports"),
    ] {
        let mut command = snapback();
        command.args(["serve", "fixtures", "--webhooks-deliver", "on", "--listen", "127.0.0.1:0"]);
        command.args(args).arg("--state-dir").arg(dir.path());
        let output = command.output().expect("it runs");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && error.contains(expected), "{error}");
    }
}

#[test]
fn a_dead_letter_is_sent_again_by_hand() {
    let dir = own_state_with("fixtures");
    let server = sending(dir.path(), &["--webhooks-give-up-after", "1s"]);
    let receiver = Receiver::start();
    let gone = submit(&server, "echo", b"", &receiver.url("/"));
    receiver.next().answer("410 Gone", "");
    until("it is given up at once", || delivery(&server, &gone)["state"] == "dead");
    assert_eq!(delivery(&server, &gone)["attempts"], 1);

    let failing = submit(&server, "echo", b"", &receiver.url("/"));
    let mut deaf = Vec::new();
    // The last attempt is when the time is over, or later.
    until("it is given up", || {
        if let Some(request) = receiver.next_if_any() {
            deaf.push(request.header("webhook-id").to_owned());
            request.answer("500 Internal Server Error", "");
        }
        delivery(&server, &failing)["state"] == "dead"
    });
    assert!(deaf.len() >= 2 && deaf.iter().all(|id| failing["id"] == *id), "{deaf:?}");

    let webhooks = |args: &[&str]| {
        let mut command = snapback();
        let (action, args) = args.split_first().expect("an action");
        command.args(["webhooks", action, "--server", &server.url("")]).args(args);
        command
    };
    let list = run_ok(&mut webhooks(&["list", "--state", "dead"]));
    assert_eq!(list.lines().count(), 2, "{list}");
    assert!(list.contains("the receiver answered 500") && list.contains("answered 410"), "{list}");
    let id = failing["id"].as_str().expect("an id");
    assert!(run_ok(&mut webhooks(&["resend", id])).contains("waiting"));
    let again = receiver.next();
    assert_eq!(again.header("webhook-id"), id);
    assert!(again.is_signed_with(&secret()));
    again.answer("200 OK", "");
    until("it is delivered", || delivery(&server, &failing)["state"] == "delivered");
    assert!(run_err(&mut webhooks(&["resend", "7"]), 4).contains("unknown_delivery"));
    let page = server.get("/v1/webhooks/deliveries?state=dead&limit=1").json();
    assert_eq!((&page["deliveries"][0]["id"], &page["next"]), (&gone["id"], &Value::Null));
    assert_eq!(server.metric(r#"snapback_webhook_attempts_total{outcome="dead"}"#), 2.0);
}

#[test]
fn secrets_are_made_once_and_differ_between_tenants() {
    let dir = tempfile::tempdir().expect("a directory");
    let of = |tenant: &str| {
        let mut command = snapback();
        command.args(["webhooks", "secret", "--tenant", tenant]).env("XDG_DATA_HOME", dir.path());
        run_ok(&mut command)
    };
    assert!(of("local").starts_with("whsec_") && of("local") == of("local") && of("ada") != of("local"));
    use std::os::unix::fs::PermissionsExt;
    let key = fs::metadata(dir.path().join("snapback/webhooks.key")).expect("it was created");
    assert_eq!((key.len(), key.permissions().mode() & 0o777), (32, 0o600));
}

#[test]
fn tls_is_for_the_name_and_by_the_authorities_that_are_trusted() {
    use tokio_rustls::rustls::{
        ServerConfig, ServerConnection, Stream,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    };
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/webhooks");
    let certificate = CertificateDer::from_pem_file(fixtures.join("receiver.pem")).expect("a certificate");
    let key = PrivateKeyDer::from_pem_file(fixtures.join("receiver.key")).expect("a key");
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has them")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("they belong together");
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let (sender, names) = mpsc::channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let mut tls = ServerConnection::new(Arc::clone(&config)).expect("a connection");
            let mut answer = Stream::new(&mut tls, &mut stream);
            // Fails if the client does not trust this receiver.
            if answer.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").is_ok() {
                // A test that has ended wants no more names.
                let _ = sender.send(tls.server_name().map(str::to_owned));
            }
        }
    });
    let dir = own_state_with("fixtures");
    // In the sandbox, connections to this port alone are made.
    let ports = port.to_string();
    let server = |args: &[&str]| {
        harness::jobs::fixtures(dir.path(), &[&ON[..], &["--webhooks-ports", &ports], args].concat())
    };
    let untrusting = server(&[]);
    let job = submit(&untrusting, "echo", b"", &format!("https://localhost:{port}/"));
    let refused = || delivery(&untrusting, &job)["reason"].as_str().is_some_and(|why| why.contains("TLS"));
    until("the certificate is refused", refused);
    untrusting.stop();
    let trusting = server(&["--webhooks-ca-file", fixtures.join("ca.pem").to_str().expect("text")]);
    let by_address = submit(&trusting, "echo", b"", &format!("https://127.0.0.1:{port}/"));
    let refused =
        || delivery(&trusting, &by_address)["reason"].as_str().is_some_and(|why| why.contains("TLS"));
    until("the certificate is for another name", refused);
    trusting.post(&format!("/v1/webhooks/deliveries/{}/resend", job["id"].as_str().expect("an id")), b"");
    until("it is delivered", || delivery(&trusting, &job)["state"] == "delivered");
    assert_eq!(names.recv().expect("it was connected to").as_deref(), Some("localhost"));
}

#[test]
fn the_example_of_the_page_verifies_signatures() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/webhooks.md"));
    let page = page.expect("the page is there");
    let example = page.split("```python\n").nth(1).and_then(|rest| rest.split("```").next());
    let check = r#"
headers = {"webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek", "webhook-timestamp": "1614265330",
           "webhook-signature": "v1,AAAA v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="}
secret, body, now = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", b'{"test": 2432232314}', 1614265331
assert is_genuine(secret, headers, body, now)
assert not is_genuine(secret, headers, body + b" ", now)
assert not is_genuine(secret, headers, body, now + 3600)
assert not is_genuine(secret, headers | {"webhook-id": "msg_other"}, body, now)
"#;
    let program = format!("{}{check}", example.expect("there is an example"));
    let python = Command::new("python3").args(["-c", &program]).output();
    match python {
        Ok(output) => {
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
        Err(error) => eprintln!("there is no python3 ({error}): the example is not tested"),
    }
}
