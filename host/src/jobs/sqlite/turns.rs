//! Whose delivery is next: tenants in turn, each as often as its weight says, and the receivers of a tenant in turn.
//!
//! Invariant: a claim looks at a bounded number of tenants and receivers, however many deliveries wait. What it did not
//! come to, the next one begins with.

use super::rows::stored;
use crate::jobs::{JobError, JobLimits, Tenant, Timestamp};
use rusqlite::{Connection, OptionalExtension as _};
use std::collections::HashMap;

/// Most tenants that one claim looks at.
const TENANTS_MAX: usize = 256;
/// Most receivers of a tenant that one claim looks at.
const ORIGINS_MAX: usize = 64;
/// Tenants of which the last receiver is remembered. The receivers of others begin anew.
const REMEMBERED_MAX: usize = 1024;

/// Whose turn it is.
#[derive(Default)]
pub(super) struct Turns {
    /// The tenant whose turn it is; empty before the first.
    tenant: String,
    /// Deliveries that it may still have before the next tenant.
    left: u32,
    /// The receiver of the last delivery of each tenant.
    origins: HashMap<String, String>,
}

/// What a claim knows.
pub(super) struct Now<'a> {
    pub(super) connection: &'a Connection,
    pub(super) limits: &'a JobLimits,
    /// Receivers that get nothing more for now.
    pub(super) busy: &'a [String],
    pub(super) time: Timestamp,
}

impl Turns {
    /// Chooses a delivery that is due, of a receiver that is not busy.
    pub(super) fn next(&mut self, now: &Now<'_>) -> Result<Option<i64>, JobError> {
        let first = self.tenant.clone();
        let mut is_second_round = false;
        for _ in 0..TENANTS_MAX {
            if self.left == 0 {
                let Some(next) = now.tenant_after(&self.tenant)? else { return Ok(None) };
                is_second_round |= next <= self.tenant;
                self.left = next.parse::<Tenant>().map_or(1, |next| now.limits.weight(&next));
                self.tenant = next;
            }
            if let Some(seq) = self.next_of_tenant(now)? {
                self.left -= 1;
                return Ok(Some(seq));
            }
            self.left = 0;
            if is_second_round && self.tenant >= first {
                break;
            }
        }
        Ok(None)
    }

    /// A delivery of the tenant whose turn it is, of its next receiver that has one which is due.
    fn next_of_tenant(&mut self, now: &Now<'_>) -> Result<Option<i64>, JobError> {
        if !now.is_due(&self.tenant)? {
            return Ok(None);
        }
        let first = self.origins.get(&self.tenant).cloned().unwrap_or_default();
        let (mut last, mut is_second_round) = (first.clone(), false);
        let mut chosen = None;
        for _ in 0..ORIGINS_MAX {
            let Some(origin) = now.origin_after(&self.tenant, &last)? else { break };
            is_second_round |= origin <= last;
            let is_last = is_second_round && origin >= first;
            last = origin;
            if !now.busy.contains(&last) {
                chosen = now.due_of(&self.tenant, &last)?;
            }
            if chosen.is_some() || is_last {
                break;
            }
        }
        if self.origins.len() >= REMEMBERED_MAX && !self.origins.contains_key(&self.tenant) {
            self.origins.clear();
        }
        self.origins.insert(self.tenant.clone(), last);
        Ok(chosen)
    }
}

impl Now<'_> {
    /// The tenant after this one, among those that have deliveries waiting.
    fn tenant_after(&self, last: &str) -> Result<Option<String>, JobError> {
        let mut query = self.connection.prepare_cached(
            "SELECT min(tenant) FROM delivery INDEXED BY delivery_turn WHERE state = 0 AND tenant > ?1",
        )?;
        let next: Option<String> = query.query_row([last], |row| row.get(0))?;
        Ok(match next {
            // Those before it follow.
            None => query.query_row([""], |row| row.get(0))?,
            next => next,
        })
    }

    /// Whether a tenant has a delivery that is due.
    fn is_due(&self, tenant: &str) -> Result<bool, JobError> {
        let mut query = self.connection.prepare_cached(
            "SELECT min(due_at) FROM delivery INDEXED BY delivery_due_of_tenant WHERE state = 0 AND tenant = ?1",
        )?;
        let due: Option<i64> = query.query_row([tenant], |row| row.get(0))?;
        Ok(due.is_some_and(|due| due <= stored(self.time)))
    }

    /// The receiver after this one, among those of a tenant's deliveries that wait.
    fn origin_after(&self, tenant: &str, last: &str) -> Result<Option<String>, JobError> {
        let mut query = self.connection.prepare_cached(
            "SELECT min(origin) FROM delivery INDEXED BY delivery_turn WHERE state = 0 AND tenant = ?1 AND origin > ?2",
        )?;
        let next: Option<String> = query.query_row((tenant, last), |row| row.get(0))?;
        Ok(match next {
            None => query.query_row((tenant, ""), |row| row.get(0))?,
            next => next,
        })
    }

    fn due_of(&self, tenant: &str, origin: &str) -> Result<Option<i64>, JobError> {
        let mut query = self.connection.prepare_cached(
            "SELECT seq FROM delivery INDEXED BY delivery_turn WHERE state = 0 AND tenant = ?1 AND origin = ?2 \
             AND due_at <= ?3 ORDER BY due_at LIMIT 1",
        )?;
        Ok(query.query_row((tenant, origin, stored(self.time)), |row| row.get(0)).optional()?)
    }
}
