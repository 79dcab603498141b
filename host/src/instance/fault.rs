//! Why a call returned no reply.

use super::stop_flag::Stopped;
use crate::{memory::meter::OutOfMemory, policy::Reason, witness::CalculatorError};
use snapback_snapshot::call::CallError;
use std::time::Duration;
use wasmtime::Trap;

/// Why a call returned no reply.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The image has no such method.
    #[error("the image has no such method")]
    NoSuchMethod,
    /// The guest trapped.
    #[error("the guest trapped: {0}")]
    Trap(Trap),
    /// The guest needs more memory than it may have.
    #[error(transparent)]
    OutOfMemory(#[from] OutOfMemory),
    /// The call used no processor time for too long.
    #[error("the call stalled: it used no processor for {} ms", .0.as_millis())]
    Stalled(Duration),
    /// The call ran longer than it may.
    #[error("the call ran longer than {} ms", .0.as_millis())]
    Deadline(Duration),
    /// The call was stopped while it ran; see [`super::StopFlag`].
    #[error("the call was cancelled")]
    Cancelled,
    /// The guest does not follow the contract.
    #[error("{0}")]
    Contract(CallError),
    /// The reply is longer than the host accepts.
    #[error("the reply has {bytes} bytes and may have {bytes_max}")]
    ReplyTooLarge {
        /// Length of the reply.
        bytes: u64,
        /// The limit.
        bytes_max: u64,
    },
    /// The circuit's witness calculator returned no witness.
    #[error(transparent)]
    Calculator(#[from] CalculatorError),
    /// The engine failed.
    #[error("the engine failed: {0}")]
    Engine(wasmtime::Error),
}

impl Fault {
    /// Classifies why an export did not return a reply. `limit` is the deadline that the call ran under.
    pub(super) fn classify(error: CallError, limit: Duration) -> Self {
        match error {
            CallError::Stopped(error) => {
                if let Some(out_of_memory) = error.downcast_ref::<OutOfMemory>() {
                    Self::OutOfMemory(*out_of_memory)
                } else if error.is::<Stopped>() {
                    Self::Cancelled
                } else if let Some(trap) = error.downcast_ref::<Trap>() {
                    if *trap == Trap::Interrupt { Self::Deadline(limit) } else { Self::Trap(*trap) }
                } else {
                    Self::Engine(error)
                }
            }
            CallError::ReplyTooLarge { bytes, bytes_max } => Self::ReplyTooLarge { bytes, bytes_max },
            contract => Self::Contract(contract),
        }
    }

    /// The fault that stands for a panic of the host during a call.
    pub(crate) fn host_panicked() -> Self {
        Self::Engine(wasmtime::Error::msg("the host panicked"))
    }

    /// Whether the image is to blame, rather than the input or the size of one call.
    #[must_use]
    pub fn is_of_the_image(&self) -> bool {
        match self {
            Self::Trap(_) | Self::Stalled(_) | Self::Deadline(_) | Self::Contract(_) | Self::Engine(_) => {
                true
            }
            // A calculator belongs to the client who sent it: other circuits of the image must not suffer for it.
            Self::NoSuchMethod
            | Self::OutOfMemory(_)
            | Self::Cancelled
            | Self::ReplyTooLarge { .. }
            | Self::Calculator(_) => false,
        }
    }

    /// Why an instance is replaced after a call that ended in this fault.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Self::Trap(_) => Reason::Trap,
            Self::OutOfMemory(_) => Reason::OutOfMemory,
            Self::Deadline(_) => Reason::Deadline,
            Self::Stalled(_) => Reason::Stall,
            Self::Cancelled => Reason::Cancelled,
            _ => Reason::Fault,
        }
    }
}
