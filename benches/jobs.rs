//! Durable jobs: how long a submission takes until it is on disk, what a claim costs while many jobs wait, and the memory
//! that waiting jobs take.
//!
//! The disk decides most of it, so what one sync takes is measured beside it.

mod support;

use snapback_host::jobs::{
    Identical, ImageChoice, InputKind, JobEngine, JobError, JobLimits, NewJob, Outcome, Priority, SealingKey,
    SqliteJobs, SystemClock,
};
use std::{
    fs::File,
    io::Write,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};
use support::{median, private_bytes, quantile, record};
use zeroize::Zeroizing;

const SERVICE: &str = "prover";
const WAITING: usize = 100_000;
const BATCH: usize = 1000;
/// Between two submissions: 200 a second.
const TICK: Duration = Duration::from_millis(5);

fn job(tenant: usize) -> NewJob {
    NewJob {
        tenant: format!("tenant-{tenant}").parse().expect("a valid name"),
        service: SERVICE.into(),
        method: "prove".into(),
        circuit: Some("withdraw".into()),
        image: ImageChoice::Current,
        body: Zeroizing::new(vec![1; 1000]),
        kind: InputKind::Raw,
        options: None,
        media_type: None,
        priority: Priority::default(),
        not_before: None,
        expires_at: None,
        idempotency_key: None,
        callback: None,
        traceparent: None,
        estimate: Some(Duration::from_millis(200)),
    }
}

fn open(directory: &Path) -> Arc<SqliteJobs> {
    let limits = JobLimits { queued_max: 200_000, tenant_queued_max: 200_000, ..JobLimits::default() };
    let key = SealingKey::from_bytes([7; 32]);
    Arc::new(SqliteJobs::open(directory, &key, limits, Arc::new(SystemClock::default())).expect("it opens"))
}

fn record_times(name: &str, mut times: Vec<f64>) {
    record(&format!("{name}_p50_seconds"), quantile(&mut times, 0.5));
    record(&format!("{name}_p99_seconds"), quantile(&mut times, 0.99));
}

/// Measures what one sync of a page takes on the disk of the jobs.
fn syncs(directory: &Path) {
    let mut file = File::create(directory.join("sync")).expect("a file");
    let times = (0..300).map(|_| {
        let begun = Instant::now();
        file.write_all(&[1; 4096]).and_then(|()| file.sync_data()).expect("the disk takes it");
        begun.elapsed().as_secs_f64()
    });
    record("jobs_one_sync_seconds", median(times.collect()));
}

async fn submissions(jobs: &Arc<SqliteJobs>) -> Result<(), JobError> {
    let mut ticks = tokio::time::interval(TICK);
    let mut tasks = Vec::new();
    for number in 0..2000 {
        ticks.tick().await;
        let jobs = Arc::clone(jobs);
        tasks.push(tokio::spawn(async move {
            let begun = Instant::now();
            jobs.submit(vec![job(number % 10)]).await.map(|_| begun.elapsed().as_secs_f64())
        }));
    }
    let mut times = Vec::new();
    for task in tasks {
        times.push(task.await.expect("no task panics")?);
    }
    record_times("jobs_submit", times);
    Ok(())
}

/// Measures claims and outcomes while [`WAITING`] jobs wait.
async fn claims(jobs: &SqliteJobs) -> Result<(), JobError> {
    let can_run = [SERVICE.to_owned()];
    let (mut claim_times, mut finish_times) = (Vec::new(), Vec::new());
    for _ in 0..500 {
        let begun = Instant::now();
        let claimed = jobs.claim(&can_run, 1).await?.pop().expect("jobs wait");
        claim_times.push(begun.elapsed().as_secs_f64());
        let bytes = Zeroizing::new(vec![2; 800]);
        let begun = Instant::now();
        let (image, identical) = ("00".into(), Identical::Differs);
        jobs.finish(claimed.lease, Outcome::Succeeded { bytes, media_type: None, image, identical }).await?;
        finish_times.push(begun.elapsed().as_secs_f64());
    }
    record_times("jobs_claim", claim_times);
    record_times("jobs_finish", finish_times);
    // Many claims share one sync, so that this is what a claim costs without it.
    let begun = Instant::now();
    let claimed = jobs.claim(&can_run, BATCH).await?;
    record("jobs_claim_of_many_each_seconds", begun.elapsed().as_secs_f64() / claimed.len() as f64);
    Ok(())
}

async fn run() -> Result<(), JobError> {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    syncs(directory.path());
    let jobs = open(&directory.path().join("jobs"));
    submissions(&jobs).await?;
    let before = private_bytes();
    let begun = Instant::now();
    for first in (0..WAITING).step_by(BATCH) {
        jobs.submit((first..first + BATCH).map(|number| job(number % 10)).collect()).await?;
    }
    record("jobs_in_batches_each_seconds", begun.elapsed().as_secs_f64() / WAITING as f64);
    record("jobs_100000_waiting_private_bytes", private_bytes() - before);
    claims(&jobs).await?;
    jobs.close().await;
    drop(jobs);
    let begun = Instant::now();
    let jobs = open(&directory.path().join("jobs"));
    record("jobs_100000_open_seconds", begun.elapsed().as_secs_f64());
    jobs.close().await;
    Ok(())
}

fn main() {
    // `cargo bench` passes flags of criterion, which this program ignores.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(run()).expect("the disk takes the jobs");
}
