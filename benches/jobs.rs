//! Durable jobs: how long a submission takes until it is on disk, what a claim costs while many jobs wait, and the memory
//! that waiting jobs take. Then 10,000 streams of events at once: the memory of a server that follows a job for as many
//! clients or shows itself to as many pages, and how long one event takes to reach all of them.
//!
//! The disk decides most of the first part, so what one sync takes is measured beside it. The second runs alone with
//! `cargo bench --bench jobs -- streams`. Its clients run on the same processors as the server.

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
use support::{crowd::Crowd, job_key, median, private_bytes, quantile, record, served::Served};
use zeroize::Zeroizing;

const SERVICE: &str = "prover";
const WAITING: usize = 100_000;
const BATCH: usize = 1000;
/// Streams that are open at once.
const STREAMS: usize = 10_000;
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

/// Starts a server that has room for the streams, of which a quarter of the connections may be those of pages.
fn served() -> Served {
    let connections = (4 * STREAMS + 64).to_string();
    let args =
        ["--http-connections-max", &connections, "--http-connections-per-peer-max", "off", "--lanes", "2"];
    let jobs =
        ["--jobs-key-file", &job_key(), "--set", "method.spin.deadline=1h", "--swap-policy", "every-call"];
    Served::start("fixtures", &[&args[..], &jobs].concat())
}

/// Opens the streams at a path, and measures their memory and how long the event that `cause` makes takes to all of them.
async fn streams(
    name: &str,
    server: &mut Served,
    path: &str,
    text: &'static str,
    cause: impl FnOnce(&mut Served),
) {
    let (resident, private) = (server.resident_bytes(), server.private_bytes());
    let begun = Instant::now();
    let crowd = Crowd::open(server.address(), path, STREAMS, text).await;
    record(&format!("{name}_10000_open_seconds"), begun.elapsed().as_secs_f64());
    let each = |now: f64, before: f64| (now - before) / STREAMS as f64;
    record(&format!("{name}_10000_resident_bytes_each"), each(server.resident_bytes(), resident));
    record(&format!("{name}_10000_private_bytes_each"), each(server.private_bytes(), private));
    let begun = Instant::now();
    cause(server);
    let reached = crowd.reached().await;
    record(&format!("{name}_10000_reached_seconds"), reached.duration_since(begun).as_secs_f64());
}

async fn crowds() {
    let mut server = served();
    let job = server.ask("POST", "/v1/methods/spin?async=true");
    let job: serde_json::Value = serde_json::from_slice(&job).expect("a job");
    let job = format!("/v1/jobs/{}", job["id"].as_str().expect("an id"));
    while !String::from_utf8_lossy(&server.ask("GET", &job)).contains("claimed") {
        tokio::task::yield_now().await;
    }
    let cancel = |server: &mut Served| drop(server.ask("DELETE", &job));
    streams("job_streams", &mut server, &format!("{job}/events"), r#""state":"cancelled""#, cancel).await;
    drop(server);
    let call = |server: &mut Served| drop(server.ask("POST", "/v1/methods/echo"));
    streams("page_streams", &mut served(), "/v1/events", "event: swap-complete", call).await;
}

fn main() {
    // `cargo bench` passes flags of criterion, which this program ignores; a name selects one part.
    let part = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let is_wanted = |name: &str| part.as_ref().is_none_or(|part| part == name);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("a runtime");
    if is_wanted("engine") {
        runtime.block_on(run()).expect("the disk takes the jobs");
    }
    if is_wanted("streams") {
        runtime.block_on(crowds());
    }
}
