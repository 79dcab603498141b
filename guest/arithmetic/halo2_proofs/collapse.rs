//! Folds the generators of the inner-product argument in half.
//!
//! Every point of the upper half is multiplied by the same challenge. Its digits are computed once, the endomorphism of
//! the curve halves their number, and the tables of all points share one inversion: `pasta_curves::glv` does that. The
//! challenge comes from the transcript, which is public, so time may depend on it.
//!
//! Source: Gallant, Lambert, Vanstone, "Faster Point Multiplication on Elliptic Curves with Efficient Endomorphisms",
//! CRYPTO 2001.
//!
//! Invariant: the lower half becomes `low + challenge * high`, in affine form, which is unique.

use crate::arithmetic::{CurveAffine, CurveExt, parallelize};
use group::{Curve, Group, prime::PrimeCurveAffine};

/// Points whose tables are in memory at once. The tables of one take 0.5 KiB.
const BATCH: usize = 256;

/// Replaces the lower half of the generators by `low + challenge * high`.
pub(super) fn parallel_generator_collapse<C: CurveAffine>(generators: &mut [C], challenge: C::Scalar) {
    let (low, high) = generators.split_at_mut(generators.len() / 2);
    parallelize(low, |low, start| {
        let high = &high[start..][..low.len()];
        let mut sums = vec![C::Curve::identity(); BATCH.min(low.len())];
        for (low, high) in low.chunks_mut(BATCH).zip(high.chunks(BATCH)) {
            let sums = &mut sums[..low.len()];
            C::CurveExt::batch_mul_same_scalar_vartime(high, &challenge, sums);
            for (sum, low) in sums.iter_mut().zip(&*low) {
                *sum += low.to_curve();
            }
            C::Curve::batch_normalize_vartime(sums, low);
        }
    });
}
