//! Processes that are killed, and disks that are full. The victim is this test program itself, started again.

use crate::fixture::{
    Fixture as _, Sqlite, bytes, claim, claim_one, failure, is_pending, job, of_tenant, open_at, record,
    state, submit, success,
};
use rustix::process::{Resource, Rlimit, Signal, getpid, getrlimit, kill_process, setrlimit};
use snapback_host::jobs::{JobEngine, JobError, JobId, JobLimits, State, StorageFault};
use std::{
    env,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

const DIRECTORY: &str = "SNAPBACK_JOBS_DIRECTORY";
const STEP: &str = "SNAPBACK_JOBS_STEP";

/// Starts this program again, to run a test that is ignored otherwise. A file that grows too large is an error there, and
/// no signal.
fn child(test: &str, directory: &Path, step: &str) -> Child {
    let program = env::current_exe().expect("the program is known");
    Command::new("sh")
        .args(["-c", "trap '' XFSZ; exec \"$0\" --exact \"$1\" --ignored --nocapture"])
        .arg(program)
        .arg(test)
        .env(DIRECTORY, directory)
        .env(STEP, step)
        .stdout(Stdio::piped())
        .spawn()
        .expect("a shell")
}

fn die() {
    kill_process(getpid(), Signal::KILL).expect("a process may kill itself");
}

#[tokio::test]
#[ignore = "a process that others kill"]
async fn victim() {
    let Some(directory) = env::var_os(DIRECTORY) else { return };
    let jobs = open_at(directory.as_ref(), JobLimits::default()).expect("the directory can be opened");
    let step = env::var(STEP).expect("the step is given");
    if step == "endless" {
        for number in 0u64.. {
            let record = submit(&jobs, job(&vec![1; if number % 4 == 0 { 20_000 } else { 100 }])).await;
            println!("submitted {}", record.id);
            if number % 3 == 0 {
                let claimed = claim_one(&jobs).await;
                jobs.finish(claimed.lease, success(&number.to_le_bytes())).await.expect("it is stored");
                println!("finished {}", claimed.job.id);
            }
        }
    }
    if step == "submitted" {
        println!("submitted {}", submit(&jobs, job(&[1; 50_000])).await.id);
        return die();
    }
    let claimed = claim_one(&jobs).await;
    let id = claimed.job.id;
    match &*step {
        "claimed" => {}
        "finishing" => {
            // Sent to the writer, and not waited for.
            let mut finish = jobs.finish(claimed.lease, success(&[2; 50_000]));
            assert!(is_pending(&mut finish));
            die();
        }
        "finished" => drop(jobs.finish(claimed.lease, success(&[2; 50_000])).await.expect("it is stored")),
        "refused" => drop(jobs.finish(claimed.lease, failure("no")).await.expect("it is stored")),
        "given back" => jobs.give_back(claimed.lease).await.expect("it is returned"),
        "cancelled" => drop(jobs.cancel(None, id).await.expect("it is known")),
        step => panic!("no such step: {step}"),
    }
    die();
}

#[tokio::test]
async fn a_process_may_be_killed_at_each_step() {
    for (step, expected) in [
        ("submitted", State::Queued),
        ("claimed", State::Queued),
        ("finished", State::Succeeded),
        ("refused", State::Failed),
        ("given back", State::Queued),
        ("cancelled", State::Cancelled),
        ("finishing", State::Queued),
    ] {
        let mut fixture = Sqlite::new();
        if step != "submitted" {
            submit(fixture.engine(), job(&[1; 50_000])).await;
        }
        fixture.engine().close().await;
        let status =
            child("kills::victim", &fixture.path(), step).wait_with_output().expect("it ends").status;
        assert!(!status.success(), "{step}");
        fixture.reopen().await;
        let jobs = fixture.engine();
        let page = jobs.list(Default::default(), None, 9).await.expect("jobs can be listed");
        let [found] = &page.jobs[..] else { panic!("{step}: {} jobs", page.jobs.len()) };
        if step == "finishing" {
            assert!(matches!(found.state, State::Queued | State::Succeeded), "{step}");
        } else {
            assert_eq!(found.state, expected, "{step}");
        }
        assert_eq!(
            fixture.files().len(),
            usize::from(matches!(found.state, State::Queued | State::Succeeded)),
            "{step}"
        );
        match found.state {
            State::Queued => {
                let claimed = claim_one(jobs).await;
                assert_eq!(*claimed.body, vec![1; 50_000]);
                assert_eq!(
                    claimed.lease.attempt(),
                    if ["claimed", "finishing"].contains(&step) { 2 } else { 1 }
                );
            }
            State::Succeeded => assert_eq!(bytes(jobs, found.id).await, vec![2; 50_000]),
            _ => {}
        }
    }
}

#[tokio::test]
async fn a_job_that_killed_its_process_twice_is_set_aside() {
    let mut fixture = Sqlite::new();
    let poison = submit(fixture.engine(), job(b"poison")).await.id;
    let good = submit(fixture.engine(), of_tenant("bob", b"good")).await.id;
    for _ in 0..2 {
        fixture.engine().close().await;
        let ended = child("kills::victim", &fixture.path(), "claimed").wait_with_output().expect("it ends");
        assert!(!ended.status.success());
        fixture.reopen().await;
        if state(fixture.engine(), poison).await == State::Queued {
            // The next victim claims it again: the other tenant's turn is over.
            continue;
        }
    }
    let jobs = fixture.engine();
    assert_eq!(
        (record(jobs, poison).await.state, record(jobs, good).await.state),
        (State::Quarantined, State::Queued)
    );
    assert_eq!(claim_one(jobs).await.job.id, good);
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_kill_at_any_moment() {
    for lines in [1, 7, 40, 150] {
        let mut fixture = Sqlite::new();
        fixture.engine().close().await;
        let mut victim = child("kills::victim", &fixture.path(), "endless");
        let output = BufReader::new(victim.stdout.take().expect("it is piped"));
        let mut acknowledged: Vec<(bool, JobId)> = Vec::new();
        for line in output.lines() {
            let line = line.expect("text");
            // The harness prints the name of the test before the first line.
            if let Some(at) = line.find("submitted ") {
                acknowledged.push((false, line[at + 10..].parse().expect("an identifier")));
            } else if let Some(at) = line.find("finished ") {
                acknowledged.push((true, line[at + 9..].parse().expect("an identifier")));
            }
            if acknowledged.len() == lines {
                victim.kill().expect("it runs");
            }
        }
        victim.wait().expect("it was started");
        fixture.reopen().await;
        assert!(acknowledged.len() >= lines);
        for (has_ended, id) in acknowledged {
            let found = record(fixture.engine(), id).await;
            if has_ended {
                assert_eq!(bytes(fixture.engine(), id).await.len(), 8);
            }
            assert!(matches!(found.state, State::Queued | State::Succeeded));
        }
        while let Some(claimed) = claim(fixture.engine(), 1).await.pop() {
            assert!(claimed.body.iter().all(|byte| *byte == 1));
            fixture.engine().finish(claimed.lease, success(b"")).await.expect("it is stored");
        }
    }
}

/// Runs in a process of its own, because the bound of the size of files holds for all its threads.
#[tokio::test]
#[ignore = "a process with a bound that others must not have"]
async fn disk() {
    let Some(directory) = env::var_os(DIRECTORY) else { return };
    let at_once =
        JobLimits { backoff_min: Duration::ZERO, backoff_max: Duration::ZERO, ..JobLimits::default() };
    let jobs = open_at(directory.as_ref(), at_once).expect("the directory can be opened");
    let first = submit(&jobs, job(b"first")).await.id;
    let claimed = claim_one(&jobs).await;
    let space = getrlimit(Resource::Fsize);
    let full = |bytes| setrlimit(Resource::Fsize, Rlimit { current: Some(bytes), maximum: space.maximum });
    let is_full = |error: Option<JobError>| {
        let is_full = matches!(
            &error,
            Some(JobError::Storage { fault: StorageFault::DiskFull | StorageFault::Io, .. })
        );
        assert!(is_full, "{error:?}");
    };
    full(1000).expect("the bound can be lowered");
    is_full(jobs.submit(vec![job(b"small")]).await.err());
    is_full(jobs.submit(vec![job(&[0; 100_000])]).await.err());
    is_full(jobs.finish(claimed.lease, success(b"p")).await.err());
    assert_eq!(state(&jobs, first).await, State::Claimed, "reads go on");
    let stats = jobs.stats().await.expect("jobs are counted");
    assert_eq!(
        (stats.states.of(State::Queued), stats.states.of(State::Claimed)),
        (0, 1),
        "what failed is not counted"
    );
    setrlimit(Resource::Fsize, space).expect("the bound can be raised");
    let second = submit(&jobs, job(&[0; 100_000])).await.id;
    // The first claim finds the lease that was left, and the second what its pause of no time has let through.
    let mut claimed = claim(&jobs, 9).await;
    claimed.extend(claim(&jobs, 9).await);
    claimed.sort_by_key(|claimed| claimed.job.id);
    assert_eq!(claimed.iter().map(|claimed| claimed.job.id).collect::<Vec<_>>(), [first, second]);
    assert_eq!(claimed[0].lease.attempt(), 2, "it is tried again, a bounded number of times");
    for claimed in claimed {
        jobs.finish(claimed.lease, success(b"p")).await.expect("it is stored");
    }
    assert_eq!(std::fs::read_dir(Path::new(&directory).join("bodies")).expect("it is there").count(), 0);
    jobs.close().await;
}

#[test]
fn a_full_disk_undoes_changes_and_ends_nothing() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let output =
        child("kills::disk", &directory.path().join("jobs"), "").wait_with_output().expect("it ends");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}
