//! Proves circom's circuits with Groth16 over BN254, with the keys and the witnesses of snarkjs.
//!
//! ```text
//! field, quadratic           fields of BN254                   groups, point, sum    its groups
//! loose                      elements with fewer reductions
//! section, header, zkey      reads a .zkey, piece by piece     coefficients   both sides of the constraints
//! domain                     transforms to the coset           combination    checks many points at once
//! key                        makes proofs                      proof          the file with a proof
//! verifying_key, pairing     verifies proofs                   outline        what a .zkey is, and whether it is consistent
//! guest                      the methods of the guest          trial          a small circuit, which every image proves
//! ```
//! As a guest, it takes keys as inputs while it is baked. As a library, it makes the same proofs natively.
//!
//! Invariant: the same key, witness and entropy give the same bytes, natively and in WebAssembly.

mod coefficients;
mod combination;
mod domain;
mod error;
mod field;
mod groups;
pub mod guest;
mod header;
mod key;
mod loose;
mod outline;
mod pairing;
mod point;
mod proof;
mod quadratic;
mod section;
mod sum;
#[cfg(test)]
mod tests;
pub mod trial;
mod verifying_key;
mod zkey;

pub use domain::Roots;
pub use error::Error;
pub use field::{Fq, Fr, Words, bytes, words};
pub use header::Header;
pub use key::ProvingKey;
pub use outline::{Outline, read_header};
pub use point::{G1, G2, NotInGroup};
pub use proof::{PROOF_BYTES, Proof, ProofFile};
pub use quadratic::Fq2;
pub use verifying_key::{Verifier, VerifyingKey};
pub use zkey::KeyReader;

/// Name of this guest and of its proof system.
pub const GUEST_NAME: &str = "groth16";
