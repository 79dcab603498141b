//! What time does: delays, retries, expiry, and clocks that step.

use crate::fixture::{
    Fixture as _, Sqlite, claim, claim_one, job, record, retry, start, state, submit, success,
};
use snapback_host::jobs::{JobLimits, NewJob, Renewal, State, Stored, Timestamp};
use std::time::Duration;

const HOUR: Duration = Duration::from_hours(1);

#[tokio::test]
async fn a_job_waits_for_its_time() {
    let mut fixture = Sqlite::new();
    let delayed = NewJob { not_before: Some(start().after(HOUR)), ..job(b"") };
    let id = submit(fixture.engine(), delayed).await.id;
    assert!(claim(fixture.engine(), 1).await.is_empty());
    fixture.reopen().await;
    assert!(claim(fixture.engine(), 1).await.is_empty());
    assert_eq!(fixture.engine().next_due().await, Some(HOUR));
    fixture.advance(HOUR);
    assert_eq!(fixture.engine().next_due().await, Some(Duration::ZERO));
    assert_eq!(claim_one(fixture.engine()).await.job.id, id);
}

#[tokio::test]
async fn retries_pause_longer_each_time_and_are_bounded() {
    let limits = JobLimits { retries_max: 3, ..JobLimits::default() };
    let fixture = Sqlite::with(limits);
    let jobs = fixture.engine();
    let id = submit(jobs, job(b"")).await.id;
    for retries in 0..3 {
        jobs.finish(claim_one(jobs).await.lease, retry("memory")).await.expect("it is stored");
        assert_eq!(state(jobs, id).await, State::Queued);
        let most = Duration::from_secs(1 << retries);
        let due = jobs.next_due().await.expect("a pause");
        assert!((most / 2..=most).contains(&due), "{due:?}");
        assert!(claim(jobs, 1).await.is_empty());
        fixture.advance(due);
    }
    jobs.finish(claim_one(jobs).await.lease, retry("memory")).await.expect("it is stored");
    let ended = record(jobs, id).await;
    assert_eq!(
        (ended.state, ended.attempts, ended.error.map(|error| error.code)),
        (State::Failed, 4, Some("memory".into()))
    );
}

#[tokio::test]
async fn a_waiting_job_expires() {
    let fixture = Sqlite::new();
    let jobs = fixture.engine();
    let id = submit(jobs, NewJob { expires_at: Some(start().after(HOUR)), ..job(&[0; 50_000]) }).await.id;
    let other = submit(jobs, job(b"")).await.id;
    fixture.advance(HOUR);
    assert_eq!(claim_one(jobs).await.job.id, other, "expired jobs are not handed out");
    assert_eq!(state(jobs, id).await, State::Expired);
    assert!(fixture.files().is_empty());
    fixture.advance(HOUR * 24);
    jobs.sweep().await.expect("it is swept");
    assert!(jobs.get(None, id).await.is_err(), "its tombstone is forgotten");
}

#[tokio::test]
async fn a_step_of_the_wall_clock_harms_no_lease_and_no_pause() {
    for step in [Timestamp::from_millis(start().as_millis() - 3_600_000), start().after(HOUR)] {
        let fixture = Sqlite::new();
        let jobs = fixture.engine();
        let held = submit(jobs, job(b"")).await.id;
        let claimed = claim_one(jobs).await;
        let paused = submit(jobs, job(b"")).await.id;
        jobs.finish(claim_one(jobs).await.lease, retry("memory")).await.expect("it is stored");
        fixture.set_wall(step);
        assert_eq!(jobs.sweep().await.expect("it is swept").leases, 0);
        assert!(claim(jobs, 1).await.is_empty());
        assert_eq!(jobs.renew(&claimed.lease).await.expect("the engine is open"), Renewal::Held);
        fixture.advance(Duration::from_secs(1));
        assert_eq!(claim_one(jobs).await.job.id, paused, "the pause is neither longer nor shorter");
        let newer = submit(jobs, job(b"")).await;
        assert!(newer.id > held, "identifiers increase");
        assert_eq!(claim_one(jobs).await.job.id, newer.id);
        assert_eq!(jobs.finish(claimed.lease, success(b"")).await.expect("it is stored"), Stored::Mine);
    }
}

#[tokio::test]
async fn whoever_waits_for_work_is_told() {
    let fixture = Sqlite::new();
    let jobs = fixture.engine();
    let work = jobs.work();
    // Opening may have left a permit.
    let opened = work.notified();
    opened.await;
    let waits = work.notified();
    submit(jobs, job(b"")).await;
    waits.await;
}
