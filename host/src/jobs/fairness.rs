//! Which tenant's turn it is, how many jobs of each tenant wait, and what is remembered of each.
//!
//! Stride scheduling: every claimed job moves its tenant forward by the expected running time divided by the tenant's
//! weight, and the tenant that is furthest behind comes next. A tenant that had nothing waiting begins at the position
//! of the last turn, so that idle time earns no credit.
//!
//! Invariant: the counts are those of the database, including what the open transaction changed; they are loaded again
//! when a transaction fails.

use super::{
    Bound, DeliveryCounts, DeliveryState, JobError, JobLimits, JobStats, Priority, State, StateCounts,
    Tenant, TenantStats,
};
use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

/// Running time that is charged for a job without an estimate.
pub(super) const ESTIMATE_DEFAULT: Duration = Duration::from_secs(1);
/// Least and most running time that is charged for a job.
const CHARGE_MIN_MS: u64 = 10;
const CHARGE_MAX_MS: u64 = 3_600_000;
/// Positions are in milliseconds of running time times this number, so that weights divide them finely.
const SCALE: u64 = 1 << 16;

/// Waiting jobs of all tenants.
#[derive(Default)]
pub(super) struct Queues {
    tenants: HashMap<Tenant, Queue>,
    /// Tenants that have jobs waiting, by position.
    turns: BTreeSet<(u64, Tenant)>,
    /// Position of the last turn.
    position: u64,
    states: StateCounts,
    queued_bytes: u64,
    /// Results that are kept, in bytes.
    result_bytes: u64,
    /// What is remembered of each tenant.
    remembered: HashMap<Tenant, Remembered>,
    /// Deliveries, which are nobody's turn.
    pub(super) deliveries: DeliveryCounts,
}

/// Waiting jobs of one tenant.
#[derive(Clone, Default)]
struct Queue {
    position: u64,
    by_priority: [u64; Priority::COUNT],
    bytes: u64,
    /// Jobs that can be claimed now, by service.
    ready: HashMap<String, u64>,
}

/// Jobs of one tenant in any state.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Remembered {
    jobs: u64,
    result_bytes: u64,
}

impl Queue {
    fn queued(&self) -> u64 {
        self.by_priority.iter().sum()
    }
}

/// What is counted of a waiting job.
#[derive(Clone, Copy)]
pub(super) struct Waiting<'a> {
    pub(super) tenant: &'a Tenant,
    pub(super) service: &'a str,
    pub(super) priority: Priority,
    pub(super) body_bytes: u64,
    /// Whether it can be claimed now.
    pub(super) is_ready: bool,
}

impl Queues {
    /// Checks that a job may be added.
    pub(super) fn check(
        &self,
        limits: &JobLimits,
        tenant: &Tenant,
        jobs: u64,
        bytes: u64,
    ) -> Result<(), JobError> {
        let own = self.tenants.get(tenant);
        let (queued, queued_bytes) = own.map_or((0, 0), |own| (own.queued(), own.bytes));
        let remembered: u64 = self.states.0.iter().sum();
        let own = self.remembered.get(tenant).copied().unwrap_or_default();
        let bounds = [
            (Bound::Remembered, remembered + jobs, limits.remembered_max),
            (Bound::ResultBytes, self.result_bytes, limits.kept_bytes_max),
            (Bound::Queued, self.states.of(State::Queued) + jobs, limits.queued_max),
            (Bound::QueuedBytes, self.queued_bytes + bytes, limits.queued_bytes_max),
            (Bound::TenantQueued, queued + jobs, limits.tenant_queued_max(tenant)),
            (Bound::TenantQueuedBytes, queued_bytes + bytes, limits.tenant_queued_bytes_max(tenant)),
            (Bound::TenantRemembered, own.jobs + jobs, limits.tenant_remembered_max),
            (Bound::TenantResultBytes, own.result_bytes, limits.tenant_kept_bytes_max),
        ];
        let exceeded = bounds.into_iter().find(|(_, number, most)| number > most);
        exceeded.map_or(Ok(()), |(which, ..)| Err(JobError::Full { which }))
    }

    /// Checks that a delivery may wait.
    pub(super) fn check_deliveries(&self, limits: &JobLimits) -> Result<(), JobError> {
        let is_full = self.deliveries.of(DeliveryState::Waiting) >= limits.deliveries_max;
        if is_full { Err(JobError::Full { which: Bound::Deliveries }) } else { Ok(()) }
    }

    /// Counts `number` jobs of a state that do not wait.
    pub(super) fn count(&mut self, tenant: &Tenant, state: State, number: u64) {
        self.states.0[state as usize] += number;
        self.remember(tenant, |own| own.jobs += number);
    }

    /// Uncounts a job of a state that does not wait.
    pub(super) fn uncount(&mut self, tenant: &Tenant, state: State) {
        let count = &mut self.states.0[state as usize];
        *count = count.saturating_sub(1);
        self.remember(tenant, |own| own.jobs = own.jobs.saturating_sub(1));
    }

    /// Counts a result that is kept.
    pub(super) fn add_result(&mut self, tenant: &Tenant, bytes: u64) {
        self.result_bytes += bytes;
        self.remember(tenant, |own| own.result_bytes += bytes);
    }

    /// Uncounts a result that is deleted.
    pub(super) fn remove_result(&mut self, tenant: &Tenant, bytes: u64) {
        self.result_bytes = self.result_bytes.saturating_sub(bytes);
        self.remember(tenant, |own| own.result_bytes = own.result_bytes.saturating_sub(bytes));
    }

    fn remember(&mut self, tenant: &Tenant, change: impl FnOnce(&mut Remembered)) {
        let mut own = self.remembered.get(tenant).copied().unwrap_or_default();
        change(&mut own);
        if own == Remembered::default() {
            self.remembered.remove(tenant);
        } else {
            self.remembered.insert(tenant.clone(), own);
        }
    }

    /// Adds `number` jobs with `job.body_bytes` in all.
    pub(super) fn add(&mut self, job: Waiting<'_>, number: u64) {
        self.count(job.tenant, State::Queued, number);
        self.queued_bytes += job.body_bytes;
        if !self.tenants.contains_key(job.tenant) {
            let queue = Queue { position: self.position, ..Queue::default() };
            self.turns.insert((queue.position, job.tenant.clone()));
            self.tenants.insert(job.tenant.clone(), queue);
        }
        let queue = self.tenants.get_mut(job.tenant).expect("it was added");
        queue.by_priority[usize::from(job.priority.get())] += number;
        queue.bytes += job.body_bytes;
        if job.is_ready {
            *queue.ready.entry(job.service.to_owned()).or_default() += number;
        }
    }

    /// Removes a job that waits no longer.
    pub(super) fn remove(&mut self, job: Waiting<'_>) {
        self.uncount(job.tenant, State::Queued);
        self.queued_bytes = self.queued_bytes.saturating_sub(job.body_bytes);
        let Some(queue) = self.tenants.get_mut(job.tenant) else { return };
        let count = &mut queue.by_priority[usize::from(job.priority.get())];
        *count = count.saturating_sub(1);
        queue.bytes = queue.bytes.saturating_sub(job.body_bytes);
        if job.is_ready {
            queue.take_ready(job.service);
        }
        if queue.queued() == 0 && queue.position <= self.position {
            self.turns.remove(&(queue.position, job.tenant.clone()));
            self.tenants.remove(job.tenant);
        }
    }

    /// Records that a waiting job can be claimed now.
    pub(super) fn ready(&mut self, tenant: &Tenant, service: &str) {
        if let Some(queue) = self.tenants.get_mut(tenant) {
            *queue.ready.entry(service.to_owned()).or_default() += 1;
        }
    }

    /// The tenant whose turn it is, and those of the services of which it has jobs that can be claimed.
    pub(super) fn next(&self, can_run: &[String]) -> Option<(Tenant, Vec<String>)> {
        self.turns.iter().find_map(|(_, tenant)| {
            let ready = &self.tenants.get(tenant)?.ready;
            let services: Vec<String> =
                can_run.iter().filter(|service| ready.contains_key(*service)).cloned().collect();
            (!services.is_empty()).then(|| (tenant.clone(), services))
        })
    }

    /// Moves a tenant forward by the running time of a job that it got. Has to be called before the job is removed.
    pub(super) fn charge(&mut self, tenant: &Tenant, estimate: Option<Duration>, weight: u32) {
        let Some(queue) = self.tenants.get_mut(tenant) else { return };
        self.turns.remove(&(queue.position, tenant.clone()));
        // A tenant that could not be served for a while gets no credit for it.
        self.position = self.position.max(queue.position);
        let ms = u64::try_from(estimate.unwrap_or(ESTIMATE_DEFAULT).as_millis()).unwrap_or(CHARGE_MAX_MS);
        queue.position = queue.position.max(self.position)
            + ms.clamp(CHARGE_MIN_MS, CHARGE_MAX_MS) * SCALE / u64::from(weight);
        self.turns.insert((queue.position, tenant.clone()));
    }

    /// Forgets tenants that have nothing waiting and whose position others have passed.
    pub(super) fn forget_idle(&mut self) {
        let position = self.position;
        self.tenants.retain(|_, queue| queue.queued() > 0 || queue.position > position);
        let tenants = &self.tenants;
        self.turns.retain(|(_, tenant)| tenants.contains_key(tenant));
    }

    /// Takes over the positions of counts that are replaced.
    pub(super) fn keep_positions(&mut self, old: &Self) {
        self.position = old.position;
        for (tenant, queue) in &mut self.tenants {
            self.turns.remove(&(queue.position, tenant.clone()));
            queue.position = old.tenants.get(tenant).map_or(old.position, |old| old.position);
            self.turns.insert((queue.position, tenant.clone()));
        }
    }

    /// Number of waiting jobs of a tenant that come before a new one of this priority.
    pub(super) fn before(&self, tenant: &Tenant, priority: Priority) -> u64 {
        let queue = self.tenants.get(tenant);
        queue.map_or(0, |queue| queue.by_priority[usize::from(priority.get())..].iter().sum())
    }

    /// The counts, without the age of the oldest job.
    pub(super) fn stats(&self) -> JobStats {
        let tenants = self.tenants.iter().filter(|(_, queue)| queue.queued() > 0).map(|(tenant, queue)| {
            (tenant.clone(), TenantStats { queued: queue.queued(), queued_bytes: queue.bytes })
        });
        let tenants = tenants.collect();
        JobStats { states: self.states, queued_bytes: self.queued_bytes, oldest_waiting: None, tenants }
    }
}

impl Queue {
    fn take_ready(&mut self, service: &str) {
        if let Some(ready) = self.ready.get_mut(service) {
            *ready = ready.saturating_sub(1);
            if *ready == 0 {
                self.ready.remove(service);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(name: &str) -> Tenant {
        name.parse().expect("a valid name")
    }

    fn waiting(tenant: &Tenant) -> Waiting<'_> {
        Waiting { tenant, service: "s", priority: Priority::default(), body_bytes: 0, is_ready: true }
    }

    #[test]
    fn tenants_get_running_time_by_weight() {
        let (light, heavy) = (tenant("light"), tenant("heavy"));
        let mut queues = Queues::default();
        queues.add(waiting(&light), 1000);
        queues.add(waiting(&heavy), 1000);
        let mut turns = HashMap::<Tenant, u32>::new();
        for _ in 0..400 {
            let (tenant, _) = queues.next(&["s".to_owned()]).expect("jobs wait");
            queues.charge(&tenant, None, if tenant == heavy { 3 } else { 1 });
            queues.remove(waiting(&tenant));
            *turns.entry(tenant).or_default() += 1;
        }
        assert!((295..=305).contains(&turns[&heavy]), "{turns:?}");
    }

    #[test]
    fn a_tenant_that_was_idle_has_no_credit() {
        let (busy, late) = (tenant("busy"), tenant("late"));
        let mut queues = Queues::default();
        queues.add(waiting(&busy), 1000);
        for _ in 0..500 {
            queues.charge(&busy, None, 1);
            queues.remove(waiting(&busy));
        }
        queues.add(waiting(&late), 100);
        let mut turns = 0;
        for _ in 0..20 {
            let (tenant, _) = queues.next(&["s".to_owned()]).expect("jobs wait");
            queues.charge(&tenant, None, 1);
            queues.remove(waiting(&tenant));
            turns += u32::from(tenant == late);
        }
        assert!((9..=12).contains(&turns), "{turns}");
    }
}
