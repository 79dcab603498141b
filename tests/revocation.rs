//! What lasts ends with its key: streams of events and requests that wait.

mod harness;

use harness::{
    Server,
    circuits::own_state_with,
    keyed::{Keyed, ask},
    until,
};
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
};

/// A stream of events that has begun.
struct Events(BufReader<TcpStream>);

impl Events {
    fn open(server: &Server, key: &str, path: &str) -> Self {
        let mut stream = server.connect();
        let head = format!(
            "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nauthorization: Bearer {key}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).expect("the server reads");
        let mut events = Self(BufReader::new(stream));
        let mut status = String::new();
        events.0.read_line(&mut status).expect("an answer");
        assert!(status.starts_with("HTTP/1.1 200"), "{path}: {status}");
        events
    }

    /// Reads on until there is an event of this name.
    fn next(&mut self, name: &str) {
        let wanted = format!("event: {name}");
        let is_it = |line: std::io::Result<String>| line.expect("the stream goes on").starts_with(&wanted);
        assert!(self.0.by_ref().lines().any(is_it), "the stream ended before {wanted}");
    }

    /// Reads to the end of the stream, and returns that.
    fn rest(mut self) -> String {
        let mut rest = Vec::new();
        self.0.read_to_end(&mut rest).expect("the server closes it in order");
        String::from_utf8_lossy(&rest).into_owned()
    }
}

#[test]
fn streams_and_waits_end_when_their_key_is_revoked() {
    let keyed = Keyed::new(own_state_with("fixtures"));
    let [acme, beta] = ["acme", "beta"].map(|tenant| keyed.key(tenant, "prover"));
    let house = keyed.key("house", "operator");
    let server = keyed.serve("fixtures", &["--lanes", "2"]);
    let id_of = |key: &str| key.split('_').nth(1).expect("snapback_ID_SECRET").to_owned();

    let job = ask(&server, &acme, "POST", "/v1/methods/spin?async=true", b"").json();
    let job = format!("/v1/jobs/{}", job["id"].as_str().expect("an id"));
    until("the job runs", || ask(&server, &acme, "GET", &job, b"").json()["state"] == "claimed");
    let mut others = Events::open(&server, &beta, "/v1/events");
    others.next("status");
    let mut page = Events::open(&server, &acme, "/v1/events");
    page.next("status");
    let mut of_job = Events::open(&server, &acme, &format!("{job}/events"));
    of_job.next("job");
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| ask(&server, &acme, "GET", &format!("{job}?wait=5m"), b""));
        keyed.run(&["keys", "revoke", &id_of(&acme)]);
        page.rest();
        assert!(!of_job.rest().contains("event:"), "it says nothing more");
        // The request may have come before or after the key was known to be revoked.
        waits.join().expect("no panic").error(401, "unauthorised");
    });
    others.next("status");

    // A job that ends, and an instance that is replaced, are told to nobody whose key is revoked.
    let operator = Events::open(&server, &house, "/v1/admin/events");
    keyed.run(&["keys", "revoke", &id_of(&house)]);
    operator.rest();
    others.next("status");
}
