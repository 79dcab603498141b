//! Splits scalars in halves.
//!
//! The endomorphism maps `(x, y)` to `(ZETA x, y)` and multiplies a point by a constant of the scalar field, `LAMBDA`. The
//! pairs `(a, b)` with `a + b LAMBDA = 0` form a lattice, of which a short basis is known. The nearest point of the lattice
//! to `(k, 0)`, rounded, is subtracted from it, and two numbers of half the length are left. The constant of the Pasta
//! curves is `ZETA` of their scalar fields, and pasta_curves knows the basis.
//!
//! Source: Gallant, Lambert, Vanstone, "Faster Point Multiplication on Elliptic Curves with Efficient Endomorphisms",
//! CRYPTO 2001.
//!
//! Invariant: a scalar equals its first half plus `LAMBDA` times the second one.

use ff::{Field, PrimeField};
use pasta_curves::{arithmetic::CurveAffine, glv::GlvParams, pallas, vesta};

/// Length of a half, in bits.
const HALF_BITS: u32 = 127;

/// Half of a scalar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Half {
    pub(super) is_negative: bool,
    pub(super) magnitude: u128,
}

/// The basis of a curve's lattice, `(a1, -b1)` and `(a2, b2)`, and `2^384 b2 / n` and `2^384 b1 / n`, rounded, where `n` is
/// the order of the curve.
#[derive(Clone, Copy, Debug)]
pub struct Halves {
    /// First coordinate of the first vector.
    pub a1: u128,
    /// Second coordinate of the first vector, negated.
    pub b1: u128,
    /// First coordinate of the second vector.
    pub a2: u128,
    /// Second coordinate of the second vector.
    pub b2: u128,
    /// `2^384 b2 / n`, rounded, as 64-bit words, the lowest first.
    pub g1: [u64; 5],
    /// `2^384 b1 / n`, rounded.
    pub g2: [u64; 5],
}

impl Halves {
    /// Returns the basis of a Pasta curve, and `None` for other curves.
    pub(super) fn of<C: CurveAffine>() -> Option<Self> {
        // The curves differ in their scalar fields. Those that are isogenous to them have another coefficient.
        match C::Scalar::MODULUS {
            _ if C::a() != C::Base::ZERO => None,
            modulus if modulus == pallas::Scalar::MODULUS => Some(Self::new::<pallas::Point>()),
            modulus if modulus == vesta::Scalar::MODULUS => Some(Self::new::<vesta::Point>()),
            _ => None,
        }
    }

    fn new<P: GlvParams>() -> Self {
        Self { a1: P::V1A, b1: P::V1B_NEG, a2: P::V2A, b2: P::V2B, g1: P::G1, g2: P::G2 }
    }

    /// Splits a scalar, given as its words, in halves below `2^127`.
    pub(super) fn split(&self, k: [u64; 4]) -> [Half; 2] {
        if k[1] >> 62 == 0 && k[2] == 0 && k[3] == 0 {
            // It is short already.
            let magnitude = u128::from(k[0]) | u128::from(k[1]) << 64;
            return [Half { is_negative: false, magnitude }, Half { is_negative: false, magnitude: 0 }];
        }
        let (c1, c2) = (rounded(&self.g1, &k), rounded(&self.g2, &k));
        let first = difference(difference(k, product(c1, self.a1)), product(c2, self.a2));
        let second = difference(product(c1, self.b1), product(c2, self.b2));
        [half(first), half(second)]
    }
}

/// Returns the number that stands for a scalar as words, the lowest first.
pub(super) fn words<F: PrimeField>(scalar: &F) -> [u64; 4] {
    let repr = scalar.to_repr();
    let mut words = [0; 4];
    for (word, bytes) in words.iter_mut().zip(repr.as_ref().as_chunks().0) {
        *word = u64::from_le_bytes(*bytes);
    }
    words
}

/// Returns `g k / 2^384`, rounded.
fn rounded(g: &[u64; 5], k: &[u64; 4]) -> u128 {
    let mut limbs = [0; 9];
    multiply(g, k, &mut limbs);
    let whole = u128::from(limbs[6]) | u128::from(limbs[7]) << 64;
    whole + u128::from(limbs[5] >> 63)
}

fn product(a: u128, b: u128) -> [u64; 4] {
    let mut limbs = [0; 4];
    multiply(&[a as u64, (a >> 64) as u64], &[b as u64, (b >> 64) as u64], &mut limbs);
    limbs
}

/// Multiplies numbers of 64-bit limbs, the lowest first, into limbs that are zero.
fn multiply(a: &[u64], b: &[u64], limbs: &mut [u64]) {
    for (i, a) in a.iter().enumerate() {
        let mut carry = 0;
        for (j, b) in b.iter().enumerate() {
            let sum = u128::from(*a) * u128::from(*b) + u128::from(limbs[i + j]) + carry;
            limbs[i + j] = sum as u64;
            carry = sum >> 64;
        }
        limbs[i + b.len()] = carry as u64;
    }
}

/// Subtracts modulo `2^256`.
fn difference(a: [u64; 4], b: [u64; 4]) -> [u64; 4] {
    let mut borrow = false;
    std::array::from_fn(|limb| {
        let (first, below) = a[limb].overflowing_sub(b[limb]);
        let (second, below_again) = first.overflowing_sub(u64::from(borrow));
        borrow = below || below_again;
        second
    })
}

/// Reads a number in two's complement whose magnitude is below `2^127`.
fn half(limbs: [u64; 4]) -> Half {
    let low = u128::from(limbs[0]) | u128::from(limbs[1]) << 64;
    let is_negative = limbs[3] >> 63 == 1;
    let magnitude = if is_negative { low.wrapping_neg() } else { low };
    debug_assert!(magnitude >> HALF_BITS == 0 && limbs[2] == limbs[3], "the basis is short");
    Half { is_negative, magnitude }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ff::WithSmallOrderMulGroup;
    use pasta_curves::{EpAffine, EqAffine, arithmetic::CurveExt};
    use proptest::prelude::*;

    fn value<F: PrimeField>(half: Half) -> F {
        let magnitude = F::from((half.magnitude >> 64) as u64) * F::from(2).pow_vartime([64])
            + F::from(half.magnitude as u64);
        if half.is_negative { -magnitude } else { magnitude }
    }

    fn agrees<C: CurveAffine>(scalar: C::Scalar) {
        let halves = Halves::of::<C>().expect("a Pasta curve");
        let [first, second] = halves.split(words(&scalar));
        assert!(first.magnitude >> HALF_BITS == 0 && second.magnitude >> HALF_BITS == 0);
        assert_eq!(value::<C::Scalar>(first) + C::Scalar::ZETA * value::<C::Scalar>(second), scalar);
    }

    fn both(limbs: [u64; 4]) {
        fn scalar<F: PrimeField>(limbs: [u64; 4]) -> F {
            let radix = F::from(u64::MAX) + F::ONE;
            limbs.into_iter().fold(F::ZERO, |sum, limb| sum * radix + F::from(limb))
        }
        agrees::<EpAffine>(scalar(limbs));
        agrees::<EqAffine>(scalar(limbs));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]
        #[test]
        fn a_scalar_is_the_sum_of_its_halves(limbs: [u64; 4]) {
            both(limbs);
        }
    }

    #[test]
    fn scalars_at_the_edges_are_the_sums_of_their_halves() {
        for high in [0, 1, (1 << 62) - 1, 1 << 62, u64::MAX] {
            for low in [0, 1, u64::MAX] {
                both([0, 0, high, low]);
                both([high, low, high, low]);
                both([0, high, low, 0]);
            }
        }
        agrees::<EpAffine>(-<EpAffine as pasta_curves::arithmetic::CurveAffine>::ScalarExt::ONE);
        agrees::<EqAffine>(-<EqAffine as pasta_curves::arithmetic::CurveAffine>::ScalarExt::ONE);
        agrees::<EpAffine>(<EpAffine as pasta_curves::arithmetic::CurveAffine>::ScalarExt::ZETA);
    }

    #[test]
    fn the_endomorphism_multiplies_by_the_constant() {
        use group::Group;
        let point = pallas::Point::generator();
        assert_eq!(point.endo(), point * pallas::Scalar::ZETA);
        let point = vesta::Point::generator();
        assert_eq!(point.endo(), point * vesta::Scalar::ZETA);
    }
}
