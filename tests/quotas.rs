//! What a tenant may use at once, in a minute, and on disk.

mod harness;

use harness::{
    SECONDS_OF_WORK,
    circuits::{own_state, own_state_with, squares::squares},
    keyed::{Keyed, ask, upload},
    run_err, until,
};
use serde_json::{Value, json};
use std::io::Write as _;

#[test]
fn a_tenant_keeps_to_its_quota_and_others_do_not_notice() {
    let keyed = Keyed::new(own_state_with("fixtures"));
    let [acme, beta] = ["acme", "beta"].map(|tenant| keyed.key(tenant, "prover"));
    keyed.run(&["tenants", "set", "acme", "--per-minute", "3"]);
    let server = keyed.serve("fixtures", &["--tenants-bytes-per-minute-max", "1000"]);
    let call = |key: &str, body: &[u8]| ask(&server, key, "POST", "/v1/methods/echo", body);
    for _ in 0..3 {
        assert_eq!(call(&acme, b"x").status, 200);
    }
    let refused = call(&acme, b"x");
    assert!(refused.error(429, "quota_exceeded").contains("tenants.per_minute_max"));
    assert!(refused.header("retry-after").is_some_and(|seconds| seconds.parse::<u64>().is_ok()));
    assert_eq!(ask(&server, &acme, "GET", "/v1/status", b"").status, 200, "reading is free");

    assert_eq!(call(&beta, &[0; 2000]).status, 200, "the first body is charged when it has arrived");
    assert!(call(&beta, b"").error(429, "quota_exceeded").contains("tenants.bytes_per_minute_max"));
    let metrics = ask(&server, &keyed_operator(&keyed, &server), "GET", "/metrics", b"").text();
    assert!(metrics.contains(r#"{limit="tenants.per_minute_max"} 1"#), "{metrics}");
    let tenants: Value = serde_json::from_str(&keyed.run(&["tenants", "list", "--json"])).expect("JSON");
    assert_eq!(tenants["acme"]["quota"]["per_minute_max"], 3);
    keyed.run(&["tenants", "unset", "acme"]);
    until("the server has read that there is no quota", || call(&acme, b"x").status == 200);
}

#[test]
fn each_job_of_a_batch_is_a_request() {
    let keyed = Keyed::new(own_state_with("fixtures"));
    let acme = keyed.key("acme", "prover");
    keyed.run(&["tenants", "set", "acme", "--per-minute", "5"]);
    let server = keyed.serve("fixtures", &[]);
    let batch = json!({ "jobs": vec![json!({ "method": "echo", "body": "YQ==" }); 20] }).to_string();
    assert_eq!(ask(&server, &acme, "POST", "/v1/jobs", batch.as_bytes()).status, 202);
    let refused = ask(&server, &acme, "POST", "/v1/methods/echo", b"x");
    assert!(refused.error(429, "quota_exceeded").contains("tenants.per_minute_max"));
}

/// Makes the key of an operator, and waits until a running server knows it.
fn keyed_operator(keyed: &Keyed, server: &harness::Server) -> String {
    let key = keyed.key("house", "operator");
    until("the server has read the key", || ask(server, &key, "GET", "/v1/whoami", b"").status == 200);
    key
}

#[test]
fn requests_at_once_and_stored_bytes_are_bounded() {
    let keyed = Keyed::new(own_state_with("fixtures"));
    let acme = keyed.key("acme", "prover");
    let server = keyed.serve("fixtures", &["--tenants-concurrent-max", "1", "--lanes", "2"]);
    let call = || ask(&server, &acme, "POST", "/v1/methods/echo", b"x");
    // Its body never comes.
    let mut stalled = server.connect();
    let head = format!(
        "POST /v1/methods/echo HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {acme}\r\ncontent-length: 9\r\n\r\n"
    );
    stalled.write_all(head.as_bytes()).expect("the server reads");
    let mut refused = call();
    until("a second request is refused", || {
        refused = call();
        refused.status == 429
    });
    assert!(refused.error(429, "quota_exceeded").contains("tenants.concurrent_max"));
    drop(stalled);
    until("the first request has left its place", || call().status == 200);

    let keyed = Keyed::new(own_state());
    let acme = keyed.key("acme", "registrar");
    let (r1cs, _) = squares(5, 3);
    let max = (r1cs.len() + 10).to_string();
    keyed.run(&["tenants", "set", "acme", "--stored-bytes", &max]);
    let server = keyed.serve("plonk", &[]);
    assert_eq!(upload(&server, &acme, "one", &r1cs).status, 202);
    let (other, _) = squares(6, 3);
    assert!(upload(&server, &acme, "two", &other).error(429, "quota_exceeded").contains("stored_bytes_max"));
}

#[test]
fn a_body_that_is_dropped_unread_is_charged() {
    let keyed = Keyed::new(own_state_with("fixtures"));
    let acme = keyed.key("acme", "prover");
    let server = keyed.serve("fixtures", &["--tenants-bytes-per-minute-max", "1000"]);
    ask(&server, &acme, "POST", "/v1/methods/none", &[0; 100_000]).error(404, "unknown_method");
    let mut answer = ask(&server, &acme, "POST", "/v1/methods/echo", b"");
    until("what was read after the answer is charged", || {
        answer = ask(&server, &acme, "POST", "/v1/methods/echo", b"");
        answer.status != 200
    });
    assert!(answer.error(429, "quota_exceeded").contains("tenants.bytes_per_minute_max"));
}

#[test]
fn a_call_keeps_its_place_until_it_has_ended() {
    let keyed = Keyed::new(own_state_with("fixtures"));
    let acme = keyed.key("acme", "prover");
    let house = keyed.key("house", "operator");
    let server = keyed.serve("fixtures", &["--tenants-concurrent-max", "1", "--lanes", "2"]);
    let in_flight = || {
        let metrics = ask(&server, &house, "GET", "/metrics", b"").text();
        metrics.lines().any(|line| line == "snapback_calls_in_flight 1")
    };
    let call = || ask(&server, &acme, "POST", "/v1/methods/echo", b"x");
    let mut client = server.connect();
    let head = format!(
        "POST /v1/methods/leak HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {acme}\r\ncontent-length: {}\r\n\r\n",
        SECONDS_OF_WORK.len()
    );
    client.write_all(&[head.as_bytes(), SECONDS_OF_WORK].concat()).expect("the server reads");
    until("the call runs", in_flight);
    let refused = call();
    if in_flight() {
        assert!(refused.error(429, "quota_exceeded").contains("tenants.concurrent_max"));
    }
    drop(client);
    // The guest goes on without its client, which the server notices meanwhile.
    until("the call has ended", || {
        let answer = call();
        let is_running = in_flight();
        assert!(!is_running || answer.status == 429, "{}", answer.text());
        !is_running
    });
    assert_eq!(call().status, 200, "the place is free");
}

#[test]
fn jobs_of_tenants_take_turns_by_weight() {
    const EACH: usize = 12;
    let keyed = Keyed::new(own_state_with("fixtures"));
    let [house, acme, beta] = ["house", "acme", "beta"].map(|tenant| keyed.key(tenant, "prover"));
    assert!(
        run_err(&mut keyed.command(&["tenants", "set", "acme", "--weight", "0"]), 2).contains("1 to 1000")
    );
    keyed.run(&["tenants", "set", "acme", "--weight", "3"]);
    assert!(
        keyed.run(&["tenants", "list"]).lines().any(|line| line.starts_with("acme") && line.ends_with(" 3"))
    );
    let server = keyed.serve("fixtures", &["--lanes", "1"]);

    let get = |key: &str, path: &str| ask(&server, key, "GET", path, b"").json();
    let running = ask(&server, &house, "POST", "/v1/methods/spin?async=true", b"").json();
    let running = format!("/v1/jobs/{}", running["id"].as_str().expect("an id"));
    until("the only lane is taken", || get(&house, &running)["state"] == "claimed");
    let batch = json!({ "jobs": vec![json!({ "method": "echo", "body": "YQ==" }); EACH] }).to_string();
    for key in [&beta, &acme] {
        assert_eq!(ask(&server, key, "POST", "/v1/jobs", batch.as_bytes()).status, 202);
    }
    ask(&server, &house, "DELETE", &running, b"");
    let claimed = |key: &str| -> Vec<String> {
        let jobs = get(key, "/v1/jobs?state=succeeded");
        let jobs = jobs["jobs"].as_array().expect("jobs").iter();
        jobs.map(|job| job["claimed"].as_str().expect("a time").to_owned()).collect()
    };
    until("all have ended", || [&acme, &beta].iter().all(|key| claimed(key).len() == EACH));
    let mut turns: Vec<_> = claimed(&acme).into_iter().map(|time| (time, "acme")).collect();
    turns.extend(claimed(&beta).into_iter().map(|time| (time, "beta")));
    turns.sort();
    // Nine of twelve, but for the order of the first ones and for times of the same millisecond; without weights, six.
    let of_acme = turns[..EACH].iter().filter(|(_, tenant)| *tenant == "acme").count();
    assert!(of_acme >= 8, "{turns:?}");
}
