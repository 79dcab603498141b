//! Opens a polynomial commitment with an inner-product argument.
//!
//! The inner product of the coefficients with the powers of the point is the value of the polynomial. In each round the
//! prover commits to the cross terms of their halves, the upper one of one vector with the lower one of the other, and a
//! challenge folds coefficients, powers and generators in half. [`Generators`] does not fold its points in every round.
//!
//! Source: Bowe, Grigg, Hopwood, "Recursive Proof Composition without a Trusted Setup", 2019, section 3; the order in
//! which values are drawn and written is that of the function which this one replaces.
//!
//! Invariant: the transcript is the one that the function of the library writes with the same randomness.

use crate::{
    arithmetic::{
        CurveAffine, best_multiexp, compute_inner_product, eval_polynomial,
        msm::{Generators, Part},
    },
    poly::{
        Coeff, Polynomial,
        commitment::{Blind, Params},
    },
    transcript::{EncodedChallenge, TranscriptWrite},
};
use ff::Field;
use pasta_curves::arithmetic::{CurveExt, VartimeField};
use rand_core::Rng;
use std::{io, iter};

/// Opens the commitment to `polynomial` with the blind `blind` at the point `x`.
///
/// # Errors
/// Returns an error if the transcript cannot be written.
///
/// # Panics
/// Panics if the polynomial has another number of coefficients than there are generators, or a challenge is zero.
pub fn create_proof<C: CurveAffine, E: EncodedChallenge<C>, R: Rng, T: TranscriptWrite<C, E>>(
    params: &Params<C>,
    mut rng: R,
    transcript: &mut T,
    polynomial: &Polynomial<C::Scalar, Coeff>,
    blind: Blind<C::Scalar>,
    x: C::Scalar,
) -> io::Result<()> {
    assert_eq!(polynomial.len() as u64, params.n);

    // A random polynomial with a root at the point hides the other one.
    let mut random = polynomial.clone();
    random.iter_mut().for_each(|coefficient| *coefficient = C::Scalar::random(&mut rng));
    let value = eval_polynomial(&random, x);
    random[0] -= &value;
    let random_blind = Blind(C::Scalar::random(&mut rng));
    transcript.write_point(params.commit(&random, random_blind).to_affine_vartime())?;
    let xi = *transcript.squeeze_challenge_scalar::<()>();
    let z = *transcript.squeeze_challenge_scalar::<()>();

    // Their combination, shifted to have a root at the point.
    let mut combined = random * xi + polynomial;
    let value = eval_polynomial(&combined, x);
    combined[0] -= &value;
    let mut synthetic_blind = (random_blind * Blind(xi) + blind).0;

    let mut coefficients = combined.values;
    let powers = iter::successors(Some(C::Scalar::ONE), |power| Some(*power * x));
    let mut powers: Vec<C::Scalar> = powers.take(coefficients.len()).collect();
    let mut generators = Generators::new(&params.g);
    while coefficients.len() > 1 {
        let half = coefficients.len() / 2;
        let (lower, upper) = coefficients.split_at_mut(half);
        let (lower_powers, upper_powers) = powers.split_at_mut(half);
        let left = generators.sum(Part::Lower, upper);
        let right = generators.sum(Part::Upper, lower);
        let left_value = compute_inner_product(upper, lower_powers);
        let right_value = compute_inner_product(lower, upper_powers);
        let left_blind = C::Scalar::random(&mut rng);
        let right_blind = C::Scalar::random(&mut rng);
        for (sum, value, blind) in [(left, left_value, left_blind), (right, right_value, right_blind)] {
            let hidden = sum + best_multiexp(&[value * z, blind], &[params.u, params.w]);
            transcript.write_point(hidden.to_affine_vartime())?;
        }

        let challenge = *transcript.squeeze_challenge_scalar::<()>();
        let inverse = challenge.invert_vartime().expect("a challenge is zero with a chance of one in 2^254");
        for (low, high) in lower.iter_mut().zip(upper) {
            *low += *high * inverse;
        }
        for (low, high) in lower_powers.iter_mut().zip(upper_powers) {
            *low += *high * challenge;
        }
        coefficients.truncate(half);
        powers.truncate(half);
        generators.fold(challenge);
        synthetic_blind += left_blind * inverse + right_blind * challenge;
    }
    transcript.write_scalar(coefficients[0])?;
    transcript.write_scalar(synthetic_blind)
}
