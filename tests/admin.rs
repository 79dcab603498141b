//! Operation of a server: the admin routes and their token, policies that change while calls run, events, SIGHUP.

mod harness;

use harness::{
    SECONDS_OF_WORK, Server,
    operated::{Operated, TOKEN, settings_file, token_file},
    run_err, snapback, state_with, until,
};
use std::{
    io::{BufRead, BufReader},
    thread,
};

#[test]
fn no_admin_request_is_carried_out_without_the_token() {
    let operated = Operated::start(2, &[]);
    for (method, path) in [
        ("GET", "/status"),
        ("POST", "/prepare"),
        ("POST", "/swap"),
        ("POST", "/drain"),
        ("GET", "/policy"),
        ("PATCH", "/policy"),
        ("GET", "/events"),
        ("GET", "/nothing"),
    ] {
        let refused = operated.request(method, path, "a guess that is wrong", "");
        refused.error(401, "unauthorised");
        assert_eq!(refused.header("www-authenticate"), Some("Bearer"));
    }
    assert_eq!(operated.get("/status").json()["state"], "ready");
    operated.get("/nothing").error(404, "no_route");
    operated.post("/status").error(405, "wrong_method");
    // On the public listener as well.
    operated.server.post("/v1/admin/drain", b"").error(401, "unauthorised");
    let log = operated.server.stop();
    assert!(!log.contains(TOKEN), "{log}");
}

#[test]
fn a_token_that_others_can_read_or_guess_is_refused_and_so_are_admin_routes_without_one() {
    let dir = tempfile::tempdir().expect("a directory");
    let serve = |args: &[&str]| {
        let mut command = snapback();
        command.args(["serve", "fixtures", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]);
        command.arg("--state-dir").arg(state_with("fixtures")).args(args);
        command
    };
    for (token, mode, wanted) in [(TOKEN, 0o644, "chmod 600"), ("short", 0o600, "16 characters")] {
        let stderr = run_err(serve(&["--admin-token-file"]).arg(token_file(&dir, token, mode)), 1);
        assert!(stderr.contains(wanted) && stderr.contains("admin.token_file"), "{stderr}");
    }
    assert!(run_err(&mut serve(&[]), 2).contains("admin.token_file"));
}

#[test]
fn prepare_and_swap_reach_one_lane_or_all() {
    let operated = Operated::start(2, &["--swap-policy", "threshold"]);
    assert_eq!(operated.post("/prepare").status, 202);
    assert_eq!(operated.post("/swap?lane=1&image=fixtures").status, 202);
    until("one lane swaps", || operated.swaps("operator") == 1.0);
    assert_eq!(operated.post("/swap").status, 202);
    until("both lanes swap", || operated.swaps("operator") == 3.0);
    let message = operated.post("/swap?lane=2").error(400, "bad_query");
    assert!(message.contains("no lane 2"), "{message}");
    operated.post("/swap?image=other").error(404, "unknown_image");
    operated.post("/swap?lane=first").error(400, "bad_query");
    operated.post("/swap?lanes=1").error(400, "bad_query");
}

#[test]
fn a_policy_changes_without_a_restart_and_as_a_whole() {
    let operated = Operated::start(2, &[]);
    let remember = || operated.server.post("/v1/methods/remember", b"kept").ok();
    for _ in 0..6 {
        assert_eq!(remember(), b"", "every call has a fresh instance");
    }
    assert_eq!(operated.change(r#"{"swap.policy": "off"}"#).status, 204);
    assert_eq!(operated.shown("swap.policy"), "off");
    until("instances are kept", || remember() == b"kept");

    // One wrong key makes the whole change fail, including the valid key beside it.
    for (change, wanted) in [
        (r#"{"swap.policy": "threshold", "memory.warn": "95%"}"#, "memory.warn"),
        (r#"{"swap.policy": "threshold", "memory.limit": "1MiB"}"#, "memory.limit"),
        (r#"{"swap.policy": "threshold", "lanes": 3}"#, "lanes"),
        (r#"{"swap.policy": "threshold", "swap.calls_max": 0}"#, "swap.calls_max"),
        (r#"{"swap.policy": "sometimes"}"#, "`auto`, `every-call`, `threshold` or `off`"),
        (r#"{"swap.policy": "#, ""),
        (r#"[1]"#, ""),
    ] {
        let message = operated.change(change).error(400, "bad_settings");
        assert!(message.contains(wanted), "{message}");
        assert_eq!(operated.shown("swap.policy"), "off");
    }
    assert_eq!(operated.change(r#"{"swap.policy": "auto", "method.spin.deadline": "50ms"}"#).status, 204);
    assert_eq!(operated.shown("swap.policy"), "every-call", "which this guest is made for");
    until("calls have fresh instances again", || remember() == b"");
    let message = operated.server.post("/v1/methods/spin", b"").error(504, "deadline");
    assert!(message.contains("50 ms"), "{message}");
}

#[test]
fn sighup_reads_the_settings_again() {
    let operated = Operated::start(2, &[]);
    assert_eq!(operated.shown("memory.limit"), 256 << 20);
    let limit_is = |bytes: u64| {
        until("the file is read", || operated.shown("memory.limit") == bytes);
    };
    settings_file(&operated.dir, "memory.limit = '64MiB'\nimage.fixtures.swap.policy = 'threshold'\n");
    operated.server.signal(rustix::process::Signal::HUP);
    limit_is(64 << 20);
    assert_eq!(operated.shown("swap.policy"), "threshold");

    // A wrong file is reported, and changes nothing.
    settings_file(&operated.dir, "memory.limit = '32MiB'\nmemory.warn = '99%'\n");
    operated.server.signal(rustix::process::Signal::HUP);
    until("the error is logged", || operated.server.log_so_far().contains("memory.warn"));
    limit_is(64 << 20);
    assert_eq!(operated.server.post("/v1/methods/echo", b"on").ok(), b"on");
}

#[test]
fn events_are_sent_as_a_stream() {
    let operated = Operated::start(2, &["--swap-policy", "threshold"]);
    let request = ureq::http::Request::get(format!("{}/events", operated.admin))
        .header("authorization", format!("Bearer {TOKEN}"))
        .body(())
        .expect("a request");
    let response = ureq::run(request).expect("an answer");
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut lines = BufReader::new(response.into_body().into_reader()).lines();
    let mut wait_for = |wanted: &str| {
        let mut events = lines.by_ref().map(|line| line.expect("text"));
        let name = events.find(|line| line == &format!("event: {wanted}"));
        assert!(name.is_some(), "the stream ended before {wanted}");
        let data = events.next().expect("an event has data");
        let data = data.strip_prefix("data: ").expect("data").to_owned();
        serde_json::from_str::<serde_json::Value>(&data).expect("JSON")
    };
    operated.post("/swap?lane=0");
    for wanted in ["standby-prepare-start", "standby-prepare-complete", "swap-start", "swap-complete"] {
        let event = wait_for(wanted);
        assert_eq!((&event["image"], &event["lane"]), (&"fixtures".into(), &0.into()), "{event}");
    }
    operated.change(r#"{"swap.policy": "off"}"#);
    assert_eq!(wait_for("policy")["lane"], serde_json::Value::Null);
    operated.server.post("/v1/methods/echo", b"secret-of-a-client").ok();
    // A server that stops ends the stream and does not wait for its reader.
    operated.server.terminate();
    let rest: Vec<String> = lines.map_while(Result::ok).collect();
    assert!(rest.iter().all(|line| !line.contains("secret")), "{rest:?}");
    assert!(operated.server.wait().0.success());
}

#[test]
fn the_drain_route_does_what_sigterm_does() {
    let operated = Operated::start(2, &["--call-deadline", "1h"]);
    thread::scope(|scope| {
        let running = scope.spawn(|| operated.server.post("/v1/methods/leak", SECONDS_OF_WORK));
        until("the call runs", || {
            operated.server.metric(r#"snapback_queue_wait_seconds_count{image="fixtures"}"#) == 1.0
        });
        assert_eq!(operated.post("/drain").status, 202);
        running.join().expect("an answer").ok();
    });
    let (status, log) = operated.server.wait();
    assert!(status.success() && log.contains("stopped"), "{log}");
}

#[test]
fn an_image_that_fails_does_not_affect_the_others() {
    let server = Server::of(
        snapback()
            .args(["serve", "bad=fixtures", "good=fixtures", "--set", "image.bad.breaker.failures=3"])
            .arg("--state-dir")
            .arg(state_with("fixtures")),
    );
    for _ in 0..3 {
        server.post("/v1/methods/trap?image=bad", b"").error(500, "guest_trapped");
    }
    let refused = server.post("/v1/methods/echo?image=bad", b"x");
    refused.error(503, "breaker_open");
    let seconds: u64 = refused.header("retry-after").expect("a header").parse().expect("seconds");
    assert!((1..=5).contains(&seconds));
    assert_eq!(server.post("/v1/methods/echo?image=good", b"x").ok(), b"x");
    assert_eq!(server.get("/readyz").status, 200);
    assert_eq!(server.get("/v1/status").json()["images"][0]["breaker"], "open");
}

#[test]
fn a_start_with_settings_that_do_not_fit_each_other_fails_and_names_the_key() {
    let serve = |args: &[&str]| {
        let mut command = snapback();
        command
            .args(["serve", "fixtures", "--listen", "127.0.0.1:0", "--state-dir"])
            .arg(state_with("fixtures"));
        run_err(command.args(args), 2)
    };
    for (args, wanted) in [
        (&["--memory-warn", "95%"][..], "memory.warn"),
        (&["--memory-limit", "1MiB"], "memory.limit"),
        (&["--lanes", "0"], "lanes"),
        (&["--memory-warn", "101%"], "memory-warn"),
        (&["--set", "image.fixtures.memory.warn=95%"], "image.fixtures"),
        (&["--set", "image.fixtures.memory.limit=1MiB"], "memory.limit"),
        (&["--set", "image.other.swap.policy=off"], "image.other"),
        (&["--set", "image.fixtures.lanes=2"], "image.fixtures.lanes"),
        (&["--set", "swap.calls_max=0"], "swap.calls_max"),
        (&["--set", "method.echo.deadline=soon"], "method.echo.deadline"),
        (&["--set", "nonsense"], "nonsense"),
    ] {
        let stderr = serve(args);
        assert!(stderr.contains(wanted), "{args:?}: {stderr}");
    }
}
