//! The pairing of the two groups, as `ark-bn254` computes it.
//!
//! Invariant: the points given to it are in their groups, so conversions check nothing again.

use crate::{
    field::{Fq, Words},
    point::{G1, G2},
    quadratic::Fq2,
};
use ark_bn254::Bn254;
use ark_ec::{
    AffineRepr,
    pairing::{Pairing, PairingOutput},
};
use ark_ff::{BigInt, One, PrimeField};

/// Returns whether the product of the pairings is one.
#[must_use]
pub(crate) fn is_one(pairs: &[(G1, G2)]) -> bool {
    let (first, second): (Vec<_>, Vec<_>) = pairs.iter().map(|(a, b)| (first(a), second(b))).unzip();
    Bn254::multi_pairing(first, second).0.is_one()
}

/// The parts of a verifying key that are the same for every proof, paired or prepared once.
pub(crate) struct Prepared {
    alpha_beta: PairingOutput<Bn254>,
    gamma: <Bn254 as Pairing>::G2Prepared,
    delta: <Bn254 as Pairing>::G2Prepared,
}

impl Prepared {
    pub(crate) fn new(alpha: &G1, beta: &G2, gamma: &G2, delta: &G2) -> Self {
        Self {
            alpha_beta: Bn254::pairing(first(alpha), second(beta)),
            gamma: second(gamma).into(),
            delta: second(delta).into(),
        }
    }

    /// Returns whether `e(a, b) = e(alpha, beta) e(signals, gamma) e(c, delta)`.
    pub(crate) fn holds(&self, a: &G1, b: &G2, signals: &G1, c: &G1) -> bool {
        let left = [first(a), -first(signals), -first(c)];
        let right = [second(b).into(), self.gamma.clone(), self.delta.clone()];
        Bn254::multi_pairing(left, right) == self.alpha_beta
    }
}

/// Returns the pairing of two points as the twelve numbers of its coordinates, in the order of snarkjs: the tower is
/// `Fq2`, then a cubic extension by `9 + u`, then a quadratic one.
#[must_use]
pub(crate) fn coordinates(a: &G1, b: &G2) -> [[[Words; 2]; 3]; 2] {
    let value = Bn254::pairing(first(a), second(b)).0;
    [value.c0, value.c1].map(|sixth| {
        [sixth.c0, sixth.c1, sixth.c2].map(|square| [square.c0, square.c1].map(|part| part.into_bigint().0))
    })
}

fn first(point: &G1) -> ark_bn254::G1Affine {
    if point.is_identity() {
        return ark_bn254::G1Affine::zero();
    }
    ark_bn254::G1Affine::new_unchecked(base(&point.x), base(&point.y))
}

fn second(point: &G2) -> ark_bn254::G2Affine {
    if point.is_identity() {
        return ark_bn254::G2Affine::zero();
    }
    let square = |element: &Fq2| ark_bn254::Fq2::new(base(&element.re), base(&element.im));
    ark_bn254::G2Affine::new_unchecked(square(&point.x), square(&point.y))
}

/// Both libraries keep elements in the same Montgomery form.
fn base(element: &Fq) -> ark_bn254::Fq {
    ark_bn254::Fq::new_unchecked(BigInt(element.montgomery()))
}
