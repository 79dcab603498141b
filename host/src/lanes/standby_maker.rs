//! A thread that makes standbys before they are needed.
//!
//! Invariant: each executor orders at most `standbys_max` standbys at a time, so the queue of orders and the queues of
//! finished standbys are bounded.

use super::polling;
use crate::{
    ids::LaneId,
    instance::{Fault, Instance},
    seams::Seams,
    service::Service,
    telemetry::{Telemetry, events::EventKind},
};
use crossbeam_channel::{Sender, bounded};
use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Instant,
};

/// A standby, or why it could not be made.
pub(super) type Made = Result<Instance, Fault>;

/// An order for one standby.
pub(super) struct Order {
    pub(super) service: Arc<Service>,
    pub(super) lane: LaneId,
    /// Where the standby goes.
    pub(super) made: Sender<Made>,
    /// Whether the lane deferred a swap and wants to be woken for the next standby; see [`Self::wake`].
    pub(super) is_awaited: Arc<AtomicBool>,
    /// Wakes the lane.
    pub(super) wake: Sender<()>,
}

/// Handle to the thread that makes standbys.
#[derive(Clone)]
pub(super) struct StandbyMaker {
    orders: Sender<Order>,
    standbys_max: usize,
}

impl StandbyMaker {
    /// Starts the thread for that many executors with up to `standbys_max` standbys each. It ends with the last handle.
    pub(super) fn start(
        executors: usize,
        standbys_max: usize,
        telemetry: Telemetry,
        seams: Seams,
    ) -> io::Result<Self> {
        let (orders, queue) = bounded::<Order>(executors * standbys_max);
        thread::Builder::new().name("standby-maker".into()).spawn(move || {
            for order in polling::work(&queue) {
                order.fill(&telemetry, &seams);
            }
        })?;
        Ok(Self { orders, standbys_max })
    }

    /// Most standbys that one executor may have ordered or ready.
    pub(super) fn standbys_max(&self) -> usize {
        self.standbys_max
    }

    /// Queues an order; returns whether the thread still takes any.
    pub(super) fn order(&self, order: Order) -> bool {
        self.orders.try_send(order).is_ok()
    }
}

impl Order {
    fn fill(self, telemetry: &Telemetry, seams: &Seams) {
        let Self { service, lane, made, is_awaited, wake } = self;
        let Telemetry { metrics, events, .. } = telemetry;
        let begun = Instant::now();
        events.emit(service.name(), Some(lane), EventKind::StandbyPrepareStart);
        // A panic costs one standby, not the thread that makes all of them.
        let make = || match seams.faults.standby(service.name()) {
            Some(fault) => Err(fault),
            None => Instance::instantiate(&service.current(), service.policy().memory_limit_bytes),
        };
        let standby = catch_unwind(AssertUnwindSafe(make)).unwrap_or_else(|_| Err(Fault::host_panicked()));
        let took = begun.elapsed();
        metrics.standby_made(service.name(), took, standby.as_ref().err());
        let kind = match &standby {
            Ok(_) => EventKind::StandbyPrepareComplete {
                took_us: u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
            },
            Err(fault) => EventKind::StandbyPrepareError { error: fault.to_string() },
        };
        // The standby is sent before the event, so that a listener that receives the event finds the standby ready.
        drop(made.try_send(standby));
        events.emit(service.name(), Some(lane), kind);
        if is_awaited.swap(false, Ordering::SeqCst) {
            // Fails if a wake-up is pending already.
            let _ = wake.try_send(());
        }
    }
}
