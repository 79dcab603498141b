//! The quadratic extension of the coordinates, `Fq[u] / (u² + 1)`, which the second group has its coordinates in.
//!
//! Source: the square of a complex number by two multiplications. A product takes four, two of which share a reduction:
//! Karatsuba's three with a reduction each take more additions, which cost more without flags for carries.
//!
//! Invariant: an element is `re + im u`.

use crate::field::Fq;
use snapback_arithmetic::{msm::Coordinate, words::difference};
use std::ops::{Add, Mul, Neg, Sub};

/// An element of the extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fq2 {
    /// The part in the field of the coordinates.
    pub re: Fq,
    /// The factor of `u`.
    pub im: Fq,
}

impl Fq2 {
    /// Returns the element with the other sign of `u`, which is its power by the prime.
    #[must_use]
    pub fn conjugate(&self) -> Self {
        Self { re: self.re, im: -self.im }
    }

    /// Returns the element times one of the field of the coordinates.
    #[must_use]
    pub fn scale(&self, factor: Fq) -> Self {
        Self { re: self.re * factor, im: self.im * factor }
    }
}

impl Coordinate for Fq2 {
    const ZERO: Self = Self { re: Fq::ZERO, im: Fq::ZERO };
    const ONE: Self = Self { re: Fq::ONE, im: Fq::ZERO };

    fn square(&self) -> Self {
        let product = self.re * self.im;
        Self { re: (self.re + self.im) * (self.re - self.im), im: product + product }
    }

    fn double(&self) -> Self {
        *self + *self
    }

    fn is_zero(&self) -> bool {
        self.re.is_zero() && self.im.is_zero()
    }

    fn invert(&self) -> Option<Self> {
        let norm = self.re.square() + self.im.square();
        norm.invert().map(|inverse| self.conjugate().scale(inverse))
    }
}

impl Mul for Fq2 {
    type Output = Self;

    fn mul(self, other: Self) -> Self {
        // Twice the prime at most, which stands for the negative.
        let negative = difference(&Fq::TWICE, self.im.words());
        let re = Fq::sum_of_products([self.re.words(), &negative], [&other.re, &other.im]);
        let im = Fq::sum_of_products([self.re.words(), self.im.words()], [&other.im, &other.re]);
        Self { re, im }
    }
}

impl Add for Fq2 {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { re: self.re + other.re, im: self.im + other.im }
    }
}

impl Sub for Fq2 {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self { re: self.re - other.re, im: self.im - other.im }
    }
}

impl Neg for Fq2 {
    type Output = Self;

    fn neg(self) -> Self {
        Self { re: -self.re, im: -self.im }
    }
}
