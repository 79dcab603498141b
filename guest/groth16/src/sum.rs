//! Sums of points, in a form that needs no inversion.
//!
//! Source: the Explicit-Formulas Database, "dbl-2009-l", "add-2007-bl" and "madd-2007-bl".
//!
//! Invariant: a sum is on its curve if the points are.

use crate::{
    groups::{Group, PSI, Second},
    point::Point,
};
use snapback_arithmetic::msm::Coordinate;
use std::ops::{Add, AddAssign};

/// A sum of points, in Jacobian form: `x / z²` and `y / z³`. The identity has a `z` of zero.
#[derive(Clone, Copy, Debug)]
pub struct Sum<G: Group> {
    x: G::Base,
    y: G::Base,
    z: G::Base,
}

impl<G: Group> Sum<G> {
    /// Returns the sum in affine form.
    #[must_use]
    pub fn to_affine(self) -> Point<G> {
        // The inverse of the identity's `z` is missing, and both its coordinates are zero.
        let inverse = self.z.invert().unwrap_or(self.z);
        let square = inverse.square();
        Point { x: self.x * square, y: self.y * square * inverse }
    }

    /// Returns whether both are the same point.
    #[must_use]
    pub fn equals(&self, other: &Self) -> bool {
        let (a, b) = (self.z.square(), other.z.square());
        self.z.is_zero() == other.z.is_zero()
            && self.x * b == other.x * a
            && self.y * b * other.z == other.y * a * self.z
    }

    /// Returns the sum plus itself.
    #[must_use]
    pub fn double(&self) -> Self {
        let (a, b) = (self.x.square(), self.y.square());
        let c = b.square();
        let d = ((self.x + b).square() - a - c).double();
        let e = a.double() + a;
        let x = e.square() - d.double();
        let y = e * (d - x) - c.double().double().double();
        Self { x, y, z: (self.y * self.z).double() }
    }
}

impl Sum<Second> {
    /// Returns the point by the endomorphism `psi`, which raises coordinates on the untwisted curve to the power of the
    /// prime.
    pub(crate) fn frobenius(&self) -> Self {
        let [x, y] = PSI;
        Self { x: self.x.conjugate() * x, y: self.y.conjugate() * y, z: self.z.conjugate() }
    }
}

impl<G: Group> Default for Sum<G> {
    fn default() -> Self {
        Self { x: G::Base::ZERO, y: G::Base::ZERO, z: G::Base::ZERO }
    }
}

impl<G: Group> From<Point<G>> for Sum<G> {
    fn from(point: Point<G>) -> Self {
        if point.is_identity() { Self::default() } else { Self { x: point.x, y: point.y, z: G::Base::ONE } }
    }
}

impl<G: Group> AddAssign<Point<G>> for Sum<G> {
    fn add_assign(&mut self, other: Point<G>) {
        if other.is_identity() {
            return;
        }
        if self.z.is_zero() {
            *self = other.into();
            return;
        }
        let square = self.z.square();
        let h = other.x * square - self.x;
        let r = (other.y * square * self.z - self.y).double();
        if h.is_zero() {
            *self = if r.is_zero() { self.double() } else { Self::default() };
            return;
        }
        let h_square = h.square();
        let i = h_square.double().double();
        let (j, v) = (h * i, self.x * i);
        let x = r.square() - j - v.double();
        let y = r * (v - x) - (self.y * j).double();
        let z = (self.z + h).square() - square - h_square;
        *self = Self { x, y, z };
    }
}

impl<G: Group> AddAssign for Sum<G> {
    fn add_assign(&mut self, other: Self) {
        if other.z.is_zero() {
            return;
        }
        if self.z.is_zero() {
            *self = other;
            return;
        }
        let (square, other_square) = (self.z.square(), other.z.square());
        let u = self.x * other_square;
        let s = self.y * other.z * other_square;
        let h = other.x * square - u;
        let r = (other.y * self.z * square - s).double();
        if h.is_zero() {
            *self = if r.is_zero() { self.double() } else { Self::default() };
            return;
        }
        let i = h.double().square();
        let (j, v) = (h * i, u * i);
        let x = r.square() - j - v.double();
        let y = r * (v - x) - (s * j).double();
        let z = ((self.z + other.z).square() - square - other_square) * h;
        *self = Self { x, y, z };
    }
}

impl<G: Group> Add for Sum<G> {
    type Output = Self;

    fn add(mut self, other: Self) -> Self {
        self += other;
        self
    }
}
