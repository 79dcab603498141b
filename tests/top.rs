//! `snapback top`: a server in a terminal, and what it prints without one.

mod harness;

use harness::{
    Server,
    circuits::own_state_with,
    jobs::{ended, fixtures, submit},
    keyed::{Keyed, ask},
    pty::Pty,
    run_err, run_ok, snapback, until,
};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    process::Command,
};

/// `snapback top` of a server.
fn top(url: &str, args: &[&str]) -> Command {
    let mut command = snapback();
    command.args(["top", "--server", url]).args(args).env_remove("COLUMNS").env_remove("NO_COLOR");
    command
}

fn is_plain(text: &str) -> bool {
    text.chars().all(|c| c == '\n' || !c.is_control())
}

#[test]
fn one_frame_says_what_is_served_and_what_it_does() {
    let dir = own_state_with("fixtures");
    let server = fixtures(dir.path(), &["--lanes", "2", "--memory-limit", "256MiB"]);
    for _ in 0..5 {
        server.post("/v1/methods/echo", b"x").ok();
    }
    server.post("/v1/methods/trap", b"");
    ended(&server, &submit(&server, "echo", b"a body"));
    ended(&server, &submit(&server, "trap", b""));

    let url = server.url("");
    let text = run_ok(&mut top(&url, &["--once"]));
    assert!(is_plain(&text), "{text:?}");
    for part in [
        concat!("snapback ", env!("CARGO_PKG_VERSION")),
        &server.address.to_string(),
        "● ready",
        "lane 0",
        "lane 1",
        "of 268 MB",
        "generation ",
        "swap every-call",
        "Calls a second",
        "1 succeeded · 1 failed",
        "guest_trapped",
        "Circuits  there are none",
        "none since the server started",
        "swap.per_minute_max",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    for width in [100, 40] {
        let text = run_ok(top(&url, &["--once"]).env("COLUMNS", width.to_string()));
        assert!(text.lines().all(|line| line.chars().count() <= width), "{text}");
    }
    let jobs = run_ok(&mut top(&url, &["--once", "--view", "jobs"]));
    assert!(jobs.contains("succeeded") && !jobs.contains("lane 0"), "{jobs}");

    let json = run_ok(&mut top(&url, &["--json"]));
    let object: Value = serde_json::from_str(&json).expect("one object");
    assert_eq!(object["status"]["lanes"], json!({ "configured": 2, "at_work": 2 }));
    assert_eq!(object["status"]["images"][0]["policy"]["memory.limit"], 256 << 20, "a number stays one");
    assert_eq!(
        (&object["jobs"]["counts"]["succeeded"], &object["jobs"]["counts"]["failed"]),
        (&json!(1), &json!(1))
    );
    let calls = object["history"]["calls"].as_array().expect("a column").iter().filter_map(Value::as_u64);
    assert!(calls.sum::<u64>() >= 8, "{json}");
    assert_eq!((&object["refused"], &object["whoami"]["keys"]), (&json!({}), &json!("off")));
    assert!(object["alerts"].is_array() && object["setting_changes"] == json!([]), "{json}");
}

#[test]
fn errors_say_what_to_do_and_have_the_exit_codes_of_other_commands() {
    let dead = "http://127.0.0.1:1";
    for args in [["--once"], ["--json"]] {
        assert!(run_err(&mut top(dead, &args), 1).contains("cannot reach http://127.0.0.1:1"));
    }
    assert!(run_err(&mut top("localhost:8080", &["--once"]), 2).contains("begin it with http://"));
    let message = run_err(&mut top(dead, &[]), 2);
    assert!(message.contains("not a terminal") && message.contains("--once"), "{message}");

    let keyed = Keyed::new(own_state_with("fixtures"));
    let key = keyed.key("acme", "prover");
    let server = keyed.serve("fixtures", &[]);
    let (url, dir) = (server.url(""), tempfile::tempdir().expect("a directory"));
    assert!(run_err(&mut top(&url, &["--once"]), 4).contains("key"));
    let with = |text: &str| {
        let file = dir.path().join("key");
        fs::write(&file, text).expect("written");
        let mut command = top(&url, &["--json", "--key-file"]);
        command.arg(file);
        command
    };
    let message = run_err(&mut with("snapback_wrong"), 4);
    assert!(!message.contains("snapback_wrong"), "{message}");
    let object: Value = serde_json::from_str(&run_ok(&mut with(&key))).expect("an object");
    assert_eq!((&object["whoami"]["tenant"], &object["whoami"]["role"]), (&json!("acme"), &json!("prover")));
}

#[test]
fn a_terminal_shows_views_follows_its_size_and_is_given_back() {
    let dir = own_state_with("fixtures");
    let server = fixtures(dir.path(), &["--lanes", "1"]);
    let url = server.url("");
    let mut pty = Pty::start(&["top", "--server", &url], (80, 24));
    pty.shows(&["snapback", "● ready", "fixtures", "lane 0", "Alerts"]);
    pty.press("\t");
    pty.shows(&["Jobs  there are none"]);
    pty.press("?");
    pty.shows(&["Keys", "Signs"]);
    pty.press("x1");
    pty.shows(&["lane 0"]);
    pty.press("p");
    pty.shows(&["paused", "p go on"]);

    let before = pty.written().len();
    pty.resize(40, 12);
    let drawn = || pty.written()[before..].rsplit_once("\u{1b}[2J").map(|(_, drawn)| drawn.to_owned());
    until("it is drawn anew", || drawn().is_some_and(|drawn| drawn.contains("snapback")));
    pty.shows(&["Settings", "snapback"]);
    let drawn = drawn().expect("it is drawn");
    let places = drawn.split("\u{1b}[").filter_map(|part| part.split_once('H')).filter_map(|(place, _)| {
        let (row, column) = place.split_once(';')?;
        Some((row.parse::<u16>().ok()?, column.parse::<u16>().ok()?))
    });
    let places: Vec<_> = places.collect();
    assert!(
        !places.is_empty() && places.iter().all(|(row, column)| *row <= 12 && *column <= 40),
        "{places:?}"
    );
    pty.press("q");
    assert_eq!(pty.ends(), 0);

    for (signal, code) in [(Signal::TERM, 143), (Signal::INT, 130), (Signal::HUP, 129)] {
        let pty = Pty::start(&["top", "--server", &url], (80, 24));
        pty.shows(&["● ready"]);
        pty.signal(signal);
        assert_eq!(pty.ends(), code);
    }
    let mut pty = Pty::start(&["top", "--server", &url, "--view", "settings"], (80, 24));
    pty.shows(&["● ready", "Changes of settings"]);
    pty.press("\u{3}");
    assert_eq!(pty.ends(), 0, "Ctrl-C");
}

#[test]
fn a_server_that_has_gone_is_said_to_be_until_it_is_back() {
    let dir = own_state_with("fixtures");
    let server = fixtures(dir.path(), &["--lanes", "1"]);
    let address = server.address.to_string();
    let mut pty = Pty::start(&["top", "--server", &server.url("")], (100, 30));
    pty.shows(&["● ready"]);
    server.stop();
    pty.shows(&["✗ no connection", "Trying again", "lane 0"]);
    let server = fixtures(dir.path(), &["--lanes", "1", "--listen", &address]);
    pty.shows(&["● ready"]);
    server.stop();
    pty.press("q");
    assert_eq!(pty.ends(), 0);
}

#[test]
fn a_refused_key_is_said_to_be_and_one_that_replaces_it_is_used() {
    let keyed = Keyed::new(own_state_with("fixtures"));
    let key = keyed.key("acme", "operator");
    let server = keyed.serve("fixtures", &["--lanes", "1", "--swap-policy", "threshold"]);
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("key");
    fs::write(&file, "snapback_wrong").expect("written");
    let path = file.to_str().expect("text");
    let mut pty = Pty::start(&["top", "--server", &server.url(""), "--key-file", path], (100, 30));
    pty.shows(&["✗ key refused", "Trying again"]);
    fs::write(&file, &key).expect("written");
    pty.shows(&["● ready", "s swap"]);

    let swaps = || {
        let status = ask(&server, &key, "GET", "/v1/status", b"").json();
        status["swaps"]["total"].as_u64().expect("a number")
    };
    let before = swaps();
    pty.press("s");
    pty.shows(&["Swap lane 0 of fixtures?"]);
    pty.press("n");
    pty.shows(&["q quit"]);
    assert_eq!(swaps(), before, "no is no");
    pty.press("s");
    pty.shows(&["Swap lane 0 of fixtures?"]);
    pty.press("y");
    pty.shows(&["Lane 0 of fixtures swaps between two calls."]);
    until("the lane has swapped", || swaps() == before + 1);
    pty.press("q");
    assert_eq!(pty.ends(), 0);
}

/// What a hostile server calls everything: it clears the screen, sets the title, moves the cursor, and turns the writing.
const HOSTILE: &str = "evil\\u001b[2J\\u001b]0;owned\\u0007\\u009b31m\\r\\n\\u202e\\u200b";

/// Answers each request on its own connection.
fn answer(mut stream: &TcpStream) {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    let mut path = String::new();
    while reader.read_line(&mut line).is_ok_and(|read| read > 2) {
        if path.is_empty() {
            line.split(' ').nth(1).unwrap_or_default().clone_into(&mut path);
        }
        line.clear();
    }
    let lane = format!(
        r#"{{"lane": 0, "calls": 1, "used_bytes": 5, "pressure": "{HOSTILE}", "standby": "{HOSTILE}"}}"#
    );
    let status = format!(
        r#"{{"version": "{HOSTILE}", "state": "{HOSTILE}", "images": [{{"name": "{HOSTILE}", "guest": "{HOSTILE}2",
        "digest": "{HOSTILE}", "breaker": "{HOSTILE}", "policy": {{"{HOSTILE}": "{HOSTILE}", "memory.limit": 10}}}}],
        "instances": {{"{HOSTILE}": [{lane}]}}, "start": {{"native_code": {{"{HOSTILE}": 1}}}}}}"#
    )
    .replace('\n', "");
    let event = format!(
        r#"{{"event": "swap-error", "image": "{HOSTILE}", "reason": "{HOSTILE}", "error": "{HOSTILE}"}}"#
    );
    let jobs = format!(
        r#"{{"jobs": [{{"id": "{HOSTILE}", "state": "{HOSTILE}", "image": "{HOSTILE}", "method": "{HOSTILE}",
        "submitted": "{HOSTILE}", "error": {{"code": "{HOSTILE}", "message": "{HOSTILE}"}}}}], "next": "{HOSTILE}"}}"#
    );
    let (kind, body) = match path.split('?').next().unwrap_or_default() {
        "/v1/events" => (
            "text/event-stream",
            format!("event: status\ndata: {status}\n\nevent: swap-error\ndata: {event}\n\n"),
        ),
        "/v1/status" => ("application/json", status),
        "/v1/jobs" => ("application/json", jobs),
        "/v1/circuits" => (
            "application/json",
            format!(r#"{{"circuits": [{{"name": "{HOSTILE}", "image": "{HOSTILE}"}}]}}"#),
        ),
        "/v1/changes" => (
            "application/json",
            format!(
                r#"{{"changes": [{{"change": {{"{HOSTILE}": {{"name": "{HOSTILE}"}}}}, "state": "{HOSTILE}", "reason": "{HOSTILE}"}}]}}"#
            ),
        ),
        "/v1/generations" => (
            "application/json",
            format!(
                r#"{{"image": "{HOSTILE}", "generations": [{{"image": "{HOSTILE}", "circuits": {{"{HOSTILE}": 1}}}}]}}"#
            ),
        ),
        "/v1/history/settings" => (
            "application/json",
            format!(
                r#"{{"changes": [{{"image": "{HOSTILE}", "by": "{HOSTILE}", "changed": {{"{HOSTILE}": ["{HOSTILE}", ["{HOSTILE}"]]}}}}]}}"#
            ),
        ),
        "/v1/whoami" => ("application/json", format!(r#"{{"keys": "{HOSTILE}", "role": "{HOSTILE}"}}"#)),
        _ => ("application/json", "{}".to_owned()),
    };
    let length = body.len();
    // Fails if the client has read enough.
    let _ = write!(
        stream,
        "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    );
}

#[test]
fn nothing_that_a_hostile_server_sends_reaches_the_terminal_as_more_than_text() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    std::thread::spawn(move || listener.incoming().flatten().for_each(|stream| answer(&stream)));

    let is_hidden = |c: char| ['\u{202e}', '\u{200b}'].contains(&c);
    for args in [["--once"], ["--json"]] {
        let text = run_ok(&mut top(&url, &args));
        assert!(text.matches("evil").count() > 10, "{text}");
        assert!(is_plain(&text) && !text.contains(is_hidden), "{text:?}");
    }
    let mut pty = Pty::start(&["top", "--server", &url], (100, 40));
    pty.shows(&["evil", "Alerts"]);
    for (key, text) in [("2", "There are older ones"), ("3", "is served"), ("4", "by evil"), ("1", "lane 0")]
    {
        pty.press(key);
        pty.shows(&["evil", text]);
    }
    let shown = pty.written();
    for sequence in ["\u{1b}]", "\u{9b}", "\u{7}", "evil\u{1b}[2J", "\u{202e}", "\u{200b}"] {
        assert!(!shown.contains(sequence), "{sequence:?} in {shown:?}");
    }
    pty.press("q");
    assert_eq!(pty.ends(), 0);
}

#[test]
fn help_has_examples_and_names_the_keys() {
    let help = run_ok(snapback().args(["top", "--help"]));
    for part in ["--once", "--json", "--view", "--key-file", "--ca-file", "Examples:", "Keys:"] {
        assert!(help.contains(part), "{part}: {help}");
    }
    let server = Server::start("fixtures", &[]);
    let file = tempfile::NamedTempFile::new().expect("a file");
    let mut command = top(&server.url(""), &["--once"]);
    assert!(command.stdout(file.reopen().expect("open")).status().expect("it runs").success());
    assert!(fs::read_to_string(file.path()).expect("text").contains("● ready"));
}
