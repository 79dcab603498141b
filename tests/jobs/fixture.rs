//! What every test of the suite needs: an engine that can be opened again, and a clock that the test moves.
//!
//! Invariant: the conformance suite reaches an engine only through [`Fixture`]. A second engine implements it.

use snapback_host::jobs::{
    Claimed, Identical, ImageChoice, InputKind, JobEngine, JobError, JobId, JobLimits, JobRecord,
    ManualClock, NewJob, Outcome, Priority, SealingKey, SqliteJobs, State, Tenant, Timestamp,
};
use std::{
    path::Path,
    pin::Pin,
    sync::Arc,
    task::{Context, Waker},
    time::Duration,
};
use tempfile::TempDir;
use zeroize::Zeroizing;

/// The only service of the suite.
pub(crate) const SERVICE: &str = "prover";

/// An engine under test.
pub(crate) trait Fixture {
    /// The engine.
    fn engine(&self) -> &dyn JobEngine;
    /// Closes the engine in order, and opens it again.
    async fn reopen(&mut self);
    /// Lets time pass.
    fn advance(&self, time: Duration);
    /// Steps the wall clock alone.
    fn set_wall(&self, wall: Timestamp);
}

/// The engine on SQLite, in a temporary directory.
pub(crate) struct Sqlite {
    pub(crate) directory: TempDir,
    limits: JobLimits,
    clock: Arc<ManualClock>,
    jobs: Option<Arc<SqliteJobs>>,
}

/// The wall clock of the suite at the beginning.
pub(crate) fn start() -> Timestamp {
    Timestamp::from_millis(1_790_000_000_000)
}

pub(crate) fn key() -> SealingKey {
    SealingKey::from_bytes([7; 32])
}

pub(crate) fn open_at(path: &Path, limits: JobLimits) -> Result<SqliteJobs, JobError> {
    SqliteJobs::open(path, &key(), limits, Arc::new(ManualClock::at(start())))
}

impl Sqlite {
    pub(crate) fn new() -> Self {
        Self::with(JobLimits::default())
    }

    pub(crate) fn with(limits: JobLimits) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut fixture = Self { directory, limits, clock: Arc::new(ManualClock::at(start())), jobs: None };
        fixture.open();
        fixture
    }

    fn open(&mut self) {
        let clock = Arc::clone(&self.clock);
        let opened = SqliteJobs::open(&self.path(), &key(), self.limits.clone(), clock);
        self.jobs = Some(Arc::new(opened.expect("the directory can be opened")));
    }

    pub(crate) fn path(&self) -> std::path::PathBuf {
        self.directory.path().join("jobs")
    }

    pub(crate) fn shared(&self) -> Arc<SqliteJobs> {
        Arc::clone(self.jobs.as_ref().expect("it is open"))
    }

    /// Names of the files of bodies and results.
    pub(crate) fn files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.path().join("bodies")).expect("the directory is there");
        entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("a name")).collect()
    }
}

impl Fixture for Sqlite {
    fn engine(&self) -> &dyn JobEngine {
        &**self.jobs.as_ref().expect("it is open")
    }

    async fn reopen(&mut self) {
        self.engine().close().await;
        self.jobs = None;
        self.open();
    }

    fn advance(&self, time: Duration) {
        self.clock.advance(time);
    }

    fn set_wall(&self, wall: Timestamp) {
        self.clock.set_wall(wall);
    }
}

pub(crate) fn tenant(name: &str) -> Tenant {
    name.parse().expect("a valid tenant")
}

pub(crate) fn job(body: &[u8]) -> NewJob {
    NewJob {
        tenant: tenant("ada"),
        service: SERVICE.into(),
        method: "prove".into(),
        circuit: Some("withdraw".into()),
        image: ImageChoice::Current,
        body: Zeroizing::new(body.to_vec()),
        kind: InputKind::Raw,
        options: None,
        media_type: Some("application/octet-stream".into()),
        priority: Priority::default(),
        not_before: None,
        expires_at: None,
        idempotency_key: None,
        callback: None,
        traceparent: None,
        estimate: None,
    }
}

pub(crate) fn of_tenant(name: &str, body: &[u8]) -> NewJob {
    NewJob { tenant: tenant(name), ..job(body) }
}

pub(crate) async fn submit(jobs: &dyn JobEngine, job: NewJob) -> JobRecord {
    let submitted = jobs.submit(vec![job]).await.expect("it is accepted");
    submitted.into_iter().next().expect("one job").record().clone()
}

pub(crate) async fn claim(jobs: &dyn JobEngine, limit: usize) -> Vec<Claimed> {
    jobs.claim(&[SERVICE.to_owned()], limit).await.expect("jobs can be claimed")
}

pub(crate) async fn claim_one(jobs: &dyn JobEngine) -> Claimed {
    claim(jobs, 1).await.pop().expect("a job waits")
}

pub(crate) async fn record(jobs: &dyn JobEngine, id: JobId) -> JobRecord {
    jobs.get(None, id).await.expect("the job is known")
}

pub(crate) async fn state(jobs: &dyn JobEngine, id: JobId) -> State {
    record(jobs, id).await.state
}

pub(crate) async fn bytes(jobs: &dyn JobEngine, id: JobId) -> Vec<u8> {
    jobs.result(None, id).await.expect("there is a result").bytes.to_vec()
}

pub(crate) fn success(bytes: &[u8]) -> Outcome {
    let (bytes, image) = (Zeroizing::new(bytes.to_vec()), "sha256:1".into());
    Outcome::Succeeded { bytes, media_type: None, image, identical: Identical::Differs }
}

pub(crate) fn failure(code: &str) -> Outcome {
    Outcome::Failed { code: code.into(), message: "it failed".into(), image: None }
}

pub(crate) fn retry(code: &str) -> Outcome {
    Outcome::Retry { code: code.into(), message: "it may pass".into() }
}

/// Polls a future once, and returns whether it is not done.
pub(crate) fn is_pending(future: &mut (impl Future + Unpin)) -> bool {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop())).is_pending()
}
