//! Proves circom's R1CS circuits with halo2, over both sides of the Pasta cycle and without a trusted setup.
//!
//! ```text
//! .r1cs -> gates (fuse) -> slots (tape) -> columns (circuit) -> keys -> proofs
//! ```
//! As a guest, it takes reference strings and circuits as inputs while it is baked; a bake can start from an image that
//! has some already. As a library, it makes the same keys and proofs natively, and verifies proofs.
//!
//! Invariant: the same circuit, witness and entropy give the same bytes, natively and in WebAssembly.

#[cfg(test)]
mod arbitrary;
mod circuit;
mod compiled;
mod error;
mod fuse;
pub mod guest;
mod key_file;
mod keys;
mod prime;
mod proof;
mod tape;
mod trial;

pub use compiled::{ARITHMETISATION_VERSION, Compiled, K_MAX, Outline};
pub use error::Error;
pub use key_file::{KeyFile, PreparedKey, ReferenceSource};
pub use keys::{Prover, Verifier};
pub use prime::{PastaPrime, Scalar, Side};
pub use proof::ProofFile;
pub use trial::trial;

/// Returns the length of the reference string for 2^k rows in bytes: k, a point for each row in each of two bases, and
/// two more points.
#[must_use]
pub const fn reference_bytes(k: u32) -> usize {
    4 + 32 * (2 * (1 << k) + 2)
}

/// Name of this guest and of its proof system.
pub const GUEST_NAME: &str = "plonk";
