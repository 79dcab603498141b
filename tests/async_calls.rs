//! Calls as durable jobs: accepted once they are on disk, followed, answered once, cancelled.

mod harness;

use harness::{
    Answer,
    circuits::{done, own_state, own_state_with, put, serve, squares::squares, verifies_natively},
    jobs::{ended, fixtures, path, result, state, submit},
    run_err, run_ok, snapback, until,
};
use serde_json::{Value, json};
use std::{fs, path::Path};

#[test]
fn a_call_outlives_its_connection() {
    let dir = own_state_with("fixtures");
    let server = fixtures(dir.path(), &[]);
    let request = ureq::http::Request::post(server.url("/v1/methods/echo"))
        .header("prefer", "wait=5, respond-async")
        .body("a body".to_owned());
    let accepted = Answer::run(request.expect("a request"));
    assert_eq!((accepted.status, accepted.header("preference-applied")), (202, Some("respond-async")));
    let job = accepted.json();
    assert_eq!(accepted.header("location"), Some(path(&job).as_str()));
    for (key, value) in [("image", "fixtures"), ("method", "echo")] {
        assert_eq!(job[key], value);
    }
    assert_eq!(job["body_bytes"], 6);

    let succeeded = ended(&server, &job);
    assert_eq!(
        (&succeeded["state"], &succeeded["attempts"]),
        (&json!("succeeded"), &json!(1)),
        "{succeeded}"
    );
    assert_eq!(succeeded["result"]["bytes"], 6);
    let answer = result(&server, &job);
    assert_eq!(answer.header("content-type"), Some("application/octet-stream"));
    let tag = answer.header("etag").expect("a tag").to_owned();
    assert_eq!(answer.ok(), b"a body");
    let known = ureq::http::Request::get(server.url(&format!("{}/result", path(&job))))
        .header("if-none-match", &tag)
        .body(String::new());
    assert_eq!(Answer::run(known.expect("a request")).status, 304);

    let typed = ended(&server, &submit(&server, "wear", b"3"));
    assert_eq!(result(&server, &typed).header("content-type"), Some("text/plain"), "as the manifest says");
    let refused = ended(&server, &submit(&server, "trap", b""));
    assert_eq!((&refused["state"], &refused["error"]["code"]), (&json!("failed"), &json!("guest_trapped")));
    result(&server, &refused).error(409, "job_failed");

    let events = server.get(&format!("{}/events", path(&job))).text();
    assert!(events.contains("event: job") && events.contains(r#""state":"succeeded""#), "{events}");
    let list = server.get("/v1/jobs?limit=2").json();
    let ids =
        |list: &Value| -> Vec<String> { list["jobs"].as_array().expect("jobs").iter().map(path).collect() };
    assert_eq!(ids(&list), [path(&refused), path(&typed)], "newest first");
    let next = list["next"].as_str().expect("there is another page");
    let last = server.get(&format!("/v1/jobs?limit=2&cursor={next}")).json();
    assert_eq!((ids(&last), &last["next"]), (vec![path(&job)], &Value::Null));
    assert_eq!(ids(&server.get("/v1/jobs?state=failed").json()), [path(&refused)]);
}

#[test]
fn proofs_and_verifications_are_jobs_too() {
    let dir = own_state();
    let server = serve(dir.path(), &[]);
    let (r1cs, witness) = squares(5, 3);
    done(&server, &put(&server, "/v1/circuits/squares", &[("r1cs", &r1cs)]));
    let accepted = server.post("/v1/circuits/squares/prove?async=true&priority=9", &witness);
    assert_eq!(accepted.status, 202, "{}", accepted.text());
    let job = ended(&server, &accepted.json());
    assert_eq!(
        (&job["state"], &job["circuit"], &job["priority"]),
        (&json!("succeeded"), &json!("squares"), &json!(9))
    );
    let proof = result(&server, &job).ok();
    verifies_natively(&r1cs, &proof);

    let verified = ended(&server, &server.post("/v1/circuits/squares/verify?async=true", &proof).json());
    assert_eq!(result(&server, &verified).ok(), br#"{"valid":true}"#);
    let mut tampered = proof;
    *tampered.last_mut().expect("not empty") ^= 1;
    let refuted = ended(&server, &server.post("/v1/circuits/squares/verify?async=true", &tampered).json());
    assert_eq!(refuted["state"], "failed");
    assert_eq!(server.get("/v1/jobs?circuit=squares").json()["jobs"].as_array().map(Vec::len), Some(3));
}

#[test]
fn a_job_is_cancelled_while_it_waits_and_while_it_runs() {
    let dir = own_state_with("fixtures");
    let server = fixtures(dir.path(), &["--lanes", "1"]);
    let running = submit(&server, "spin", b"");
    until("the job runs", || state(&server, &running) == "claimed");
    let waiting = submit(&server, "echo", b"behind it");
    assert_eq!(server.delete(&path(&waiting)).json()["state"], "cancelled");
    result(&server, &waiting).error(410, "job_without_result");
    result(&server, &running).error(409, "job_not_finished");
    server.delete(&path(&running));
    assert_eq!(ended(&server, &running)["state"], "cancelled");
    assert_eq!(server.post("/v1/methods/echo", b"on").ok(), b"on", "the lane works on");
    assert_eq!(server.delete(&path(&running)).json()["state"], "cancelled", "again, nothing happens");
}

#[test]
fn a_second_submission_is_the_same_job() {
    let dir = own_state_with("fixtures");
    let server = fixtures(dir.path(), &[]);
    let send = |key: &str, body: &str| {
        let request = ureq::http::Request::post(server.url("/v1/methods/echo?async=true"))
            .header("idempotency-key", key)
            .body(body.to_owned());
        Answer::run(request.expect("a request"))
    };
    let first = send("order-17", "a").json();
    assert_eq!(path(&send("\"order-17\"", "a").json()), path(&first), "quoted or not");
    send("order-17", "b").error(422, "idempotency_mismatch");
    assert_ne!(path(&send("order-18", "a").json()), path(&first));
    send(&"x".repeat(256), "a").error(400, "bad_query");

    let batch = json!({ "jobs": [
        { "method": "echo", "body": "YQ==", "idempotency_key": "order-17" },
        { "method": "echo", "body": "Yg==", "priority": 9, "delay": "1h" },
    ]});
    let accepted = server.post_json("/v1/jobs", batch.to_string().as_bytes());
    assert_eq!(accepted.status, 202, "{}", accepted.text());
    let jobs = accepted.json();
    assert_eq!(path(&jobs["jobs"][0]), path(&first));
    assert_eq!((&jobs["jobs"][1]["state"], &jobs["jobs"][1]["priority"]), (&json!("queued"), &json!(9)));
    let before = server.get("/v1/jobs").json()["jobs"].as_array().map(Vec::len);
    let half = json!({ "jobs": [{ "method": "echo", "body": "YQ==" }, { "method": "nope", "body": "" }] });
    server.post_json("/v1/jobs", half.to_string().as_bytes()).error(404, "unknown_method");
    for bad in [
        json!({ "jobs": [] }),
        json!({ "jobs": [{ "method": "echo" }] }),
        json!({ "jobs": [{ "method": "echo", "body": "*" }] }),
        json!({ "jobs": [{ "method": "echo", "body": "", "prio": 1 }] }),
        json!({ "jobs": vec![json!({}); 10_001] }),
        json!([]),
    ] {
        server.post_json("/v1/jobs", bad.to_string().as_bytes()).error(400, "bad_batch");
    }
    assert_eq!(server.get("/v1/jobs").json()["jobs"].as_array().map(Vec::len), before, "all or none");
}

#[test]
fn limits_and_mistakes_are_named() {
    let dir = own_state_with("fixtures");
    let server = fixtures(dir.path(), &["--jobs-waiting-max", "2"]);
    for query in [
        "async=maybe",
        "async=true&priority=10",
        "async=true&delay=soon",
        "async=true&tenant=x",
        "async=true&delay=31days",
        "async=true&image_digest=0",
        "delay=1m",
    ] {
        server.post(&format!("/v1/methods/echo?{query}"), b"").error(400, "bad_query");
    }
    server.get("/v1/jobs/7").error(404, "unknown_job");
    server.get("/v1/jobs/01890a5d-ac96-774b-bcce-b302099a8057").error(404, "unknown_job");
    server.get("/v1/jobs?state=lost").error(400, "bad_query");
    server.get("/v1/jobs?cursor=zz").error(400, "bad_query");
    server.post("/v1/methods/nope?async=true", b"").error(404, "unknown_method");
    let wrong_image =
        server.post(&format!("/v1/methods/echo?async=true&image_digest={}", "0".repeat(64)), b"").json();
    assert_eq!(ended(&server, &wrong_image)["error"]["code"], "image_replaced");
    for _ in 0..2 {
        assert_eq!(server.post("/v1/methods/echo?async=true&delay=1h", b"").status, 202);
    }
    let message = server.post("/v1/methods/echo?async=true", b"").error(429, "jobs_full");
    assert!(message.contains("jobs.waiting_max"), "{message}");
    assert_eq!(server.post("/v1/methods/echo", b"on").ok(), b"on", "calls that are no jobs are served");

    // Another server of the same directory has no jobs, and serves.
    let other = fixtures(dir.path(), &[]);
    other.post("/v1/methods/echo?async=true", b"").error(503, "no_jobs");
    assert_eq!(other.post("/v1/methods/echo", b"on").ok(), b"on");
    let off = fixtures(dir.path(), &["--jobs-accept", "off"]);
    off.post("/v1/methods/echo?async=true", b"").error(403, "jobs_off");
    let preferred = ureq::http::Request::post(off.url("/v1/methods/echo"))
        .header("prefer", "respond-async")
        .body("now".to_owned());
    assert_eq!(Answer::run(preferred.expect("a request")).ok(), b"now", "a preference is no condition");
    let passed_on = ureq::http::Request::get(server.url("/v1/jobs"))
        .header("x-forwarded-for", "192.0.2.1")
        .body(String::new());
    Answer::run(passed_on.expect("a request")).error(403, "jobs_off");
}

/// Whether a file below a directory contains these bytes.
fn contains(dir: &Path, bytes: &[u8]) -> bool {
    fs::read_dir(dir).expect("a directory").any(|entry| {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            return contains(&path, bytes);
        }
        // A file that has gone holds nothing.
        fs::read(&path).is_ok_and(|file| file.windows(bytes.len()).any(|window| window == bytes))
    })
}

#[test]
fn bodies_and_results_are_sealed_on_disk() {
    let dir = own_state_with("fixtures");
    let server = fixtures(dir.path(), &["--lanes", "1"]);
    const SECRET: &[u8] = b"the spending key of nobody";
    let small = server.post("/v1/methods/echo?async=true&delay=1h", SECRET).json();
    let large = server.post("/v1/methods/echo?async=true&delay=1h", &SECRET.repeat(10_000)).json();
    let done = ended(&server, &submit(&server, "echo", SECRET));
    assert_eq!(result(&server, &done).ok(), SECRET);
    assert!(!contains(&dir.path().join("jobs"), SECRET));
    let bodies = || fs::read_dir(dir.path().join("jobs/bodies")).expect("a directory").count();
    assert_eq!(bodies(), 1, "the large one is a file");
    for job in [&small, &large] {
        server.delete(&path(job));
    }
    until("the body goes with its job", || bodies() == 0);
    let log = server.stop();
    assert!(!log.contains("spending key"), "{log}");
}

#[test]
fn the_command_line_submits_and_follows_jobs() {
    let dir = own_state_with("fixtures");
    let server = fixtures(dir.path(), &["--lanes", "1"]);
    let file = dir.path().join("body");
    fs::write(&file, "from a file").expect("written");
    let output = dir.path().join("result");
    let jobs = |args: &[&str]| {
        let mut command = snapback();
        let (action, args) = args.split_first().expect("an action");
        command.args(["jobs", action, "--server", &server.url("")]).args(args);
        command
    };
    let file = file.to_str().expect("text");
    run_ok(jobs(&["submit", file, "--method", "echo", "--wait", "-o"]).arg(&output));
    assert_eq!(fs::read(&output).expect("a result"), b"from a file");

    let spinning = run_ok(&mut jobs(&["submit", file, "--method", "spin", "--idempotency-key", "once"]));
    let spinning = spinning.trim();
    let again =
        run_ok(&mut jobs(&["submit", file, "--method", "spin", "--idempotency-key", "once", "--json"]));
    assert_eq!(serde_json::from_str::<Value>(&again).expect("JSON")["id"], spinning);
    assert!(run_ok(&mut jobs(&["show", spinning])).contains("spin"));
    run_ok(&mut jobs(&["cancel", spinning]));
    assert!(run_err(&mut jobs(&["wait", spinning]), 4).contains("the job is cancelled"));
    let newest = run_ok(&mut jobs(&["list", "--limit", "1"]));
    assert!(newest.lines().count() == 1 && newest.contains(spinning), "{newest}");
    let list = run_ok(&mut jobs(&["list"]));
    assert!(list.lines().count() == 2 && list.contains("fixtures echo"), "{list}");
    assert!(run_err(&mut jobs(&["show", "7"]), 4).contains("unknown_job"));
}
