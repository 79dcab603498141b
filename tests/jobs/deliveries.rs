//! Deliveries: created with the end of a job, claimed when due, ended, sent again, forgotten.

use crate::fixture::{
    Fixture as _, Sqlite, claim, claim_one, failure, job, key, record, start, submit, success, tenant,
};
use snapback_host::jobs::{
    Bound, ClaimedDelivery, DeliveryFilter, DeliveryOutcome, DeliveryRecord, DeliveryState, JobEngine,
    JobError, JobId, JobLimits, ManualClock, NewJob, SqliteJobs, State, Stored, TenantLimits,
};
use std::{fs, sync::Arc, time::Duration};

const URL: &str = "https://hooks.example/token-7?key=secret";
const HOUR: Duration = Duration::from_hours(1);

fn told_at(url: &str, body: &[u8]) -> NewJob {
    NewJob { callback: Some(url.parse().expect("a callback")), ..job(body) }
}

fn told(body: &[u8]) -> NewJob {
    told_at(URL, body)
}

async fn claimed(jobs: &dyn JobEngine) -> Option<ClaimedDelivery> {
    jobs.claim_delivery(Vec::new()).await.expect("deliveries can be claimed")
}

async fn finish(jobs: &dyn JobEngine, claimed: &ClaimedDelivery, outcome: DeliveryOutcome) -> Stored {
    jobs.finish_delivery(claimed.claim, outcome).await.expect("it is stored")
}

async fn delivery(jobs: &dyn JobEngine, id: JobId) -> DeliveryRecord {
    jobs.delivery(None, id).await.expect("there is one")
}

/// Submits a job, and has it succeed.
async fn succeeded(jobs: &dyn JobEngine, job: NewJob) -> JobId {
    let id = submit(jobs, job).await.id;
    jobs.finish(claim_one(jobs).await.lease, success(b"proof")).await.expect("it is stored");
    id
}

fn dead(reason: &str) -> DeliveryOutcome {
    DeliveryOutcome::Dead { reason: reason.into() }
}

fn retry(after: Duration) -> DeliveryOutcome {
    DeliveryOutcome::Retry { after, reason: "it answered 500".into() }
}

#[tokio::test]
async fn every_end_of_a_job_is_told_once() {
    let limits = JobLimits { attempts_max: 1, ..JobLimits::default() };
    let fixture = Sqlite::with(limits);
    let jobs = fixture.engine();
    let silent = succeeded(jobs, job(b"")).await;
    assert!(matches!(jobs.delivery(None, silent).await, Err(JobError::NotFound)));
    assert!(claimed(jobs).await.is_none());

    let mut expected = vec![(succeeded(jobs, told(b"")).await, State::Succeeded, None)];
    let failed = submit(jobs, told(b"")).await.id;
    jobs.finish(claim_one(jobs).await.lease, failure("no")).await.expect("it is stored");
    expected.push((failed, State::Failed, Some("no")));
    let cancelled = submit(jobs, told(b"")).await.id;
    jobs.cancel(None, cancelled).await.expect("it is known");
    expected.push((cancelled, State::Cancelled, None));
    let quarantined = submit(jobs, told(b"")).await.id;
    drop(claim_one(jobs).await);
    fixture.advance(HOUR);
    jobs.sweep().await.expect("it is swept");
    expected.push((quarantined, State::Quarantined, Some("quarantined")));
    let expires_at = Some(start().after(HOUR * 2));
    let expired = submit(jobs, NewJob { expires_at, ..told(b"") }).await.id;
    fixture.advance(HOUR);
    assert!(claim(jobs, 1).await.is_empty());
    expected.push((expired, State::Expired, None));

    for (id, state, code) in expected {
        let told = claimed(jobs).await.expect("it is due");
        assert_eq!((told.claim.job(), told.claim.attempt(), told.tries), (id, 1, 0));
        assert_eq!((told.callback.as_str(), &told.tenant), (URL, &tenant("ada")));
        assert_eq!((told.end.state, told.end.error.as_ref().map(|error| &*error.code)), (state, code));
        assert_eq!((&*told.end.service, &*told.end.method), ("prover", "prove"));
        assert_eq!(told.end.circuit.as_deref(), Some("withdraw"));
        let image = (state == State::Succeeded).then_some("sha256:1");
        assert_eq!(told.end.image.as_deref(), image);
        assert_eq!(finish(jobs, &told, DeliveryOutcome::Delivered).await, Stored::Mine);
        assert_eq!(finish(jobs, &told, dead("late")).await, Stored::Other, "it has ended");
        assert_eq!(delivery(jobs, id).await.state, DeliveryState::Delivered);
        assert_eq!(record(jobs, id).await.callback.as_deref(), Some("https://hooks.example"));
    }
    assert!(claimed(jobs).await.is_none());
    assert_eq!(jobs.delivery_counts().of(DeliveryState::Delivered), 5);
}

#[tokio::test]
async fn a_delivery_is_tried_again_when_its_time_comes() {
    let mut fixture = Sqlite::new();
    let id = succeeded(fixture.engine(), told(b"")).await;
    fixture.advance(HOUR);
    let first = claimed(fixture.engine()).await.expect("it is due");
    assert_eq!(first.tried_for, Duration::ZERO, "what was before the first attempt does not count");
    finish(fixture.engine(), &first, retry(HOUR)).await;
    assert_eq!(delivery(fixture.engine(), id).await.reason.as_deref(), Some("it answered 500"));
    assert!(claimed(fixture.engine()).await.is_none());
    assert_eq!(fixture.engine().next_delivery().await, Some(HOUR));
    fixture.reopen().await;
    assert!(claimed(fixture.engine()).await.is_none(), "a restart does not hurry it");
    fixture.advance(HOUR);
    let second = claimed(fixture.engine()).await.expect("it is due");
    assert_eq!((second.claim.attempt(), second.tries, second.tried_for), (2, 1, HOUR));
    assert_eq!(second.callback.as_str(), URL);
}

#[tokio::test]
async fn a_claim_belongs_to_one_until_its_lease_ends() {
    let mut fixture = Sqlite::new();
    let id = succeeded(fixture.engine(), told(b"")).await;
    let lost = claimed(fixture.engine()).await.expect("it is due");
    assert!(claimed(fixture.engine()).await.is_none());
    fixture.advance(Duration::from_mins(3));
    let second = claimed(fixture.engine()).await.expect("its lease has ended");
    assert_eq!(finish(fixture.engine(), &lost, dead("late")).await, Stored::Other);
    // A process that is gone tells nobody, so the next one begins at once.
    fixture.reopen().await;
    let third = claimed(fixture.engine()).await.expect("it is due");
    assert_eq!(finish(fixture.engine(), &second, dead("late")).await, Stored::Other);
    assert_eq!(third.claim.attempt(), 3);
    finish(fixture.engine(), &third, DeliveryOutcome::GivenBack).await;
    let fourth = claimed(fixture.engine()).await.expect("it is due at once");
    assert_eq!((fourth.claim.attempt(), fourth.tries), (4, 0), "what was given back is not counted");
    finish(fixture.engine(), &fourth, dead("it answered 410")).await;
    assert_eq!(delivery(fixture.engine(), id).await.state, DeliveryState::Dead);
}

#[tokio::test]
async fn origins_take_turns_and_busy_ones_are_passed() {
    let fixture = Sqlite::new();
    let jobs = fixture.engine();
    let urls = ["https://a.example/1", "https://a.example/2", "https://a.example/3", "https://b.example/"];
    for url in urls {
        succeeded(jobs, told_at(url, b"")).await;
    }
    let mut order = Vec::new();
    for _ in 0..3 {
        order.push(claimed(jobs).await.expect("it is due").callback.origin());
    }
    assert_eq!(order, ["https://a.example", "https://b.example", "https://a.example"]);
    let busy = || jobs.claim_delivery(vec!["https://a.example".into()]);
    assert!(busy().await.expect("nothing is claimed").is_none());
    assert!(claimed(jobs).await.is_some());
}

#[tokio::test]
async fn tenants_take_turns_by_weight_before_receivers_do() {
    let heavy = TenantLimits { weight: 2, ..TenantLimits::default() };
    let limits = JobLimits { tenants: [(tenant("bob"), heavy)].into(), ..JobLimits::default() };
    let fixture = Sqlite::with(limits);
    let jobs = fixture.engine();
    // A tenant of many receivers, and two of one, whose deliveries come last.
    for receiver in 0..20 {
        succeeded(jobs, told_at(&format!("https://a{receiver:02}.example/"), b"")).await;
    }
    for (name, number) in [("bob", 4), ("eve", 2)] {
        for _ in 0..number {
            succeeded(jobs, NewJob { tenant: tenant(name), ..told(b"") }).await;
        }
    }
    let mut order = Vec::new();
    for _ in 0..9 {
        let claimed = claimed(jobs).await.expect("it is due");
        order.push((claimed.tenant.as_str().to_owned(), claimed.callback.origin()));
    }
    let tenants: Vec<&str> = order.iter().map(|(tenant, _)| tenant.as_str()).collect();
    assert_eq!(tenants, ["ada", "bob", "bob", "eve", "ada", "bob", "bob", "eve", "ada"]);
    let receivers: Vec<&str> =
        order.iter().filter(|(of, _)| of == "ada").map(|(_, to)| to.as_str()).collect();
    assert_eq!(receivers, ["https://a00.example", "https://a01.example", "https://a02.example"]);

    // One that is busy for one tenant is for the other: it is the receiver's bound.
    succeeded(jobs, NewJob { tenant: tenant("eve"), ..told(b"") }).await;
    let busy = vec!["https://hooks.example".to_owned()];
    let next = jobs.claim_delivery(busy).await.expect("it can be claimed").expect("another is due");
    assert_eq!(next.tenant, tenant("ada"));
}

#[tokio::test]
async fn many_receivers_that_wait_for_another_try_hide_none_that_is_due() {
    let fixture = Sqlite::new();
    let jobs = fixture.engine();
    for receiver in 0..200 {
        succeeded(jobs, told_at(&format!("https://a{receiver:03}.example/"), b"")).await;
        finish(jobs, &claimed(jobs).await.expect("it is due"), retry(HOUR)).await;
    }
    assert!(claimed(jobs).await.is_none());
    let last = succeeded(jobs, told_at("https://a150x.example/", b"")).await;
    // A claim looks at a bounded number of them, and the next one goes on where it ended.
    let mut found = None;
    for _ in 0..4 {
        found = found.or(claimed(jobs).await);
    }
    assert_eq!(found.map(|claimed| claimed.claim.job()), Some(last));
}

#[tokio::test]
async fn dead_letters_are_listed_and_sent_again() {
    let fixture = Sqlite::new();
    let jobs = fixture.engine();
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(succeeded(jobs, told(b"")).await);
        finish(jobs, &claimed(jobs).await.expect("it is due"), dead("it answered 410")).await;
    }
    let other = succeeded(jobs, NewJob { tenant: tenant("bob"), ..told(b"") }).await;
    let filter = |name: Option<&str>, state| DeliveryFilter { tenant: name.map(tenant), state };
    let dead_of_ada = filter(Some("ada"), Some(DeliveryState::Dead));
    let page = jobs.list_deliveries(dead_of_ada.clone(), None, 3).await.expect("they are listed");
    let listed = |page: &snapback_host::jobs::DeliveryPage| -> Vec<JobId> {
        page.deliveries.iter().map(|delivery| delivery.job).collect()
    };
    assert_eq!(listed(&page), [ids[4], ids[3], ids[2]]);
    let page = jobs.list_deliveries(dead_of_ada, page.next, 3).await.expect("they are listed");
    assert_eq!((listed(&page), page.next), (vec![ids[1], ids[0]], None));
    let text = serde_json::to_string(&page).expect("it can be serialised");
    assert!(text.contains("https://hooks.example") && !text.contains("token-7"), "{text}");
    for (filter, number) in [
        (filter(None, None), 6),
        (filter(None, Some(DeliveryState::Waiting)), 1),
        (filter(Some("ada"), None), 5),
        (filter(Some("eve"), None), 0),
    ] {
        let page = jobs.list_deliveries(filter, None, 9).await.expect("they are listed");
        assert_eq!(page.deliveries.len(), number);
    }

    assert!(matches!(jobs.resend(Some(&tenant("eve")), ids[0]).await, Err(JobError::NotFound)));
    assert!(matches!(jobs.delivery(Some(&tenant("eve")), ids[0]).await, Err(JobError::NotFound)));
    finish(jobs, &claimed(jobs).await.expect("it is due"), retry(HOUR)).await;
    assert_eq!(jobs.resend(None, other).await.expect("it is sent now").next, Some(start()));
    assert_eq!(claimed(jobs).await.map(|claimed| (claimed.claim.job(), claimed.tries)), Some((other, 1)));
    jobs.resend(Some(&tenant("ada")), ids[0]).await.expect("it is sent again");
    let again = claimed(jobs).await.expect("it is due");
    assert_eq!((again.claim.job(), again.claim.attempt(), again.tries), (ids[0], 2, 0));
    assert_eq!(again.callback.as_str(), URL);
    let counts = jobs.delivery_counts();
    assert_eq!((counts.of(DeliveryState::Waiting), counts.of(DeliveryState::Dead)), (2, 4));
}

#[tokio::test]
async fn deliveries_are_bounded_and_forgotten() {
    let limits = JobLimits { deliveries_max: 2, remembered_max: 100, ..JobLimits::default() };
    let mut fixture = Sqlite::with(limits);
    let jobs = fixture.engine();
    // All are accepted before one of them has ended.
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(submit(jobs, told(b"")).await.id);
    }
    for claimed in claim(jobs, 3).await {
        jobs.finish(claimed.lease, success(b"")).await.expect("it is stored");
    }
    let letter = delivery(jobs, ids[2]).await;
    assert_eq!((letter.state, letter.attempts), (DeliveryState::Dead, 0));
    assert!(letter.reason.expect("a reason").contains("webhooks.waiting_max"));
    let is_full = |error| matches!(error, Some(JobError::Full { which: Bound::Deliveries }));
    assert!(is_full(jobs.submit(vec![told(b"")]).await.err()));
    assert!(is_full(jobs.resend(None, ids[2]).await.err()));
    submit(jobs, job(b"")).await;

    for _ in 0..2 {
        finish(jobs, &claimed(jobs).await.expect("it is due"), DeliveryOutcome::Delivered).await;
    }
    fixture.advance(HOUR * 24 * 7);
    assert_eq!(jobs.sweep().await.expect("it is swept").deliveries, 3);
    assert_eq!(jobs.delivery_counts().total(), 0);
    assert!(matches!(jobs.delivery(None, ids[0]).await, Err(JobError::NotFound)));
    assert_eq!(jobs.next_delivery().await, None);
    fixture.reopen().await;
    assert_eq!(fixture.engine().delivery_counts().total(), 0);
}

#[tokio::test]
async fn the_first_that_ended_make_room() {
    let fixture = Sqlite::with(JobLimits { remembered_max: 3, ..JobLimits::default() });
    let jobs = fixture.engine();
    let mut ids = Vec::new();
    for _ in 0..6 {
        ids.push(succeeded(jobs, told(b"")).await);
        finish(jobs, &claimed(jobs).await.expect("it is due"), DeliveryOutcome::Delivered).await;
        // The records of jobs leave before their deliveries.
        fixture.advance(HOUR * 24);
        jobs.sweep().await.expect("it is swept");
        fixture.advance(HOUR * 24);
        jobs.sweep().await.expect("it is swept");
    }
    assert!(jobs.delivery_counts().total() <= 4, "{:?}", jobs.delivery_counts());
    assert!(jobs.delivery(None, ids[0]).await.is_err() && jobs.delivery(None, ids[5]).await.is_ok());
}

#[tokio::test]
async fn whoever_waits_for_deliveries_is_told() {
    let fixture = Sqlite::new();
    let work = fixture.engine().delivery_work();
    work.notified().await;
    succeeded(fixture.engine(), told(b"")).await;
    work.notified().await;
}

#[tokio::test]
async fn urls_are_sealed_on_disk() {
    let fixture = Sqlite::new();
    succeeded(fixture.engine(), told(b"")).await;
    submit(fixture.engine(), told(b"")).await;
    for entry in fs::read_dir(fixture.path()).expect("it can be read") {
        let path = entry.expect("an entry").path();
        let bytes = fs::read(&path).unwrap_or_default();
        assert!(!bytes.windows(7).any(|window| window == b"token-7"), "{}", path.display());
    }
}

#[tokio::test]
async fn a_database_of_the_first_version_is_upgraded() {
    let fixture = Sqlite::new();
    let jobs = fixture.engine();
    let before = submit(jobs, job(b"before")).await.id;
    jobs.close().await;
    let path = fixture.path();
    let first = rusqlite::Connection::open(path.join("jobs.sqlite")).expect("it can be opened");
    first
        .execute_batch(
            "DROP INDEX job_work; ALTER TABLE job DROP COLUMN work; ALTER TABLE job DROP COLUMN computed_by; \
             DROP TABLE delivery; ALTER TABLE job DROP COLUMN callback_url; PRAGMA user_version = 1",
        )
        .expect("what the first version had");
    first.close().expect("it can be closed");
    let open = || SqliteJobs::open(&path, &key(), JobLimits::default(), Arc::new(ManualClock::at(start())));
    for _ in 0..2 {
        let jobs = open().expect("it is upgraded");
        assert_eq!(record(&jobs, before).await.state, State::Queued);
        jobs.close().await;
    }
    let jobs = open().expect("it is upgraded");
    assert_eq!(claim_one(&jobs).await.body[..], b"before"[..]);
    let after = succeeded(&jobs, told(b"")).await;
    assert_eq!(claimed(&jobs).await.map(|claimed| claimed.claim.job()), Some(after));
    jobs.close().await;
}
