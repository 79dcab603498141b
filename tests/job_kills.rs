//! Servers that are killed at fifty random moments under load lose no job that they accepted, and no job has two results.

mod harness;

use harness::{
    circuits::own_state_with,
    jobs::{ended, fixtures, result},
};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    sync::{Mutex, mpsc},
    thread,
};

const KILLS: u64 = 50;
const CLIENTS: u64 = 3;
/// Most submissions that are answered before a server is killed.
const ANSWERS_MAX: u64 = 16;

#[test]
fn fifty_kills_lose_no_job_that_was_accepted() {
    let dir = own_state_with("fixtures");
    // Every job may be under way at any kill: none is to blame.
    let args = ["--lanes", "2", "--jobs-deaths-max", "1000"];
    let accepted = Mutex::new(BTreeMap::<String, String>::new());
    let mut random = 0x5eed_u64;
    for kill in 0..KILLS {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let answers = (random >> 33) % ANSWERS_MAX;
        let server = fixtures(dir.path(), &args);
        let url = server.url("/v1/methods/echo?async=true");
        let (answered, answers_seen) = mpsc::channel();
        thread::scope(|scope| {
            for client in 0..CLIENTS {
                let (url, accepted, answered) = (&url, &accepted, answered.clone());
                scope.spawn(move || {
                    for number in 0.. {
                        let body = format!("{kill} {client} {number}");
                        // The server is gone, or it is going: what was not answered was not promised.
                        let Ok(mut answer) = ureq::post(url).send(body.as_bytes()) else { return };
                        let Ok(job) = answer.body_mut().read_to_vec() else { return };
                        let job: Value = serde_json::from_slice(&job).expect("a whole answer is JSON");
                        let id = job["id"].as_str().expect("it was accepted").to_owned();
                        accepted.lock().expect("whole").insert(id, body);
                        let _ = answered.send(());
                    }
                });
            }
            answers_seen.iter().take(usize::try_from(answers).expect("a few")).for_each(drop);
            server.signal(rustix::process::Signal::KILL);
        });
        drop(server);
    }

    let server = fixtures(dir.path(), &args);
    let accepted = accepted.into_inner().expect("whole");
    assert!(accepted.len() as u64 >= KILLS, "only {} jobs were accepted", accepted.len());
    for (id, body) in &accepted {
        let job = json!({ "id": id });
        assert_eq!(ended(&server, &job)["state"], "succeeded", "{id}");
        assert_eq!(result(&server, &job).ok(), body.as_bytes(), "{id}");
    }
}
