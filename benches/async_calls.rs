//! What durable jobs cost calls: a synchronous call of a server that accepts jobs, relative to one that does not, and a job
//! from its submission to its result, relative to a synchronous call. Both are servers of their own, called in turns.

mod support;

use std::time::Instant;
use support::{Image, job_key, median, quantile, record, served::Served};

const ROUNDS: usize = 60;
/// Synchronous calls of each server in one round.
const CALLS: usize = 1000;
const JOBS: usize = 200;

/// Runs calls, and returns what one takes: time, and processor time of the server, in seconds.
fn calls(server: &mut Served) -> (f64, f64) {
    let (begun, before) = (Instant::now(), server.used().cpu);
    for _ in 0..CALLS {
        assert_eq!(server.post("/v1/methods/echo", b"a body"), b"a body");
    }
    let (time, cpu) = (begun.elapsed().as_secs_f64(), (server.used().cpu - before).as_secs_f64());
    (time / CALLS as f64, cpu / CALLS as f64)
}

/// Submits a job, waits for its end, and reads its result. Returns the time of all three.
fn job(server: &mut Served, number: usize) -> f64 {
    let body = number.to_string();
    let begun = Instant::now();
    let accepted = server.post("/v1/methods/echo?async=true", body.as_bytes());
    let accepted: serde_json::Value = serde_json::from_slice(&accepted).expect("JSON");
    let place = format!("/v1/jobs/{}", accepted["id"].as_str().expect("an id"));
    let ended = server.get(&format!("{place}?wait=30s"));
    let ended: serde_json::Value = serde_json::from_slice(&ended).expect("JSON");
    assert_eq!(ended["state"], "succeeded");
    assert_eq!(server.get(&format!("{place}/result")), body.as_bytes());
    begun.elapsed().as_secs_f64()
}

fn main() {
    // `cargo bench` passes flags of criterion, which this program ignores.
    Image::Fixtures.bake_apart();
    let mut with = Served::start("fixtures", &["--set", "jobs.accept=on", "--jobs-key-file", &job_key()]);
    let mut without = Served::start("fixtures", &["--set", "jobs.accept=off"]);
    let (mut times, mut cpu) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let (on, off) = if round % 2 == 0 {
            let on = calls(&mut with);
            (on, calls(&mut without))
        } else {
            let off = calls(&mut without);
            (calls(&mut with), off)
        };
        times.push(on.0 / off.0);
        cpu.push(on.1 / off.1);
    }
    record("sync_call_with_jobs_over_without", median(times));
    record("sync_call_cpu_with_jobs_over_without", median(cpu));

    let (mut jobs, mut sync) = (Vec::new(), Vec::new());
    for number in 0..JOBS {
        jobs.push(job(&mut with, number));
        let begun = Instant::now();
        assert_eq!(with.post("/v1/methods/echo", b"a body"), b"a body");
        sync.push(begun.elapsed().as_secs_f64());
    }
    record("job_end_to_end_p99_seconds", quantile(&mut jobs, 0.99));
    record("job_adds_to_sync_call_seconds", median(jobs) - median(sync));
}
