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

use crate::field::Fr;
use snapback_arithmetic::msm::Coordinate;

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
pub struct Roots(Vec<Fr>);

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
        let powers: Vec<Fr> = std::iter::successors(Some(root), |power| Some(power.square()))
            .take(log_domain as usize)
            .collect();
        self.0.reserve_exact(size - self.0.len());
        if self.0.is_empty() {
            self.0.push(Fr::ONE);
        }
        // The roots of a smaller domain are the first ones of a larger domain.
        for power in powers.iter().rev().skip(self.0.len().ilog2() as usize) {
            for index in 0..self.0.len() {
                self.0.push(self.0[index] * *power);
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
        if values.len() == 1 {
            return;
        }
        let (low, high) = values.split_at_mut(values.len() / 2);
        self.join(low, 2 * block);
        self.join(high, 2 * block + 1);
        let pairs = low.iter_mut().zip(high);
        if block == 0 {
            for (low, high) in pairs {
                (*low, *high) = (*low + *high, *low - *high);
            }
        } else {
            // The inverse of a root is the negative of the one with the opposite index of the same length.
            let opposite = self.0[3 * (1 << block.ilog2()) - 1 - block];
            for (low, high) in pairs {
                (*low, *high) = (*low + *high, (*high - *low) * opposite);
            }
        }
    }

    /// Replaces coefficients by values.
    fn split(&self, coefficients: &mut [Fr], block: usize) {
        if coefficients.len() == 1 {
            return;
        }
        let (low, high) = coefficients.split_at_mut(coefficients.len() / 2);
        let root = self.0[block];
        for (low, high) in low.iter_mut().zip(&mut *high) {
            let product = *high * root;
            (*low, *high) = (*low + product, *low - product);
        }
        self.split(low, 2 * block);
        self.split(high, 2 * block + 1);
    }
}

/// Returns what the value of each row adds to the highest coefficient, times the number of rows: the powers of the root.
pub(crate) fn highest(log_domain: u32) -> impl Iterator<Item = Fr> {
    let root = (log_domain..28).fold(root_of_unity(), |root, _| root.square());
    std::iter::successors(Some(Fr::ONE), move |power| Some(*power * root)).take(1 << log_domain)
}

/// Returns an index with its bits reversed, in a domain of the size `2^log_domain`.
#[must_use]
pub(crate) fn reversed(index: u32, log_domain: u32) -> u32 {
    if log_domain == 0 { 0 } else { index.reverse_bits() >> (u32::BITS - log_domain) }
}
