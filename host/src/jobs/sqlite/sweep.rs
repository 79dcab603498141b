//! What time alone changes, and what a dead process left.
//!
//! Invariant: one command changes a bounded number of rows, so that others do not wait long for it.

use super::{
    rows::{Live, stored},
    writer::{Effect, Writer},
};
use crate::jobs::{JobError, State, Swept};

/// Most jobs that one command of a sweep changes.
pub(super) const CHUNK: i64 = 500;

impl Writer {
    /// Does one part of a sweep. There may be more to do if [`CHUNK`] jobs expired.
    pub(super) fn sweep(&mut self) -> Result<Swept, JobError> {
        let leases = self.end_leases()?;
        self.promote()?;
        self.shared.queues().forget_idle();
        let deliveries = self.forget_deliveries(CHUNK)?;
        Ok(Swept { leases, deliveries, ..self.expire(CHUNK)? })
    }

    /// Ends waiting jobs, results and tombstones whose time to live is over, at most `limit`.
    pub(super) fn expire(&mut self, limit: i64) -> Result<Swept, JobError> {
        let now = stored(self.shared.clock.wall());
        let mut swept = Swept::default();
        for live in Live::matching(
            &self.connection,
            "INDEXED BY job_due WHERE due_at <= ?1 ORDER BY due_at LIMIT ?2",
            (now, limit),
        )? {
            match live.state {
                State::Queued => {
                    self.expire_waiting(&live)?;
                    swept.waiting += 1;
                }
                State::Succeeded => {
                    self.expire_result(&live)?;
                    swept.results += 1;
                }
                State::Claimed => {}
                State::Failed | State::Quarantined | State::Cancelled | State::Expired => {
                    self.forget(&live)?;
                    swept.tombstones += 1;
                }
            }
        }
        Ok(swept)
    }

    fn expire_result(&mut self, live: &Live) -> Result<(), JobError> {
        self.delete("DELETE FROM result WHERE seq = ?1 RETURNING sealed, file", live.seq)?;
        let until = self.shared.clock.wall().after(self.shared.limits.idempotency_window);
        self.connection
            .prepare_cached(
                "UPDATE job SET state = 6, due_at = ?2, result_digest = NULL, result_bytes = NULL, \
                 result_media_type = NULL WHERE seq = ?1",
            )?
            .execute((live.seq, stored(until)))?;
        let mut queues = self.count();
        queues.uncount(&live.tenant, State::Succeeded);
        queues.remove_result(&live.tenant, live.result_bytes);
        queues.count(&live.tenant, State::Expired, 1);
        drop(queues);
        self.add_effect(Effect::Changed(live.id));
        Ok(())
    }

    fn forget(&mut self, live: &Live) -> Result<(), JobError> {
        self.connection.prepare_cached("DELETE FROM job WHERE seq = ?1")?.execute([live.seq])?;
        self.count().uncount(&live.tenant, live.state);
        self.add_effect(Effect::Changed(live.id));
        Ok(())
    }

    /// Ends the attempts of a process that is gone, and the pauses that only it knew.
    pub(super) fn recover_attempts(&mut self) -> Result<(), JobError> {
        for live in Live::matching(&self.connection, "INDEXED BY job_in_state WHERE state = 1", [])? {
            self.lose(&live)?;
        }
        self.connection.execute("UPDATE job SET delay = 0 WHERE state = 0 AND delay = 2", [])?;
        self.recover_deliveries()
    }
}
