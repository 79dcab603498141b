//! What a circuit will take, from the number of its rows.
//!
//! Nearly all of a proving key are polynomials of one value for each row, and of four for each row where they are
//! extended, so sizes are proportional to the number of rows. The figures were measured with circuits of 2^8 to 2^17 rows
//! (SHA-256, and chains of squares that fill their rows to 51 and 98 %); the times were measured on two cores of
//! AMD EPYC with other work beside, and differ by a factor of two between machines.

use crate::proof_systems::{CircuitShape, Estimate};
use std::time::Duration;

/// Bytes of the image's file for each row. Values that are zero take none.
const IMAGE_BYTES: (u64, u64) = (4_150, 5_800);
/// Bytes of linear memory for each row.
const MEMORY_BYTES: (u64, u64) = (5_800, 6_700);
/// Linear memory of an image without circuits, in bytes.
const MEMORY_BYTES_EMPTY: u64 = 2 << 20;
/// Resident memory of a bake for each row, in bytes: two runs of the initialiser, the compiler, and the native keys.
const BAKE_BYTES: u64 = 40_000;
/// Resident memory of a bake without circuits, in bytes.
const BAKE_BYTES_EMPTY: u64 = 100 << 20;
/// Time of a bake without its reference strings, in nanoseconds for each row, and without circuits.
const BAKE_NANOS: (f64, f64) = (260_000.0, 1.9e9);
/// Time of a proof in nanoseconds for each row, on one core.
const PROOF_NANOS: f64 = 155_000.0;
/// Time in which one point of a reference string is multiplied or hashed, in nanoseconds, on two cores.
const POINT_NANOS: f64 = 15_000.0;

pub(super) fn estimate(shape: &CircuitShape) -> Estimate {
    let rows = 1_u64 << shape.k;
    let of_rows = |each: u64| each * rows;
    let time = |nanos: f64| Duration::from_nanos(nanos as u64);
    let (least, most) = MEMORY_BYTES;
    Estimate {
        rows,
        image_bytes: of_rows(IMAGE_BYTES.0)..=of_rows(IMAGE_BYTES.1) + MEMORY_BYTES_EMPTY,
        memory_bytes: of_rows(least)..=of_rows(most) + MEMORY_BYTES_EMPTY,
        bake_bytes: of_rows(BAKE_BYTES) + BAKE_BYTES_EMPTY,
        reference: time(POINT_NANOS * rows as f64 * f64::from(shape.k + 4) / 2.0),
        bake: time(BAKE_NANOS.0 * rows as f64 + BAKE_NANOS.1),
        proof: time(PROOF_NANOS * rows as f64),
    }
}
