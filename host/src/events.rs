//! What happens to instances, as it happens: for the log, and for whoever listens to the stream of the admin
//! routes.
//!
//! Invariant: an event holds names, sizes and times of this program, and nothing that a client sent. Who does
//! not listen costs nothing, and who listens too slowly misses events and is told how many.

use crate::{
    breaker::BreakerState,
    pressure::{Pressure, Reason},
};
use serde::Serialize;
use std::{
    fmt,
    time::{SystemTime, UNIX_EPOCH},
};
use tokio::sync::broadcast;

/// Events that a slow listener may be behind.
const BACKLOG: usize = 1024;

/// One event.
#[derive(Clone, Debug, Serialize)]
pub struct Event {
    /// Milliseconds since 1970.
    pub at_ms: u64,
    /// The image that it concerns.
    pub image: String,
    /// The lane that it concerns; none where it is the image as a whole.
    pub lane: Option<usize>,
    /// What happened.
    #[serde(flatten)]
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum What {
    /// Memory was looked at.
    MemoryCheck {
        /// In use.
        used_bytes: u64,
        /// What it may be.
        limit_bytes: u64,
        /// How full that is.
        pressure: Pressure,
    },
    /// How full memory is has changed.
    Pressure {
        /// It was.
        from: Pressure,
        /// It is.
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
    /// A lane replaces its instance.
    SwapStart {
        /// Why.
        reason: Reason,
    },
    /// It has.
    SwapComplete {
        /// Why.
        reason: Reason,
        /// How long the lane was at it.
        took_us: u64,
    },
    /// It has not, and goes on with the one it has.
    SwapError {
        /// Why it would have.
        reason: Reason,
        /// Why it did not.
        error: &'static str,
    },
    /// A breaker moved.
    Breaker {
        /// Where it stands.
        to: BreakerState,
    },
    /// A call used no processor for too long; its lane was replaced.
    Stall {
        /// How long.
        after_ms: u64,
    },
    /// How the image is served was changed.
    Policy,
    /// Another generation is served.
    Published {
        /// Its number in the catalogue.
        generation: u64,
    },
}

impl What {
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
        f.write_str(&serde_json::to_string(self).expect("names and numbers"))
    }
}

impl Event {
    /// Its name in the stream.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.what.name()
    }
}

/// Where events go.
pub struct Events {
    listeners: broadcast::Sender<Event>,
}

impl Default for Events {
    fn default() -> Self {
        Self { listeners: broadcast::Sender::new(BACKLOG) }
    }
}

impl Events {
    /// Listens from now on.
    #[must_use]
    pub fn listen(&self) -> broadcast::Receiver<Event> {
        self.listeners.subscribe()
    }

    /// Whether anybody would hear of it: events are built for them alone.
    pub(crate) fn is_heard(&self) -> bool {
        self.listeners.receiver_count() > 0 || tracing::enabled!(tracing::Level::DEBUG)
    }

    /// Tells everyone who listens.
    pub(crate) fn tell(&self, image: &str, lane: Option<usize>, what: What) {
        let is_for_operators = what.is_for_operators();
        if !is_for_operators && !self.is_heard() {
            return;
        }
        let at_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let at_ms = u64::try_from(at_ms).unwrap_or(u64::MAX);
        let event = Event { at_ms, image: image.into(), lane, what };
        if is_for_operators {
            tracing::warn!(event = event.name(), detail = %event);
        } else {
            tracing::debug!(event = event.name(), detail = %event);
        }
        // Nobody listens any more: that is no loss.
        let _ = self.listeners.send(event);
    }
}
