//! The interface to the curves whose points are added up: those of the form `y² = x³ + b` with an endomorphism.
//!
//! Curves of `pasta_curves` implement it here. Guests implement it for other curves.
//!
//! Invariant: no function here has a default, so a curve that implements the traits has said all that sums rely on.

use ff::{Field, WithSmallOrderMulGroup};
use group::Group;
use pasta_curves::arithmetic::{Coordinates, CurveAffine, VartimeField};
use std::ops::{Add, AddAssign, Mul, Neg, Sub};

/// An element of the field that the coordinates of points belong to.
pub trait Coordinate:
    Copy + PartialEq + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> + Neg<Output = Self>
{
    /// The neutral element of addition.
    const ZERO: Self;
    /// The neutral element of multiplication.
    const ONE: Self;

    /// Returns the element times itself.
    #[must_use]
    fn square(&self) -> Self;

    /// Returns the element plus itself.
    #[must_use]
    fn double(&self) -> Self;

    /// Returns whether this is the neutral element of addition. Time may depend on the element.
    fn is_zero(&self) -> bool;

    /// Returns the inverse, or `None` for zero. Time may depend on the element.
    fn invert(&self) -> Option<Self>;
}

/// A point in affine form.
pub trait Curve: Copy {
    /// The field of the coordinates.
    type Base: Coordinate;
    /// A sum of points, in a form that needs no inversion. Its default is the identity.
    type Sum: Copy + Default + Add<Output = Self::Sum> + AddAssign + AddAssign<Self>;

    /// The element of order 3 for which `(x, y)` to `(ZETA x, y)` is the endomorphism that scalars are split for.
    const ZETA: Self::Base;

    /// Returns the coordinates, or `None` for the identity.
    fn xy(&self) -> Option<(Self::Base, Self::Base)>;

    /// Returns the point with these coordinates. The point is on the curve.
    fn from_affine(x: Self::Base, y: Self::Base) -> Self;

    /// Returns the sum plus itself.
    fn double(sum: &Self::Sum) -> Self::Sum;
}

impl<F: VartimeField> Coordinate for F {
    const ZERO: Self = <F as Field>::ZERO;
    const ONE: Self = <F as Field>::ONE;

    fn square(&self) -> Self {
        Field::square(self)
    }

    fn double(&self) -> Self {
        Field::double(self)
    }

    fn is_zero(&self) -> bool {
        self.is_zero_vartime()
    }

    fn invert(&self) -> Option<Self> {
        self.invert_vartime()
    }
}

impl<C: CurveAffine> Curve for C {
    type Base = <C as CurveAffine>::Base;
    type Sum = C::CurveExt;

    const ZETA: Self::Base = <Self::Base as WithSmallOrderMulGroup<3>>::ZETA;

    fn xy(&self) -> Option<(Self::Base, Self::Base)> {
        let coordinates: Option<Coordinates<C>> = self.coordinates().into();
        coordinates.map(|coordinates| (*coordinates.x(), *coordinates.y()))
    }

    fn from_affine(x: Self::Base, y: Self::Base) -> Self {
        C::from_xy(x, y).expect("sums of points are on the curve")
    }

    fn double(sum: &Self::Sum) -> Self::Sum {
        Group::double(sum)
    }
}
