//! Sums and differences are those of whole numbers, computed bit by bit, and those of the fields of `pasta_curves`.

use super::*;
use ff::PrimeField;
use pasta_curves::{Fp, Fq};
use proptest::prelude::*;

/// Numbers of 256 bits, many of them at the edges of words.
fn number() -> impl Strategy<Value = Words> {
    let word = || prop_oneof![Just(0), Just(1), Just(1 << 63), Just(u64::MAX), any::<u64>()];
    [word(), word(), word(), word()]
}

/// The largest modulus, the smallest ones, and any others.
fn modulus() -> impl Strategy<Value = Words> {
    let largest = [0, 0, 0, 1 << 63];
    let any = number().prop_map(|[a, b, c, d]| [a.max(1), b, c, d >> 1]);
    prop_oneof![Just(largest), Just([1, 0, 0, 0]), Just([0, 1, 0, 0]), any]
}

/// Adds word by word, and returns the carry.
fn carried(a: &Words, b: &Words) -> (Words, bool) {
    let mut carry = false;
    let sum = std::array::from_fn(|index| {
        let (sum, first) = a[index].overflowing_add(b[index]);
        let (sum, second) = sum.overflowing_add(u64::from(carry));
        carry = first || second;
        sum
    });
    (sum, carry)
}

fn negated(a: &Words) -> Words {
    carried(&a.map(|word| !word), &[1, 0, 0, 0]).0
}

/// Compares with the upper words first.
fn below(a: &Words, b: &Words) -> bool {
    a.iter().rev().lt(b.iter().rev())
}

/// Reduces by shifting and subtracting.
fn modulo(number: &Words, modulus: &Words) -> Words {
    (0..256).rev().fold([0; 4], |rest, bit| {
        let (twice, _) = carried(&rest, &rest);
        let (next, _) = carried(&twice, &[number[bit / 64] >> (bit % 64) & 1, 0, 0, 0]);
        if below(&next, modulus) { next } else { carried(&next, &negated(modulus)).0 }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]
    #[test]
    fn sums_are_those_of_whole_numbers(a in number(), b in number()) {
        prop_assert_eq!(sum(&a, &b), carried(&a, &b).0);
        prop_assert_eq!(difference(&a, &b), carried(&a, &negated(&b)).0);
        prop_assert_eq!(is_below(&a, &b), below(&a, &b));
    }

    #[test]
    fn sums_are_reduced_by_any_modulus(a in number(), b in number(), modulus in modulus(), are_close: bool) {
        let a = modulo(&a, &modulus);
        // Numbers whose sum is the modulus, or is next to it, too.
        let b = if are_close { difference(&difference(&modulus, &a), &[b[0] & 1, 0, 0, 0]) } else { b };
        let b = modulo(&b, &modulus);
        let (whole, carry) = carried(&a, &b);
        prop_assert!(!carry, "both are below 2^255");
        prop_assert_eq!(add(&a, &b, &modulus), modulo(&whole, &modulus));
        prop_assert_eq!(reduce(&whole, &modulus), modulo(&whole, &modulus));
        let back = subtract(&a, &b, &modulus);
        prop_assert!(below(&back, &modulus));
        prop_assert_eq!(add(&back, &b, &modulus), a);
    }

    #[test]
    fn both_fields_of_pasta_have_the_same_sums(a in number(), b in number()) {
        agrees::<Fp>(&a, &b);
        agrees::<Fq>(&a, &b);
    }
}

fn agrees<F: PrimeField<Repr = [u8; 32]>>(a: &Words, b: &Words) {
    let number = |element: F| -> Words {
        let bytes = element.to_repr();
        std::array::from_fn(|index| u64::from_le_bytes(bytes.as_chunks().0[index]))
    };
    let element = |number: &Words| {
        number.iter().rev().fold(F::ZERO, |sum, word| sum * F::from(2).pow([64u64]) + F::from(*word))
    };
    let modulus = sum(&number(-F::ONE), &[1, 0, 0, 0]);
    let (a, b) = (element(a), element(b));
    assert_eq!(add(&number(a), &number(b), &modulus), number(a + b));
    assert_eq!(subtract(&number(a), &number(b), &modulus), number(a - b));
}
