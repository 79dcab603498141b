//! Sums are those that multiplying and adding one point after the other gives.

use super::*;
use ff::PrimeField;
use group::{Curve, CurveAffine as _};
use pasta_curves::{EpAffine, EqAffine, Fp};
use proptest::prelude::*;

/// Points with a known discrete logarithm, among them the identity, and equal and opposite ones.
fn logarithm() -> impl Strategy<Value = i64> {
    prop_oneof![Just(0), Just(1), Just(-1), -5i64..5, any::<i64>()]
}

/// Scalars of every size: zero, one, minus one, small ones of both signs, powers of two, and random ones.
#[derive(Clone, Copy, Debug)]
enum Scalar {
    Small(i64),
    Power(u32),
    Random([u64; 4]),
}

fn scalar() -> impl Strategy<Value = Scalar> {
    prop_oneof![
        prop_oneof![-3i64..4, any::<i64>()].prop_map(Scalar::Small),
        (0u32..255).prop_map(Scalar::Power),
        any::<[u64; 4]>().prop_map(Scalar::Random),
    ]
}

fn small<F: PrimeField>(number: i64) -> F {
    let magnitude = F::from(number.unsigned_abs());
    if number < 0 { -magnitude } else { magnitude }
}

impl Scalar {
    fn of<F: PrimeField>(self) -> F {
        match self {
            Self::Small(number) => small(number),
            Self::Power(exponent) => F::from(2).pow_vartime([u64::from(exponent)]),
            Self::Random(words) => {
                words.into_iter().fold(F::ZERO, |sum, word| sum * F::from(u64::MAX) + F::from(word))
            }
        }
    }
}

/// Compares the sum with the one of the logarithms.
fn agrees<C: CurveAffine>(terms: &[(i64, Scalar)]) {
    let generator = C::generator();
    let points: Vec<C::Curve> = terms.iter().map(|(log, _)| generator * small::<C::Scalar>(*log)).collect();
    let mut bases = vec![C::identity(); points.len()];
    C::Curve::batch_normalize(&points, &mut bases);
    let scalars: Vec<C::Scalar> = terms.iter().map(|(_, scalar)| scalar.of()).collect();
    let log: C::Scalar =
        terms.iter().zip(&scalars).map(|((log, _), scalar)| small::<C::Scalar>(*log) * scalar).sum();
    assert!(best_multiexp(&scalars, &bases) == generator * log);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn the_sum_is_that_of_the_logarithms(
        terms in prop::collection::vec((logarithm(), scalar()), 0..600),
    ) {
        agrees::<EpAffine>(&terms);
        agrees::<EqAffine>(&terms);
    }

    #[test]
    fn rows_of_digits_have_sums_of_their_own(
        terms in prop::collection::vec((logarithm(), prop::array::uniform3(-16..=16i16)), 0..300), bits in 5..=10u32,
    ) {
        let points: Vec<EqAffine> =
            terms.iter().map(|(log, _)| (EqAffine::generator() * small::<Fp>(*log)).to_affine()).collect();
        let digits: Vec<i16> = (0..3).flat_map(|row| terms.iter().map(move |(_, digits)| digits[row])).collect();
        let sums = digit_sums(&points, &digits, bits);
        prop_assert_eq!(sums.len(), if points.is_empty() { 0 } else { 3 });
        for (row, sum) in sums.into_iter().enumerate() {
            let log = terms.iter().map(|(log, digits)| small::<Fp>(*log) * small::<Fp>(i64::from(digits[row]))).sum::<Fp>();
            prop_assert!(sum == EqAffine::generator() * log);
        }
    }

    #[test]
    fn digits_are_those_of_the_factor(
        magnitude in prop_oneof![0..3u128, any::<u128>()],
        is_negative: bool,
        bits in 1..=WINDOW_BITS_MAX,
    ) {
        let magnitude = magnitude >> 1;
        let factor_bits = u128::BITS - magnitude.leading_zeros();
        let cut = Cut { bits, windows: (factor_bits / bits + 1) as usize, column_bits: (bits - 1) / 2 };
        let digits = cut.digits(&[Half { is_negative, magnitude }]);
        prop_assert!(digits.iter().all(|digit| digit.unsigned_abs() <= 1 << (bits - 1)));
        let radix = Fp::from(1 << bits);
        let sum = digits.iter().rev().fold(Fp::from(0), |sum, digit| sum * radix + small::<Fp>(i64::from(*digit)));
        let expected = Fp::from_u128(magnitude);
        prop_assert_eq!(sum, if is_negative { -expected } else { expected });
    }

    #[test]
    fn a_digit_is_its_row_and_its_column(bits in 1..=WINDOW_BITS_MAX, digit in any::<usize>(), window in 0..3usize) {
        let cut = Cut { bits, windows: 3, column_bits: (bits - 1) / 2 };
        let digit = 1 + digit % (1 << (bits - 1));
        let first = window * cut.lines_of_window();
        let weight = |line: usize| match line - first {
            row if row < cut.rows() => row << cut.column_bits,
            column => column - cut.rows(),
        };
        let lines = cut.lines(window << bits | digit);
        prop_assert!(lines.clone().all(|line| (first..first + cut.lines_of_window()).contains(&line)));
        prop_assert_eq!(lines.map(weight).sum::<usize>(), digit);
    }
}

#[test]
fn lengths_around_powers_of_two_and_points_that_cancel_out() {
    for len in [0usize, 1, 2, 3, 31, 32, 33, 255, 256, 257, 1023, 1024, 1025, 4097] {
        let number = |index: usize| i64::try_from(index).expect("small");
        let different: Vec<_> = (0..len).map(|i| (number(i) + 2, Scalar::Random([i as u64; 4]))).collect();
        agrees::<EqAffine>(&different);
        // All in one bucket: equal points, which are doubled again and again.
        agrees::<EqAffine>(&vec![(7, Scalar::Small(3)); len]);
        // Neighbours are opposite, and nothing is left.
        let opposite: Vec<_> =
            (0..len).map(|i| (if i % 2 == 0 { 5 } else { -5 }, Scalar::Power(200))).collect();
        agrees::<EpAffine>(&opposite);
        agrees::<EpAffine>(&vec![(0, Scalar::Random([u64::MAX; 4])); len]);
        // Most terms are nothing, as in a column that few rows use.
        let sparse: Vec<_> = (0..len).map(|i| (number(i), Scalar::Small(i64::from(i % 7 == 0)))).collect();
        agrees::<EpAffine>(&sparse);
    }
}
