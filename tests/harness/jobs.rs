//! Durable jobs of a server, for tests.

use super::{Answer, Server, snapback};
use serde_json::Value;
use std::path::Path;

/// Starts a server of the guest `fixtures` whose state directory no other server uses.
pub(crate) fn fixtures(state: &Path, args: &[&str]) -> Server {
    Server::of(snapback().args(["serve", "fixtures"]).arg("--state-dir").arg(state).args(args))
}

/// Submits a call of a method as a job, and returns it.
pub(crate) fn submit(server: &Server, method: &str, body: &[u8]) -> Value {
    let answer = server.post(&format!("/v1/methods/{method}?async=true"), body);
    assert_eq!(answer.status, 202, "{}", answer.text());
    answer.json()
}

pub(crate) fn path(job: &Value) -> String {
    format!("/v1/jobs/{}", job["id"].as_str().expect("an id"))
}

pub(crate) fn state(server: &Server, job: &Value) -> String {
    server.get(&path(job)).json()["state"].as_str().expect("a state").to_owned()
}

/// Waits for the end of a job, and returns it.
pub(crate) fn ended(server: &Server, job: &Value) -> Value {
    loop {
        let job = server.get(&format!("{}?wait=5m", path(job))).json();
        if !["queued", "claimed"].contains(&job["state"].as_str().expect("a state")) {
            return job;
        }
    }
}

pub(crate) fn result(server: &Server, job: &Value) -> Answer {
    server.get(&format!("{}/result", path(job)))
}
