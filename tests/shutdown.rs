//! SIGTERM: every accepted request is answered, and the wait for the answers is bounded.

mod harness;

use harness::{Answer, SECONDS_OF_WORK, Server, until};
use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
};

/// Sends one echo call on a connection of its own, and returns the answer.
fn echo(stream: &mut TcpStream, body: &str) -> std::io::Result<String> {
    let request = format!(
        "POST /v1/methods/echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

#[test]
fn under_load_no_accepted_request_is_lost() {
    let server = Server::start("fixtures", &["--lanes", "2", "--queue-depth", "1024"]);
    let (answered, stopping) = (AtomicUsize::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        for client in 0..8 {
            let (server, answered, stopping) = (&server, &answered, &stopping);
            scope.spawn(move || {
                for round in 0.. {
                    // A refused connection means that the listener is closed. Every accepted one must be answered.
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
        until("the server is under load", || answered.load(Ordering::SeqCst) >= 500);
        stopping.store(true, Ordering::SeqCst);
        server.terminate();
    });
    let (status, log) = server.wait();
    assert!(status.success(), "{status}: {log}");
    assert!(log.contains("draining") && log.contains("stopped"), "{log}");
}

#[test]
fn calls_under_way_and_in_the_queue_are_answered_after_the_signal() {
    let server = Server::start("fixtures", &["--lanes", "1", "--call-deadline", "1h"]);
    thread::scope(|scope| {
        let post = |method: &'static str, body: &'static [u8]| {
            let server = &server;
            scope.spawn(move || -> Answer { server.post(&format!("/v1/methods/{method}"), body) })
        };
        let running = post("leak", SECONDS_OF_WORK);
        until("the call runs", || {
            server.metric(r#"snapback_queue_wait_seconds_count{image="fixtures"}"#) == 1.0
        });
        let echoes = [post("echo", b"body"), post("echo", b"body")];
        until("the calls wait", || server.metric("snapback_queue_length") == 2.0);
        server.terminate();
        running.join().expect("an answer").ok();
        for echo in echoes {
            assert_eq!(echo.join().expect("an answer").ok(), b"body");
        }
    });
    let (status, log) = server.wait();
    assert!(status.success(), "{status}: {log}");
}

#[test]
fn a_second_signal_ends_the_server_at_once() {
    let server = Server::start("fixtures", &["--lanes", "1", "--call-deadline", "1h"]);
    let mut stream = server.connect();
    let request = "POST /v1/methods/spin HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n";
    stream.write_all(request.as_bytes()).expect("the server reads");
    until("the call runs", || server.metric(r#"snapback_queue_wait_seconds_count{image="fixtures"}"#) == 1.0);
    // The client disconnects. The call goes on and keeps its lane busy.
    drop(stream);
    server.terminate();
    until("the server drains", || server.log_so_far().contains("draining"));
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
    let request = "POST /v1/methods/spin HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n";
    stream.write_all(request.as_bytes()).expect("the server reads");
    until("the call runs", || server.metric(r#"snapback_queue_wait_seconds_count{image="fixtures"}"#) == 1.0);
    server.terminate();
    let (status, log) = server.wait();
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains("drain.deadline"), "{log}");
}
