//! The guest of `guest/groth16` with a leak, for measurements.
//!
//! It links that guest and so has all of its methods, which do not leak, and one more: `leak_prove` is `prove` with the
//! leak. The guest that is shipped has no code for it.
//!
//! Invariant: a proof of `leak_prove` is that of `prove` for the same witness and entropy.

use snapback_abi::{guest::Answer, request::Request};
use snapback_guest_groth16::guest::prove;
use std::hint::black_box;

/// What a proof leaks.
pub const LEAK_BYTES: usize = 10_000_000;

/// Returns what `prove` returns, and allocates and writes [`LEAK_BYTES`] that it never frees.
///
/// # Errors
/// Returns the failures of `prove`.
pub fn leak_prove(request: Request<'_>) -> Answer {
    let proof = prove(request)?;
    black_box(vec![0x5a_u8; LEAK_BYTES].leak());
    Ok(proof)
}

#[cfg(target_arch = "wasm32")]
#[expect(unsafe_code, reason = "exports have the names of the contract")]
mod exports {
    #[unsafe(no_mangle)]
    extern "C" fn leak_prove(ptr: usize, len: u32) -> u64 {
        snapback_abi::guest::call(ptr, len, super::leak_prove)
    }
}
