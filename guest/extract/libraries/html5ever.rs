//! The text between tags, with the vectors of WebAssembly. `html5ever` reads it with those of x86 and of ARM only.
//!
//! Invariant: both values are those of the library's own loop, which reads what is left after the last vector.

use std::arch::wasm32::{u8x16, u8x16_bitmask, u8x16_eq, u8x16_splat, u8x16_swizzle, u64x2, v128_and};

/// Bytes of a vector.
const STRIDE: usize = 16;

/// Returns how many bytes at the start are known not to leave the data state, and how many of these are newlines.
pub(super) fn text(bytes: &[u8]) -> (usize, u64) {
    // In the place of its lower half, each byte that leaves the state. A byte that is found there is itself; the zeros in
    // between are found by no byte but zero, whose place is the first.
    let leaving = u8x16(0, 0, 0, 0, 0, 0, b'&', 0, 0, 0, 0, 0, b'<', b'\r', 0, 0);
    let (chunks, _) = bytes.as_chunks::<STRIDE>();
    let mut newlines = 0;
    for (index, chunk) in chunks.iter().enumerate() {
        let chunk = u128::from_le_bytes(*chunk);
        let chunk = u64x2(chunk as u64, (chunk >> 64) as u64);
        let found = u8x16_bitmask(u8x16_eq(chunk, u8x16_swizzle(leaving, v128_and(chunk, u8x16_splat(0x0f)))));
        let lines = u8x16_bitmask(u8x16_eq(chunk, u8x16_splat(b'\n')));
        if found != 0 {
            let lines_before = lines & ((1 << found.trailing_zeros()) - 1);
            let at = index * STRIDE + found.trailing_zeros() as usize;
            return (at, newlines + u64::from(lines_before.count_ones()));
        }
        newlines += u64::from(lines.count_ones());
    }
    (chunks.len() * STRIDE, newlines)
}
