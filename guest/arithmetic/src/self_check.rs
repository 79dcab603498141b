//! Known answers, which a guest computes before it is baked.
//!
//! A compiler may translate arithmetic wrongly for one target and not for another: rustc 1.95 does so with some additions
//! of 256 bits and wide arithmetic. What the host computes says nothing about that, and a proof is verified only by code
//! of the same build, or by the host when an image is baked. So every guest that proves over the Pasta curves computes
//! these answers where it runs, compares its sums of points with double-and-add, and refuses to be baked if one differs.
//!
//! Invariant: the expected answers are those of the library's own arithmetic, compiled natively; a test computes them.

use ff::PrimeField;
use group::{Curve, Group};
use pasta_curves::{Fp, Fq, arithmetic::CurveAffine};
use std::fmt;

/// Sums of products, as `halo2_proofs::arithmetic::best_multiexp` computes them.
pub type Multiexp<C> = fn(&[<C as CurveAffine>::ScalarExt], &[C]) -> <C as CurveAffine>::CurveExt;

/// Rounds of the chain of field operations.
const ROUNDS: u64 = 512;
/// Terms of the sums, which fill several windows.
const TERMS: u64 = 300;
/// The last elements of the chains, in words, the lowest first. Arithmetic with whole numbers of any length gives the same.
const EXPECTED_FP: [u64; 4] =
    [0x6091_f2c5_502e_dc89, 0xfa15_efd9_0449_ebd4, 0xb471_1944_3f95_dd77, 0x246f_508a_6aad_0326];
const EXPECTED_FQ: [u64; 4] =
    [0xd10e_aec1_b42c_8a1d, 0x678c_13b5_2a7f_a6fd, 0xa5b3_7af0_1bd6_a9a0, 0x38fa_7c76_bfde_284c];

/// An answer that differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mismatch {
    /// Operations of a field.
    Field,
    /// A sum of points times scalars.
    Multiexp,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self {
            Self::Field => "operations of a field",
            Self::Multiexp => "sums of points times scalars",
        };
        write!(
            f,
            "the guest was compiled wrongly: {what} give other results than the library; please report this"
        )
    }
}

/// Computes the answers of both fields, and sums on one curve.
///
/// # Errors
/// Returns which answer differs.
pub fn check<C: CurveAffine>(multiexp: Multiexp<C>) -> Result<(), Mismatch> {
    if chain::<Fp>() != EXPECTED_FP || chain::<Fq>() != EXPECTED_FQ {
        return Err(Mismatch::Field);
    }
    let (scalars, logarithms) = terms::<C::ScalarExt>();
    let points: Vec<C::CurveExt> = logarithms.iter().map(|log| C::CurveExt::generator() * log).collect();
    let mut bases = vec![C::identity(); points.len()];
    C::CurveExt::batch_normalize(&points, &mut bases);
    let log: C::ScalarExt = scalars.iter().zip(&logarithms).map(|(scalar, log)| *scalar * log).sum();
    if multiexp(&scalars, &bases) == C::CurveExt::generator() * log {
        Ok(())
    } else {
        Err(Mismatch::Multiexp)
    }
}

/// Elements around the limits of words, of the field, and of the halves into which scalars are split.
fn edges<F: PrimeField>() -> Vec<F> {
    let two = F::from(2);
    let powers = (0..F::NUM_BITS).step_by(21).chain([63, 64, 126, 127, 128, 192, 254]);
    let powers = powers.map(|exponent| two.pow_vartime([u64::from(exponent)]));
    let around = powers.flat_map(|power| [power, power - F::ONE, -power, F::ONE - power]);
    around.chain([F::ZERO, F::ONE, -F::ONE, F::TWO_INV, F::ROOT_OF_UNITY, F::DELTA]).collect()
}

/// Applies every operation to edges and to what came of those before; an error anywhere changes the last element.
fn chain<F: PrimeField<Repr = [u8; 32]>>() -> [u64; 4] {
    let edges = edges::<F>();
    let mut state = F::from(7);
    for (round, edge) in (0..ROUNDS).zip(edges.iter().cycle()) {
        let other = edges[((round * round + round / 7) % edges.len() as u64) as usize];
        state = (state + edge) * (state - other) + (*edge * other).double() - state.square();
        state = -state + F::from(round);
        if round % 16 == 0 {
            state = state.invert().unwrap_or(F::ONE);
        }
    }
    let bytes = state.to_repr();
    std::array::from_fn(|word| u64::from_le_bytes(bytes.as_chunks().0[word]))
}

/// Scalars, and logarithms of points.
fn terms<F: PrimeField>() -> (Vec<F>, Vec<F>) {
    let edges = edges::<F>();
    let mut random = F::MULTIPLICATIVE_GENERATOR;
    let scalar = |index: u64| {
        random = random.square() + F::from(index);
        edges.get(index as usize).copied().unwrap_or(random)
    };
    let scalars = (0..TERMS).map(scalar).collect();
    // Points that are equal, opposite, and the identity are among them, but the edges have other points.
    let logarithm = |index: u64| match index % 100 {
        97 => F::ZERO,
        98 => -F::from(5),
        index => F::from(index % 7 + 3),
    };
    let logarithms = (0..TERMS).map(logarithm).collect();
    (scalars, logarithms)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::msm::best_multiexp;
    use pasta_curves::{EpAffine, EqAffine};

    #[test]
    fn the_expected_answers_are_those_of_the_library() {
        assert_eq!(chain::<Fp>(), EXPECTED_FP);
        assert_eq!(chain::<Fq>(), EXPECTED_FQ);
    }

    #[test]
    fn the_sums_of_this_crate_pass_and_wrong_ones_do_not() {
        assert_eq!(check::<EqAffine>(best_multiexp), Ok(()));
        assert_eq!(check::<EpAffine>(best_multiexp), Ok(()));
        let wrong: Multiexp<EpAffine> = |scalars, bases| best_multiexp(&scalars[1..], &bases[1..]);
        assert!(edges::<Fp>().len() < 97, "none of them has the identity as its point");
        assert_eq!(check::<EpAffine>(wrong), Err(Mismatch::Multiexp));
    }
}
