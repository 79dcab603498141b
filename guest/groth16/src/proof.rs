//! Proofs, and the file in which a guest returns one with its public signals.
//!
//! ```text
//! "sbgp" | a: 64 bytes | b: 128 bytes | c: 64 bytes | repeated: a public signal, 32 bytes
//! ```
//! Coordinates and signals are numbers, the lowest byte first. The magic word keeps a proof from being taken for JSON.
//!
//! Invariant: what was decoded encodes to the same bytes.

use crate::{
    Error,
    field::{ELEMENT_BYTES, Modulus, R, Words, bytes, words},
    point::{G1, G2, NotInGroup, Point},
};
use snapback_arithmetic::words::is_below;

const FORMAT: &str = "a proof";
const MAGIC: [u8; 4] = *b"sbgp";

/// Length of a proof without signals, in bytes.
pub const PROOF_BYTES: usize = MAGIC.len() + 2 * G1::BYTES + G2::BYTES;

/// A proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proof {
    /// The sum for the left sides of constraints.
    pub a: G1,
    /// The sum for the right sides.
    pub b: G2,
    /// The sum for the rest.
    pub c: G1,
}

/// A proof with its public signals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProofFile {
    /// Public signals, which are below the prime of the scalars: outputs, then public inputs.
    pub publics: Vec<Words>,
    /// The proof.
    pub proof: Proof,
}

impl ProofFile {
    /// Encodes the file.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut file = Vec::with_capacity(PROOF_BYTES + ELEMENT_BYTES * self.publics.len());
        file.extend_from_slice(&MAGIC);
        let Proof { a, b, c } = &self.proof;
        let numbers = a.numbers().into_iter().chain(b.numbers().into_iter().flatten()).chain(c.numbers());
        numbers.chain(self.publics.iter().copied()).for_each(|number| file.extend_from_slice(&bytes(number)));
        file
    }

    /// Decodes a file.
    ///
    /// # Errors
    /// Returns an error if the bytes end early, a point is not in its group, or a signal is not below the prime.
    pub fn decode(file: &[u8]) -> Result<Self, Error> {
        let refuse = |name: &'static str| move |reason: NotInGroup| Error::point(FORMAT, name, reason);
        let (points, publics) = file
            .split_at_checked(PROOF_BYTES)
            .ok_or_else(|| Error::malformed(FORMAT, "it ends before its last point"))?;
        let points = points
            .strip_prefix(&MAGIC)
            .ok_or_else(|| Error::malformed(FORMAT, "it begins with other bytes"))?;
        let (a, rest) = points.split_at(G1::BYTES);
        let (b, c) = rest.split_at(G2::BYTES);
        let proof = Proof {
            a: Point::from_numbers(a).map_err(refuse("pi_a"))?,
            b: Point::from_numbers(b).map_err(refuse("pi_b"))?,
            c: Point::from_numbers(c).map_err(refuse("pi_c"))?,
        };
        let (publics, []) = publics.as_chunks() else {
            return Err(Error::malformed(FORMAT, "its last public signal is not whole"));
        };
        let publics: Vec<Words> = publics.iter().map(words).collect();
        match publics.iter().position(|public| !is_below(public, &R::WORDS)) {
            Some(index) => {
                Err(Error::malformed(FORMAT, format!("public signal {index} is not below the prime")))
            }
            None => Ok(Self { publics, proof }),
        }
    }
}
