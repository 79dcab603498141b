//! Makes standbys before they are needed.
//!
//! Invariant: at most one standby per lane and service is ordered at a time, so the queue of orders and the
//! places for their results are bounded by their product.

use crate::{
    generation::Service,
    instance::{Fault, Instance},
    metrics::Metrics,
};
use crossbeam_channel::{Receiver, Sender, bounded};
use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread::{self, JoinHandle},
    time::Instant,
};

struct Order {
    service: Arc<Service>,
    place: Sender<Result<Instance, Fault>>,
}

/// The thread that makes standbys.
#[derive(Clone)]
pub(crate) struct Nursery {
    orders: Sender<Order>,
}

impl Nursery {
    /// Starts it, with room for that many orders.
    pub(crate) fn start(
        room: usize,
        memory_limit_bytes: u64,
        metrics: Arc<Metrics>,
    ) -> io::Result<(Self, JoinHandle<()>)> {
        let (orders, queue) = bounded::<Order>(room);
        let thread = thread::Builder::new().name("nursery".into()).spawn(move || {
            for Order { service, place } in queue {
                let begun = Instant::now();
                // A panic costs a standby, not the thread that makes them all.
                let make = || Instance::of(&service.current(), memory_limit_bytes);
                let standby = catch_unwind(AssertUnwindSafe(make))
                    .unwrap_or_else(|_| Err(Fault::Engine(wasmtime::Error::msg("the host panicked"))));
                metrics.standby_made(begun.elapsed(), standby.is_ok());
                if let Err(fault) = &standby {
                    tracing::warn!(image = service.name(), %fault, "no standby could be made");
                }
                // Its lane is gone: the server stops.
                drop(place.try_send(standby));
            }
        })?;
        Ok((Self { orders }, thread))
    }
}

/// A lane's place for the standby of one service.
pub(crate) struct Crib {
    service: Arc<Service>,
    nursery: Nursery,
    place: Sender<Result<Instance, Fault>>,
    standby: Receiver<Result<Instance, Fault>>,
    ordered: bool,
}

impl Crib {
    pub(crate) fn new(service: Arc<Service>, nursery: Nursery) -> Self {
        let (place, standby) = bounded(1);
        Self { service, nursery, place, standby, ordered: false }
    }

    /// Orders a standby, unless there is one or it is under way.
    pub(crate) fn order(&mut self) {
        if !self.ordered {
            let order = Order { service: Arc::clone(&self.service), place: self.place.clone() };
            self.ordered = self.nursery.orders.try_send(order).is_ok();
        }
    }

    /// Takes the standby if it is ready and of the generation being served; one of another is returned as
    /// stale.
    pub(crate) fn take(&mut self) -> Taken {
        let Ok(standby) = self.standby.try_recv() else { return Taken::None };
        self.ordered = false;
        match standby {
            Ok(standby) if self.service.is_current(standby.generation()) => Taken::Ready(standby),
            Ok(stale) => Taken::Stale(stale),
            Err(_) => Taken::None,
        }
    }
}

/// What a lane found in its place.
pub(crate) enum Taken {
    Ready(Instance),
    Stale(Instance),
    None,
}
