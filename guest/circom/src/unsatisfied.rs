//! The first constraint that a witness does not satisfy, for messages.
//!
//! Invariant: it holds numbers and names, never values of the witness.

use crate::{Element, r1cs::R1cs, sym::Names};
use std::fmt;

/// Largest number of signals that a message names.
const NAMED_MAX: usize = 8;

/// The first constraint that a witness does not satisfy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsatisfied {
    /// Number of the constraint in the file, from 0.
    pub constraint: usize,
    /// Names of its signals, if they are known.
    pub signals: Vec<String>,
}

impl Unsatisfied {
    /// Returns the first constraint that the witness does not satisfy, if there is one.
    ///
    /// # Panics
    /// Panics if the witness has fewer values than the circuit has wires.
    #[must_use]
    pub fn find<F: Element>(r1cs: &R1cs<F>, names: &Names, witness: &[F]) -> Option<Self> {
        let number = r1cs.unsatisfied(witness)?;
        let constraint = r1cs.constraints().nth(number).expect("the constraint was found");
        let mut signals: Vec<String> = Vec::new();
        for (wire, _) in [constraint.a, constraint.b, constraint.c].into_iter().flatten() {
            if let Some(name) = names.of(*wire)
                && signals.len() < NAMED_MAX
                && !signals.iter().any(|known| known == name)
            {
                signals.push(name.to_owned());
            }
        }
        Some(Self { constraint: number, signals })
    }
}

impl fmt::Display for Unsatisfied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "constraint {}", self.constraint)?;
        if self.signals.is_empty() { Ok(()) } else { write!(f, " (of {})", self.signals.join(", ")) }
    }
}
