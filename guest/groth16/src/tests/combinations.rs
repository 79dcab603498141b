//! Combinations find the points that the library finds outside of the subgroup one by one, however they are mixed.

use super::arithmetic::outside;
use crate::{
    Fr, G1, G2, Roots,
    combination::{Combination, DIGIT_BITS, ROWS, find_outside, outside_of, total},
    domain::{highest, reversed},
    field::{Modulus, Q, R, Words, bytes},
    groups::{First, Group, Second},
    point::Point,
    sum::Sum,
};
use ark_ff::{BigInt, PrimeField};
use chacha20::ChaCha20Rng;
use proptest::prelude::*;
use rand_core::SeedableRng;
use snapback_arithmetic::msm::Coordinate;

/// The smallest prime that divides the cofactor of the second group.
const SMALLEST: u64 = 10_069;
/// More points than are added up together.
const MANY: usize = 4100;

/// The cofactor of the second group, `2 q - r`.
fn cofactor() -> Words {
    let mut borrow = 0i128;
    std::array::from_fn(|word| {
        // Twice the prime has 255 bits.
        let twice = Q::WORDS[word] << 1 | if word == 0 { 0 } else { Q::WORDS[word - 1] >> 63 };
        let difference = i128::from(twice) - i128::from(R::WORDS[word]) + borrow;
        borrow = difference >> 64;
        difference as u64
    })
}

/// Returns the quotient and the remainder.
fn divide(number: Words, divisor: u64) -> (Words, u64) {
    let (mut quotient, mut rest) = ([0; 4], 0u128);
    for word in (0..4).rev() {
        let part = rest << 64 | u128::from(number[word]);
        quotient[word] = (part / u128::from(divisor)) as u64;
        rest = part % u128::from(divisor);
    }
    (quotient, rest as u64)
}

/// A point whose order is the smallest prime of the cofactor.
pub(super) fn of_small_order() -> G2 {
    let (quotient, rest) = divide(cofactor(), SMALLEST);
    assert_eq!(rest, 0);
    let point = outside().times(&R::WORDS).to_affine().times(&quotient).to_affine();
    assert!(!point.is_identity() && point.times(&[SMALLEST]).to_affine().is_identity());
    point
}

/// A point that differs from one of the subgroup by one of small order.
pub(super) fn beside_the_subgroup() -> G2 {
    let mut sum = Sum::from(of_small_order());
    sum += Second::generator();
    sum.to_affine()
}

fn library(point: &G2) -> ark_bn254::G2Affine {
    if point.is_identity() {
        return ark_bn254::G2Affine::identity();
    }
    let number = |words| ark_bn254::Fq::from_bigint(BigInt(words)).expect("below the prime");
    let [x, y] = point.numbers().map(|[re, im]| ark_bn254::Fq2::new(number(re), number(im)));
    ark_bn254::G2Affine::new_unchecked(x, y)
}

/// Returns what the library finds, point by point.
fn by_the_library(points: &[G2]) -> Option<usize> {
    points.iter().position(|point| !library(point).is_in_correct_subgroup_assuming_on_curve())
}

/// The multiples of the generator from one on.
fn good<G: Group>(count: usize) -> Vec<Point<G>> {
    let mut sum = Sum::default();
    let next = |_| {
        sum += G::generator();
        sum.to_affine()
    };
    (0..count).map(next).collect()
}

#[test]
fn no_prime_of_the_cofactor_is_below_the_number_of_digits() {
    let found = (2..=SMALLEST).find(|divisor| divide(cofactor(), *divisor).1 == 0);
    assert_eq!(found, Some(SMALLEST));
    const { assert!(1 << DIGIT_BITS < SMALLEST) };
}

#[test]
fn the_test_of_a_single_point_is_that_of_the_library() {
    let bad = [outside(), of_small_order(), beside_the_subgroup(), -outside()];
    assert!(bad.iter().all(|point| !Second::is_in_subgroup(point)));
    assert_eq!(by_the_library(&bad), Some(0));
    assert!(good::<Second>(20).iter().all(Second::is_in_subgroup));
}

#[test]
fn one_bad_point_among_many_good_ones_is_found_wherever_it_is() {
    let mut points = good::<Second>(MANY);
    points[7] = Point { x: Coordinate::ZERO, y: Coordinate::ZERO };
    assert_eq!(find_outside(&points), None);
    for place in [0, 7, 4095, 4096, MANY - 1] {
        for bad in [outside(), of_small_order(), beside_the_subgroup()] {
            let before = std::mem::replace(&mut points[place], bad);
            assert_eq!(find_outside(&points), Some(place));
            points[place] = before;
        }
    }
}

#[test]
fn bad_points_that_cancel_out_are_found() {
    let small = of_small_order();
    // Their plain sum is in the subgroup.
    let opposite = [Second::generator(), small, -small];
    assert_eq!(find_outside(&opposite), Some(1));
    // In different parts.
    let mut apart = good(MANY);
    (apart[5], apart[MANY - 1]) = (small, -small);
    assert_eq!(find_outside(&apart), Some(5));
    // All of them together, and all multiples of one point.
    assert_eq!(find_outside(&vec![small; SMALLEST as usize]), Some(0));
    let multiples: Vec<G2> = (1..SMALLEST).map(|factor| small.times(&[factor]).to_affine()).collect();
    assert_eq!(find_outside(&multiples), Some(0));
    assert_eq!(find_outside(&[]), None);
}

#[test]
fn the_highest_coefficient_is_that_of_the_transform() {
    for log_domain in 0..6 {
        let mut roots = Roots::new();
        roots.extend(log_domain);
        for (row, highest) in (0..).zip(highest(log_domain)) {
            let mut values = vec![Fr::ZERO; 1 << log_domain];
            values[reversed(row, log_domain) as usize] = Fr::ONE;
            roots.to_coefficients(&mut values);
            assert_eq!(values.pop(), Some(highest));
        }
    }
}

/// Points that are good or bad in different ways.
fn point() -> impl Strategy<Value = G2> {
    prop_oneof![
        20 => (1u64..).prop_map(|factor| Second::generator().times(&[factor]).to_affine()),
        2 => Just(Point { x: Coordinate::ZERO, y: Coordinate::ZERO }),
        1 => (1..SMALLEST).prop_map(|factor| of_small_order().times(&[factor]).to_affine()),
        1 => (1u64..).prop_map(|factor| outside().times(&[factor]).to_affine()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn what_is_found_is_what_the_library_finds(points in prop::collection::vec(point(), 0..40)) {
        prop_assert_eq!(find_outside(&points), by_the_library(&points));
    }

    #[test]
    fn rows_and_weights_belong_to_the_same_combination(seed: [u8; 32], count in 1..60usize) {
        let combination = Combination::draw(&mut ChaCha20Rng::from_seed(seed), count);
        let points = good::<First>(count);
        let sums = combination.sums(&points);
        let times = |weights: Vec<Fr>| {
            let logs = (1u64..).map(|log| Fr::from_number([log, 0, 0, 0]));
            let log = weights.into_iter().zip(logs).fold(Fr::ZERO, |sum, (weight, log)| sum + weight * log);
            First::generator().times(&log.number()).to_affine()
        };
        let affine = |sum: &Sum<First>| -> G1 { sum.to_affine() };
        for (row, sum) in sums.iter().enumerate() {
            prop_assert_eq!(affine(sum), times(combination.row(row)));
        }
        prop_assert_eq!(affine(&total(&sums)), times(combination.weights()));
        let second = good::<Second>(count);
        prop_assert_eq!(outside_of(&second, &combination.sums(&second)), None);
        // A weight is its digits, the lowest first.
        let base = Fr::from_number([1 << DIGIT_BITS, 0, 0, 0]);
        let by_rows = (0..ROWS).rev().fold(vec![Fr::ZERO; count], |sum, row| {
            sum.into_iter().zip(combination.row(row)).map(|(sum, digit)| sum * base + digit).collect()
        });
        prop_assert_eq!(by_rows, combination.weights());
        prop_assert!(combination.weights().iter().all(|weight| bytes(weight.number()) != [0; 32]));
    }
}
