//! Errors of the prover and the verifier.

use crate::point::NotInGroup;
use snapback_circom::Unsatisfied;

/// Why a key, a witness or a proof is refused. Messages hold numbers of signals and constraints, never values of a witness.
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
    /// The file is well formed, but it is of another proof system or over another curve.
    #[error("{0}")]
    Unsupported(String),
    /// The witness does not satisfy the circuit.
    #[error("the witness does not satisfy {0}")]
    Constraint(Unsatisfied),
    /// The proof that was made of a witness does not verify, and the constraints are not known.
    #[error(
        "the proof does not verify, so the witness does not satisfy the circuit: it is of another circuit or another \
         version of it, or the inputs do not fulfil the constraints; a circuit that was added with its .r1cs names the \
         first constraint that is not fulfilled"
    )]
    Unsatisfied,
    /// The proof does not verify.
    #[error("the proof does not verify")]
    Refuted,
}

impl Error {
    pub(crate) fn malformed(format: &'static str, reason: impl Into<String>) -> Self {
        Self::Malformed { format, reason: reason.into() }
    }

    /// Returns the error for a point, which is named, that is not in its group.
    pub(crate) fn point(format: &'static str, name: &str, reason: NotInGroup) -> Self {
        Self::malformed(format, format!("{name} {reason}"))
    }
}

impl From<snapback_circom::Error> for Error {
    fn from(error: snapback_circom::Error) -> Self {
        match error {
            snapback_circom::Error::Malformed { format, reason } => Self::Malformed { format, reason },
            snapback_circom::Error::Unsupported(message) => Self::Unsupported(message),
        }
    }
}
