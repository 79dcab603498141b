//! Results of identical work: shared within a tenant and an image, and never where they have to differ.

use crate::fixture::{
    Fixture as _, Sqlite, bytes, claim, claim_one, failure, job, key, record, start, state, submit, success,
    tenant,
};
use snapback_host::jobs::{
    Claimed, Identical, ImageChoice, InputKind, JobEngine, JobId, JobLimits, ManualClock, NewJob, Outcome,
    SqliteJobs, State, Stored,
};
use std::{sync::Arc, time::Duration};
use zeroize::Zeroizing;

const IMAGE: &str = "sha256:1";
const DAY: Duration = Duration::from_hours(24);

fn verify(body: &[u8]) -> NewJob {
    NewJob { method: "verify".into(), ..job(body) }
}

/// The result of a pure method.
fn pure(bytes: &[u8]) -> Outcome {
    let (bytes, media_type) = (Zeroizing::new(bytes.to_vec()), Some("text/plain".into()));
    Outcome::Succeeded { bytes, media_type, image: IMAGE.into(), identical: Identical::MayShare }
}

async fn finish(jobs: &dyn JobEngine, claimed: Claimed, outcome: Outcome) {
    assert_eq!(jobs.finish(claimed.lease, outcome).await.expect("it is stored"), Stored::Mine);
}

/// Submits a job and has it compute a result.
async fn computed(jobs: &dyn JobEngine, job: NewJob, outcome: Outcome) -> JobId {
    let id = submit(jobs, job).await.id;
    finish(jobs, claim_one(jobs).await, outcome).await;
    id
}

async fn share(jobs: &dyn JobEngine, claimed: &Claimed) -> Option<JobId> {
    jobs.share(&claimed.lease, IMAGE).await.expect("jobs can be read")
}

/// Submits a job, and has it end with the result of identical work, if there is one. It waits for its end otherwise.
async fn shared(jobs: &dyn JobEngine, job: NewJob) -> (JobId, Option<JobId>) {
    let id = submit(jobs, job).await.id;
    let claimed = claim_one(jobs).await;
    assert_eq!(claimed.job.id, id);
    let computed_by = share(jobs, &claimed).await;
    if computed_by.is_none() {
        assert_eq!(state(jobs, id).await, State::Claimed, "it can still run");
        finish(jobs, claimed, failure("no")).await;
    }
    (id, computed_by)
}

#[tokio::test]
async fn identical_work_has_one_result() {
    let mut fixture = Sqlite::new();
    let first = computed(fixture.engine(), verify(b"p"), pure(b"valid")).await;
    assert_eq!(record(fixture.engine(), first).await.computed_by, None);
    fixture.reopen().await;
    let jobs = fixture.engine();
    let told = NewJob { callback: Some("https://hooks.example/x".parse().expect("a URL")), ..verify(b"p") };
    let (second, computed_by) = shared(jobs, told).await;
    assert_eq!(computed_by, Some(first));
    let ended = record(jobs, second).await;
    assert_eq!((ended.state, ended.attempts, ended.computed_by), (State::Succeeded, 0, Some(first)));
    assert_eq!(ended.image, ImageChoice::Digest(IMAGE.into()));
    assert_eq!(ended.result, record(jobs, first).await.result);
    assert_eq!(bytes(jobs, second).await, b"valid");
    assert!(jobs.claim_delivery(Vec::new()).await.expect("it can be claimed").is_some(), "its end is told");
    let (third, computed_by) = shared(jobs, verify(b"p")).await;
    assert_eq!(computed_by, Some(first), "the one that computed it, not one that got it");
    let stats = jobs.stats().await.expect("jobs are counted");
    assert_eq!((stats.states.of(State::Succeeded), stats.states.of(State::Claimed)), (3, 0));
    fixture.reopen().await;
    assert_eq!(bytes(fixture.engine(), third).await, b"valid");
    assert_eq!(fixture.engine().stats().await.expect("jobs are counted"), stats);
}

#[tokio::test]
async fn what_differs_in_anything_is_not_shared() {
    let fixture = Sqlite::new();
    let jobs = fixture.engine();
    let first = computed(jobs, verify(b"p"), pure(b"valid")).await;
    let others = [
        NewJob { tenant: tenant("eve"), ..verify(b"p") },
        verify(b"q"),
        verify(b""),
        NewJob { method: "prove".into(), ..verify(b"p") },
        NewJob { circuit: Some("deposit".into()), ..verify(b"p") },
        NewJob { circuit: None, ..verify(b"p") },
        NewJob { options: Some(String::new()), ..verify(b"p") },
        NewJob { media_type: None, ..verify(b"p") },
        NewJob { kind: InputKind::Inputs, ..verify(b"p") },
    ];
    for other in others {
        let described = format!("{other:?}");
        assert_eq!(shared(jobs, other).await.1, None, "{described}");
    }
    submit(jobs, verify(b"p")).await;
    let claimed = claim_one(jobs).await;
    let on_another = jobs.share(&claimed.lease, "sha256:2").await.expect("jobs can be read");
    assert_eq!(on_another, None, "another image");
    assert_eq!(share(jobs, &claimed).await, Some(first));
}

#[tokio::test]
async fn only_results_that_may_be_shared_are() {
    let fixture = Sqlite::new();
    let jobs = fixture.engine();
    computed(jobs, verify(b"p"), success(b"a proof that differs each time")).await;
    assert_eq!(shared(jobs, verify(b"p")).await.1, None);
    computed(jobs, verify(b"p"), failure("refuted")).await;
    assert_eq!(shared(jobs, verify(b"p")).await.1, None, "a refusal is no result");
    let inputs = || NewJob { kind: InputKind::Inputs, ..verify(b"{}") };
    computed(jobs, inputs(), pure(b"of a calculator that may be replaced")).await;
    assert_eq!(shared(jobs, inputs()).await.1, None);
}

#[tokio::test]
async fn each_job_keeps_its_result_as_long_as_any_other() {
    let fixture = Sqlite::new();
    let jobs = fixture.engine();
    let large = vec![7; 100_000];
    let first = computed(jobs, verify(b"p"), pure(&large)).await;
    fixture.advance(DAY / 2);
    let (second, computed_by) = shared(jobs, verify(b"p")).await;
    assert_eq!((computed_by, fixture.files().len()), (Some(first), 2), "each has its own");
    fixture.advance(DAY / 2);
    jobs.sweep().await.expect("it is swept");
    assert_eq!((state(jobs, first).await, fixture.files().len()), (State::Expired, 1));
    assert_eq!(bytes(jobs, second).await, large);
    let (_, computed_by) = shared(jobs, verify(b"p")).await;
    assert_eq!(computed_by, Some(first), "the copy still lives");
    fixture.advance(DAY);
    assert_eq!(shared(jobs, verify(b"p")).await.1, None, "it is over, whether it was swept or not");
}

#[tokio::test]
async fn a_result_that_is_damaged_is_computed_again() {
    let fixture = Sqlite::new();
    let jobs = fixture.engine();
    computed(jobs, verify(b"p"), pure(&[7; 100_000])).await;
    for file in fixture.files() {
        std::fs::remove_file(fixture.path().join("bodies").join(file)).expect("our file");
    }
    assert_eq!(shared(jobs, verify(b"p")).await.1, None);
}

#[tokio::test]
async fn identical_jobs_at_once_do_not_depend_on_each_other() {
    let fixture = Sqlite::new();
    let jobs = fixture.engine();
    let ids = [submit(jobs, verify(b"p")).await.id, submit(jobs, verify(b"p")).await.id];
    let mut claimed = claim(jobs, 2).await;
    for claimed in &claimed {
        assert_eq!(share(jobs, claimed).await, None);
    }
    jobs.cancel(None, ids[0]).await.expect("it is known");
    let second = claimed.pop().expect("two");
    finish(jobs, claimed.pop().expect("two"), failure("cancelled")).await;
    finish(jobs, second, pure(b"valid")).await;
    assert_eq!((state(jobs, ids[0]).await, state(jobs, ids[1]).await), (State::Cancelled, State::Succeeded));
}

#[tokio::test]
async fn a_lost_lease_shares_nothing() {
    let fixture = Sqlite::new();
    let jobs = fixture.engine();
    let first = computed(jobs, verify(b"p"), pure(b"valid")).await;
    let id = submit(jobs, verify(b"p")).await.id;
    let late = claim_one(jobs).await;
    fixture.advance(Duration::from_secs(31));
    let second = claim_one(jobs).await;
    assert_eq!(share(jobs, &late).await, None);
    assert_eq!(state(jobs, id).await, State::Claimed);
    assert_eq!(share(jobs, &second).await, Some(first));
    assert_eq!(record(jobs, id).await.attempts, 1, "the one that was lost had begun");
    assert_eq!(share(jobs, &second).await, None, "it has ended");
}

#[tokio::test]
async fn a_database_of_the_second_version_is_upgraded() {
    let fixture = Sqlite::new();
    let before = computed(fixture.engine(), verify(b"p"), pure(b"valid")).await;
    let waiting = submit(fixture.engine(), verify(b"p")).await.id;
    fixture.engine().close().await;
    let path = fixture.path();
    let second = rusqlite::Connection::open(path.join("jobs.sqlite")).expect("it can be opened");
    second
        .execute_batch(
            "DROP INDEX job_work; ALTER TABLE job DROP COLUMN work; ALTER TABLE job DROP COLUMN computed_by; \
             DROP INDEX delivery_due_of_tenant; DROP INDEX delivery_turn; \
             CREATE INDEX delivery_turn ON delivery (origin, due_at) WHERE state = 0; PRAGMA user_version = 2",
        )
        .expect("what the second version had");
    second.close().expect("it can be closed");
    let open = || SqliteJobs::open(&path, &key(), JobLimits::default(), Arc::new(ManualClock::at(start())));
    let jobs = open().expect("it is upgraded");
    assert_eq!(bytes(&jobs, before).await, b"valid");
    let claimed = claim_one(&jobs).await;
    assert_eq!(
        (claimed.job.id, share(&jobs, &claimed).await),
        (waiting, None),
        "nothing is known of earlier work"
    );
    finish(&jobs, claimed, pure(b"valid")).await;
    assert_eq!(
        shared(&jobs, verify(b"p")).await.1,
        None,
        "the digest of one that was submitted before is not known"
    );
    let first = computed(&jobs, verify(b"p"), pure(b"valid")).await;
    assert_eq!(shared(&jobs, verify(b"p")).await.1, Some(first));
    jobs.close().await;
}
