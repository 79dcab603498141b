//! Whose turn it is.

use crate::fixture::{Fixture as _, Sqlite, claim, claim_one, job, of_tenant, record, submit};
use snapback_host::jobs::{JobId, JobLimits, NewJob, Priority, TenantLimits};
use std::{collections::HashMap, time::Duration};

fn prioritised(priority: u8) -> NewJob {
    NewJob { priority: Priority::try_from(priority).expect("a valid priority"), ..job(b"") }
}

#[tokio::test]
async fn higher_priorities_come_first_and_then_older_jobs() {
    let fixture = Sqlite::new();
    let jobs = fixture.engine();
    let mut ids: Vec<(u8, JobId)> = Vec::new();
    for priority in [5, 0, 9, 5, 9, 0] {
        ids.push((priority, submit(jobs, prioritised(priority)).await.id));
    }
    ids.sort_by_key(|(priority, _)| 9 - priority);
    for (place, (_, id)) in ids.iter().enumerate() {
        assert_eq!(record(jobs, *id).await.place, Some(place as u64));
    }
    let order: Vec<JobId> = claim(jobs, 9).await.iter().map(|claimed| claimed.job.id).collect();
    assert_eq!(order, ids.iter().map(|(_, id)| *id).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_smaller_job_passes_larger_ones_but_not_for_ever() {
    let fixture = Sqlite::new();
    let jobs = fixture.engine();
    let sized = |seconds| NewJob { estimate: Some(Duration::from_secs(seconds)), ..job(b"") };
    let large = submit(jobs, sized(100)).await.id;
    let mut passed = 0;
    loop {
        submit(jobs, sized(1)).await;
        submit(jobs, sized(1)).await;
        if claim_one(jobs).await.job.id == large {
            break;
        }
        passed += 1;
        assert!(passed < 20, "the large job starves");
    }
    assert!(passed >= 1);
}

#[tokio::test]
async fn tenants_share_by_weight_whatever_they_submit() {
    let mut limits = JobLimits::default();
    let ada = of_tenant("ada", b"").tenant;
    limits.tenants.insert(ada.clone(), TenantLimits { weight: 2, ..TenantLimits::default() });
    let fixture = Sqlite::with(limits);
    let jobs = fixture.engine();
    jobs.submit((0..300).map(|_| of_tenant("greedy", b"")).collect()).await.expect("it is accepted");
    jobs.submit((0..100).map(|_| of_tenant("ada", b"")).collect()).await.expect("it is accepted");
    jobs.submit((0..100).map(|_| of_tenant("bob", b"")).collect()).await.expect("it is accepted");
    let mut turns = HashMap::<String, u32>::new();
    for claimed in claim(jobs, 80).await {
        *turns.entry(claimed.job.tenant.to_string()).or_default() += 1;
    }
    assert!(turns["ada"].abs_diff(40) <= 2 && turns["bob"].abs_diff(20) <= 2, "{turns:?}");
}

#[tokio::test]
async fn only_services_that_the_host_runs_are_claimed() {
    let fixture = Sqlite::new();
    let jobs = fixture.engine();
    jobs.submit((0..20).map(|_| NewJob { service: "other".into(), ..of_tenant("greedy", b"") }).collect())
        .await
        .expect("it is accepted");
    let id = submit(jobs, job(b"")).await.id;
    let claimed = claim(jobs, 9).await;
    assert_eq!(claimed.iter().map(|claimed| claimed.job.id).collect::<Vec<_>>(), [id]);
}
