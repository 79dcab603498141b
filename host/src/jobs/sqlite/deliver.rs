//! Deliveries in the database: created, claimed, ended, sent again, forgotten.
//!
//! Invariant: a delivery is created in the transaction that ends its job, and only the attempt whose number is in the row
//! changes one that is claimed.

use super::{
    rows::{self, stored},
    turns::Now,
    writer::{Effect, Writer},
};
use crate::jobs::{
    DeliveryClaim, DeliveryOutcome, DeliveryRecord, DeliveryState, JobEnd, JobError, JobId, Stored, Tenant,
    Timestamp,
};
use rusqlite::{OptionalExtension as _, Row, named_params};

/// Longest reason that is kept, in bytes.
const REASON_BYTES_MAX: usize = 512;
/// Why a delivery was never tried.
const TOO_MANY: &str = "it was not tried, because too many webhooks waited (`webhooks.waiting_max`)";

/// A claimed delivery whose URL is sealed.
pub(super) struct SealedDelivery {
    pub(super) claim: DeliveryClaim,
    pub(super) tenant: Tenant,
    pub(super) url: Vec<u8>,
    pub(super) now: Timestamp,
    pub(super) since: Timestamp,
    pub(super) tries: u32,
    pub(super) end: JobEnd,
    pub(super) traceparent: Option<String>,
}

impl SealedDelivery {
    fn of(row: &Row<'_>, now: Timestamp) -> rusqlite::Result<Self> {
        let record = rows::delivery(row)?;
        Ok(Self {
            claim: DeliveryClaim { job: record.job, attempt: record.attempts },
            tenant: record.tenant,
            url: row.get("url")?,
            now,
            since: rows::time(row, "since")?.unwrap_or_default(),
            tries: rows::unsigned(row, "tries")?,
            end: JobEnd {
                state: record.outcome,
                finished: record.finished,
                service: row.get("service")?,
                method: row.get("method")?,
                circuit: row.get("circuit")?,
                image: row.get("image")?,
                error: rows::failure(row)?,
            },
            traceparent: row.get("traceparent")?,
        })
    }
}

impl Writer {
    /// Creates the delivery of a job that has just ended, if it has a callback.
    pub(super) fn add_delivery(&mut self, seq: i64, now: Timestamp) -> Result<(), JobError> {
        let limits = &self.shared.limits;
        let is_full = self.shared.queues().check_deliveries(limits).is_err();
        let (state, due, reason) = if is_full {
            (DeliveryState::Dead, now.after(limits.delivery_ttl), Some(TOO_MANY))
        } else {
            (DeliveryState::Waiting, now, None)
        };
        let mut insert = self.connection.prepare_cached(
            "INSERT INTO delivery (id, tenant, origin, url, service, method, circuit, image, outcome, error_code, \
             error_message, finished, state, since, due_at, reason) SELECT id, tenant, callback, callback_url, service, \
             method, circuit, image, state, error_code, error_message, finished, :state, finished, :due, :reason \
             FROM job WHERE seq = :seq AND callback_url IS NOT NULL",
        )?;
        let added = insert.execute(named_params! {
            ":state": state as i64,
            ":due": stored(due),
            ":reason": reason,
            ":seq": seq,
        })?;
        drop(insert);
        if added == 0 {
            return Ok(());
        }
        // The delivery has it now.
        self.connection
            .prepare_cached("UPDATE job SET callback_url = NULL WHERE seq = ?1")?
            .execute([seq])?;
        self.count().deliveries.add(state, 1);
        self.add_effect(Effect::Deliver);
        if self.shared.queues().deliveries.total() > self.shared.limits.remembered_max {
            self.forget_first(1)?;
        }
        Ok(())
    }

    /// Claims a delivery that is due, of the next tenant and receiver that have one, where the receiver is not busy.
    pub(super) fn claim_delivery(&mut self, busy: &[String]) -> Result<Option<SealedDelivery>, JobError> {
        let now = self.shared.clock.wall();
        let (connection, limits) = (&self.connection, &self.shared.limits);
        let next = self.turns.next(&Now { connection, limits, busy, time: now })?;
        next.map(|seq| self.claim_delivery_of(seq, now)).transpose()
    }

    fn claim_delivery_of(&mut self, seq: i64, now: Timestamp) -> Result<SealedDelivery, JobError> {
        let until = now.after(self.shared.limits.delivery_lease);
        let mut update = self.connection.prepare_cached(
            "UPDATE delivery SET is_claimed = 1, attempts = attempts + 1, due_at = ?2, \
             since = CASE WHEN tries = 0 THEN ?3 ELSE since END WHERE seq = ?1 \
             RETURNING *, (SELECT traceparent FROM job WHERE job.id = delivery.id) AS traceparent",
        )?;
        Ok(update.query_row((seq, stored(until), stored(now)), |row| SealedDelivery::of(row, now))?)
    }

    /// Stores how an attempt ended.
    pub(super) fn finish_delivery(
        &mut self,
        claim: DeliveryClaim,
        outcome: DeliveryOutcome,
    ) -> Result<Stored, JobError> {
        let now = self.shared.clock.wall();
        let kept = now.after(self.shared.limits.delivery_ttl);
        let (state, due, tried, reason) = match outcome {
            DeliveryOutcome::Delivered => (DeliveryState::Delivered, kept, 1, None),
            DeliveryOutcome::Retry { after, reason } => {
                (DeliveryState::Waiting, now.after(after), 1, Some(reason))
            }
            DeliveryOutcome::Dead { reason } => (DeliveryState::Dead, kept, 1, Some(reason)),
            DeliveryOutcome::GivenBack => (DeliveryState::Waiting, now, 0, None),
        };
        let reason = reason.map(|mut reason| {
            reason.truncate(reason.floor_char_boundary(REASON_BYTES_MAX));
            reason
        });
        let mut update = self.connection.prepare_cached(
            "UPDATE delivery SET is_claimed = 0, state = :state, due_at = :due, tries = tries + :tried, \
             reason = CASE WHEN :tried THEN :reason ELSE reason END \
             WHERE id = :id AND attempts = :attempt AND is_claimed = 1",
        )?;
        let changed = update.execute(named_params! {
            ":state": state as i64,
            ":due": stored(due),
            ":tried": tried,
            ":reason": reason,
            ":id": claim.job.as_bytes(),
            ":attempt": claim.attempt,
        })?;
        drop(update);
        if changed == 0 {
            return Ok(Stored::Other);
        }
        if state != DeliveryState::Waiting {
            let mut counted = self.count();
            counted.deliveries.remove(DeliveryState::Waiting);
            counted.deliveries.add(state, 1);
        }
        self.add_effect(Effect::Deliver);
        self.add_effect(Effect::Changed(claim.job));
        Ok(Stored::Mine)
    }

    /// Makes a delivery due now.
    pub(super) fn resend(&mut self, tenant: Option<&Tenant>, job: JobId) -> Result<DeliveryRecord, JobError> {
        let record = delivery(&self.connection, tenant, job)?;
        let now = stored(self.shared.clock.wall());
        if record.state == DeliveryState::Waiting {
            // One that is under way is not begun a second time.
            self.connection
                .prepare_cached("UPDATE delivery SET due_at = ?2 WHERE id = ?1 AND is_claimed = 0")?
                .execute((job.as_bytes(), now))?;
        } else {
            self.shared.queues().check_deliveries(&self.shared.limits)?;
            self.connection
                .prepare_cached(
                    "UPDATE delivery SET state = 0, tries = 0, since = ?2, due_at = ?2 WHERE id = ?1",
                )?
                .execute((job.as_bytes(), now))?;
            let mut counted = self.count();
            counted.deliveries.remove(record.state);
            counted.deliveries.add(DeliveryState::Waiting, 1);
        }
        self.add_effect(Effect::Deliver);
        self.add_effect(Effect::Changed(job));
        delivery(&self.connection, tenant, job)
    }

    /// Forgets deliveries that ended long enough ago, at most `limit`, and returns how many.
    pub(super) fn forget_deliveries(&mut self, limit: i64) -> Result<u64, JobError> {
        let now = stored(self.shared.clock.wall());
        let mut due = self.connection.prepare_cached(
            "SELECT count(*) FROM (SELECT 1 FROM delivery INDEXED BY delivery_ended WHERE state <> 0 AND due_at <= ?1 \
             LIMIT ?2)",
        )?;
        let number: i64 = due.query_row((now, limit), |row| row.get(0))?;
        drop(due);
        self.forget_first(number)
    }

    /// Forgets the deliveries that ended first, and returns how many.
    fn forget_first(&mut self, limit: i64) -> Result<u64, JobError> {
        let mut delete = self.connection.prepare_cached(
            "DELETE FROM delivery WHERE seq IN (SELECT seq FROM delivery INDEXED BY delivery_ended WHERE state <> 0 \
             ORDER BY due_at LIMIT ?1) RETURNING state",
        )?;
        let states: Vec<DeliveryState> =
            delete.query_map([limit], rows::delivery_state)?.collect::<rusqlite::Result<_>>()?;
        drop(delete);
        for state in &states {
            self.count().deliveries.remove(*state);
        }
        Ok(states.len() as u64)
    }

    /// Makes the deliveries due that a dead process had claimed.
    pub(super) fn recover_deliveries(&mut self) -> Result<(), JobError> {
        let now = stored(self.shared.clock.wall());
        self.connection.execute(
            "UPDATE delivery SET is_claimed = 0, due_at = ?1 WHERE state = 0 AND is_claimed = 1",
            [now],
        )?;
        self.add_effect(Effect::Deliver);
        Ok(())
    }
}

/// The delivery of a job.
pub(super) fn delivery(
    connection: &rusqlite::Connection,
    tenant: Option<&Tenant>,
    job: JobId,
) -> Result<DeliveryRecord, JobError> {
    let mut query = connection.prepare_cached("SELECT * FROM delivery WHERE id = ?1")?;
    let found = query.query_row([job.as_bytes()], rows::delivery).optional()?;
    let found = found.filter(|found| tenant.is_none_or(|tenant| *tenant == found.tenant));
    found.ok_or(JobError::NotFound)
}
