//! Ends attempts and jobs.
//!
//! Invariant: a job ends once. Its body is deleted in the transaction that ends it. Only the attempt whose nonce is in
//! the row can change a claimed job.

use super::{
    bodies::{Place, Prepared},
    deadlines::LeaseEnd,
    read,
    rows::{Live, place, stored},
    schema::Delay,
    writer::{Effect, Writer},
};
use crate::jobs::{
    CANCELLED, Identical, JobError, JobFailure, JobId, JobRecord, Lease, ResultDigest, State, Stored, Tenant,
    fairness::Waiting,
};
use rusqlite::{OptionalExtension as _, named_params};
use std::time::Duration;

/// Longest code and message of a failure that are kept, in bytes.
const CODE_BYTES_MAX: usize = 128;
const MESSAGE_BYTES_MAX: usize = 4 << 10;
/// The code of a job whose outcome could not be stored.
const NOT_STORED: &str = "not_stored";

/// How an attempt ended. A result is sealed.
pub(super) enum SealedOutcome {
    Succeeded {
        result: Prepared,
        digest: ResultDigest,
        bytes: u64,
        media_type: Option<String>,
        image: String,
        identical: Identical,
        /// The job that computed it, if it is that of identical work: the attempt has run nothing.
        computed_by: Option<JobId>,
    },
    Failed {
        failure: JobFailure,
        image: Option<String>,
    },
    Retry(JobFailure),
}

impl Live {
    /// What is counted of the job while it waits.
    pub(super) fn waiting(&self) -> Waiting<'_> {
        let Self { tenant, service, priority, body_bytes, is_ready, .. } = self;
        Waiting { tenant, service, priority: *priority, body_bytes: *body_bytes, is_ready: *is_ready }
    }
}

impl Writer {
    /// Stores an outcome if the lease is still held.
    pub(super) fn finish(&mut self, lease: &Lease, outcome: SealedOutcome) -> Result<Stored, JobError> {
        let Some(live) = self.held(lease.job, lease.nonce)? else { return Ok(Stored::Other) };
        match outcome {
            SealedOutcome::Succeeded { result, digest, bytes, media_type, image, identical, computed_by } => {
                self.store("INSERT INTO result (seq, sealed, file) VALUES (?1, ?2, ?3)", live.seq, result)?;
                self.connection
                    .prepare_cached(
                        "UPDATE job SET result_digest = :digest, result_bytes = :bytes, result_media_type = :media_type, \
                         image = :image, work = CASE WHEN :may_share THEN work END, computed_by = :computed_by, \
                         attempts = attempts - (:computed_by IS NOT NULL) WHERE seq = :seq",
                    )?
                    .execute(named_params! {
                        ":digest": digest.0,
                        ":bytes": bytes.cast_signed(),
                        ":media_type": media_type,
                        ":image": image,
                        ":may_share": identical == Identical::MayShare,
                        ":computed_by": computed_by.as_ref().map(JobId::as_bytes),
                        ":seq": live.seq,
                    })?;
                self.end(&live, State::Succeeded, None)?;
                self.count().add_result(&live.tenant, bytes);
            }
            SealedOutcome::Failed { failure, .. }
                if live.is_cancel_requested && failure.code == CANCELLED =>
            {
                self.end(&live, State::Cancelled, None)?;
            }
            SealedOutcome::Failed { failure, image } => {
                self.connection
                    .prepare_cached("UPDATE job SET image = ifnull(?2, image) WHERE seq = ?1")?
                    .execute((live.seq, image))?;
                self.end(&live, State::Failed, Some(failure))?;
            }
            SealedOutcome::Retry(_) if live.is_cancel_requested => self.end(&live, State::Cancelled, None)?,
            SealedOutcome::Retry(failure) if live.retries >= self.shared.limits.retries_max => {
                self.end(&live, State::Failed, Some(failure))?;
            }
            SealedOutcome::Retry(failure) => {
                let until = self.shared.clock.monotonic() + self.backoff(&live);
                self.requeue(&live, Delay::BackOff, Some(failure), (0, 0, 1))?;
                self.add_effect(Effect::Paused(until, live.seq));
            }
        }
        Ok(Stored::Mine)
    }

    /// Returns a job to the queue without counting the attempt.
    pub(super) fn give_back(&mut self, job: JobId, nonce: u64) -> Result<(), JobError> {
        match self.held(job, nonce)? {
            None => Ok(()),
            Some(live) if live.is_cancel_requested => self.end(&live, State::Cancelled, None),
            Some(live) => self.requeue(&live, Delay::None, None, (-1, 0, 0)),
        }
    }

    /// Ends an attempt whose holder died.
    pub(super) fn lose(&mut self, live: &Live) -> Result<(), JobError> {
        if live.is_cancel_requested {
            return self.end(live, State::Cancelled, None);
        }
        if live.losses + 1 < self.shared.limits.attempts_max {
            return self.requeue(live, Delay::None, None, (0, 1, 0));
        }
        let times = live.losses + 1;
        let message =
            format!("{times} attempts ended with the death of their process or the loss of their lease");
        let code = "quarantined".to_owned();
        self.end(live, State::Quarantined, Some(JobFailure { code, message }))
    }

    /// Ends the attempts whose leases have ended, and returns how many.
    pub(super) fn end_leases(&mut self) -> Result<u64, JobError> {
        let ended = self.shared.deadlines.ended(self.shared.clock.monotonic());
        let number = ended.len() as u64;
        for ended in ended {
            match self.held(ended.job, ended.nonce)? {
                Some(live) if ended.end == LeaseEnd::Lost => {
                    tracing::warn!(job = %live.id, attempt = live.attempts, "the lease of a job was lost");
                    self.lose(&live)?;
                }
                Some(live) if ended.end == LeaseEnd::Unstored => {
                    let message = "the outcome of the job could not be stored".to_owned();
                    let failure = JobFailure { code: NOT_STORED.to_owned(), message };
                    let lease = Lease { job: live.id, attempt: live.attempts, nonce: ended.nonce };
                    self.finish(&lease, SealedOutcome::Retry(failure))?;
                }
                _ => self.give_back(ended.job, ended.nonce)?,
            }
            self.add_effect(Effect::Ended(ended.job, ended.nonce));
        }
        Ok(number)
    }

    /// Cancels a job, or asks its holder to.
    pub(super) fn cancel(&mut self, tenant: Option<&Tenant>, id: JobId) -> Result<JobRecord, JobError> {
        let live = Live::by_id(&self.connection, id)?.ok_or(JobError::NotFound)?;
        if tenant.is_some_and(|tenant| *tenant != live.tenant) {
            return Err(JobError::NotFound);
        }
        match live.state {
            State::Queued => {
                self.connection
                    .prepare_cached("UPDATE job SET cancel = 1 WHERE seq = ?1")?
                    .execute([live.seq])?;
                self.end(&live, State::Cancelled, None)?;
            }
            State::Claimed if !live.is_cancel_requested => {
                self.connection
                    .prepare_cached("UPDATE job SET cancel = 1 WHERE seq = ?1")?
                    .execute([live.seq])?;
                self.add_effect(Effect::CancelRequested(id));
                self.add_effect(Effect::Changed(id));
            }
            _ => {}
        }
        read::record(&self.connection, None, id)
    }

    /// The job, if this attempt of it is still the current one.
    fn held(&self, job: JobId, nonce: u64) -> Result<Option<Live>, JobError> {
        let live = Live::by_id(&self.connection, job)?;
        Ok(live.filter(|live| live.state == State::Claimed && live.nonce == Some(nonce.cast_signed())))
    }

    /// Ends a job that is waiting or claimed.
    pub(super) fn end(
        &mut self,
        live: &Live,
        state: State,
        failure: Option<JobFailure>,
    ) -> Result<(), JobError> {
        let now = self.shared.clock.wall();
        let limits = &self.shared.limits;
        let (result_until, window) = (now.after(limits.result_ttl), limits.idempotency_window);
        // A result expires, and leaves a tombstone. Without one, the record itself is the tombstone.
        let (due, expires_at) = match state {
            State::Succeeded => (result_until, Some(result_until)),
            State::Expired => (now.after(window), live.expires_at),
            _ => (result_until.after(window), live.expires_at),
        };
        let failure = failure.map(bounded);
        self.connection
            .prepare_cached(
                "UPDATE job SET state = :state, delay = 0, finished = :now, nonce = NULL, due_at = :due, \
                 expires_at = :expires_at, error_code = :code, error_message = :message WHERE seq = :seq",
            )?
            .execute(named_params! {
                ":state": state as i64,
                ":now": stored(now),
                ":due": stored(due),
                ":expires_at": expires_at.map(stored),
                ":code": failure.as_ref().map(|failure| &failure.code),
                ":message": failure.as_ref().map(|failure| &failure.message),
                ":seq": live.seq,
            })?;
        self.add_delivery(live.seq, now)?;
        self.delete("DELETE FROM body WHERE seq = ?1 RETURNING sealed, file", live.seq)?;
        self.leave(live);
        self.count().count(&live.tenant, state, 1);
        Ok(())
    }

    /// Returns a claimed job to the queue, and adds to its attempts, losses and retries.
    fn requeue(
        &mut self,
        live: &Live,
        delay: Delay,
        failure: Option<JobFailure>,
        (attempts, losses, retries): (i64, i64, i64),
    ) -> Result<(), JobError> {
        let failure = failure.map(bounded);
        self.connection
            .prepare_cached(
                "UPDATE job SET state = 0, delay = :delay, nonce = NULL, due_at = max(expires_at, :until), \
                 expires_at = max(expires_at, :until), attempts = attempts + :attempts, losses = losses + :losses, retries = retries + :retries, \
                 error_code = ifnull(:code, error_code), error_message = ifnull(:message, error_message) \
                 WHERE seq = :seq",
            )?
            .execute(named_params! {
                ":delay": delay as i64,
                // It has waited in time, and begins to wait again.
                ":until": stored(self.shared.clock.wall().after(self.shared.limits.waiting_ttl)),
                ":attempts": attempts,
                ":losses": losses,
                ":retries": retries,
                ":code": failure.as_ref().map(|failure| &failure.code),
                ":message": failure.as_ref().map(|failure| &failure.message),
                ":seq": live.seq,
            })?;
        self.leave(live);
        let waiting = Waiting { is_ready: delay == Delay::None, ..live.waiting() };
        self.count().add(waiting, 1);
        self.add_effect(Effect::Work);
        Ok(())
    }

    /// Uncounts a job that leaves its state, and ends its lease.
    fn leave(&mut self, live: &Live) {
        match live.state {
            State::Queued => self.count().remove(live.waiting()),
            state => self.count().uncount(&live.tenant, state),
        }
        if let Some(nonce) = live.nonce {
            self.add_effect(Effect::Ended(live.id, nonce.cast_unsigned()));
        }
        self.add_effect(Effect::Changed(live.id));
    }

    /// Deletes a sealed value with a statement that returns it.
    pub(super) fn delete(&mut self, statement: &str, seq: i64) -> Result<(), JobError> {
        let deleted = self.connection.prepare_cached(statement)?.query_row([seq], place).optional()?;
        if let Some(Place::File(name)) = deleted {
            self.add_effect(Effect::Unnamed(name));
        }
        Ok(())
    }

    /// The pause before the next retry. Its position between the bounds depends on the job and the attempt, so that jobs
    /// that failed together do not return together.
    fn backoff(&self, live: &Live) -> Duration {
        let (least, most) = self.shared.limits.backoff(live.retries);
        let digest = self.shared.seal.digest([live.id.as_bytes().as_slice(), &live.attempts.to_le_bytes()]);
        let share = f64::from(u16::from_le_bytes([digest[0], digest[1]])) / f64::from(u16::MAX);
        least + (most - least).mul_f64(share)
    }

    /// Ends a waiting job whose time to live is over.
    pub(super) fn expire_waiting(&mut self, live: &Live) -> Result<(), JobError> {
        self.end(live, State::Expired, None)
    }
}

/// Shortens a failure to what is kept of it.
fn bounded(mut failure: JobFailure) -> JobFailure {
    failure.code.truncate(failure.code.floor_char_boundary(CODE_BYTES_MAX));
    failure.message.truncate(failure.message.floor_char_boundary(MESSAGE_BYTES_MAX));
    failure
}
