//! Where tests take hold of a dispatcher: a clock that they move, calls and standbys that wait or fail on demand.
//!
//! Nothing here sleeps: a test waits for an event, or for a thread to arrive at a gate.

use crossbeam_channel::{Receiver, Sender, unbounded};
use snapback_host::{
    events::Event,
    instance::Fault,
    seams::{Clock, Faults, Seams},
};
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};
use tokio::sync::broadcast;

/// A method at whose gate lanes wait: it is the echo of the guest, reached through its own name.
pub(crate) const GATED: &str = "remember";

/// What a test holds.
pub(crate) struct Rig {
    pub(crate) clock: Clock,
    gate: Gate,
    is_gated: AtomicBool,
    standbys_fail: AtomicBool,
    standbys_asked: AtomicUsize,
    panics: AtomicBool,
}

/// Lanes arrive, and wait until they are let on.
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

    /// From now on, lanes wait at the gate with every call of [`GATED`].
    pub(crate) fn close_the_gate(&self) {
        self.is_gated.store(true, Ordering::SeqCst);
    }

    /// Waits until a lane is at the gate, and returns which.
    pub(crate) fn arrived(&self) -> usize {
        self.gate.arrived.1.recv().expect("the rig lives")
    }

    /// Lets everyone on who waits, and closes it to nobody.
    pub(crate) fn open_the_gate(&self) {
        self.is_gated.store(false, Ordering::SeqCst);
        // Whoever waits for the old sender sees it go.
        *self.gate.go_on.lock().expect("no test panics in here") = unbounded();
    }

    pub(crate) fn fail_standbys(&self, fail: bool) {
        self.standbys_fail.store(fail, Ordering::SeqCst);
    }

    /// Standbys that were asked for until now.
    pub(crate) fn standbys_asked(&self) -> usize {
        self.standbys_asked.load(Ordering::SeqCst)
    }

    /// The next call of [`GATED`] panics in the host.
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

    fn call(&self, lane: usize, method: &str) {
        if method != GATED {
            return;
        }
        assert!(!self.panics.swap(false, Ordering::SeqCst), "injected");
        if self.is_gated.load(Ordering::SeqCst) {
            let go_on = self.gate.go_on.lock().expect("no test panics in here").1.clone();
            self.gate.arrived.0.send(lane).expect("the rig lives");
            // Ends when the sender is dropped.
            let _ = go_on.recv();
        }
    }
}

/// Listens to a dispatcher's events.
pub(crate) struct Ear(broadcast::Receiver<Event>);

impl Ear {
    pub(crate) fn new(listener: broadcast::Receiver<Event>) -> Self {
        Self(listener)
    }

    /// Waits for the next event of that name.
    pub(crate) fn hear(&mut self, name: &str) -> Event {
        loop {
            let event = self.0.blocking_recv().expect("the dispatcher lives");
            if event.name() == name {
                return event;
            }
        }
    }

    /// The names of the events since.
    pub(crate) fn heard(&mut self) -> Vec<&'static str> {
        std::iter::from_fn(|| self.0.try_recv().ok()).map(|event| event.name()).collect()
    }
}
