//! Hands out jobs: the tenant whose turn it is, its highest priority, its oldest job, unless a smaller one may pass.
//!
//! Invariant: a claim reads a bounded number of rows, however many jobs wait.

use super::{
    bodies::Place,
    deadlines::LeaseEnd,
    rows::{self, Live, stored},
    schema,
    shared::Shared,
    writer::{Effect, Writer},
};
use crate::jobs::{InputKind, JobError, JobRecord, Lease, State, Tenant, fairness};
use rusqlite::{Row, named_params};
use std::{sync::Arc, time::Duration};

/// Jobs among which a smaller one may pass larger ones.
const WINDOW: i64 = 8;
/// How often a job may be passed.
const PASSED_MAX: i64 = 4;
/// Most delayed jobs that become claimable in one look at the clock.
const PROMOTED_MAX: i64 = 1000;
/// Most jobs that expire before a claim. The sweep takes the others.
const EXPIRED_MAX: i64 = 64;

/// A claimed job on its way to its holder. Dropped before it arrives, it is given back.
pub(super) struct Grant {
    shared: Arc<Shared>,
    lease: Option<Lease>,
    pub(super) job: JobRecord,
    pub(super) kind: InputKind,
    pub(super) options: Option<String>,
    pub(super) media_type: Option<String>,
    pub(super) estimate: Option<Duration>,
    pub(super) losses: u32,
    pub(super) body: Place,
}

impl Grant {
    /// Hands over the lease: from now on, the job is its holder's.
    pub(super) fn take_lease(&mut self) -> Lease {
        self.lease.take().expect("a lease is taken once")
    }
}

impl Drop for Grant {
    fn drop(&mut self) {
        if let Some(lease) = &self.lease {
            self.shared.deadlines.abandon(lease.job, lease.nonce, LeaseEnd::Abandoned);
            self.shared.notify_work();
        }
    }
}

/// A job that may be claimed next.
struct Candidate {
    seq: i64,
    priority: i64,
    estimate_ms: i64,
    passed: i64,
}

impl Candidate {
    fn of(row: &Row<'_>) -> rusqlite::Result<Self> {
        let estimate: Option<i64> = row.get(2)?;
        let estimate_ms = estimate.unwrap_or(fairness::ESTIMATE_DEFAULT.as_millis() as i64);
        Ok(Self { seq: row.get(0)?, priority: row.get(1)?, estimate_ms, passed: row.get(3)? })
    }
}

impl Writer {
    /// Claims at most `limit` jobs.
    pub(super) fn claim(&mut self, can_run: &[String], limit: usize) -> Result<Vec<Grant>, JobError> {
        self.end_leases()?;
        self.promote()?;
        self.expire(EXPIRED_MAX)?;
        let mut grants = Vec::new();
        while grants.len() < limit {
            let next = self.shared.queues().next(can_run);
            let Some((tenant, services)) = next else { break };
            let Some(seq) = self.candidate(&tenant, &services)? else {
                // Has the jobs counted again, so that the next claim is not misled.
                drop(self.count());
                return Err(JobError::Corrupt {
                    path: schema::DATABASE.into(),
                    reason: "its indexes disagree about the waiting jobs".into(),
                });
            };
            grants.extend(self.claim_one(seq)?);
        }
        Ok(grants)
    }

    /// Selects the next job of a tenant, and counts it for the jobs that it passes.
    fn candidate(&mut self, tenant: &Tenant, services: &[String]) -> Result<Option<i64>, JobError> {
        let mut query = self.connection.prepare_cached(
            "SELECT seq, priority, estimate_ms, passed FROM job INDEXED BY job_ready WHERE state = 0 AND delay = 0 \
             AND tenant = ?1 AND service = ?2 ORDER BY priority DESC, seq LIMIT ?3",
        )?;
        let mut window: Vec<Candidate> = Vec::new();
        for service in services {
            let found = query.query_map((tenant.as_str(), service, WINDOW), Candidate::of)?;
            for candidate in found {
                window.push(candidate?);
            }
        }
        drop(query);
        window.sort_unstable_by_key(|job| (-job.priority, job.seq));
        window.truncate(WINDOW as usize);
        let Some(chosen) = choose(&window) else { return Ok(None) };
        let mut pass = self.connection.prepare_cached("UPDATE job SET passed = passed + 1 WHERE seq = ?1")?;
        for passed in &window[..chosen] {
            pass.execute([passed.seq])?;
        }
        Ok(Some(window[chosen].seq))
    }

    /// Claims a job, unless it has expired.
    fn claim_one(&mut self, seq: i64) -> Result<Option<Grant>, JobError> {
        let now = self.shared.clock.wall();
        let jobs = Live::matching(&self.connection, "WHERE seq = ?1", [seq])?;
        let Some(live) = jobs.into_iter().next() else { return Ok(None) };
        if live.expires_at.is_some_and(|time| time <= now) {
            self.expire_waiting(&live)?;
            return Ok(None);
        }
        let mut random = [0u8; 8];
        getrandom::fill(&mut random).expect("the operating system provides entropy");
        let nonce = u64::from_le_bytes(random);
        let mut update = self.connection.prepare_cached(
            "UPDATE job SET state = 1, attempts = attempts + 1, claimed = :now, nonce = :nonce, due_at = NULL \
             WHERE seq = :seq",
        )?;
        update.execute(named_params! { ":now": stored(now), ":nonce": nonce.cast_signed(), ":seq": seq })?;
        drop(update);
        let shared = Arc::clone(&self.shared);
        let mut query = self.connection.prepare_cached(
            "SELECT job.*, body.sealed, body.file FROM job LEFT JOIN body ON body.seq = job.seq WHERE job.seq = ?1",
        )?;
        let mut grant = query.query_row([seq], |row| {
            let estimate: Option<i64> = row.get("estimate_ms")?;
            let kind = schema::input_kind(row.get("kind")?);
            let sealed: Option<Vec<u8>> = row.get("sealed")?;
            Ok(Grant {
                shared,
                lease: None,
                job: rows::record(row)?,
                // An unknown kind is found when the body is opened, as is a body that is gone.
                kind: kind.unwrap_or(InputKind::Raw),
                options: row.get("options")?,
                media_type: row.get("media_type")?,
                losses: live.losses,
                estimate: estimate.and_then(|ms| u64::try_from(ms).ok()).map(Duration::from_millis),
                body: match row.get("file")? {
                    Some(name) => Place::File(name),
                    None => {
                        Place::Inline(if kind.is_some() { sealed.unwrap_or_default() } else { Vec::new() })
                    }
                },
            })
        })?;
        drop(query);
        let weight = self.shared.limits.weight(&live.tenant);
        let mut queues = self.count();
        queues.charge(&live.tenant, grant.estimate, weight);
        queues.remove(live.waiting());
        queues.count(&live.tenant, State::Claimed, 1);
        drop(queues);
        grant.lease = Some(Lease { job: live.id, attempt: grant.job.attempts, nonce });
        self.add_effect(Effect::Granted(live.id, nonce));
        self.add_effect(Effect::Changed(live.id));
        Ok(Some(grant))
    }

    /// Makes delayed jobs claimable whose time has come.
    pub(super) fn promote(&mut self) -> Result<(), JobError> {
        let over = self.shared.deadlines.ended_pauses(self.shared.clock.monotonic());
        for (until, seq) in over {
            for live in Live::matching(&self.connection, "WHERE seq = ?1 AND state = 0 AND delay = 2", [seq])?
            {
                self.make_ready(&live)?;
            }
            self.add_effect(Effect::PauseEnded(until, seq));
        }
        let now = stored(self.shared.clock.wall());
        let due = "INDEXED BY job_delayed WHERE state = 0 AND delay = 1 AND not_before <= ?1 LIMIT ?2";
        for live in Live::matching(&self.connection, due, (now, PROMOTED_MAX))? {
            self.make_ready(&live)?;
        }
        Ok(())
    }

    fn make_ready(&mut self, live: &Live) -> Result<(), JobError> {
        self.connection.prepare_cached("UPDATE job SET delay = 0 WHERE seq = ?1")?.execute([live.seq])?;
        self.count().ready(&live.tenant, &live.service);
        self.add_effect(Effect::Work);
        Ok(())
    }
}

/// The position of the job that is claimed: the smallest that passes no job that is as small or was passed too often.
fn choose(window: &[Candidate]) -> Option<usize> {
    let first = window.first()?;
    let mut chosen = 0;
    for (position, job) in window.iter().enumerate().take_while(|(_, job)| job.priority == first.priority) {
        if job.estimate_ms < window[chosen].estimate_ms {
            chosen = position;
        }
        if job.passed >= PASSED_MAX {
            break;
        }
    }
    Some(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(jobs: &[(i64, i64, i64)]) -> Vec<Candidate> {
        let candidate = |(seq, &(priority, estimate_ms, passed)): (usize, &(i64, i64, i64))| Candidate {
            seq: seq as i64,
            priority,
            estimate_ms,
            passed,
        };
        jobs.iter().enumerate().map(candidate).collect()
    }

    #[test]
    fn a_smaller_job_passes_larger_ones_of_its_priority_a_bounded_number_of_times() {
        assert_eq!(choose(&[]), None);
        assert_eq!(choose(&window(&[(5, 10, 0), (5, 10, 0)])), Some(0), "the oldest of equals");
        assert_eq!(choose(&window(&[(5, 10, 0), (5, 5, 0), (5, 1, 0)])), Some(2));
        assert_eq!(choose(&window(&[(5, 10, PASSED_MAX), (5, 1, 0)])), Some(0), "passed often enough");
        assert_eq!(choose(&window(&[(5, 10, 0), (5, 9, PASSED_MAX), (5, 1, 0)])), Some(1));
        assert_eq!(choose(&window(&[(6, 10, 0), (5, 1, 0)])), Some(0), "never a lower priority");
    }
}
