//! Web pages of other sites, names that they point here, and proxies: who may call, and who may change circuits.

mod harness;

use harness::{
    Answer, Server,
    circuits::{own_state, serve},
    operated::{TOKEN, token_file},
    run_err, snapback, state_with,
};

fn request(server: &Server, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = ureq::http::Request::builder().method(method).uri(server.url(path));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    Answer::run(request.body(String::new()).expect("a request"))
}

#[test]
fn a_page_of_another_site_can_neither_change_nor_compute() {
    let state = own_state();
    let server = serve(state.path(), &[]);
    let cross_site: [&[(&str, &str)]; 4] = [
        &[("origin", "https://evil.example")],
        &[("origin", "null")],
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-site"), ("origin", "http://other.localhost")],
    ];
    for headers in cross_site {
        for (method, path) in [
            ("POST", "/v1/generations/1/activate"),
            ("DELETE", "/v1/circuits/any"),
            ("PUT", "/v1/circuits/any"),
            ("POST", "/v1/circuits/any/prove"),
            ("POST", "/v1/methods/verifying_key"),
        ] {
            request(&server, method, path, headers).error(403, "foreign_origin");
        }
        // Reading has no effect, and the browser keeps the answer from the page.
        assert_eq!(request(&server, "GET", "/v1/status", headers).status, 200);
    }
    let own = format!("http://{}", server.address);
    for headers in
        [&[("origin", own.as_str()), ("sec-fetch-site", "same-origin")][..], &[("sec-fetch-site", "none")]]
    {
        assert_eq!(request(&server, "POST", "/v1/generations/1/activate", headers).status, 200);
    }
}

#[test]
fn a_name_that_a_site_points_here_is_not_answered() {
    let state = own_state();
    let server = serve(state.path(), &["--http-hosts", "proofs.example"]);
    let under = |host: &str, path: &str| {
        server.raw(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").as_bytes())
    };
    for host in ["evil.example", "evil.example:8080", "localhost.evil.example"] {
        let answer = under(host, "/v1/status");
        assert!(answer.starts_with("HTTP/1.1 421") && answer.contains("unknown_host"), "{answer}");
        assert!(answer.contains("http.hosts"), "{answer}");
        // Probes use names that nobody configures.
        assert!(under(host, "/healthz").starts_with("HTTP/1.1 200"));
    }
    for host in ["proofs.example", "PROOFS.example:80", "localhost:1", "127.0.0.1", "[::1]:8080"] {
        assert!(under(host, "/v1/status").starts_with("HTTP/1.1 200"), "{host}");
    }
    let two = server
        .raw(b"GET /v1/status HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let none = server.raw(b"GET /v1/status HTTP/1.1\r\nConnection: close\r\n\r\n");
    let absolute = server
        .raw(b"GET http://evil.example/v1/status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let user = under("localhost@evil.example", "/v1/status");
    assert!(user.contains("bad_host"), "{user}");
    assert!(two.contains("bad_host") && none.contains("bad_host") && absolute.contains("unknown_host"));
}

#[test]
fn a_page_that_is_named_may_use_the_server() {
    let state = own_state();
    let server = serve(state.path(), &["--http-origins", "https://proofs.example, http://localhost:3000"]);
    let page = [("origin", "https://proofs.example"), ("sec-fetch-site", "cross-site")];
    let answer = request(&server, "POST", "/v1/generations/1/activate", &page);
    assert_eq!(
        (answer.status, answer.header("access-control-allow-origin")),
        (200, Some("https://proofs.example"))
    );
    // Errors can be read too.
    let answer = request(&server, "POST", "/v1/methods/nothing", &page);
    answer.error(404, "unknown_method");
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://proofs.example"));
    let preflight = request(
        &server,
        "OPTIONS",
        "/v1/circuits/any",
        &[
            page[0],
            ("access-control-request-method", "PUT"),
            ("access-control-request-headers", "content-type"),
        ],
    );
    assert_eq!(preflight.status, 200);
    assert!(preflight.header("access-control-allow-methods").expect("methods").contains("PUT"));
    let other = request(&server, "POST", "/v1/generations/1/activate", &[("origin", "https://evil.example")]);
    other.error(403, "foreign_origin");
    assert_eq!(other.header("access-control-allow-origin"), None);
}

#[test]
fn what_a_proxy_passes_on_is_not_local() {
    let state = own_state();
    let server = serve(state.path(), &[]);
    for header in ["x-forwarded-for", "forwarded", "via", "x-real-ip"] {
        let passed_on = [(header, "192.0.2.1")];
        request(&server, "DELETE", "/v1/circuits/any", &passed_on).error(403, "changes_off");
        request(&server, "POST", "/v1/generations/1/activate", &passed_on).error(403, "changes_off");
    }
    request(&server, "DELETE", "/v1/circuits/any", &[]).error(404, "unknown_circuit");
    server.stop();

    let dir = tempfile::tempdir().expect("a directory");
    let token = token_file(&dir, TOKEN, 0o600);
    let args = ["--circuits-changes", "on", "--admin-token-file", token.to_str().expect("UTF-8")];
    let server = serve(state.path(), &args);
    let bearer = format!("Bearer {TOKEN}");
    let passed_on = ("via", "1.1 proxy");
    request(&server, "DELETE", "/v1/circuits/any", &[passed_on]).error(401, "unauthorised");
    let with_token = request(&server, "DELETE", "/v1/circuits/any", &[passed_on, ("authorization", &bearer)]);
    with_token.error(404, "unknown_circuit");
    request(&server, "DELETE", "/v1/circuits/any", &[]).error(404, "unknown_circuit");
}

#[test]
fn changes_on_every_address_need_a_token() {
    let mut command = snapback();
    command.args([
        "serve",
        "plonk",
        "--auth-required",
        "off",
        "--circuits-changes",
        "on",
        "--listen",
        "0.0.0.0:0",
    ]);
    let stderr = run_err(command.arg("--state-dir").arg(state_with("plonk")), 2);
    assert!(stderr.contains("circuits.changes") && stderr.contains("admin.token_file"), "{stderr}");
}
