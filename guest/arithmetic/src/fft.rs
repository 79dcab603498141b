//! Fourier transforms of field elements.
//!
//! A polynomial modulo `X^n - r^2` is reduced modulo `X^(n/2) - r` and `X^(n/2) + r`, then each remainder again, until there
//! are only constants. All additions of one reduction multiply by its root `r`. The results come in the order of reversed
//! bits, and are put in their places at the end.
//!
//! The values of a polynomial over an extended domain come from coefficients most of which are zero. The first reductions
//! then have nothing to add: they copy. So time depends on the place of the last coefficient that is not zero. It tells
//! nothing of a witness, whose columns end with random values.
//!
//! Sources: Cooley, Tukey, "An algorithm for the machine calculation of complex Fourier series", 1965; Bernstein,
//! "Multidigit multiplication for mathematicians", 2001, for the view as reductions, which it credits to Fiduccia.
//!
//! Invariant: element `i` becomes the value of the polynomial with these coefficients at `omega^i`.

use ff::Field;

/// Replaces `2^log_n` coefficients by the values at the powers of `omega`, which has the order `2^log_n`.
///
/// # Panics
/// Panics if there are more or fewer coefficients.
pub fn best_fft<F: Field>(a: &mut [F], omega: F, log_n: u32) {
    let Some(last) = a.iter().rposition(|coefficient| !coefficient.is_zero_vartime()) else { return };
    let used = (last + 1).next_power_of_two();
    transform(a, used, &omega, log_n, &|low, high, root| {
        let product = root.map_or(*high, |root| *high * root);
        *high = *low - product;
        *low += product;
    });
}

/// Does so for coefficients of any kind, of which the first `used`, a power of two, may differ from zero. `butterfly`
/// replaces two of them, `a` and `b`, by `a + rb` and `a - rb`, where `r` is a root, or one if there is none.
///
/// # Panics
/// Panics if there are more or fewer than `2^log_n` coefficients.
pub fn transform<F: Field, T: Copy>(
    a: &mut [T],
    used: usize,
    omega: &F,
    log_n: u32,
    butterfly: &impl Fn(&mut T, &mut T, Option<&F>),
) {
    let n = a.len();
    assert_eq!(n, 1 << log_n);
    reduce(a, used, 0, &roots(*omega, log_n), butterfly);
    for index in 0..n {
        let reversed = index.reverse_bits() >> (usize::BITS - log_n).min(usize::BITS - 1);
        if index < reversed {
            a.swap(index, reversed);
        }
    }
}

/// Returns the first `2^(log_n - 1)` powers of `omega`, in the order of reversed bits.
fn roots<F: Field>(omega: F, log_n: u32) -> Vec<F> {
    let squares: Vec<F> = std::iter::successors(Some(omega), |power| Some(power.square()))
        .take(log_n.saturating_sub(1) as usize)
        .collect();
    let mut roots = vec![F::ONE];
    roots.reserve(1 << squares.len());
    for power in squares.iter().rev() {
        for index in 0..roots.len() {
            roots.push(roots[index] * power);
        }
    }
    roots
}

/// Reduces a polynomial of which the first `used` coefficients may differ from zero. Its root is that of `block`.
fn reduce<F: Field, T: Copy>(
    a: &mut [T],
    used: usize,
    block: usize,
    roots: &[F],
    butterfly: &impl Fn(&mut T, &mut T, Option<&F>),
) {
    if a.len() == 1 {
        return;
    }
    let half = a.len() / 2;
    let (low, high) = a.split_at_mut(half);
    if used <= half {
        high[..used].copy_from_slice(&low[..used]);
    } else {
        // The root of the first block is one.
        let root = (block != 0).then(|| &roots[block]);
        low.iter_mut().zip(&mut *high).for_each(|(low, high)| butterfly(low, high, root));
    }
    let used = used.min(half);
    reduce(low, used, 2 * block, roots, butterfly);
    reduce(high, used, 2 * block + 1, roots, butterfly);
}

#[cfg(test)]
mod tests {
    use super::*;
    use ff::PrimeField;
    use pasta_curves::{Fp, Fq};
    use proptest::prelude::*;

    fn root<F: PrimeField>(log_n: u32) -> F {
        (log_n..F::S).fold(F::ROOT_OF_UNITY, |root, _| root.square())
    }

    fn value<F: Field>(coefficients: &[F], point: F) -> F {
        coefficients.iter().rev().fold(F::ZERO, |sum, coefficient| sum * point + coefficient)
    }

    fn agrees<F: PrimeField>(log_n: u32, coefficients: &[F], is_inverse: bool) {
        let omega = if is_inverse { root::<F>(log_n).invert().expect("a root") } else { root(log_n) };
        let mut padded = coefficients.to_vec();
        padded.resize(1 << log_n, F::ZERO);
        let mut point = F::ONE;
        let expected: Vec<F> = (0..padded.len())
            .map(|_| {
                let value = value(coefficients, point);
                point *= omega;
                value
            })
            .collect();
        best_fft(&mut padded, omega, log_n);
        assert!(padded == expected);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn values_are_those_of_the_polynomial(
            log_n in 0..9u32,
            coefficients in prop::collection::vec(prop_oneof![Just(0), any::<u64>()], 0..512),
            share in 0..4u32,
            is_inverse: bool,
        ) {
            let count = coefficients.len().min((1 << log_n) >> share);
            let fp: Vec<Fp> = coefficients[..count].iter().map(|c| -Fp::from(*c).square()).collect();
            let fq: Vec<Fq> = coefficients[..count].iter().map(|c| -Fq::from(*c).square()).collect();
            agrees(log_n, &fp, is_inverse);
            agrees(log_n, &fq, is_inverse);
        }
    }

    #[test]
    fn every_number_of_coefficients_of_a_small_domain() {
        for log_n in 0..5 {
            for count in 0..=1u64 << log_n {
                agrees(log_n, &(0..count).map(|index| Fp::from(index + 1)).collect::<Vec<_>>(), false);
                // Only the last one differs from zero.
                let last = (0..count).map(|index| Fp::from(u64::from(index + 1 == count)));
                agrees(log_n, &last.collect::<Vec<_>>(), true);
            }
        }
    }
}
