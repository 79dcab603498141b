//! Many jobs, large jobs, and the bounds of both.

use crate::fixture::{
    Fixture as _, SERVICE, Sqlite, bytes, claim, claim_one, failure, job, of_tenant, record, submit, success,
    tenant,
};
use snapback_host::jobs::{Bound, JobEngine, JobError, JobFilter, JobLimits, State, Stored};
use std::{collections::HashSet, sync::Arc, time::Duration};

#[tokio::test]
async fn results_that_are_too_long_fail_the_job() {
    let fixture = Sqlite::with(JobLimits { result_bytes_max: 10, ..JobLimits::default() });
    let jobs = fixture.engine();
    let id = submit(jobs, job(b"")).await.id;
    let stored = jobs.finish(claim_one(jobs).await.lease, success(&[0; 11])).await;
    assert_eq!(stored.expect("it is stored"), Stored::Mine);
    assert_eq!(record(jobs, id).await.error.map(|error| error.code), Some("result_too_large".into()));
}

#[tokio::test]
async fn a_tenant_that_fills_its_share_closes_no_jobs_of_others() {
    let limits = JobLimits { tenant_remembered_max: 3, tenant_kept_bytes_max: 10, ..JobLimits::default() };
    let mut fixture = Sqlite::with(limits);
    let full = async |jobs: &dyn JobEngine, name| match jobs.submit(vec![of_tenant(name, b"")]).await {
        Err(JobError::Full { which }) => Some(which),
        _ => None,
    };
    for _ in 0..3 {
        submit(fixture.engine(), of_tenant("ada", b"")).await;
        let claimed = claim_one(fixture.engine()).await;
        fixture.engine().finish(claimed.lease, failure("refused")).await.expect("it is stored");
    }
    submit(fixture.engine(), of_tenant("bea", b"")).await;
    let claimed = claim_one(fixture.engine()).await;
    fixture.engine().finish(claimed.lease, success(&[0; 11])).await.expect("it is stored");
    // What was counted, and what is counted at the start.
    for _ in 0..2 {
        assert_eq!(full(fixture.engine(), "ada").await, Some(Bound::TenantRemembered));
        assert_eq!(full(fixture.engine(), "bea").await, Some(Bound::TenantResultBytes));
        fixture.reopen().await;
    }
    assert_eq!(full(fixture.engine(), "eve").await, None);

    fixture.advance(Duration::from_hours(24));
    fixture.engine().sweep().await.expect("it is swept");
    assert_eq!(full(fixture.engine(), "bea").await, None, "its result has gone");
    fixture.advance(Duration::from_hours(48));
    fixture.engine().sweep().await.expect("it is swept");
    assert_eq!(full(fixture.engine(), "ada").await, None, "its jobs are forgotten");
}

#[tokio::test]
async fn bodies_and_results_of_all_sizes_arrive_and_leave_no_file() {
    let fixture = Sqlite::new();
    let jobs = fixture.engine();
    for size in [0, 1 << 20, 64 << 20] {
        let body: Vec<u8> =
            (0..size).map(|position: u32| position.wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect();
        let id = submit(jobs, job(&body)).await.id;
        let claimed = claim_one(jobs).await;
        assert!(*claimed.body == body, "the body of {size} bytes");
        assert_eq!(fixture.files().len(), usize::from(size > 0));
        jobs.finish(claimed.lease, success(&body)).await.expect("it is stored");
        assert!(bytes(jobs, id).await == body, "the result of {size} bytes");
        fixture.advance(Duration::from_hours(24));
        assert_eq!(jobs.sweep().await.expect("it is swept").results, 1);
        assert!(fixture.files().is_empty(), "{:?}", fixture.files());
    }
}

#[tokio::test]
async fn a_batch_is_stored_whole_or_not_at_all() {
    let limits = JobLimits {
        queued_max: 5,
        tenant_queued_max: 3,
        batch_max: 4,
        body_bytes_max: 10,
        ..JobLimits::default()
    };
    let fixture = Sqlite::with(limits);
    let jobs = fixture.engine();
    let refused = |which| {
        move |error: JobError| assert!(matches!(error, JobError::Full { which: found } if found == which))
    };
    let batch =
        |tenant: &'static str, number: usize| (0..number).map(|_| of_tenant(tenant, b"")).collect::<Vec<_>>();
    jobs.submit(batch("ada", 4)).await.map_err(refused(Bound::TenantQueued)).expect_err("a bound");
    assert_eq!(jobs.stats().await.expect("jobs are counted").states.of(State::Queued), 0);
    jobs.submit(batch("ada", 3)).await.expect("it fits");
    jobs.submit(batch("bob", 3)).await.map_err(refused(Bound::Queued)).expect_err("a bound");
    jobs.submit(batch("bob", 2)).await.expect("it fits");
    jobs.submit(batch("bob", 5)).await.map_err(refused(Bound::Batch)).expect_err("a bound");
    jobs.submit(vec![job(&[0; 11])]).await.map_err(refused(Bound::BodyBytes)).expect_err("a bound");
    let stats = jobs.stats().await.expect("jobs are counted");
    assert_eq!(stats.states.of(State::Queued), 5);
    assert_eq!(stats.tenants[&tenant("ada")].queued, 3);
    assert_eq!(claim(jobs, 9).await.len(), 5);
    assert_eq!(jobs.stats().await.expect("jobs are counted").states.of(State::Claimed), 5);
}

#[tokio::test]
async fn pages_are_stable_while_jobs_arrive() {
    let fixture = Sqlite::new();
    let jobs = fixture.engine();
    let mut ids = Vec::new();
    for number in 0..10 {
        ids.push(submit(jobs, of_tenant(if number % 2 == 0 { "ada" } else { "bob" }, b"")).await.id);
    }
    let (mut listed, mut cursor) = (Vec::new(), None);
    loop {
        let page = jobs.list(JobFilter::default(), cursor, 3).await.expect("jobs can be listed");
        listed.extend(page.jobs.iter().map(|job| job.id));
        submit(jobs, job(b"")).await;
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    ids.reverse();
    assert_eq!(listed, ids);
    let filter = JobFilter {
        tenant: Some(tenant("bob")),
        state: Some(State::Queued),
        service: Some(SERVICE.into()),
        circuit: None,
    };
    let page = jobs.list(filter, None, 100).await.expect("jobs can be listed");
    assert_eq!((page.jobs.len(), page.next), (5, None));
}

/// Every job gets exactly one result, and that is the one its winner computed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_jobs_by_eight_claimers_have_one_result_each() {
    const JOBS: u32 = 10_000;
    let fixture = Sqlite::new();
    let jobs = fixture.shared();
    for first in (0..JOBS).step_by(1000) {
        let batch = (first..first + 1000)
            .map(|number| of_tenant(["a", "b", "c"][number as usize % 3], &number.to_le_bytes()));
        jobs.submit(batch.collect()).await.expect("it is accepted");
    }
    let claimers: Vec<_> = (0..8u8)
        .map(|claimer| {
            let jobs = Arc::clone(&jobs);
            tokio::spawn(async move {
                let mut won = Vec::new();
                loop {
                    let claimed = claim(&*jobs, 50).await;
                    if claimed.is_empty() {
                        return won;
                    }
                    for claimed in claimed {
                        let result = [&claimed.body[..], &[claimer]].concat();
                        let stored =
                            jobs.finish(claimed.lease, success(&result)).await.expect("it is stored");
                        assert_eq!(stored, Stored::Mine);
                        won.push((claimed.job.id, result));
                    }
                }
            })
        })
        .collect();
    let mut seen = HashSet::new();
    for claimer in claimers {
        for (id, result) in claimer.await.expect("no claimer panics") {
            assert!(seen.insert(id), "a job was run twice");
            assert_eq!(bytes(&*jobs, id).await, result);
        }
    }
    assert_eq!(seen.len(), JOBS as usize);
    assert_eq!(jobs.stats().await.expect("jobs are counted").states.of(State::Succeeded), u64::from(JOBS));
}

#[tokio::test]
async fn ten_thousand_watchers_are_told() {
    let fixture = Sqlite::new();
    let jobs = fixture.engine();
    let id = submit(jobs, job(b"")).await.id;
    let watchers: Vec<_> = (0..10_000).map(|_| jobs.watch(id)).collect();
    claim_one(jobs).await;
    assert!(watchers.iter().all(|watcher| watcher.has_changed().expect("the engine is open")));
}
