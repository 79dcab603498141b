//! The standbys of one executor: orders them, receives them, hands them out.
//!
//! Invariant: only a standby of the current generation and memory limit leaves; nothing is ordered while standbys fail
//! and the pause after the last failure lasts.

use super::{
    context::LaneContext,
    standby_maker::{Made, Order, StandbyMaker},
};
use crate::{
    ids::LaneId,
    instance::Instance,
    policy::{Percent, Policy, SwapPolicy},
    service::Service,
};
use crossbeam_channel::{Receiver, Sender, bounded};
use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

/// By how many hundredths each failure of a standby raises the warn threshold, and up to which share.
const WARN_STEP: u8 = 5;
const WARN_MAX: u8 = 85;
/// Pause after the first failure of a standby. It doubles with each further one.
const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(10);

/// How many standbys to keep: fewer than `least` are refilled up to `most`.
#[derive(Clone, Copy)]
struct Stock {
    least: usize,
    most: usize,
}

impl Stock {
    fn with_at_least_one(self) -> Self {
        Self { least: self.least.max(1), most: self.most.max(1) }
    }
}

/// Orders standbys for one executor, from any thread that sees the need.
#[derive(Clone)]
pub(super) struct StandbyOrders {
    service: Arc<Service>,
    lane: LaneId,
    maker: StandbyMaker,
    made: Sender<Made>,
    /// Standbys that were ordered and not taken yet. Relaxed: it is only a bound, and channels order the standbys.
    open: Arc<AtomicUsize>,
    /// Whether orders are suspended.
    is_held: Arc<AtomicBool>,
    /// Whether the lane deferred a swap and wants to be woken for the next standby.
    is_awaited: Arc<AtomicBool>,
    wake: Sender<()>,
}

impl StandbyOrders {
    /// Ensures that at least one standby is ready or ordered.
    pub(super) fn ensure_one(&self) {
        self.ensure(Stock { least: 1, most: 1 });
    }

    /// Wakes the lane when the next standby is ready.
    fn wake_for_next(&self) {
        self.is_awaited.store(true, Ordering::SeqCst);
        // One may have arrived while the flag was being set.
        if !self.made.is_empty() {
            let _ = self.wake.try_send(());
        }
    }

    /// Ensures that at least `stock.least` standbys are ready or ordered, and orders up to `stock.most` if they are
    /// not.
    fn ensure(&self, stock: Stock) {
        let most = stock.most.min(self.maker.standbys_max());
        let least = stock.least.min(most);
        if self.is_held.load(Ordering::Relaxed) || self.open.load(Ordering::Relaxed) >= least {
            return;
        }
        while self
            .open
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |open| (open < most).then_some(open + 1))
            .is_ok()
        {
            let order = Order {
                service: Arc::clone(&self.service),
                lane: self.lane,
                made: self.made.clone(),
                is_awaited: Arc::clone(&self.is_awaited),
                wake: self.wake.clone(),
            };
            if !self.maker.order(order) {
                // The server is stopping.
                self.open.fetch_sub(1, Ordering::Relaxed);
                return;
            }
        }
    }
}

/// The standbys of one executor.
pub(super) struct Standbys {
    service: Arc<Service>,
    lane: LaneId,
    orders: StandbyOrders,
    made: Receiver<Made>,
    ready: VecDeque<Instance>,
    /// Consecutive failures to make one.
    failures: u32,
    /// Until when nothing is ordered.
    backoff_until: Option<Instant>,
}

impl Standbys {
    /// `wake` wakes the lane.
    pub(super) fn new(service: &Arc<Service>, lane: LaneId, maker: &StandbyMaker, wake: Sender<()>) -> Self {
        let (sender, made) = bounded(maker.standbys_max());
        let orders = StandbyOrders {
            service: Arc::clone(service),
            lane,
            maker: maker.clone(),
            made: sender,
            open: Arc::default(),
            is_held: Arc::default(),
            is_awaited: Arc::default(),
            wake,
        };
        let service = Arc::clone(service);
        Self { service, lane, orders, made, ready: VecDeque::new(), failures: 0, backoff_until: None }
    }

    /// A handle that orders standbys from other places.
    pub(super) fn orders(&self) -> &StandbyOrders {
        &self.orders
    }

    /// Number of standbys that are ready, and number of those that are ordered.
    pub(super) fn counts(&self) -> (usize, usize) {
        let open = self.orders.open.load(Ordering::Relaxed);
        let ready = self.ready.len() + self.made.len();
        (ready, open.saturating_sub(ready))
    }

    /// The warn threshold: raised while standbys fail, so that the next attempt comes later.
    pub(super) fn warn(&self, policy: &Policy) -> Percent {
        let raised = u8::try_from(self.failures.min(20)).unwrap_or(20) * WARN_STEP;
        let most = WARN_MAX.max(policy.warn.hundredths());
        Percent::new(policy.warn.hundredths().saturating_add(raised).min(most))
    }

    /// Receives standbys that were made since, and retires those that cannot be used any more.
    pub(super) fn refresh(&mut self, policy: &Policy, context: &LaneContext) {
        let before = self.failures;
        self.receive();
        while !self.ready.is_empty() && !self.is_ready(policy) {
            self.orders.open.fetch_sub(1, Ordering::Relaxed);
            self.ready.pop_front().into_iter().for_each(|stale| context.retire(stale));
        }
        if self.failures == before {
            return;
        }
        self.backoff_until = None;
        if self.failures > 0 {
            let pause = BACKOFF_MIN.saturating_mul(1 << (self.failures - 1).min(16)).min(BACKOFF_MAX);
            self.backoff_until = Some(context.now() + pause);
            tracing::warn!(
                image = self.service.name(),
                lane = self.lane.index(),
                failures = self.failures,
                warn_at = %self.warn(policy),
                "standbys cannot be made: the lane goes on with its active instance"
            );
        }
        self.orders.is_held.store(self.backoff_until.is_some(), Ordering::Relaxed);
    }

    /// Takes everything out of the channel. Standbys that were ordered together fail together, and count once.
    fn receive(&mut self) {
        let before = self.failures;
        let counts = !self.orders.is_held.load(Ordering::Relaxed);
        while let Ok(made) = self.made.try_recv() {
            match made {
                Ok(standby) => {
                    self.failures = 0;
                    self.ready.push_back(standby);
                }
                Err(_) => {
                    if counts {
                        self.failures = before.saturating_add(1);
                    }
                    self.orders.open.fetch_sub(1, Ordering::Relaxed);
                }
            }
        }
    }

    /// Whether a standby can be taken.
    pub(super) fn is_ready(&self, policy: &Policy) -> bool {
        self.ready.front().is_some_and(|standby| self.is_fit(standby, policy))
    }

    fn is_fit(&self, standby: &Instance, policy: &Policy) -> bool {
        self.service.fits(standby.generation(), standby.meter().limit_bytes(), policy)
    }

    /// Takes a standby; retires those in front of it that nobody can use any more.
    pub(super) fn take(&mut self, policy: &Policy, context: &LaneContext) -> Option<Instance> {
        loop {
            let standby = self.ready.pop_front()?;
            self.orders.open.fetch_sub(1, Ordering::Relaxed);
            if self.is_fit(&standby, policy) {
                return Some(standby);
            }
            context.retire(standby);
        }
    }

    /// Has at least one standby made, or as many as the policy keeps ready.
    pub(super) fn order(&mut self, policy: &Policy, context: &LaneContext) {
        self.end_backoff(context);
        self.orders.ensure(self.stock(policy).with_at_least_one());
    }

    /// Has as many standbys made as the policy keeps ready.
    pub(super) fn restock(&mut self, policy: &Policy, context: &LaneContext) {
        self.end_backoff(context);
        self.orders.ensure(self.stock(policy));
    }

    /// Number of standbys that a policy keeps ready while nothing presses.
    fn stock(&self, policy: &Policy) -> Stock {
        let least = policy.standby_min;
        if policy.swap == SwapPolicy::EveryCall && policy.share > Percent::new(0) {
            let most = self.orders.maker.standbys_max();
            // Refilled once half of them are gone, so that orders come in batches.
            return Stock { least: least.max(most / 2 + 1), most };
        }
        Stock { least, most: least }
    }

    /// Has a standby made, and wakes the lane when it is ready.
    pub(super) fn order_and_wake(&mut self, policy: &Policy, context: &LaneContext) {
        self.order(policy, context);
        self.orders.wake_for_next();
    }

    /// Resumes orders once the pause after a failure is over.
    fn end_backoff(&mut self, context: &LaneContext) {
        if self.backoff_until.is_some_and(|until| context.now() >= until) {
            self.backoff_until = None;
            self.orders.is_held.store(false, Ordering::Relaxed);
        }
    }
}
