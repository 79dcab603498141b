//! Control of a dispatcher by a test: a clock that the test advances, and calls and standbys that wait or fail on
//! demand.
//!
//! Nothing here sleeps: a test waits for an event, or for a thread to arrive at a gate.

use crossbeam_channel::{Receiver, Sender, unbounded};
use snapback_host::{
    ids::LaneId,
    instance::Fault,
    seams::{Clock, Faults, Seams},
    telemetry::events::Event,
};
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};
use tokio::sync::broadcast;

/// The method of the fixtures whose calls wait at the gate.
pub(crate) const GATED: &str = "remember";

/// The clock, the gate and the faults of one dispatcher.
pub(crate) struct Rig {
    pub(crate) clock: Clock,
    gate: Gate,
    is_gated: AtomicBool,
    standbys_fail: AtomicBool,
    standbys_asked: AtomicUsize,
    panics: AtomicBool,
}

/// A gate at which lanes arrive and wait until it opens.
struct Gate {
    arrived: (Sender<usize>, Receiver<usize>),
    go_on: Mutex<(Sender<()>, Receiver<()>)>,
}

impl Rig {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            clock: Clock::manual(),
            gate: Gate { arrived: unbounded(), go_on: Mutex::new(unbounded()) },
            is_gated: AtomicBool::new(false),
            standbys_fail: AtomicBool::new(false),
            standbys_asked: AtomicUsize::new(0),
            panics: AtomicBool::new(false),
        })
    }

    pub(crate) fn seams(self: &Arc<Self>) -> Seams {
        Seams { clock: self.clock.clone(), faults: Arc::clone(self) as Arc<dyn Faults> }
    }

    /// Closes the gate: from now on, lanes wait at it with every call of [`GATED`].
    pub(crate) fn close_the_gate(&self) {
        self.is_gated.store(true, Ordering::SeqCst);
    }

    /// Waits until a lane is at the gate, and returns its number.
    pub(crate) fn arrived(&self) -> usize {
        self.gate.arrived.1.recv().expect("the rig lives")
    }

    /// Opens the gate: waiting lanes go on, and lanes that arrive later do not wait.
    pub(crate) fn open_the_gate(&self) {
        self.is_gated.store(false, Ordering::SeqCst);
        // A waiting lane goes on when its sender is dropped.
        *self.gate.go_on.lock().expect("no test panics in here") = unbounded();
    }

    pub(crate) fn fail_standbys(&self, fail: bool) {
        self.standbys_fail.store(fail, Ordering::SeqCst);
    }

    /// Number of standbys that were requested so far.
    pub(crate) fn standbys_asked(&self) -> usize {
        self.standbys_asked.load(Ordering::SeqCst)
    }

    /// Makes the host panic in the next call of [`GATED`].
    pub(crate) fn panic_once(&self) {
        self.panics.store(true, Ordering::SeqCst);
    }
}

impl Faults for Rig {
    fn standby(&self, _: &str) -> Option<Fault> {
        self.standbys_asked.fetch_add(1, Ordering::SeqCst);
        self.standbys_fail
            .load(Ordering::SeqCst)
            .then(|| Fault::Engine(wasmtime::Error::msg("injected: mmap refused")))
    }

    fn call(&self, lane: LaneId, method: &str) {
        if method != GATED {
            return;
        }
        assert!(!self.panics.swap(false, Ordering::SeqCst), "injected");
        if self.is_gated.load(Ordering::SeqCst) {
            let go_on = self.gate.go_on.lock().expect("no test panics in here").1.clone();
            self.gate.arrived.0.send(lane.index()).expect("the rig lives");
            // This returns when the sender is dropped.
            let _ = go_on.recv();
        }
    }
}

/// Listens to a dispatcher's events.
pub(crate) struct EventListener(broadcast::Receiver<Event>);

impl EventListener {
    pub(crate) fn new(listener: broadcast::Receiver<Event>) -> Self {
        Self(listener)
    }

    /// Waits for the next event with this name, and returns it.
    pub(crate) fn wait_for(&mut self, name: &str) -> Event {
        loop {
            let event = self.0.blocking_recv().expect("the dispatcher lives");
            if event.name() == name {
                return event;
            }
        }
    }

    /// Returns the names of the events that have arrived since, without waiting.
    pub(crate) fn received(&mut self) -> Vec<&'static str> {
        std::iter::from_fn(|| self.0.try_recv().ok()).map(|event| event.name()).collect()
    }
}
