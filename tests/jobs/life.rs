//! The life of a job: submitted, claimed, finished, given back, lost, cancelled.

use crate::fixture::{
    Fixture as _, SERVICE, Sqlite, bytes, claim, claim_one, failure, is_pending, job, of_tenant, record,
    retry, state, submit, success, tenant,
};
use snapback_host::jobs::{ImageChoice, JobError, Renewal, ResultDigest, State, Stored};
use std::time::Duration;

const LEASE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_job_is_submitted_claimed_and_finished() {
    let fixture = Sqlite::new();
    let jobs = fixture.engine();
    let submitted = submit(jobs, job(b"witness")).await;
    assert_eq!((submitted.state, submitted.attempts, submitted.place), (State::Queued, 0, Some(0)));
    let claimed = claim_one(jobs).await;
    assert_eq!(
        (claimed.job.id, &claimed.body[..], claimed.lease.attempt()),
        (submitted.id, &b"witness"[..], 1)
    );
    assert!(matches!(jobs.result(None, submitted.id).await, Err(JobError::NotFinished(State::Claimed))));
    assert_eq!(jobs.finish(claimed.lease, success(b"proof")).await.expect("it is stored"), Stored::Mine);
    let result = jobs.result(Some(&tenant("ada")), submitted.id).await.expect("there is a result");
    assert_eq!((&result.bytes[..], result.digest), (&b"proof"[..], ResultDigest::of(b"proof")));
    let ended = record(jobs, submitted.id).await;
    assert_eq!((ended.state, ended.place), (State::Succeeded, None));
    assert_eq!(ended.image, ImageChoice::Digest("sha256:1".into()));
    assert_eq!(ended.result.map(|result| result.bytes), Some(5));
    let json = serde_json::to_value(record(jobs, submitted.id).await).expect("records can be serialised");
    assert_eq!(json["state"], "succeeded");
}

#[tokio::test]
async fn jobs_of_others_are_unknown() {
    let fixture = Sqlite::new();
    let jobs = fixture.engine();
    let id = submit(jobs, job(b"")).await.id;
    let eve = tenant("eve");
    assert!(matches!(jobs.get(Some(&eve), id).await, Err(JobError::NotFound)));
    assert!(matches!(jobs.result(Some(&eve), id).await, Err(JobError::NotFound)));
    assert!(matches!(jobs.cancel(Some(&eve), id).await, Err(JobError::NotFound)));
    assert_eq!(state(jobs, id).await, State::Queued);
    assert!(jobs.claim(&["another".to_owned()], 9).await.expect("nothing is claimed").is_empty());
}

#[tokio::test]
async fn one_of_two_claimers_wins() {
    let fixture = Sqlite::new();
    let jobs = fixture.engine();
    submit(jobs, job(b"")).await;
    let (first, second) = tokio::join!(claim(jobs, 1), claim(jobs, 1));
    assert_eq!(first.len() + second.len(), 1);
}

#[tokio::test]
async fn a_late_finisher_loses_and_harms_nothing() {
    let fixture = Sqlite::new();
    let jobs = fixture.engine();
    let id = submit(jobs, job(b"w")).await.id;
    let late = claim_one(jobs).await;
    fixture.advance(LEASE + Duration::from_millis(1));
    let second = claim_one(jobs).await;
    assert_eq!((second.job.id, second.lease.attempt(), &second.body[..]), (id, 2, &b"w"[..]));
    assert_eq!(jobs.renew(&late.lease).await.expect("the engine is open"), Renewal::Lost);
    assert_eq!(jobs.finish(late.lease, success(b"late")).await.expect("it is refused"), Stored::Other);
    assert_eq!(state(jobs, id).await, State::Claimed);
    assert_eq!(jobs.finish(second.lease, success(b"first")).await.expect("it is stored"), Stored::Mine);
    assert_eq!(bytes(jobs, id).await, b"first");
}

#[tokio::test]
async fn a_renewed_lease_is_kept() {
    let fixture = Sqlite::new();
    let jobs = fixture.engine();
    submit(jobs, job(b"")).await;
    let claimed = claim_one(jobs).await;
    for _ in 0..5 {
        fixture.advance(LEASE / 2);
        assert_eq!(jobs.renew(&claimed.lease).await.expect("the engine is open"), Renewal::Held);
        assert!(claim(jobs, 1).await.is_empty());
    }
    assert_eq!(jobs.finish(claimed.lease, success(b"")).await.expect("it is stored"), Stored::Mine);
}

#[tokio::test]
async fn a_job_that_is_given_back_waits_at_once_and_keeps_its_attempts() {
    let fixture = Sqlite::new();
    let jobs = fixture.engine();
    let id = submit(jobs, job(b"w")).await.id;
    for _ in 0..5 {
        let claimed = claim_one(jobs).await;
        assert_eq!(claimed.lease.attempt(), 1);
        jobs.give_back(claimed.lease).await.expect("it is returned");
        assert_eq!(record(jobs, id).await.attempts, 0);
    }
}

#[tokio::test]
async fn a_dropped_claim_gives_its_jobs_back() {
    let fixture = Sqlite::new();
    let jobs = fixture.engine();
    let id = submit(jobs, job(&[1; 100_000])).await.id;
    let services = [SERVICE.to_owned()];
    let mut future = jobs.claim(&services, 1);
    // Sends the command, and loses interest.
    assert!(is_pending(&mut future));
    drop(future);
    let claimed = loop {
        if let Some(claimed) = claim(jobs, 1).await.pop() {
            break claimed;
        }
        // Both claims were in one transaction: the job returns after it.
        jobs.work().notified().await;
    };
    assert_eq!((claimed.job.id, claimed.lease.attempt()), (id, 1));
}

#[tokio::test]
async fn a_job_is_cancelled_in_each_state() {
    let fixture = Sqlite::new();
    let jobs = fixture.engine();
    let waiting = submit(jobs, job(b"")).await.id;
    assert_eq!(jobs.cancel(None, waiting).await.expect("it is known").state, State::Cancelled);
    assert!(claim(jobs, 1).await.is_empty());
    assert!(matches!(jobs.result(None, waiting).await, Err(JobError::Gone(State::Cancelled))));

    for end in ["failed", "given back", "retried", "lost", "succeeded"] {
        let id = submit(jobs, job(b"")).await.id;
        let claimed = claim_one(jobs).await;
        let mut watcher = jobs.watch(id);
        let asked = jobs.cancel(Some(&tenant("ada")), id).await.expect("it is known");
        assert_eq!((asked.state, asked.cancel_requested), (State::Claimed, true));
        assert!(watcher.has_changed().expect("the engine is open"));
        watcher.mark_unchanged();
        assert_eq!(jobs.renew(&claimed.lease).await.expect("the engine is open"), Renewal::Cancelled);
        match end {
            "failed" => drop(jobs.finish(claimed.lease, failure("cancelled")).await.expect("it is stored")),
            "given back" => jobs.give_back(claimed.lease).await.expect("it is returned"),
            "retried" => drop(jobs.finish(claimed.lease, retry("memory")).await.expect("it is stored")),
            "lost" => {
                fixture.advance(LEASE);
                jobs.sweep().await.expect("it is swept");
            }
            _ => drop(jobs.finish(claimed.lease, success(b"first")).await.expect("it is stored")),
        }
        let expected = if end == "succeeded" { State::Succeeded } else { State::Cancelled };
        assert_eq!(state(jobs, id).await, expected, "{end}");
        assert!(watcher.has_changed().expect("the engine is open"));
        assert_eq!(jobs.cancel(None, id).await.expect("it is known").state, expected, "it stays");
    }
}

#[tokio::test]
async fn a_refused_job_is_not_tried_again() {
    let fixture = Sqlite::new();
    let jobs = fixture.engine();
    let id = submit(jobs, job(b"")).await.id;
    jobs.finish(claim_one(jobs).await.lease, failure("bad_witness")).await.expect("it is stored");
    let ended = record(jobs, id).await;
    assert_eq!(
        (ended.state, ended.error.map(|error| error.code)),
        (State::Failed, Some("bad_witness".into()))
    );
    assert!(claim(jobs, 1).await.is_empty());
    assert!(matches!(jobs.result(None, id).await, Err(JobError::Gone(State::Failed))));
}

#[tokio::test]
async fn a_job_is_quarantined_after_it_was_lost_twice_and_does_not_block_others() {
    let fixture = Sqlite::new();
    let jobs = fixture.engine();
    let poison = submit(jobs, job(b"poison")).await.id;
    let good = submit(jobs, job(b"good")).await.id;
    for attempt in 1..=2 {
        let claimed = claim_one(jobs).await;
        assert_eq!((claimed.job.id, claimed.lease.attempt()), (poison, attempt));
        fixture.advance(LEASE);
        jobs.sweep().await.expect("it is swept");
    }
    let ended = record(jobs, poison).await;
    assert_eq!(
        (ended.state, ended.error.map(|error| error.code)),
        (State::Quarantined, Some("quarantined".into()))
    );
    assert_eq!(claim_one(jobs).await.job.id, good);
}

#[tokio::test]
async fn a_restart_changes_no_job_that_was_not_claimed() {
    let mut fixture = Sqlite::new();
    let waiting = submit(fixture.engine(), job(&[1; 50_000])).await.id;
    let ended = submit(fixture.engine(), of_tenant("bob", b"")).await.id;
    let mut claimed = claim(fixture.engine(), 2).await;
    claimed.sort_by_key(|claimed| claimed.job.id);
    let (held, finished) = (claimed.remove(0), claimed.remove(0));
    fixture.engine().finish(finished.lease, success(&[2; 50_000])).await.expect("it is stored");
    fixture.reopen().await;
    let jobs = fixture.engine();
    assert_eq!(bytes(jobs, ended).await, vec![2; 50_000]);
    assert_eq!(jobs.renew(&held.lease).await.expect("the engine is open"), Renewal::Lost);
    assert_eq!(jobs.finish(held.lease, success(b"late")).await.expect("it is refused"), Stored::Other);
    let again = claim_one(jobs).await;
    assert_eq!((again.job.id, again.body.len(), again.lease.attempt()), (waiting, 50_000, 1));
    assert_eq!(fixture.files().len(), 2);
}

#[tokio::test]
async fn a_closed_engine_refuses() {
    let fixture = Sqlite::new();
    let jobs = fixture.engine();
    submit(jobs, job(b"")).await;
    let claimed = claim_one(jobs).await;
    jobs.close().await;
    assert!(matches!(jobs.submit(vec![job(b"")]).await, Err(JobError::Closed)));
    assert!(matches!(jobs.renew(&claimed.lease).await, Err(JobError::Closed)));
    assert!(matches!(jobs.stats().await, Err(JobError::Closed)));
    assert_eq!(jobs.next_due().await, None);
    jobs.close().await;
}
