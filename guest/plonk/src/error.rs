//! What can be wrong with a circuit, a witness or a proof. Messages name numbers and signals, never values.

use std::fmt;

/// Why something could not be read, proven or verified.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The bytes are not what they should be.
    #[error("not {format}: {reason}")]
    Malformed {
        /// The format, with its article.
        format: &'static str,
        /// What does not fit.
        reason: String,
    },
    /// Well formed, and beyond what this prover does.
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

/// The first constraint that a witness does not satisfy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsatisfied {
    /// Its number in the file, from 0.
    pub constraint: usize,
    /// The signals in it, if their names are known.
    pub signals: Vec<String>,
}

impl fmt::Display for Unsatisfied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "constraint {}", self.constraint)?;
        if self.signals.is_empty() { Ok(()) } else { write!(f, " (of {})", self.signals.join(", ")) }
    }
}
