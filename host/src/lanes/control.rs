//! Handle through which other threads reach a lane.
//!
//! Invariant: a command that is given twice before the lane gets to it is carried out once.

use super::{status::StatusCell, watchdog::InFlightCell};
use crate::ids::ServiceId;
use crossbeam_channel::{Receiver, Sender, bounded};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// What an operator can ask of a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LaneCommand {
    /// Have a standby ready.
    Prepare,
    /// Replace the active instance once a standby is ready.
    Swap,
}

/// Commands for the executor of one service, until it carries them out.
#[derive(Default)]
pub(super) struct PendingCommands {
    // Relaxed: each flag stands for itself, and the lane is woken through a channel after it is set.
    prepare: AtomicBool,
    swap: AtomicBool,
}

impl PendingCommands {
    fn set(&self, command: LaneCommand) {
        match command {
            LaneCommand::Prepare => self.prepare.store(true, Ordering::Relaxed),
            LaneCommand::Swap => self.swap.store(true, Ordering::Relaxed),
        }
    }

    /// Whether a standby is asked for; clears the request.
    pub(super) fn take_prepare(&self) -> bool {
        self.prepare.swap(false, Ordering::Relaxed)
    }

    /// Whether a swap is asked for. It stays asked for until [`Self::swap_done`].
    pub(super) fn wants_swap(&self) -> bool {
        self.swap.load(Ordering::Relaxed)
    }

    /// Clears the request for a swap.
    pub(super) fn swap_done(&self) {
        self.swap.store(false, Ordering::Relaxed);
    }
}

/// Shared between one executor and the threads that give it commands or read its status.
#[derive(Clone, Default)]
pub(super) struct ExecutorControl {
    pub(super) commands: Arc<PendingCommands>,
    pub(super) status: Arc<StatusCell>,
}

/// Handle through which other threads reach a lane.
pub(super) struct Control {
    pub(super) in_flight: InFlightCell,
    /// By the index of the service.
    executors: Vec<ExecutorControl>,
    wake: Sender<()>,
    pub(super) woken: Receiver<()>,
}

impl Control {
    pub(super) fn new(services: usize) -> Self {
        // One pending wake-up is enough: the lane looks at everything when it gets it.
        let (wake, woken) = bounded(1);
        let executors = (0..services).map(|_| ExecutorControl::default()).collect();
        Self { in_flight: InFlightCell::default(), executors, wake, woken }
    }

    /// The part that concerns one service, if there is such a service.
    pub(super) fn executor(&self, service: ServiceId) -> Option<&ExecutorControl> {
        self.executors.get(service.index())
    }

    /// Gives a command to the executor of a service, and wakes the lane.
    pub(super) fn command(&self, service: ServiceId, command: LaneCommand) {
        if let Some(executor) = self.executor(service) {
            executor.commands.set(command);
            self.wake();
        }
    }

    /// Makes the lane look at its commands and generations once its current call has ended.
    pub(super) fn wake(&self) {
        // Fails if a wake-up is pending already.
        let _ = self.wake.try_send(());
    }

    /// A sender that wakes the lane.
    pub(super) fn waker(&self) -> Sender<()> {
        self.wake.clone()
    }
}
