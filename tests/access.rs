//! Keys, tenants and roles, and the log of who changed what.

mod harness;

use harness::{
    circuits::{own_state, own_state_with, squares::squares},
    keyed::{Keyed, ask, upload},
    operated::{TOKEN, token_file},
    run_err, until,
};
use serde_json::{Value, json};
use std::fs;

#[test]
fn a_key_is_made_used_and_revoked_while_the_server_runs() {
    let keyed = Keyed::new(own_state_with("fixtures"));
    let server = keyed.serve("fixtures", &[]);
    let call = |key: &str| ask(&server, key, "POST", "/v1/methods/echo", b"a body");
    assert_eq!(server.get("/healthz").status, 200, "probes need no key");
    assert!(call("").error(401, "unauthorised").contains("snapback keys create"));
    assert_eq!(call("").header("www-authenticate"), Some("Bearer"));
    ask(&server, "", "GET", "/v1/no/such/path", b"").error(401, "unauthorised");

    let key = keyed.key("acme", "prover");
    until("the server has read the key", || call(&key).status == 200);
    assert_eq!(call(&key).ok(), b"a body");
    let me = ask(&server, &key, "GET", "/v1/whoami", b"").json();
    assert_eq!(
        (&me["tenant"], &me["role"], &me["keys"]),
        (&json!("acme"), &json!("prover"), &json!("required"))
    );
    let mut guess = key.clone();
    guess.replace_range(key.len() - 1.., if key.ends_with('0') { "1" } else { "0" });
    call(&guess).error(401, "unauthorised");

    let list: Value = serde_json::from_str(&keyed.run(&["keys", "list", "--json"])).expect("JSON");
    assert_eq!((&list[0]["tenant"], &list[0]["state"]), (&json!("acme"), &json!("active")));
    let id = list[0]["id"].as_str().expect("an identifier");
    assert_eq!(me["key"], id);
    let file = fs::read_to_string(keyed.file()).expect("the file of keys");
    assert!(file.contains(id) && !file.contains(&key[key.len() - 64..]), "only the hash is kept");

    keyed.run(&["keys", "revoke", id]);
    until("the server has read that it is revoked", || call(&key).status == 401);
    assert!(call(&key).error(401, "unauthorised").contains("revoked"));
    assert!(keyed.run(&["keys", "list"]).contains("no keys"));
    assert!(keyed.run(&["keys", "list", "--all"]).contains("revoked"));
    assert!(!server.stop().contains(&key), "no key is logged");
}

#[test]
fn a_key_expires() {
    let keyed = Keyed::new(own_state_with("fixtures"));
    let key = keyed.run(&["keys", "create", "--tenant", "acme", "--role", "operator", "--expires", "1s"]);
    let server = keyed.serve("fixtures", &[]);
    let mut message = String::new();
    until("the key has expired", || {
        let answer = ask(&server, key.trim(), "GET", "/v1/status", b"");
        message = answer.text();
        answer.status == 401
    });
    assert!(message.contains("expired"), "{message}");
}

/// Requests on every kind of route, and the least role that each needs. Where a role is enough, the answer depends on
/// what the request asks for, and is neither 401 nor 403.
const ROUTES: [(&str, &str, u8); 33] = [
    ("GET", "/v1/whoami", 0),
    ("GET", "/v1/status", 0),
    ("GET", "/v1/circuits", 0),
    ("GET", "/v1/methods", 0),
    ("POST", "/v1/methods/no-such-method", 0),
    ("POST", "/v1/circuits/none/prove", 0),
    ("POST", "/v1/circuits/none/verify", 0),
    ("POST", "/v1/circuits/none/witness", 0),
    ("GET", "/v1/jobs", 0),
    ("POST", "/v1/jobs", 0),
    ("GET", "/v1/jobs/01890a5d-ac96-774b-bcce-b302099a8057", 0),
    ("DELETE", "/v1/jobs/01890a5d-ac96-774b-bcce-b302099a8057", 0),
    ("GET", "/v1/jobs/01890a5d-ac96-774b-bcce-b302099a8057/result", 0),
    ("GET", "/v1/jobs/01890a5d-ac96-774b-bcce-b302099a8057/events", 0),
    ("GET", "/v1/webhooks/deliveries", 0),
    ("GET", "/v1/webhooks/deliveries/01890a5d-ac96-774b-bcce-b302099a8057", 0),
    ("GET", "/v1/history", 0),
    ("GET", "/v1/history/settings", 0),
    ("GET", "/v1/changes", 0),
    ("GET", "/v1/changes/7", 0),
    ("GET", "/v1/generations", 0),
    ("GET", "/v1/no/such/path", 0),
    ("PUT", "/v1/circuits/none", 1),
    ("DELETE", "/v1/circuits/none", 1),
    ("DELETE", "/v1/changes/7", 1),
    ("POST", "/v1/generations/7/activate", 2),
    ("GET", "/metrics", 2),
    ("GET", "/v1/audit", 2),
    ("GET", "/v1/admin/status", 2),
    ("GET", "/v1/admin/policy", 2),
    ("PATCH", "/v1/admin/policy", 2),
    ("POST", "/v1/admin/swap", 2),
    ("POST", "/v1/admin/prepare", 2),
];

#[test]
fn each_role_on_each_route() {
    let keyed = Keyed::new(own_state());
    let keys = ["prover", "registrar", "operator"].map(|role| keyed.key("acme", role));
    let server = keyed.serve("plonk", &[]);
    for (method, path, least) in ROUTES {
        ask(&server, "", method, path, b"").error(401, "unauthorised");
        for (role, key) in keys.iter().enumerate() {
            let answer = ask(&server, key, method, path, b"");
            if role >= usize::from(least) {
                assert!(![401, 403, 405, 500].contains(&answer.status), "{method} {path}: {}", answer.text());
            } else {
                let message = answer.error(403, "forbidden");
                let role = ["prover", "registrar", "operator"][usize::from(least)];
                assert!(message.contains(role), "{method} {path}: {message}");
            }
        }
    }
    assert_eq!(ask(&server, &keys[0], "POST", "/v1/admin/drain", b"").status, 403);
    assert_eq!(ask(&server, &keys[2], "POST", "/v1/admin/drain", b"").status, 202);
}

#[test]
fn what_belongs_to_another_tenant_does_not_exist() {
    let keyed = Keyed::new(own_state());
    let [acme, beta] = ["acme", "beta"].map(|tenant| keyed.key(tenant, "registrar"));
    let operator = keyed.key("house", "operator");
    let server = keyed.serve("plonk", &[]);
    let (r1cs, witness) = squares(5, 3);
    let (other, _) = squares(6, 3);
    let done = |accepted: harness::Answer, key: &str| {
        let place = accepted.header("location").unwrap_or_else(|| panic!("{}", accepted.text())).to_owned();
        until("the change is done", || ask(&server, key, "GET", &place, b"").json()["state"] == "done");
        place
    };
    let change = done(upload(&server, &acme, "secret", &r1cs), &acme);
    ask(&server, &beta, "GET", &change, b"").error(404, "unknown_change");
    ask(&server, &beta, "DELETE", &change, b"").error(404, "unknown_change");
    assert_eq!(ask(&server, &beta, "GET", "/v1/changes", b"").json()["changes"], json!([]));

    let names = |key: &str| {
        let list = ask(&server, key, "GET", "/v1/circuits", b"").json();
        let names = list["circuits"].as_array().expect("circuits").iter();
        names.map(|circuit| circuit["name"].as_str().expect("a name").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!((names(&acme), names(&operator)), (vec!["secret".to_owned()], vec!["secret".to_owned()]));
    assert!(names(&beta).is_empty());
    for circuits in
        ask(&server, &beta, "GET", "/v1/generations", b"").json()["generations"].as_array().expect("some")
    {
        assert_eq!(circuits["circuits"], json!({}));
    }
    let prove = "/v1/circuits/secret/prove";
    let proof = ask(&server, &acme, "POST", prove, &witness).ok();
    ask(&server, &beta, "POST", prove, &witness).error(404, "unknown_circuit");
    ask(&server, &beta, "POST", &format!("{prove}?async=true"), &witness).error(404, "unknown_circuit");
    ask(&server, &beta, "POST", "/v1/methods/prove?circuit=secret", &witness).error(404, "unknown_circuit");
    ask(&server, &beta, "POST", "/v1/circuits/secret/verify", &proof).error(404, "unknown_circuit");
    let batch = json!({ "jobs": [{ "circuit": "secret", "body": "AAAA" }] }).to_string();
    ask(&server, &beta, "POST", "/v1/jobs", batch.as_bytes()).error(404, "unknown_circuit");

    // The name is taken, whatever the circuit; and only its owner and operators take it away.
    for r1cs in [&r1cs, &other] {
        upload(&server, &beta, "secret", r1cs).error(409, "name_taken");
        upload(&server, &beta, "secret?replace=true", r1cs).error(409, "name_taken");
    }
    ask(&server, &beta, "DELETE", "/v1/circuits/secret", b"").error(404, "unknown_circuit");

    let job = ask(&server, &acme, "POST", &format!("{prove}?async=true"), &witness);
    let job = format!("/v1/jobs/{}", job.json()["id"].as_str().expect("an id"));
    until("the job ends", || ask(&server, &acme, "GET", &job, b"").json()["state"] == "succeeded");
    for (method, path) in [("GET", ""), ("DELETE", ""), ("GET", "/result"), ("GET", "/events")] {
        ask(&server, &beta, method, &format!("{job}{path}"), b"").error(404, "unknown_job");
    }
    assert_eq!(ask(&server, &beta, "GET", "/v1/jobs", b"").json()["jobs"], json!([]));

    // A guest's own list and the status know tenants as well.
    ask(&server, &beta, "POST", "/v1/methods/circuits", b"").error(404, "unknown_method");
    let batch = json!({ "jobs": [{ "method": "circuits", "body": "" }] }).to_string();
    ask(&server, &beta, "POST", "/v1/jobs", batch.as_bytes()).error(404, "unknown_method");
    assert!(!ask(&server, &beta, "GET", "/v1/status", b"").text().contains("secret"));
    assert_eq!(ask(&server, &operator, "POST", "/v1/methods/circuits", b"").status, 200);

    // A circuit that an operator replaces stays its owner's.
    done(upload(&server, &operator, "secret?replace=true", &other), &operator);
    assert!(names(&beta).is_empty() && names(&acme) == ["secret"]);
    drop(server);
    let server = keyed.serve("plonk", &[]);
    assert_eq!(ask(&server, &beta, "POST", prove, &witness).status, 404, "after a restart as well");
    assert_eq!(ask(&server, &acme, "DELETE", "/v1/circuits/secret", b"").status, 202);
}

#[test]
fn the_token_is_an_operators_and_an_operators_key_opens_the_admin_routes() {
    let keyed = Keyed::new(own_state());
    let dir = tempfile::tempdir().expect("a directory");
    let token = token_file(&dir, TOKEN, 0o600);
    let args = ["--admin-listen", "127.0.0.1:0", "--admin-token-file", token.to_str().expect("UTF-8")];
    let [operator, registrar] = ["operator", "registrar"].map(|role| keyed.key("acme", role));
    let server = keyed.serve("plonk", &args);
    assert_eq!(ask(&server, TOKEN, "GET", "/v1/whoami", b"").json()["tenant"], "local");
    let (r1cs, _) = squares(5, 3);
    let place = upload(&server, TOKEN, "shared", &r1cs);
    let place = place.header("location").expect("it is accepted").to_owned();
    until("the change is done", || ask(&server, TOKEN, "GET", &place, b"").json()["state"] == "done");
    let list = ask(&server, &registrar, "GET", "/v1/circuits", b"").json();
    assert_eq!(list["circuits"][0]["name"], "shared", "what the token adds is for all");
    ask(&server, &registrar, "DELETE", &place, b"").error(403, "forbidden");
    let (other, _) = squares(6, 3);
    let place = upload(&server, &operator, "shared?replace=true", &other);
    let place = place.header("location").expect("it is accepted").to_owned();
    until("it is replaced", || ask(&server, TOKEN, "GET", &place, b"").json()["state"] == "done");
    let list = ask(&server, &registrar, "GET", "/v1/circuits", b"").json();
    assert_eq!(list["circuits"][0]["name"], "shared", "it is for all, whoever replaced it");
    assert!(
        ask(&server, &registrar, "DELETE", "/v1/circuits/shared", b"")
            .error(403, "forbidden")
            .contains("operators")
    );

    let log = server.log_so_far();
    let admin = log.lines().find_map(|line| line.split_once("admin routes at ")).expect("the address").1;
    let status = |key: &str| {
        let request = ureq::http::Request::get(format!("{admin}status"))
            .header("authorization", format!("Bearer {key}"));
        harness::Answer::run(request.body(()).expect("a request")).status
    };
    assert_eq!((status(&operator), status(TOKEN), status(&registrar), status("")), (200, 200, 403, 401));
}

#[test]
fn routes_of_operators_need_one_even_without_keys() {
    let keyed = Keyed::new(own_state_with("fixtures"));
    let operator = keyed.key("acme", "operator");
    let prover = keyed.key("acme", "prover");
    let server = keyed.serve("fixtures", &["--auth-required", "off"]);
    assert_eq!(ask(&server, "", "POST", "/v1/methods/echo", b"x").ok(), b"x");
    assert_eq!(ask(&server, "", "GET", "/v1/whoami", b"").json()["keys"], "off");
    ask(&server, "", "POST", "/v1/admin/swap", b"").error(401, "unauthorised");
    ask(&server, &prover, "POST", "/v1/admin/swap", b"").error(403, "forbidden");
    assert_eq!(ask(&server, &operator, "POST", "/v1/admin/swap", b"").status, 202);
}

#[test]
fn a_listener_that_others_reach_needs_keys() {
    let keyed = Keyed::new(own_state_with("fixtures"));
    let key = keyed.key("acme", "prover");
    let mut command = keyed.command(&["serve", "fixtures", "--listen", "0.0.0.0:0"]);
    let server = harness::Server::of(&mut command);
    ask(&server, "", "POST", "/v1/methods/echo", b"x").error(401, "unauthorised");
    assert_eq!(ask(&server, &key, "POST", "/v1/methods/echo", b"x").ok(), b"x");
    let job = ask(&server, &key, "POST", "/v1/methods/echo?async=true", b"x");
    assert_eq!(job.status, 202, "jobs are accepted where keys tell clients apart: {}", job.text());
}

/// A proxy in front of a loopback listener: with keys, jobs are told apart all the same.
#[test]
fn jobs_with_a_key_are_accepted_through_a_proxy() {
    let keyed = Keyed::new(own_state_with("fixtures"));
    let key = keyed.key("acme", "prover");
    let server = keyed.serve("fixtures", &[]);
    let request = ureq::http::Request::post(server.url("/v1/methods/echo?async=true"))
        .header("authorization", format!("Bearer {key}"))
        .header("x-forwarded-for", "192.0.2.1");
    let job = harness::Answer::run(request.body("x".to_owned()).expect("a request"));
    assert_eq!(job.status, 202, "{}", job.text());
}

#[test]
fn changes_and_refusals_are_recorded_and_bodies_are_not() {
    let keyed = Keyed::new(own_state());
    let [registrar, prover] = ["registrar", "prover"].map(|role| keyed.key("acme", role));
    let operator = keyed.key("house", "operator");
    let server = keyed.serve("plonk", &[]);
    let (r1cs, _) = squares(5, 3);
    assert_eq!(upload(&server, &registrar, "one", &r1cs).status, 202);
    ask(&server, &prover, "DELETE", "/v1/circuits/one?secret=query", b"").error(403, "forbidden");
    ask(&server, "", "GET", "/v1/status", b"").error(401, "unauthorised");
    ask(&server, &operator, "PATCH", "/v1/admin/policy", br#"{"swap.policy": "off"}"#);
    assert_eq!(ask(&server, &prover, "GET", "/v1/status", b"").status, 200);

    let shown = ask(&server, &operator, "GET", "/v1/audit", b"").json();
    let shown = shown["entries"].as_array().expect("entries").clone();
    server.stop();
    let entries = keyed.audit();
    let commands: Vec<&Value> = entries.iter().filter(|entry| entry["what"] == "keys create").collect();
    assert_eq!(commands.len(), 3, "commands record what they do too");
    let requests: Vec<&Value> = entries.iter().filter(|entry| entry["what"] != "keys create").collect();
    assert_eq!(requests, shown.iter().collect::<Vec<_>>());
    let brief = |entry: &Value| {
        let text = |key: &str| entry[key].as_str().unwrap_or_default().to_owned();
        (text("what"), text("target"), text("code"), entry["who"]["tenant"].as_str().map(str::to_owned))
    };
    let expected = [
        ("PUT /v1/circuits/{circuit}", "/v1/circuits/one", "ok", Some("acme")),
        ("DELETE /v1/circuits/{circuit}", "/v1/circuits/one", "forbidden", Some("acme")),
        ("GET /v1/status", "/v1/status", "unauthorised", None),
        ("PATCH /v1/admin/policy", "/v1/admin/policy", "ok", Some("house")),
    ];
    let expected = expected.map(|(what, target, code, tenant)| {
        (what.to_owned(), target.to_owned(), code.to_owned(), tenant.map(str::to_owned))
    });
    assert_eq!(requests.iter().map(|entry| brief(entry)).collect::<Vec<_>>(), expected);
    assert_eq!(requests[0]["from"], "127.0.0.1");
    let text = fs::read_to_string(keyed.state.path().join("audit/audit.jsonl")).expect("a log");
    assert!(!text.contains("swap.policy") && !text.contains("secret=query") && !text.contains(&registrar));
}

#[test]
fn strangers_do_not_fill_the_log() {
    let keyed = Keyed::new(own_state());
    let [registrar, operator] = ["registrar", "operator"].map(|role| keyed.key("acme", role));
    let server = keyed.serve("plonk", &[]);
    for _ in 0..200 {
        ask(&server, "", "GET", "/v1/status", b"").error(401, "unauthorised");
    }
    ask(&server, &registrar, "DELETE", "/v1/circuits/none", b"").error(404, "unknown_circuit");
    let shown = ask(&server, &operator, "GET", "/v1/audit", b"").json()["entries"].take();
    assert!(shown.as_array().expect("entries").iter().any(|entry| entry["code"] == "unknown_circuit"));
    let is_strange = |entry: &&Value| entry["code"] == "unauthorised";
    let strange = shown.as_array().expect("entries").iter().filter(is_strange).count();
    assert!(strange < 200, "anybody can fill the log: {strange} entries");
}

#[test]
fn a_file_of_keys_that_others_can_change_starts_no_server() {
    use std::os::unix::fs::PermissionsExt;
    let keyed = Keyed::new(own_state_with("fixtures"));
    keyed.key("acme", "prover");
    fs::set_permissions(keyed.file(), fs::Permissions::from_mode(0o666)).expect("our file");
    let stderr = run_err(&mut keyed.command(&["serve", "fixtures"]), 2);
    assert!(stderr.contains("auth.keys_file") && stderr.contains("chmod 600"), "{stderr}");
    let stderr = run_err(&mut keyed.command(&["keys", "create", "--tenant", "a b", "--role", "prover"]), 2);
    assert!(stderr.contains("tenant"), "{stderr}");
}
