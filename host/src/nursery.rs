//! Makes standbys before they are needed.
//!
//! Invariant: at most [`stock`] standbys per lane and service are ordered at a time, so the queue of orders
//! and the places for their results are bounded by their product.

use crate::{
    errands::errands,
    events::{Events, What},
    generation::Service,
    instance::{Fault, Instance},
    metrics::Metrics,
    seams::Seams,
};
use crossbeam_channel::{Receiver, Sender, bounded};
use std::{
    collections::VecDeque,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Instant,
};

/// Standbys ahead of their need, all together: each takes a slot of the pool, which is address space.
const STOCKS_MAX: usize = 1024;

/// Standbys of one service that wait for one lane, where each call takes one: as many as calls that do next to
/// nothing use while the nursery naps, and fewer where many lanes share the pool. (The reaper's queue is sized
/// alike: what a lane takes, it retires.)
pub(crate) fn stock(places: usize) -> usize {
    (STOCKS_MAX / places.max(1)).clamp(4, 64)
}

struct Order {
    service: Arc<Service>,
    lane: usize,
    place: Sender<Result<Instance, Fault>>,
    waits: Arc<AtomicBool>,
    wake: Sender<()>,
}

/// The thread that makes standbys.
#[derive(Clone)]
pub(crate) struct Nursery {
    orders: Sender<Order>,
    stock: usize,
}

impl Nursery {
    /// Starts it, for so many pairs of lane and service. Its thread ends with the last lane.
    pub(crate) fn start(
        seats: usize,
        metrics: Arc<Metrics>,
        events: Arc<Events>,
        seams: Seams,
    ) -> io::Result<Self> {
        let stock = stock(seats);
        let (orders, queue) = bounded::<Order>(seats * stock);
        thread::Builder::new().name("nursery".into()).spawn(move || {
            for Order { service, lane, place, waits, wake } in errands(&queue) {
                let begun = Instant::now();
                events.tell(service.name(), Some(lane), What::StandbyPrepareStart);
                // A panic costs a standby, not the thread that makes them all.
                let make = || match seams.faults.standby(service.name()) {
                    Some(fault) => Err(fault),
                    None => Instance::of(&service.current(), service.policy().memory_limit_bytes),
                };
                let standby = catch_unwind(AssertUnwindSafe(make))
                    .unwrap_or_else(|_| Err(Fault::Engine(wasmtime::Error::msg("the host panicked"))));
                let took = begun.elapsed();
                metrics.standby_made(service.name(), took, standby.is_ok());
                let what = match &standby {
                    Ok(_) => What::StandbyPrepareComplete {
                        took_us: u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
                    },
                    Err(fault) => What::StandbyPrepareError { error: fault.to_string() },
                };
                // First the standby, then the news of it: who hears of it finds it.
                drop(place.try_send(standby));
                events.tell(service.name(), Some(lane), what);
                if waits.swap(false, Ordering::SeqCst) {
                    // Full: it is about to look anyway.
                    let _ = wake.try_send(());
                }
            }
        })?;
        Ok(Self { orders, stock })
    }
}

/// Orders standbys for a lane's place, from wherever their need is seen.
#[derive(Clone)]
pub(crate) struct Orders {
    service: Arc<Service>,
    lane: usize,
    nursery: Nursery,
    place: Sender<Result<Instance, Fault>>,
    /// Standbys ordered and not taken yet. Relaxed: a count that bounds; the channels order what it counts.
    open: Arc<AtomicUsize>,
    /// Whether to order nothing for now.
    held: Arc<AtomicBool>,
    /// Whether the lane put a swap off until the next standby, and is to be woken for it.
    waits: Arc<AtomicBool>,
    wake: Sender<()>,
}

impl Orders {
    /// Orders nothing until it is let go again.
    pub(crate) fn hold(&self, is_held: bool) {
        self.held.store(is_held, Ordering::Relaxed);
    }

    /// Wakes the lane for the next standby.
    pub(crate) fn wake_for_next(&self) {
        self.waits.store(true, Ordering::SeqCst);
        // It came while this was being said.
        if !self.place.is_empty() {
            let _ = self.wake.try_send(());
        }
    }

    /// Sees to it that one standby is there or under way.
    pub(crate) fn one(&self) {
        self.keep(1);
    }

    /// The same for the whole stock; tops up once half of it is gone.
    pub(crate) fn stock(&self) {
        self.keep(self.nursery.stock);
    }

    fn keep(&self, stock: usize) {
        if self.held.load(Ordering::Relaxed) || self.open.load(Ordering::Relaxed) > stock / 2 {
            return;
        }
        while self
            .open
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |open| (open < stock).then_some(open + 1))
            .is_ok()
        {
            let Self { service, lane, place, waits, wake, .. } = self;
            let order = Order {
                service: Arc::clone(service),
                lane: *lane,
                place: place.clone(),
                waits: Arc::clone(waits),
                wake: wake.clone(),
            };
            if self.nursery.orders.try_send(order).is_err() {
                // The nursery has ended: the server stops.
                self.open.fetch_sub(1, Ordering::Relaxed);
                return;
            }
        }
    }
}

/// A lane's place for the standbys of one service.
pub(crate) struct Crib {
    service: Arc<Service>,
    orders: Orders,
    made: Receiver<Result<Instance, Fault>>,
    ready: VecDeque<Instance>,
    failures: u32,
}

/// What a lane found in its place.
pub(crate) enum Taken {
    Ready(Instance),
    Stale(Instance),
    None,
}

impl Crib {
    /// `wake` reaches the lane.
    pub(crate) fn new(service: &Arc<Service>, lane: usize, nursery: &Nursery, wake: Sender<()>) -> Self {
        let (place, made) = bounded(nursery.stock);
        let orders = Orders {
            service: Arc::clone(service),
            lane,
            nursery: nursery.clone(),
            place,
            open: Arc::default(),
            held: Arc::default(),
            waits: Arc::default(),
            wake,
        };
        Self { service: Arc::clone(service), orders, made, ready: VecDeque::new(), failures: 0 }
    }

    pub(crate) fn orders(&self) -> &Orders {
        &self.orders
    }

    /// Standbys in a row that could not be made.
    pub(crate) fn failures(&self) -> u32 {
        self.failures
    }

    /// Whether one of the generation being served can be taken.
    pub(crate) fn is_ready(&self) -> bool {
        self.ready.front().is_some_and(|standby| self.is_fit(standby))
    }

    fn is_fit(&self, standby: &Instance) -> bool {
        self.service.is_current(standby.generation())
            && standby.meter().limit_bytes() == self.service.policy().memory_limit_bytes
    }

    /// Takes in what was made since. Returns how many times in a row none could be made, if that has changed:
    /// those that were ordered together fail together, and count once.
    pub(crate) fn look(&mut self) -> Option<u32> {
        let before = self.failures;
        let counts = !self.orders.held.load(Ordering::Relaxed);
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
        (self.failures != before).then_some(self.failures)
    }

    /// Takes out a standby that nobody can use any more, or another would never be ordered.
    pub(crate) fn take_stale(&mut self) -> Option<Instance> {
        if self.ready.is_empty() || self.is_ready() {
            return None;
        }
        self.orders.open.fetch_sub(1, Ordering::Relaxed);
        self.ready.pop_front()
    }

    /// Takes a standby if one is ready and of the generation being served, under the limit of now; another is
    /// returned as stale.
    pub(crate) fn take(&mut self) -> Taken {
        let Some(standby) = self.ready.pop_front() else { return Taken::None };
        self.orders.open.fetch_sub(1, Ordering::Relaxed);
        if self.is_fit(&standby) { Taken::Ready(standby) } else { Taken::Stale(standby) }
    }
}
