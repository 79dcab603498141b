//! The search for the end of a run of characters, with the vectors of WebAssembly: scripts, styles, titles and the values
//! of attributes are such runs. `markup5ever` looks at one byte after the other.
//!
//! Invariant: the length is that of the library's own loop, which reads what is left after the last vector.

use std::arch::wasm32::{
    u8x16, u8x16_bitmask, u8x16_eq, u8x16_shr, u8x16_splat, u8x16_swizzle, u64x2, v128_and, v128_not,
};

/// Bytes of a vector.
const STRIDE: usize = 16;

/// Returns how many bytes at the start are known not to be in the set, which has a bit for each byte below 64.
pub(super) fn nonmembers(set: u64, bytes: &[u8]) -> usize {
    // Eight bits of the set in each byte; those of bytes of 64 and more are zero, and so is a place beyond the vector.
    let octets = u64x2(set, 0);
    let bits = u8x16(1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128);
    let (chunks, _) = bytes.as_chunks::<STRIDE>();
    for (index, chunk) in chunks.iter().enumerate() {
        let chunk = u128::from_le_bytes(*chunk);
        let chunk = u64x2(chunk as u64, (chunk >> 64) as u64);
        let octet = u8x16_swizzle(octets, u8x16_shr(chunk, 3));
        let bit = u8x16_swizzle(bits, v128_and(chunk, u8x16_splat(7)));
        let members = u8x16_bitmask(v128_not(u8x16_eq(v128_and(octet, bit), u8x16_splat(0))));
        if members != 0 {
            return index * STRIDE + members.trailing_zeros() as usize;
        }
    }
    chunks.len() * STRIDE
}
