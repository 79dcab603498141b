//! Errors about circuits, witnesses and proofs. Messages hold numbers and names of signals, never values of a witness.

use std::fmt;

/// Why a file cannot be read, or a proof cannot be made or verified.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The bytes do not follow the format.
    #[error("not {format}: {reason}")]
    Malformed {
        /// The format, with its article.
        format: &'static str,
        /// The violation of the format.
        reason: String,
    },
    /// The input is well formed, but this prover does not support it.
    #[error("{0}")]
    Unsupported(String),
    /// The witness does not satisfy the circuit.
    #[error("the witness does not satisfy {0}")]
    Unsatisfied(Unsatisfied),
    /// The proof does not verify.
    #[error("the proof does not verify: {0}")]
    Refuted(&'static str),
    /// The prover failed at its own work.
    #[error("the prover failed: {0}")]
    Prover(String),
}

impl From<snapback_circom::Error> for Error {
    fn from(error: snapback_circom::Error) -> Self {
        match error {
            snapback_circom::Error::Malformed { format, reason } => Self::Malformed { format, reason },
            snapback_circom::Error::Unsupported(message) => Self::Unsupported(message),
        }
    }
}

/// The first constraint that a witness does not satisfy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsatisfied {
    /// Number of the constraint in the file, from 0.
    pub constraint: usize,
    /// Names of its signals, if they are known.
    pub signals: Vec<String>,
}

impl fmt::Display for Unsatisfied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "constraint {}", self.constraint)?;
        if self.signals.is_empty() { Ok(()) } else { write!(f, " (of {})", self.signals.join(", ")) }
    }
}
