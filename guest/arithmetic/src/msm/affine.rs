//! Points in affine form, whose additions share inversions.
//!
//! An addition in affine form takes an inversion and three multiplications. One inversion and three multiplications for
//! each element invert many elements together, so that such an addition takes six multiplications instead of the eleven
//! of other forms.
//!
//! Source: Montgomery, "Speeding the Pollard and elliptic curve methods of factorization", 1987.
//!
//! Invariant: the caller has checked that what it divides by is not zero; [`invert_all`] tells.

use super::curve::{Coordinate, Curve};
use std::ops::Neg;

/// A point other than the identity.
pub(super) struct Point<C: Curve> {
    x: C::Base,
    y: C::Base,
}

impl<C: Curve> Clone for Point<C> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<C: Curve> Copy for Point<C> {}

impl<C: Curve> PartialEq for Point<C> {
    fn eq(&self, other: &Self) -> bool {
        self.x == other.x && self.y == other.y
    }
}

impl<C: Curve> Neg for Point<C> {
    type Output = Self;

    fn neg(self) -> Self {
        Self { x: self.x, y: -self.y }
    }
}

impl<C: Curve> Point<C> {
    pub(super) fn of(point: &C) -> Option<Self> {
        point.xy().map(|(x, y)| Self { x, y })
    }

    /// The point times the constant of [`super::halves`].
    pub(super) fn endomorphism(self) -> Self {
        Self { x: self.x * C::ZETA, y: self.y }
    }

    pub(super) fn to_affine(self) -> C {
        C::from_affine(self.x, self.y)
    }

    /// What an addition divides by; zero if the points are equal or opposite.
    pub(super) fn run_to(&self, other: &Self) -> C::Base {
        other.x - self.x
    }

    /// What doubling divides by; zero if the point is its own negative.
    pub(super) fn rise(&self) -> C::Base {
        self.y.double()
    }

    /// What the sum of the points divides by, whatever they are; `None` if the sum is the identity.
    pub(super) fn denominator(&self, other: &Self) -> Option<C::Base> {
        if self.x != other.x {
            Some(self.run_to(other))
        } else if self.y == other.y && !self.y.is_zero() {
            Some(self.rise())
        } else {
            None
        }
    }

    /// Adds a point, with the inverse of [`Self::run_to`].
    pub(super) fn add(&self, other: &Self, inverse: &C::Base) -> Self {
        self.third((other.y - self.y) * *inverse, other)
    }

    /// Doubles the point, with the inverse of [`Self::rise`].
    pub(super) fn double(&self, inverse: &C::Base) -> Self {
        let square = self.x.square();
        self.third((square.double() + square) * *inverse, self)
    }

    /// The negative of the third point on the line with this slope through both points.
    fn third(&self, slope: C::Base, other: &Self) -> Self {
        let x = slope.square() - self.x - other.x;
        Self { x, y: slope * (self.x - x) - self.y }
    }
}

/// Replaces each element by its inverse, and returns whether all have one. If not, the elements stay as they are.
/// `products` is room to work in.
pub(super) fn invert_all<F: Coordinate>(elements: &mut [F], products: &mut Vec<F>) -> bool {
    products.clear();
    products.reserve(elements.len());
    let mut product = F::ONE;
    for element in &*elements {
        products.push(product);
        product = product * *element;
    }
    let Some(mut inverse) = product.invert() else { return false };
    for (element, before) in elements.iter_mut().zip(&*products).rev() {
        let inverted = inverse * *before;
        inverse = inverse * *element;
        *element = inverted;
    }
    true
}
