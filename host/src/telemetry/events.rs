//! Events: what happens to instances, as it happens, for the log and for operators who listen to the admin routes.
//!
//! Invariant: an event holds names, sizes and times of this program, and nothing that a client sent. Without listeners
//! an event costs nothing; a slow listener misses events and learns how many.

use crate::{
    ids::{GenerationId, LaneId},
    policy::{BreakerState, Pressure, Reason},
};
use serde::Serialize;
use std::{
    fmt,
    time::{SystemTime, UNIX_EPOCH},
};
use tokio::sync::broadcast;

/// How many events a slow listener may be behind.
const BACKLOG: usize = 1024;

/// One event.
#[derive(Clone, Debug, Serialize)]
pub struct Event {
    /// Milliseconds since 1970.
    pub at_ms: u64,
    /// The image that the event concerns.
    pub image: String,
    /// The lane that the event concerns; `None` if it concerns the image as a whole.
    pub lane: Option<LaneId>,
    /// What happened.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// What happened.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum EventKind {
    /// Memory was sampled.
    MemoryCheck {
        /// Memory in use.
        used_bytes: u64,
        /// The limit.
        limit_bytes: u64,
        /// How full it is.
        pressure: Pressure,
    },
    /// The pressure changed.
    Pressure {
        /// Before.
        from: Pressure,
        /// Now.
        to: Pressure,
    },
    /// A standby is being made.
    StandbyPrepareStart,
    /// A standby is ready.
    StandbyPrepareComplete {
        /// How long it took.
        took_us: u64,
    },
    /// A standby could not be made.
    StandbyPrepareError {
        /// Why not.
        error: String,
    },
    /// A lane begins to replace its instance.
    SwapStart {
        /// Why.
        reason: Reason,
    },
    /// A lane has replaced its instance.
    SwapComplete {
        /// Why.
        reason: Reason,
        /// How long the swap took.
        took_us: u64,
    },
    /// A lane deferred a swap and goes on with the instance it has.
    SwapError {
        /// Why the swap is due.
        reason: Reason,
        /// Why it is deferred.
        error: &'static str,
    },
    /// A circuit breaker changed its state.
    Breaker {
        /// The new state.
        to: BreakerState,
    },
    /// A call used no processor time for too long; its lane was replaced.
    Stall {
        /// How long the call had been running.
        after_ms: u64,
    },
    /// The policy of the image was changed.
    Policy,
    /// Another generation was published.
    Published {
        /// Its number in the catalogue.
        generation: GenerationId,
    },
}

impl EventKind {
    fn name(&self) -> &'static str {
        match self {
            Self::MemoryCheck { .. } => "memory-check",
            Self::Pressure { .. } => "pressure",
            Self::StandbyPrepareStart => "standby-prepare-start",
            Self::StandbyPrepareComplete { .. } => "standby-prepare-complete",
            Self::StandbyPrepareError { .. } => "standby-prepare-error",
            Self::SwapStart { .. } => "swap-start",
            Self::SwapComplete { .. } => "swap-complete",
            Self::SwapError { .. } => "swap-error",
            Self::Breaker { .. } => "breaker",
            Self::Stall { .. } => "stall",
            Self::Policy => "policy",
            Self::Published { .. } => "published",
        }
    }

    fn is_for_operators(&self) -> bool {
        matches!(
            self,
            Self::StandbyPrepareError { .. } | Self::Breaker { .. } | Self::Stall { .. } | Self::Policy
        )
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self).expect("events have string keys only"))
    }
}

impl Event {
    /// Name of the event in the stream.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.kind.name()
    }
}

/// Distributes events.
pub struct Events {
    listeners: broadcast::Sender<Event>,
}

impl Default for Events {
    fn default() -> Self {
        Self { listeners: broadcast::Sender::new(BACKLOG) }
    }
}

impl Events {
    /// Subscribes to the events from now on.
    #[must_use]
    pub fn listen(&self) -> broadcast::Receiver<Event> {
        self.listeners.subscribe()
    }

    /// Whether there is a listener. Callers build an event only if there is.
    pub(crate) fn has_listeners(&self) -> bool {
        self.listeners.receiver_count() > 0 || tracing::enabled!(tracing::Level::DEBUG)
    }

    /// Emits an event.
    pub(crate) fn emit(&self, image: &str, lane: Option<LaneId>, kind: EventKind) {
        let is_for_operators = kind.is_for_operators();
        if !is_for_operators && !self.has_listeners() {
            return;
        }
        let at_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let at_ms = u64::try_from(at_ms).unwrap_or(u64::MAX);
        let event = Event { at_ms, image: image.into(), lane, kind };
        if is_for_operators {
            tracing::warn!(event = event.name(), detail = %event);
        } else {
            tracing::debug!(event = event.name(), detail = %event);
        }
        // Fails if the last listener has gone, which loses nothing.
        let _ = self.listeners.send(event);
    }
}
