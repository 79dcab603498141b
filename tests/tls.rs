//! TLS on the public listener: both versions of HTTP, certificates that are replaced, certificates of clients.

mod harness;
#[path = "harness/http2.rs"]
mod http2;
#[path = "harness/tls.rs"]
mod tls;

use axum::body::Body;
use harness::{SECONDS_OF_WORK, Server, run_err, run_ok, snapback, until};
use http2::{Http2, connect};
use rustls::ClientConfig;
use std::{
    fs,
    io::{Read, Write},
    os::unix::fs::PermissionsExt,
};
use tls::{Authority, Identity, Secure, der, install, replace, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const ECHO: &str = "/v1/methods/echo";
const REQUEST: &[u8] = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

/// What a client over TLS sees: the certificate of the server and its answer.
fn seen(server: &Server, config: ClientConfig) -> std::io::Result<(Vec<u8>, String)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut stream = connect(server, config).await?;
        let chain = stream.get_ref().1.peer_certificates().expect("it has a certificate");
        let certificate = chain[0].to_vec();
        stream.write_all(REQUEST).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok((certificate, answer))
    })
}

#[test]
fn both_versions_of_http_are_served_over_tls() {
    let secure = Secure::start(&[]);
    let large = vec![7; 8 << 20];
    assert!(secure.post(ECHO, &large).ok() == large);
    let client =
        Http2::encrypted(&secure.server, secure.authority.client_config(None, &[b"h2", b"http/1.1"]));
    assert!(client.post(ECHO, &large).ok() == large);
    let refused = client.post("/v1/methods/nothing", b"").error(404, "unknown_method");
    assert_eq!(refused, secure.post("/v1/methods/nothing", b"").error(404, "unknown_method"));
    let log = secure.server.log_so_far();
    assert!(log.contains("on https://") && !log.contains("expire"), "{log}");
    // A client that does not know the authority does not go on.
    let other = Authority::new().client_config(None, &[]);
    assert!(seen(&secure.server, other).is_err());
    assert_eq!(secure.metric("snapback_tls_certificate_not_after_seconds"), 10_413_792_000.0);
    until("it is counted", || secure.metric("snapback_tls_handshakes_failed_total") >= 1.0);
}

#[test]
fn a_client_without_tls_is_told_so() {
    let secure = Secure::start(&[]);
    for request in [&b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"[..], b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
        let mut stream = secure.server.connect();
        stream.write_all(request).expect("the server reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("https://"), "{answer}");
    }
}

#[test]
fn certificates_are_replaced_while_the_server_runs() {
    let secure = Secure::start(&[]);
    let config = || secure.authority.client_config(None, &[]);
    let reload = || secure.server.signal(rustix::process::Signal::HUP);
    let kept = Http2::encrypted(&secure.server, secure.authority.client_config(None, &[b"h2"]));
    let renewed = secure.authority.server(2400);
    install(&secure.dir, &renewed);
    reload();
    until("the new certificate is seen", || {
        seen(&secure.server, config()).expect("an answer").0 == der(&renewed.cert).to_vec()
    });
    assert_eq!(secure.metric("snapback_tls_certificate_not_after_seconds"), 13_569_465_600.0);
    assert_eq!(
        kept.post(ECHO, b"on").ok(),
        b"on",
        "a connection goes on with the certificate that it began with"
    );

    // Files that cannot be used change nothing, and the log says what to do.
    let path = |file: &str| secure.dir.path().join(file);
    let failures = || secure.server.log_so_far().matches("send SIGHUP").count();
    let breaks: [&dyn Fn(); 3] = [
        &|| replace(path("key.pem"), &secure.authority.server(2500).key),
        &|| replace(path("cert.pem"), "nothing"),
        &|| {
            install(&secure.dir, &secure.authority.server(2500));
            fs::set_permissions(path("key.pem"), fs::Permissions::from_mode(0o644))
                .expect("the test owns it");
        },
    ];
    for (index, break_it) in breaks.into_iter().enumerate() {
        break_it();
        reload();
        until("the failure is in the log", || failures() > index);
        assert_eq!(seen(&secure.server, config()).expect("an answer").0, der(&renewed.cert).to_vec());
    }
    // One that has expired is used, since that is what the operator gave, and the log warns.
    install(&secure.dir, &secure.authority.server(2001));
    reload();
    until("the log warns", || secure.server.log_so_far().contains("has expired"));
}

#[test]
fn a_client_may_present_a_certificate_that_its_authority_has_signed() {
    let secure = Secure::start(&[]);
    let see = |client: Option<&Identity>| seen(&secure.server, secure.authority.client_config(client, &[]));
    assert!(see(None).expect("none is needed").1.starts_with("HTTP/1.1 200"));
    assert!(see(Some(&secure.authority.client())).expect("it is known").1.starts_with("HTTP/1.1 200"));
    assert!(see(Some(&Authority::new().client())).is_err(), "another authority");
    assert!(see(Some(&secure.authority.server(2300))).is_err(), "a certificate of a server");
    // The authorities of clients are replaced too.
    let other = Authority::new();
    replace(secure.dir.path().join("ca.pem"), &other.pem);
    secure.server.signal(rustix::process::Signal::HUP);
    until("the new authority is known", || see(Some(&other.client())).is_ok());
    assert!(see(Some(&secure.authority.client())).is_err());
}

#[test]
fn a_certificate_stands_for_a_key() {
    let keys = tempfile::tempdir().expect("a directory");
    let file = keys.path().join("keys.json");
    let file = file.to_str().expect("UTF-8");
    let secure = Secure::start(&["--auth-required", "on", "--auth-keys-file", file]);
    let (known, unknown) = (secure.authority.client(), secure.authority.client());
    let digest = <sha2::Sha256 as sha2::Digest>::digest(der(&known.cert));
    let fingerprint: String = digest.iter().map(|byte| format!("{byte:02X}:")).collect();
    let create = ["keys", "create", "--tenant", "acme", "--role", "prover", "--fingerprint"];
    let create = [&create[..], &[fingerprint.trim_end_matches(':'), "--auth-keys-file", file]].concat();
    let id = run_ok(snapback().args(create).arg("--state-dir").arg(keys.path()));
    let echo = |identity: &Identity| {
        let client =
            Http2::encrypted(&secure.server, secure.authority.client_config(Some(identity), &[b"h2"]));
        client.post(ECHO, b"hello")
    };
    until("the server has read the key", || echo(&known).status == 200);
    echo(&unknown).error(401, "unauthorised");
    secure.get("/v1/whoami").error(401, "unauthorised");
    run_ok(
        snapback()
            .args(["keys", "revoke", id.trim(), "--auth-keys-file", file])
            .arg("--state-dir")
            .arg(keys.path()),
    );
    until("the server has read that it is revoked", || echo(&known).status == 401);
}

#[test]
fn handshakes_that_stall_hold_nobody_up_and_are_cut_off() {
    let args = ["--http-connections-max", "4", "--http-header-timeout", "1h"];
    let secure = Secure::start(&args);
    let stalled: Vec<_> = (0..40)
        .map(|_| {
            let mut stream = secure.server.connect();
            // The server may have closed it already, to make room.
            let _ = stream.write_all(&[22, 3, 1, 2, 0, 1, 0]);
            stream
        })
        .collect();
    for _ in 0..5 {
        assert_eq!(secure.post(ECHO, b"on").ok(), b"on");
    }
    drop(stalled);

    let secure = Secure::start(&["--http-header-timeout", "300ms"]);
    for start in [&[][..], &[22], &[22, 3, 1, 2, 0, 1, 0]] {
        let mut stream = secure.server.connect();
        stream.write_all(start).expect("the server reads");
        let _ = stream.read_to_end(&mut Vec::new());
    }
}

#[test]
fn a_probe_is_answered_over_http_1_when_there_is_no_room() {
    let args = ["--http-connections-max", "1", "--http-body-timeout", "1h"];
    let secure = Secure::start(&args);
    let both: [&[u8]; 2] = [b"h2", b"http/1.1"];
    let client = Http2::encrypted(&secure.server, secure.authority.client_config(None, &both));
    let (body_ends, body) = http2::slow_body();
    let slow = client.send("POST", ECHO, body);
    body_ends.send("slow").expect("it is polled");
    // A connection of its own might come first, and take the place.
    until("its body is read", || client.get("/metrics").metric("snapback_http_buffered_bytes") >= 4.0);
    secure.post(ECHO, b"").error(503, "connections_full");
    let config = secure.authority.client_config(None, &both);
    assert!(seen(&secure.server, config).expect("an answer").1.starts_with("HTTP/1.1 200"));
    drop(body_ends);
    assert_eq!(client.answer(slow).expect("an answer").ok(), b"slow");
}

#[test]
fn a_drain_answers_what_is_under_way_over_tls() {
    let secure = Secure::start(&["--lanes", "1"]);
    let client = Http2::encrypted(&secure.server, secure.authority.client_config(None, &[b"h2"]));
    let running = client.send("POST", "/v1/methods/leak", Body::from(SECONDS_OF_WORK));
    until("the call runs", || secure.metric(r#"snapback_queue_wait_seconds_count{image="fixtures"}"#) == 1.0);
    secure.server.terminate();
    client.answer(running).expect("an answer").ok();
    let (status, log) = secure.server.wait();
    assert!(status.success(), "{log}");
}

#[test]
fn a_client_that_takes_nothing_of_its_reply_is_cut_off_over_tls() {
    let secure = Secure::start(&["--http-send-rate-min", "1MiB", "--log-level", "debug"]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let _stream = runtime.block_on(async {
        let mut stream =
            connect(&secure.server, secure.authority.client_config(None, &[])).await.expect("TLS");
        let head = format!("POST {ECHO} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", 8 << 20);
        stream.write_all(head.as_bytes()).await.expect("the server reads");
        stream.write_all(&vec![7; 8 << 20]).await.expect("the server reads");
        // Otherwise the end of the body may stay in the client, and the server waits for it.
        stream.flush().await.expect("the server reads");
        stream
    });
    until("the connection is given up", || secure.server.log_so_far().contains("a connection ended early"));
    until("the reply is dropped", || secure.metric("snapback_http_buffered_bytes") == 0.0);
}

#[test]
fn a_server_does_not_start_with_files_that_cannot_be_used() {
    let dir = tempfile::tempdir().expect("a directory");
    let authority = Authority::new();
    install(&dir, &authority.server(2300));
    let refused = || {
        let Err((status, log)) = Server::try_of(&mut serve(dir.path())) else { panic!("it started") };
        assert!(!status.success());
        log
    };
    let key = dir.path().join("key.pem");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).expect("the test owns it");
    assert!(refused().contains("chmod 600"));
    replace(key, &authority.server(2300).key);
    assert!(refused().contains("`tls.cert` and `tls.key` cannot be used"));
    let cert = dir.path().join("cert.pem");
    let error = run_err(snapback().arg("serve").arg("--tls-cert").arg(cert), 2);
    assert!(error.contains("`tls.cert` needs `tls.key`"), "{error}");
}

#[test]
fn the_commands_of_clients_trust_an_authority_that_they_are_given() {
    let secure = Secure::start(&[]);
    let server = ["--server", &secure.url("")];
    let ca = secure.dir.path().join("ca.pem");
    let list = || {
        let mut command = snapback();
        command.args(["circuits", "list"]).args(server);
        command
    };
    run_ok(list().arg("--ca-file").arg(ca));
    let error = run_err(&mut list(), 1);
    assert!(error.contains("--ca-file"), "{error}");
}
