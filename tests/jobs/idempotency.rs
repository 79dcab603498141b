//! Idempotency keys: the same job once, another job never.

use crate::fixture::{Fixture as _, Sqlite, claim, claim_one, job, of_tenant, submit, success};
use snapback_host::jobs::{JobEngine, JobError, NewJob, State, Submitted};
use std::time::Duration;

fn keyed(body: &[u8]) -> NewJob {
    NewJob { idempotency_key: Some("key-1".parse().expect("a valid key")), ..job(body) }
}

async fn is_new(jobs: &dyn JobEngine, job: NewJob) -> bool {
    let submitted = jobs.submit(vec![job]).await.expect("it is accepted");
    matches!(submitted[..], [Submitted::New(_)])
}

#[tokio::test]
async fn the_same_job_is_stored_once() {
    let mut fixture = Sqlite::new();
    let first = submit(fixture.engine(), keyed(b"w")).await;
    assert!(!is_new(fixture.engine(), keyed(b"w")).await);
    fixture.reopen().await;
    let jobs = fixture.engine();
    assert_eq!(submit(jobs, keyed(b"w")).await.id, first.id);
    assert!(
        is_new(jobs, NewJob { tenant: of_tenant("bob", b"").tenant, ..keyed(b"w") }).await,
        "keys are a tenant's own"
    );
    assert_eq!(claim(jobs, 9).await.len(), 2);
}

#[tokio::test]
async fn another_job_with_the_same_key_refuses_its_batch() {
    let fixture = Sqlite::new();
    let jobs = fixture.engine();
    submit(jobs, keyed(b"w")).await;
    let others = [
        keyed(&[0; 100_000]),
        NewJob { method: "verify".into(), ..keyed(b"w") },
        NewJob { circuit: None, ..keyed(b"w") },
        NewJob { options: Some("a=b".into()), ..keyed(b"w") },
    ];
    for other in others {
        let refused = jobs.submit(vec![job(b"first of the batch"), other]).await;
        assert!(matches!(refused, Err(JobError::IdempotencyMismatch)));
    }
    let stats = jobs.stats().await.expect("jobs are counted");
    assert_eq!((stats.states.of(State::Queued), stats.queued_bytes), (1, 1));
    assert!(fixture.files().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_concurrent_duplicates_one_is_new() {
    let fixture = Sqlite::new();
    let submissions: Vec<_> = (0..50)
        .map(|_| {
            let jobs = fixture.shared();
            tokio::spawn(async move { is_new(&*jobs, keyed(&[5; 20_000])).await })
        })
        .collect();
    let mut new = 0;
    for submission in submissions {
        new += u32::from(submission.await.expect("no task panics"));
    }
    assert_eq!((new, fixture.files().len()), (1, 1));
    let jobs = fixture.engine();
    let batch = jobs.submit(vec![of_tenant("bob", b""), keyed(&[5; 20_000]), keyed(&[5; 20_000])]).await;
    let batch = batch.expect("it is accepted");
    assert!(matches!(batch[..], [Submitted::New(_), Submitted::Existing(_), Submitted::Existing(_)]));
}

#[tokio::test]
async fn a_key_is_known_as_long_as_the_tombstone_stays() {
    let fixture = Sqlite::new();
    let jobs = fixture.engine();
    let id = submit(jobs, keyed(b"w")).await.id;
    jobs.finish(claim_one(jobs).await.lease, success(b"p")).await.expect("it is stored");
    fixture.advance(Duration::from_hours(24));
    jobs.sweep().await.expect("it is swept");
    let tombstone = submit(jobs, keyed(b"w")).await;
    assert_eq!((tombstone.id, tombstone.state), (id, State::Expired));
    assert!(matches!(jobs.result(None, id).await, Err(JobError::Gone(State::Expired))));
    fixture.advance(Duration::from_hours(24));
    assert_eq!(jobs.sweep().await.expect("it is swept").tombstones, 1);
    assert!(matches!(jobs.get(None, id).await, Err(JobError::NotFound)));
    assert!(is_new(jobs, keyed(b"w")).await);
}
