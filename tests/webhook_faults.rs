//! Receivers of webhooks that hang, redirect and lie, and servers that die or stop while they send.

mod harness;

use harness::{
    Server,
    circuits::own_state_with,
    jobs::{ended, fixtures},
    receiver::Receiver,
    until,
};
use serde_json::Value;
use std::{io::Write, path::Path};

/// Starts a server that sends webhooks to any port of this machine.
fn sending(state: &Path, args: &[&str]) -> Server {
    let on = ["--webhooks-deliver", "on", "--webhooks-private-addresses", "allow", "--webhooks-ports", "any"];
    fixtures(state, &[&on[..], args].concat())
}

/// Submits a call as a job that tells a receiver about its end, and waits for that end.
fn told(server: &Server, receiver: &Receiver) -> Value {
    let url = receiver.url("/");
    let job = server.post(&format!("/v1/methods/echo?async=true&callback_url={url}"), b"").json();
    ended(server, &job)
}

fn delivery(server: &Server, job: &Value) -> Value {
    server.get(&format!("/v1/webhooks/deliveries/{}", job["id"].as_str().expect("an id"))).json()
}

/// Waits until an attempt has failed for a reason that contains a text.
fn failed(server: &Server, job: &Value, why: &str) {
    until(why, || delivery(server, job)["reason"].as_str().is_some_and(|reason| reason.contains(why)));
}

fn delivered(server: &Server, job: &Value) {
    until("it is delivered", || delivery(server, job)["state"] == "delivered");
}

/// Sends a webhook again without waiting for its time.
fn hurry(server: &Server, job: &Value) {
    let id = job["id"].as_str().expect("an id");
    server.post(&format!("/v1/webhooks/deliveries/{id}/resend"), b"").ok();
}

#[test]
fn an_error_is_tried_again_and_a_redirect_is_not_followed() {
    let dir = own_state_with("fixtures");
    let server = sending(dir.path(), &[]);
    let [receiver, elsewhere] = [(); 2].map(|()| Receiver::start());
    let job = told(&server, &receiver);
    let mut ids = Vec::new();
    for (status, headers) in [
        ("500 Internal Server Error", String::new()),
        ("302 Found", format!("location: {}\r\n", elsewhere.url("/"))),
        ("307 Temporary Redirect", format!("location: {}\r\n", elsewhere.url("/"))),
        ("503 Service Unavailable", "retry-after: 1\r\n".into()),
    ] {
        let request = receiver.next();
        ids.push(request.header("webhook-id").to_owned());
        request.answer(status, &headers);
        failed(&server, &job, &status[..3]);
        hurry(&server, &job);
    }
    receiver.next().answer("200 OK", "");
    delivered(&server, &job);
    assert!(ids.iter().all(|id| job["id"] == *id), "{ids:?}");
    assert!(elsewhere.next_if_any().is_none());
    assert_eq!(delivery(&server, &job)["attempts"], 5);
    assert_eq!(server.metric(r#"snapback_webhook_attempts_total{outcome="retried"}"#), 4.0);
}

#[test]
fn a_failed_attempt_is_repeated_without_being_asked_for() {
    let dir = own_state_with("fixtures");
    let server = sending(dir.path(), &[]);
    let receiver = Receiver::start();
    let job = told(&server, &receiver);
    receiver.next().answer("500 Internal Server Error", "");
    receiver.next().answer("200 OK", "");
    delivered(&server, &job);
    // Nobody listens there any more.
    let gone = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound");
    let query = format!("async=true&callback_url=http://{gone}/");
    let job = ended(&server, &server.post(&format!("/v1/methods/echo?{query}"), b"").json());
    failed(&server, &job, "cannot be connected to");
}

#[test]
fn a_receiver_that_hangs_holds_up_nobody_else() {
    let dir = own_state_with("fixtures");
    let server = sending(dir.path(), &["--webhooks-timeout", "2h", "--webhooks-concurrent-max", "4"]);
    let [hanging, other] = [(); 2].map(|()| Receiver::start());
    let stuck: Vec<Value> = (0..8).map(|_| told(&server, &hanging)).collect();
    let held = hanging.next();
    let job = told(&server, &other);
    other.next().answer("200 OK", "");
    delivered(&server, &job);
    assert!(hanging.next_if_any().is_none(), "one receiver has a quarter of the attempts");
    held.answer("200 OK", "");
    for _ in 1..stuck.len() {
        hanging.next().answer("200 OK", "");
    }
    stuck.iter().for_each(|job| delivered(&server, job));
}

#[test]
fn a_receiver_that_says_nothing_is_left() {
    let dir = own_state_with("fixtures");
    let server = sending(dir.path(), &["--webhooks-timeout", "200ms"]);
    let receiver = Receiver::start();
    let job = told(&server, &receiver);
    let mut held = receiver.next();
    // On a machine under load, the server has left by now.
    let _ = held.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200");
    failed(&server, &job, "webhooks.timeout");
}

#[test]
fn a_receiver_that_lies_costs_nothing_but_its_webhook() {
    let dir = own_state_with("fixtures");
    let server = sending(dir.path(), &[]);
    for taken in [
        "HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\nshort",
        "HTTP/1.1 200 OK\r\ncontent-length: 9223372036854775807\r\n\r\n",
        "HTTP/1.1 202 Accepted\r\ntransfer-encoding: chunked\r\n\r\nffffffff\r\n",
        "HTTP/1.0 200 OK\r\n\r\n",
    ] {
        let receiver = Receiver::start();
        let job = told(&server, &receiver);
        let mut request = receiver.next();
        request.stream.write_all(taken.as_bytes()).expect("the server reads");
        // The head is enough: the connection is still open.
        delivered(&server, &job);
    }
    for refused in [
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        "SSH-2.0-OpenSSH\r\n",
        "\0\x01\x02",
    ] {
        let receiver = Receiver::start();
        let job = told(&server, &receiver);
        let mut request = receiver.next();
        request.stream.write_all(refused.as_bytes()).expect("the server reads");
        drop(request);
        failed(&server, &job, "not HTTP");
    }
    let receiver = Receiver::start();
    let job = told(&server, &receiver);
    receiver.next().answer_without_end("HTTP/1.1 200 OK\r\n\r\n", "a body without an end");
    delivered(&server, &job);
    let job = told(&server, &receiver);
    receiver.next().answer_without_end("HTTP/1.1 200 OK\r\n", "x: a head without an end\r\n");
    failed(&server, &job, "its head is too long");
}

#[test]
fn no_webhook_is_lost_with_its_server() {
    let dir = own_state_with("fixtures");
    let hours = ["--webhooks-timeout", "2h"];
    let server = sending(dir.path(), &hours);
    let receiver = Receiver::start();
    let job = told(&server, &receiver);
    let unanswered = receiver.next();
    server.signal(rustix::process::Signal::KILL);
    server.wait();
    drop(unanswered);

    // A server that stops does not wait for the receiver either.
    let server = sending(dir.path(), &hours);
    let second = receiver.next();
    assert_eq!(second.header("webhook-id"), job["id"]);
    server.stop();
    drop(second);

    // Without webhooks, they wait.
    let server = fixtures(dir.path(), &[]);
    assert_eq!(delivery(&server, &job)["state"], "waiting");
    server.stop();

    let server = sending(dir.path(), &hours);
    let third = receiver.next();
    assert_eq!(third.header("webhook-id"), job["id"]);
    third.answer("200 OK", "");
    delivered(&server, &job);
    assert_eq!(delivery(&server, &job)["attempts"], 3);
}
