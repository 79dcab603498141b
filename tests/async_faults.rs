//! Durable jobs whose server is killed, or stops.

mod harness;

use harness::{
    SECONDS_OF_WORK,
    circuits::own_state_with,
    jobs::{ended, fixtures, path, result, state, submit},
    until,
};
use serde_json::{Value, json};

#[test]
fn no_accepted_job_is_lost_with_its_server() {
    let dir = own_state_with("fixtures");
    let server = fixtures(dir.path(), &["--lanes", "1"]);
    let running = submit(&server, "leak", SECONDS_OF_WORK);
    until("the job runs", || state(&server, &running) == "claimed");
    let waiting: Vec<(Value, String)> =
        (0..20).map(|n| n.to_string()).map(|n| (submit(&server, "echo", n.as_bytes()), n)).collect();
    server.signal(rustix::process::Signal::KILL);
    server.wait();

    let server = fixtures(dir.path(), &["--lanes", "2"]);
    let again = ended(&server, &running);
    assert_eq!((&again["state"], &again["attempts"]), (&json!("succeeded"), &json!(2)), "{again}");
    for (job, n) in &waiting {
        let job = ended(&server, job);
        assert_eq!((&job["state"], &job["attempts"]), (&json!("succeeded"), &json!(1)), "{job}");
        assert_eq!(result(&server, &job).ok(), n.as_bytes());
    }
}

#[test]
fn a_job_that_kills_its_server_again_and_again_is_set_aside() {
    let dir = own_state_with("fixtures");
    let mut job = None;
    for _ in 0..2 {
        let server = fixtures(dir.path(), &["--lanes", "1"]);
        let job = job.get_or_insert_with(|| submit(&server, "spin", b""));
        until("the job runs", || state(&server, job) == "claimed");
        server.signal(rustix::process::Signal::KILL);
        server.wait();
    }
    let server = fixtures(dir.path(), &["--lanes", "1"]);
    let job = ended(&server, &job.expect("submitted"));
    assert_eq!((&job["state"], &job["attempts"]), (&json!("quarantined"), &json!(2)), "{job}");
    let after = ended(&server, &submit(&server, "echo", b"next"));
    assert_eq!(after["state"], "succeeded", "others are served");
}

#[test]
fn jobs_that_may_have_killed_a_server_run_one_at_a_time() {
    let dir = own_state_with("fixtures");
    let server = fixtures(dir.path(), &["--lanes", "3"]);
    let suspects = [submit(&server, "spin", b"a"), submit(&server, "spin", b"b")];
    until("both run", || suspects.iter().all(|job| state(&server, job) == "claimed"));
    server.signal(rustix::process::Signal::KILL);
    server.wait();
    let server = fixtures(dir.path(), &["--lanes", "3"]);
    until("one runs", || state(&server, &suspects[0]) == "claimed");
    let other = submit(&server, "echo", b"later");
    assert_eq!([&suspects[1], &other].map(|job| state(&server, job)), ["queued", "queued"]);
    server.delete(&path(&suspects[0]));
    until("the next one runs", || state(&server, &suspects[1]) == "claimed");
    assert_eq!(state(&server, &other), "queued");
    server.delete(&path(&suspects[1]));
    assert_eq!(ended(&server, &other)["state"], "succeeded");
}

#[test]
fn a_server_that_stops_gives_its_jobs_back() {
    let dir = own_state_with("fixtures");
    let server = fixtures(dir.path(), &["--lanes", "1"]);
    let running = submit(&server, "spin", b"");
    until("the job runs", || state(&server, &running) == "claimed");
    // It would run for two hours: the stop does not wait for it.
    server.stop();
    let server = fixtures(dir.path(), &["--lanes", "1"]);
    until("the job runs again", || state(&server, &running) == "claimed");
    assert_eq!(server.get(&path(&running)).json()["attempts"], 1, "the first attempt does not count");
}
