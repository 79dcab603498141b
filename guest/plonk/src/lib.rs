//! Circuits as data: circom's R1CS, proven with halo2 over both sides of Pasta, without a trusted setup.
//!
//! ```text
//! .r1cs -> gates (fuse) -> slots (tape) -> columns (circuit) -> keys -> proofs
//! ```
//! As a guest it takes reference strings and circuits while it is baked, also from an image that has some already; as
//! a library it makes the same keys and proofs natively, and verifies.
//!
//! Invariant: the same circuit, witness and entropy give the same bytes, here and there.

#[cfg(test)]
mod arbitrary;
mod circuit;
mod error;
mod fuse;
pub mod guest;
mod key_file;
mod keys;
mod prime;
mod proof;
pub mod r1cs;
mod sections;
pub mod sym;
mod tape;
mod trial;
pub mod wtns;

pub use error::{Error, Unsatisfied};
pub use key_file::{KeyFile, PreparedKey};
pub use keys::{ARITHMETISATION_VERSION, Compiled, K_MAX, Prover, Verifier, identify};
pub use prime::{Prime, Scalar, Side};
pub use proof::ProofFile;
pub use trial::trial;

/// What hosts call this guest.
pub const GUEST_NAME: &str = "plonk";
