//! SIGTERM: what was accepted is answered, and the wait is bounded.

mod harness;

use harness::{Answer, Server, until};
use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
};

/// Sends one echo on a connection of its own.
fn echo(stream: &mut TcpStream, body: &str) -> std::io::Result<String> {
    let request = format!(
        "POST /v1/methods/echo HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

#[test]
fn under_load_nothing_that_was_accepted_is_lost() {
    let server = Server::start("fixtures", &["--lanes", "2", "--queue-depth", "1024"]);
    let (answered, stopping) = (AtomicUsize::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        for client in 0..8 {
            let (server, answered, stopping) = (&server, &answered, &stopping);
            scope.spawn(move || {
                for round in 0.. {
                    // Not accepted: the listener is closed. Anything else must be answered.
                    let Ok(mut stream) = TcpStream::connect(server.address) else {
                        assert!(stopping.load(Ordering::SeqCst), "refused before the signal");
                        return;
                    };
                    let body = format!("{client}-{round}");
                    match echo(&mut stream, &body) {
                        Ok(answer) if answer.ends_with(&body) => answered.fetch_add(1, Ordering::SeqCst),
                        lost => panic!("{body} was lost: {lost:?}"),
                    };
                }
            });
        }
        until("there is load", || answered.load(Ordering::SeqCst) >= 500);
        stopping.store(true, Ordering::SeqCst);
        server.terminate();
    });
    let (status, log) = server.wait();
    assert!(status.success(), "{status}: {log}");
    assert!(log.contains("draining") && log.contains("stopped"), "{log}");
}

#[test]
fn calls_under_way_and_in_the_queue_are_answered_after_the_signal() {
    let server = Server::start("fixtures", &["--lanes", "1", "--call-deadline", "1s"]);
    thread::scope(|scope| {
        let post = |method: &'static str| {
            let server = &server;
            scope.spawn(move || -> Answer { server.post(&format!("/v1/methods/{method}"), b"body") })
        };
        let spin = post("spin");
        until("it runs", || server.metric(r#"snapback_queue_wait_seconds_count{image="fixtures"}"#) == 1.0);
        let echoes = [post("echo"), post("echo")];
        until("they wait", || server.metric("snapback_queue_length") == 2.0);
        server.terminate();
        spin.join().expect("an answer").error(504, "deadline");
        for echo in echoes {
            assert_eq!(echo.join().expect("an answer").ok(), b"body");
        }
    });
    let (status, log) = server.wait();
    assert!(status.success(), "{status}: {log}");
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let server = Server::start("fixtures", &["--lanes", "1", "--call-deadline", "1h"]);
    let mut stream = server.connect();
    let request = "POST /v1/methods/spin HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n";
    stream.write_all(request.as_bytes()).expect("it reads");
    until("it runs", || server.metric(r#"snapback_queue_wait_seconds_count{image="fixtures"}"#) == 1.0);
    // Its client leaves; the call goes on, and the lane with it.
    drop(stream);
    server.terminate();
    until("it drains", || server.log_so_far().contains("draining"));
    server.terminate();
    let (status, log) = server.wait();
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains("second signal"), "{log}");
}

#[test]
fn a_drain_that_takes_too_long_ends_with_a_failure() {
    let server =
        Server::start("fixtures", &["--lanes", "1", "--call-deadline", "1h", "--drain-deadline", "100ms"]);
    let mut stream = server.connect();
    let request = "POST /v1/methods/spin HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n";
    stream.write_all(request.as_bytes()).expect("it reads");
    until("it runs", || server.metric(r#"snapback_queue_wait_seconds_count{image="fixtures"}"#) == 1.0);
    server.terminate();
    let (status, log) = server.wait();
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains("drain.deadline"), "{log}");
}
