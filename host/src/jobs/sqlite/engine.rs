//! The interface of the engine: prepares what the writer needs, and completes what it answers.
//!
//! Invariant: nothing here blocks the executor's threads: encryption of large values, file access and the database are
//! on threads of their own.

use super::{
    bodies::Place,
    claim::Grant,
    deadlines::LeaseEnd,
    finish::SealedOutcome,
    open,
    opened::SqliteJobs,
    read,
    shared::Shared,
    submit::{self, Digests, SealedCallback, SealedJob},
    sweep,
};
use crate::jobs::{
    Claimed, Cursor, JobEngine, JobError, JobFailure, JobFilter, JobId, JobPage, JobRecord, JobResult,
    JobStats, Lease, NewJob, Outcome, Renewal, ResultDigest, Stored, Submitted, Swept, Tenant, seal::Sealed,
};
use futures_util::future::BoxFuture;
use std::{
    sync::{Arc, PoisonError},
    time::Duration,
};
use tokio::sync::{Notify, watch};

/// How long storing an outcome may take before its lease ends, unless a lease is longer.
const STORING_MAX: Duration = Duration::from_mins(10);

impl JobEngine for SqliteJobs {
    fn submit(&self, jobs: Vec<NewJob>) -> BoxFuture<'_, Result<Vec<Submitted>, JobError>> {
        Box::pin(async move {
            submit::check(&jobs, &self.shared.limits)?;
            let mut sealed = Vec::with_capacity(jobs.len());
            for job in jobs {
                sealed.push(self.seal_job(job).await?);
            }
            self.write(move |writer| writer.submit(sealed)).await
        })
    }

    fn claim(&self, can_run: &[String], limit: usize) -> BoxFuture<'_, Result<Vec<Claimed>, JobError>> {
        let can_run = can_run.to_vec();
        Box::pin(async move {
            let grants = self.write(move |writer| writer.claim(&can_run, limit)).await?;
            let mut claimed = Vec::with_capacity(grants.len());
            let has_grants = !grants.is_empty();
            for grant in grants {
                claimed.extend(self.open_grant(grant).await?);
            }
            if has_grants && claimed.is_empty() {
                // The caller must not take this for an empty queue.
                self.shared.notify_work();
            }
            Ok(claimed)
        })
    }

    fn renew(&self, lease: &Lease) -> BoxFuture<'_, Result<Renewal, JobError>> {
        let is_closed = self.writer.lock().unwrap_or_else(PoisonError::into_inner).0.is_none();
        let until = self.shared.clock.monotonic() + self.shared.limits.lease;
        let renewal =
            if is_closed { Err(JobError::Closed) } else { Ok(self.shared.deadlines.renew(lease, until)) };
        Box::pin(std::future::ready(renewal))
    }

    fn finish(&self, lease: Lease, outcome: Outcome) -> BoxFuture<'_, Result<Stored, JobError>> {
        Box::pin(async move {
            let (job, nonce) = (lease.job, lease.nonce);
            self.storing(&lease);
            let stored = async {
                let outcome = self.seal_outcome(job, outcome).await?;
                self.write(move |writer| writer.finish(&lease, outcome)).await
            };
            let stored = stored.await;
            if stored.is_err() {
                self.shared.deadlines.abandon(job, nonce, LeaseEnd::Unstored);
                self.shared.notify_work();
            }
            stored
        })
    }

    fn share(&self, lease: &Lease, image: &str) -> BoxFuture<'_, Result<Option<JobId>, JobError>> {
        let Lease { job, attempt, nonce } = *lease;
        Box::pin(self.share_result(Lease { job, attempt, nonce }, image.to_owned()))
    }

    fn give_back(&self, lease: Lease) -> BoxFuture<'_, Result<(), JobError>> {
        Box::pin(async move {
            let (job, nonce) = (lease.job, lease.nonce);
            let returned = self.write(move |writer| writer.give_back(job, nonce)).await;
            if returned.is_err() {
                self.shared.deadlines.abandon(job, nonce, LeaseEnd::Abandoned);
            }
            returned
        })
    }

    fn cancel(&self, tenant: Option<&Tenant>, id: JobId) -> BoxFuture<'_, Result<JobRecord, JobError>> {
        let tenant = tenant.cloned();
        Box::pin(self.write(move |writer| writer.cancel(tenant.as_ref(), id)))
    }

    fn get(&self, tenant: Option<&Tenant>, id: JobId) -> BoxFuture<'_, Result<JobRecord, JobError>> {
        let tenant = tenant.cloned();
        Box::pin(self.read(move |connection| read::record(connection, tenant.as_ref(), id)))
    }

    fn result(&self, tenant: Option<&Tenant>, id: JobId) -> BoxFuture<'_, Result<JobResult, JobError>> {
        let tenant = tenant.cloned();
        Box::pin(async move {
            let find = || {
                let tenant = tenant.clone();
                self.read(move |connection| read::result(connection, tenant.as_ref(), id))
            };
            let (record, place) = find().await?;
            let bytes = match self.open_value(id, Sealed::Result, record.bytes, place).await {
                // The result may have expired since its place was read.
                Err(damaged @ JobError::Damaged { .. }) => return Err(find().await.err().unwrap_or(damaged)),
                opened => opened?,
            };
            Ok(JobResult { media_type: record.media_type, digest: record.digest, bytes })
        })
    }

    fn list(
        &self,
        filter: JobFilter,
        cursor: Option<Cursor>,
        limit: usize,
    ) -> BoxFuture<'_, Result<JobPage, JobError>> {
        Box::pin(self.read(move |connection| read::page(connection, &filter, cursor, limit)))
    }

    fn watch(&self, id: JobId) -> watch::Receiver<u64> {
        self.shared.watchers.watch(id)
    }

    fn work(&self) -> Arc<Notify> {
        Arc::clone(&self.shared.work)
    }

    fn next_due(&self) -> BoxFuture<'_, Option<Duration>> {
        Box::pin(async move {
            let monotonic = self.shared.deadlines.next();
            let monotonic = monotonic.map(|until| until.saturating_sub(self.shared.clock.monotonic()));
            let wall = self.read(read::next_due).await.unwrap_or_else(|error| {
                tracing::warn!(%error, "the next time to live of a job is not known");
                None
            });
            let wall = wall.map(|time| time.since(self.shared.clock.wall()));
            monotonic.into_iter().chain(wall).min()
        })
    }

    fn sweep(&self) -> BoxFuture<'_, Result<Swept, JobError>> {
        Box::pin(async move {
            let mut swept = Swept::default();
            loop {
                let part = self.write(|writer| writer.sweep()).await?;
                swept.leases += part.leases;
                swept.waiting += part.waiting;
                swept.results += part.results;
                swept.tombstones += part.tombstones;
                swept.deliveries += part.deliveries;
                if (part.waiting + part.results + part.tombstones).max(part.deliveries)
                    < sweep::CHUNK.cast_unsigned()
                {
                    break;
                }
            }
            let shared = Arc::clone(&self.shared);
            let suspects = self.sealers.run(move |()| shared.bodies.suspects()).await??;
            if !suspects.is_empty() {
                let shared = Arc::clone(&self.shared);
                swept.files = self
                    .read(move |connection| open::remove_orphans(connection, &shared.bodies, &suspects))
                    .await?;
            }
            Ok(swept)
        })
    }

    fn stats(&self) -> BoxFuture<'_, Result<JobStats, JobError>> {
        Box::pin(async move {
            let oldest = self.read(read::oldest_waiting).await?;
            let now = self.shared.clock.wall();
            let stats = self.shared.queues().stats();
            Ok(JobStats { oldest_waiting: oldest.map(|submitted| now.since(submitted)), ..stats })
        })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            self.sealers.close().await;
            self.reader.close().await;
            let (sender, ended) =
                std::mem::take(&mut *self.writer.lock().unwrap_or_else(PoisonError::into_inner));
            drop(sender);
            if let Some(ended) = ended {
                // The other end is dropped, not used.
                let _ = ended.await;
            }
        })
    }
}

impl SqliteJobs {
    /// Extends a lease by as long as it may take to seal and write a large result.
    pub(super) fn storing(&self, lease: &Lease) {
        let patience = self.shared.limits.lease.max(STORING_MAX);
        self.shared.deadlines.renew(lease, self.shared.clock.monotonic() + patience);
    }

    async fn seal_job(&self, mut job: NewJob) -> Result<SealedJob, JobError> {
        let bytes = job.body.len() as u64;
        if job.idempotency_key.is_none() {
            // Refuses early, before a large body is written to a file. The writer checks again.
            self.shared.queues().check(&self.shared.limits, &job.tenant, 1, bytes)?;
        }
        let now = self.shared.clock.wall();
        let id = self.ids.lock().unwrap_or_else(PoisonError::into_inner).next(now);
        let seal = move |shared: &Shared| -> Result<SealedJob, JobError> {
            let digests = Digests::of(&job, &shared.seal);
            let value = submit::take_body(&mut job);
            let inline_bytes_max = shared.limits.inline_bytes_max;
            let body = shared.bodies.prepare(&shared.seal, id, Sealed::Body, value, inline_bytes_max)?;
            let callback = SealedCallback::of(id, &job, &shared.seal);
            Ok(SealedJob { id, job, body, callback, digests })
        };
        self.with_seal(bytes, seal).await?
    }

    async fn seal_outcome(&self, job: JobId, outcome: Outcome) -> Result<SealedOutcome, JobError> {
        let limits = &self.shared.limits;
        match outcome {
            Outcome::Succeeded { bytes, image, .. } if bytes.len() as u64 > limits.result_bytes_max => {
                let message = format!(
                    "the result has {} bytes; at most {} are kept",
                    bytes.len(),
                    limits.result_bytes_max
                );
                let failure = JobFailure { code: "result_too_large".into(), message };
                Ok(SealedOutcome::Failed { failure, image: Some(image) })
            }
            Outcome::Succeeded { bytes: value, media_type, image, identical } => {
                let bytes = value.len() as u64;
                let seal = move |shared: &Shared| {
                    let digest = ResultDigest::of(&value);
                    let inline_bytes_max = shared.limits.inline_bytes_max;
                    let result =
                        shared.bodies.prepare(&shared.seal, job, Sealed::Result, value, inline_bytes_max)?;
                    let computed_by = None;
                    Ok(SealedOutcome::Succeeded {
                        result,
                        digest,
                        bytes,
                        media_type,
                        image,
                        identical,
                        computed_by,
                    })
                };
                self.with_seal(bytes, seal).await?
            }
            Outcome::Failed { code, message, image } => {
                Ok(SealedOutcome::Failed { failure: JobFailure { code, message }, image })
            }
            Outcome::Retry { code, message } => Ok(SealedOutcome::Retry(JobFailure { code, message })),
        }
    }

    /// Opens the body of a claimed job. A job whose body is damaged fails; if it cannot be read, it is tried again later.
    async fn open_grant(&self, mut grant: Grant) -> Result<Option<Claimed>, JobError> {
        let place = grant.body.clone();
        let opened = self.open_value(grant.job.id, Sealed::Body, grant.job.body_bytes, place).await;
        let body = match opened {
            Ok(body) => body,
            Err(JobError::Closed) => return Err(JobError::Closed),
            Err(error) => {
                tracing::error!(job = %grant.job.id, %error, "the body of a job cannot be read");
                let (code, message) = ("storage".to_owned(), "the body of the job cannot be read".to_owned());
                let outcome = match error {
                    JobError::Damaged { .. } => Outcome::Failed {
                        code: "body_damaged".to_owned(),
                        message: error.to_string(),
                        image: None,
                    },
                    _ => Outcome::Retry { code, message },
                };
                self.finish(grant.take_lease(), outcome).await?;
                return Ok(None);
            }
        };
        Ok(Some(Claimed {
            lease: grant.take_lease(),
            job: grant.job.clone(),
            body,
            kind: grant.kind,
            options: grant.options.take(),
            media_type: grant.media_type.take(),
            estimate: grant.estimate,
            losses: grant.losses,
        }))
    }

    pub(super) async fn open_value(
        &self,
        job: JobId,
        what: Sealed,
        length: u64,
        place: Place,
    ) -> Result<zeroize::Zeroizing<Vec<u8>>, JobError> {
        self.with_seal(length, move |shared| shared.bodies.open(&shared.seal, job, what, place)).await?
    }
}
