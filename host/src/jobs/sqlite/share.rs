//! Ends claimed jobs with results that identical work had before.
//!
//! The result is copied and sealed for the job that gets it, so that each of the two expires by itself.
//!
//! Invariant: a result is shared within its tenant alone, and only one that its holder stored for identical work. Looking
//! for one reads a bounded number of rows, however many jobs are remembered.

use super::{bodies::Place, finish::SealedOutcome, opened::SqliteJobs, rows, shared::Shared};
use crate::jobs::{Identical, JobError, JobId, Lease, ResultRecord, Stored, Timestamp, seal::Sealed};
use rusqlite::{Connection, OptionalExtension as _};

/// A result that is kept for identical work.
struct Kept {
    /// The job that has it.
    holder: JobId,
    /// The job that computed it.
    computed_by: JobId,
    result: ResultRecord,
    place: Place,
}

impl SqliteJobs {
    /// Ends a claimed job with a result of identical work on an image, and returns the job that computed it.
    pub(super) async fn share_result(&self, lease: Lease, image: String) -> Result<Option<JobId>, JobError> {
        let (job, now) = (lease.job, self.shared.clock.wall());
        let wanted = image.clone();
        let Some(kept) = self.read(move |connection| kept(connection, job, &wanted, now)).await? else {
            return Ok(None);
        };
        let Kept { holder, computed_by, result: ResultRecord { digest, bytes, media_type }, place } = kept;
        self.storing(&lease);
        let value = match self.open_value(holder, Sealed::Result, bytes, place).await {
            Ok(value) => value,
            // It has expired since, or is damaged: the job computes its own.
            Err(JobError::Damaged { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let prepare = move |shared: &Shared| {
            let inline_bytes_max = shared.limits.inline_bytes_max;
            shared.bodies.prepare(&shared.seal, job, Sealed::Result, value, inline_bytes_max)
        };
        let result = self.with_seal(bytes, prepare).await??;
        let outcome = SealedOutcome::Succeeded {
            result,
            digest,
            bytes,
            media_type,
            image,
            identical: Identical::MayShare,
            computed_by: Some(computed_by),
        };
        let stored = self.write(move |writer| writer.finish(&lease, outcome)).await?;
        Ok((stored == Stored::Mine).then_some(computed_by))
    }
}

/// Returns the newest result of work that is identical to that of a job.
fn kept(connection: &Connection, job: JobId, image: &str, now: Timestamp) -> Result<Option<Kept>, JobError> {
    // One transaction, so that a record and its place belong together.
    let transaction = connection.unchecked_transaction()?;
    let mut own = transaction.prepare_cached("SELECT work, tenant FROM job WHERE id = ?1")?;
    let own: Option<(Option<[u8; 32]>, String)> =
        own.query_row([job.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    let Some((Some(work), tenant)) = own else { return Ok(None) };
    let mut newest = transaction.prepare_cached(
        "SELECT * FROM job INDEXED BY job_work WHERE work = ?1 AND image = ?2 AND state = 2 ORDER BY seq DESC LIMIT 1",
    )?;
    let newest = newest
        .query_row((work, image), |row| Ok((rows::record(row)?, row.get::<_, i64>("seq")?)))
        .optional()?;
    let Some((record, seq)) = newest else { return Ok(None) };
    // The tenant is part of what was digested. That nothing is shared between two does not rest on that alone.
    let is_own = record.tenant.as_str() == tenant;
    let is_kept = record.expires_at.is_some_and(|expires| expires > now);
    let Some(result) = record.result.filter(|_| is_own && is_kept) else { return Ok(None) };
    let mut place = transaction.prepare_cached("SELECT sealed, file FROM result WHERE seq = ?1")?;
    let place = place.query_row([seq], rows::place).optional()?;
    let computed_by = record.computed_by.unwrap_or(record.id);
    Ok(place.map(|place| Kept { holder: record.id, computed_by, result, place }))
}
