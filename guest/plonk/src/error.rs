//! Errors about circuits, witnesses and proofs. Messages hold numbers and names of signals, never values of a witness.

use snapback_circom::Unsatisfied;

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
