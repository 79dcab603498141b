//! Transforms between the values of a polynomial at the roots of unity, and those at the roots times a root of twice their
//! order, the odd coset.
//!
//! The polynomial `X^2n - 1` is the product of `X^n - 1`, whose roots the constraints belong to, and `X^n + 1`, whose roots
//! are the coset. Both are split again and again, as in [`snapback_arithmetic::fft`]; block `b` of a level splits
//! `X^m - r²` into `X^(m/2) - r` and `X^(m/2) + r`, where `r` is the root with the index `b` in bit-reversed order. Going up
//! the tree of the first half gives coefficients, and going down that of the second half gives values at the coset. All
//! values stay in bit-reversed order, so nothing is put in another place, and one table has the roots for both.
//!
//! Source: Bernstein, "Multidigit multiplication for mathematicians", 2001; the coset is that of snarkjs,
//! `groth16_prove.js`.
//!
//! Invariant: the value at index `i` belongs to the root whose exponent is `i` with its bits reversed.

use crate::{
    field::{Fr, R},
    loose::{Loose, Reduced},
};
use snapback_arithmetic::msm::Coordinate;
use std::iter;

/// The largest domain, as a power of two: the scalars have roots of unity of the order 2^28, and the coset needs one of
/// twice the order.
pub(crate) const LOG_DOMAIN_MAX: u32 = 27;

/// The root of unity of the order 2^28 that circom's tools use: 5 to the power of `(r - 1) / 2^28`.
fn root_of_unity() -> Fr {
    Fr::from_number([5, 0, 0, 0]).power(&[
        0x9b97_0914_3e1f_593f,
        0x1815_85d2_833e_8487,
        0x131a_029b_8504_5b68,
        0x0000_0003_0644_e72e,
    ])
}

/// The roots of unity for domains of up to a size.
#[derive(Default)]
pub struct Roots(Vec<Reduced<R>>);

impl Roots {
    /// Returns no roots; [`Self::extend`] adds some.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds the roots for domains of the size `2^log_domain`, if there are fewer.
    pub fn extend(&mut self, log_domain: u32) {
        let size = 1 << log_domain;
        if self.0.len() >= size {
            return;
        }
        let root = (log_domain + 1..28).fold(root_of_unity(), |root, _| root.square());
        let powers: Vec<Fr> =
            iter::successors(Some(root), |power| Some(power.square())).take(log_domain as usize).collect();
        self.0.reserve_exact(size - self.0.len());
        if self.0.is_empty() {
            self.0.push(Reduced::of(Fr::ONE));
        }
        // The roots of a smaller domain are the first ones of a larger domain.
        for power in powers.iter().rev().skip(self.0.len().ilog2() as usize) {
            for index in 0..self.0.len() {
                self.0.push(Reduced::of(self.0[index].element() * *power));
            }
        }
    }

    /// Replaces the values at the roots of unity by those at the coset, times the number of values.
    ///
    /// # Panics
    /// Panics unless the number of values is a power of two for which there are roots.
    pub fn to_coset(&self, values: &mut [Fr]) {
        self.to_coefficients(values);
        self.split(values, 1);
    }

    /// Replaces the values at the roots of unity by the coefficients of the polynomial, times the number of values.
    ///
    /// # Panics
    /// Panics unless the number of values is a power of two for which there are roots.
    pub(crate) fn to_coefficients(&self, values: &mut [Fr]) {
        assert!(values.len().is_power_of_two() && values.len() <= self.0.len());
        self.join(values, 0);
    }

    /// Replaces values by the coefficients of the polynomial, times their number.
    fn join(&self, values: &mut [Fr], block: usize) {
        match values.len() {
            0 | 1 => {}
            2 => self.join_halves(values, block),
            // Nothing is multiplied in the first block of a level.
            _ if block == 0 => {
                let (low, high) = values.split_at_mut(values.len() / 2);
                self.join(low, 0);
                self.join(high, 1);
                self.join_halves(values, 0);
            }
            _ => {
                if values.len() > 4 {
                    for (quarter, index) in quarters(values).into_iter().zip(0..) {
                        self.join(quarter, 4 * block + index);
                    }
                }
                self.join_quarters(values, block);
            }
        }
    }

    fn join_halves(&self, values: &mut [Fr], block: usize) {
        let (low, high) = values.split_at_mut(values.len() / 2);
        let opposite = (block > 0).then(|| self.opposite(block));
        for (low, high) in low.iter_mut().zip(high) {
            let product = opposite
                .map_or_else(|| *low - *high, |opposite| opposite.times(&Loose::difference(high, low)));
            (*low, *high) = (*low + *high, product);
        }
    }

    /// Joins the halves of both halves, and then these, with each value read and written once.
    fn join_quarters(&self, values: &mut [Fr], block: usize) {
        let [root, low, high] = [block, 2 * block, 2 * block + 1].map(|block| self.opposite(block));
        let [a, b, c, d] = quarters(values);
        for (((a, b), c), d) in a.iter_mut().zip(b).zip(c).zip(d) {
            let (first, second) = (*a + *b, low.times(&Loose::difference(b, a)));
            let (third, fourth) = (*c + *d, high.times(&Loose::difference(d, c)));
            (*a, *c) = (first + third, root.times(&Loose::difference(&third, &first)));
            (*b, *d) = (second + fourth, root.times(&Loose::difference(&fourth, &second)));
        }
    }

    /// Returns the negative of the inverse of a block's root: the root with the opposite index of the same length.
    fn opposite(&self, block: usize) -> Reduced<R> {
        self.0[3 * (1 << block.ilog2()) - 1 - block]
    }

    /// Replaces coefficients by values.
    fn split(&self, coefficients: &mut [Fr], block: usize) {
        match coefficients.len() {
            0 | 1 => {}
            2 => {
                let product = coefficients[1] * self.0[block].element();
                (coefficients[0], coefficients[1]) = (coefficients[0] + product, coefficients[0] - product);
            }
            _ => {
                self.split_quarters(coefficients, block);
                if coefficients.len() > 4 {
                    for (quarter, index) in quarters(coefficients).into_iter().zip(0..) {
                        self.split(quarter, 4 * block + index);
                    }
                }
            }
        }
    }

    /// Splits coefficients into halves, and these again, with each value read and written once.
    fn split_quarters(&self, coefficients: &mut [Fr], block: usize) {
        let [root, low, high] = [block, 2 * block, 2 * block + 1].map(|block| self.0[block]);
        let [a, b, c, d] = quarters(coefficients);
        for (((a, b), c), d) in a.iter_mut().zip(b).zip(c).zip(d) {
            let (third, fourth) = (*c * root.element(), *d * root.element());
            let second = low.times(&Loose::sum(b, &fourth));
            let fourth = high.times(&Loose::difference(b, &fourth));
            (*a, *c) = (*a + third, *a - third);
            (*a, *b) = (*a + second, *a - second);
            (*c, *d) = (*c + fourth, *c - fourth);
        }
    }
}

fn quarters(values: &mut [Fr]) -> [&mut [Fr]; 4] {
    let (low, high) = values.split_at_mut(values.len() / 2);
    let ((a, b), (c, d)) = (low.split_at_mut(low.len() / 2), high.split_at_mut(high.len() / 2));
    [a, b, c, d]
}

/// Returns what the value of each row adds to the highest coefficient, times the number of rows: the powers of the root.
pub(crate) fn highest(log_domain: u32) -> impl Iterator<Item = Fr> {
    let root = (log_domain..28).fold(root_of_unity(), |root, _| root.square());
    iter::successors(Some(Fr::ONE), move |power| Some(*power * root)).take(1 << log_domain)
}

/// Returns an index with its bits reversed, in a domain of the size `2^log_domain`.
#[must_use]
pub(crate) fn reversed(index: u32, log_domain: u32) -> u32 {
    if log_domain == 0 { 0 } else { index.reverse_bits() >> (u32::BITS - log_domain) }
}
