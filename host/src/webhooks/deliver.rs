//! Claims deliveries that are due, makes attempts, and stores what became of them.
//!
//! Invariant: at most `webhooks.concurrent_max` attempts are under way, and at most a quarter of them to one origin, so
//! that a receiver that hangs does not hold up the others. Once the server drains, attempts that are under way are given
//! up, and made again at its next start.

use super::{
    attempt::Attempt,
    schedule::{self, Tried},
    send::Sender,
};
use crate::{
    jobs::{ClaimedDelivery, DeliveryOutcome, JobEngine},
    telemetry::metrics::Metrics,
};
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep_until},
};

/// Pause after the engine failed to give out deliveries.
const PAUSE: Duration = Duration::from_secs(1);
/// Pauses without news: the shortest, which bounds the work for receivers that are busy, and the longest.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// One origin has this part of the attempts.
const ORIGIN_PART: usize = 4;

/// A number from 0 to 1, different each time.
pub(super) type Jitter = Arc<dyn Fn() -> f64 + Send + Sync>;

/// Delivers until the server drains.
pub(super) struct Deliverer {
    /// Makes attempts.
    pub(super) sender: Arc<Sender>,
    /// `webhooks.concurrent_max`
    pub(super) concurrent_max: usize,
    /// `webhooks.give_up_after`
    pub(super) give_up_after: Duration,
    /// Spreads attempts over time.
    pub(super) jitter: Jitter,
    /// Where attempts are counted.
    pub(super) metrics: Arc<Metrics>,
}

impl Deliverer {
    /// Makes the deliveries of an engine until the server drains.
    pub(super) async fn run(self, engine: Arc<dyn JobEngine>, mut draining: watch::Receiver<bool>) {
        let deliverer = Arc::new(self);
        let origin_max = (deliverer.concurrent_max / ORIGIN_PART).max(1);
        let work = engine.delivery_work();
        let mut attempts: JoinSet<()> = JoinSet::new();
        let mut under_way = UnderWay::default();
        let mut not_before = Instant::now();
        while !*draining.borrow() {
            let has_room = attempts.len() < deliverer.concurrent_max && Instant::now() >= not_before;
            if has_room {
                match engine.claim_delivery(under_way.busy(origin_max)).await {
                    Ok(Some(delivery)) => {
                        let origin = delivery.callback.origin();
                        let attempt =
                            Arc::clone(&deliverer).attempt(Arc::clone(&engine), delivery, draining.clone());
                        under_way.begin(attempts.spawn(attempt).id(), origin);
                        continue;
                    }
                    Ok(None) => {}
                    Err(error) => {
                        tracing::error!(%error, "webhooks cannot be claimed");
                        not_before = Instant::now() + PAUSE;
                    }
                }
            }
            let due = engine.next_delivery().await.unwrap_or(PAUSE_MAX).clamp(PAUSE_MIN, PAUSE_MAX);
            let next = (Instant::now() + due).max(not_before);
            tokio::select! {
                () = drained(&mut draining) => break,
                () = work.notified(), if has_room => {}
                Some(ended) = attempts.join_next_with_id() => {
                    under_way.end(ended.map_or_else(|error| error.id(), |(id, ())| id));
                }
                () = sleep_until(next), if attempts.len() < deliverer.concurrent_max => {}
            }
        }
        // Each notices the drain itself, and gives its delivery back.
        while attempts.join_next().await.is_some() {}
    }

    async fn attempt(
        self: Arc<Self>,
        engine: Arc<dyn JobEngine>,
        delivery: ClaimedDelivery,
        mut draining: watch::Receiver<bool>,
    ) {
        let outcome = tokio::select! {
            attempt = self.sender.send(&delivery) => self.outcome(&delivery, &attempt),
            () = drained(&mut draining) => DeliveryOutcome::GivenBack,
        };
        if let Err(error) = engine.finish_delivery(delivery.claim, outcome).await {
            tracing::error!(%error, job = %delivery.claim.job(), "what became of a webhook cannot be stored");
        }
    }

    fn outcome(&self, delivery: &ClaimedDelivery, attempt: &Attempt) -> DeliveryOutcome {
        let tried = Tried { tries: delivery.tries, time: delivery.tried_for };
        let outcome = schedule::outcome(attempt, tried, self.give_up_after, (self.jitter)());
        let (job, origin) = (delivery.claim.job(), delivery.callback.origin());
        let counted = match &outcome {
            DeliveryOutcome::Delivered | DeliveryOutcome::GivenBack => "delivered",
            DeliveryOutcome::Retry { after, reason } => {
                tracing::debug!(%job, origin, reason, ?after, "a webhook was not delivered");
                "retried"
            }
            DeliveryOutcome::Dead { reason } => {
                tracing::warn!(%job, origin, reason, "a webhook is given up");
                "dead"
            }
        };
        self.metrics.webhook_tried(counted);
        outcome
    }
}

/// Attempts that are under way, by origin.
#[derive(Default)]
struct UnderWay {
    attempts: HashMap<tokio::task::Id, String>,
    origins: HashMap<String, usize>,
}

impl UnderWay {
    fn begin(&mut self, attempt: tokio::task::Id, origin: String) {
        *self.origins.entry(origin.clone()).or_default() += 1;
        self.attempts.insert(attempt, origin);
    }

    fn end(&mut self, attempt: tokio::task::Id) {
        let Some(origin) = self.attempts.remove(&attempt) else { return };
        if let Some(number) = self.origins.get_mut(&origin) {
            *number -= 1;
            if *number == 0 {
                self.origins.remove(&origin);
            }
        }
    }

    /// Origins that have as many attempts as one may have.
    fn busy(&self, origin_max: usize) -> Vec<String> {
        let busy = self.origins.iter().filter(|(_, number)| **number >= origin_max);
        busy.map(|(origin, _)| origin.clone()).collect()
    }
}

/// Waits until the server drains.
async fn drained(draining: &mut watch::Receiver<bool>) {
    // Fails if the server has ended, which is as good.
    let _ = draining.wait_for(|draining| *draining).await;
}
