//! Points in affine form, and how keys and proofs encode them.
//!
//! Invariant: a point that was read is on its curve, and in the subgroup of its group. Points that are read by
//! [`Point::on_curve`] have to be found in the subgroup together, see [`crate::combination`].

use crate::{
    field::{ELEMENT_BYTES, Fq, Words},
    groups::{First, Group, Second},
    quadratic::Fq2,
    sum::Sum,
};
use snapback_arithmetic::msm::{self, Coordinate};
use std::ops::Neg;

/// A point of the first group.
pub type G1 = Point<First>;
/// A point of the second group.
pub type G2 = Point<Second>;

/// A point in affine form. Both coordinates of the identity are zero, which is not on the curves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point<G: Group> {
    /// First coordinate.
    pub x: G::Base,
    /// Second coordinate.
    pub y: G::Base,
}

/// The encoding of coordinates: numbers of 32 bytes, the lowest byte first.
pub trait Encoding: Sized {
    /// Length in bytes.
    const BYTES: usize;

    /// Reads coordinates whose numbers are read by a function. Returns `None` if there are too few bytes, or one is
    /// refused.
    fn read(bytes: &[u8], number: fn(&[u8; ELEMENT_BYTES]) -> Option<Fq>) -> Option<Self>;
}

impl Encoding for Fq {
    const BYTES: usize = ELEMENT_BYTES;

    fn read(bytes: &[u8], number: fn(&[u8; ELEMENT_BYTES]) -> Option<Fq>) -> Option<Self> {
        number(bytes.first_chunk()?)
    }
}

impl Encoding for Fq2 {
    const BYTES: usize = 2 * ELEMENT_BYTES;

    fn read(bytes: &[u8], number: fn(&[u8; ELEMENT_BYTES]) -> Option<Fq>) -> Option<Self> {
        let (re, im) = bytes.split_at_checked(ELEMENT_BYTES)?;
        Some(Self { re: Fq::read(re, number)?, im: Fq::read(im, number)? })
    }
}

impl<G: Group> Point<G> {
    /// Length of a point in bytes.
    pub const BYTES: usize = 2 * G::Base::BYTES;

    /// Reads a point whose coordinates are in Montgomery form, as keys have them.
    ///
    /// # Errors
    /// Returns an error if a coordinate is not below the prime, or the point is not in the group.
    pub fn from_montgomery(bytes: &[u8]) -> Result<Self, NotInGroup> {
        Self::read(bytes, Fq::from_montgomery)
    }

    /// Reads a point of the curve whose coordinates are in Montgomery form. Whether it is in the subgroup is left to the
    /// caller.
    ///
    /// # Errors
    /// Returns an error if a coordinate is not below the prime, or the point is not on the curve.
    pub(crate) fn on_curve(bytes: &[u8]) -> Result<Self, NotInGroup> {
        Self::read_on_curve(bytes, Fq::from_montgomery)
    }

    /// Reads a point whose coordinates are numbers, as proofs have them.
    ///
    /// # Errors
    /// Returns an error if a coordinate is not below the prime, or the point is not in the group.
    pub fn from_numbers(bytes: &[u8]) -> Result<Self, NotInGroup> {
        Self::read(bytes, Fq::from_bytes)
    }

    fn read(bytes: &[u8], number: fn(&[u8; ELEMENT_BYTES]) -> Option<Fq>) -> Result<Self, NotInGroup> {
        let point = Self::read_on_curve(bytes, number)?;
        if G::is_in_subgroup(&point) { Ok(point) } else { Err(NotInGroup::Subgroup) }
    }

    fn read_on_curve(
        bytes: &[u8],
        number: fn(&[u8; ELEMENT_BYTES]) -> Option<Fq>,
    ) -> Result<Self, NotInGroup> {
        let coordinates = bytes
            .split_at_checked(G::Base::BYTES)
            .and_then(|(x, y)| Some(Self { x: G::Base::read(x, number)?, y: G::Base::read(y, number)? }));
        let point = coordinates.ok_or(NotInGroup::Coordinate)?;
        if point.is_identity() {
            return Ok(point);
        }
        let three = G::Base::ONE.double() + G::Base::ONE;
        let is_on_curve = (point.y.square() - point.x.square() * point.x) * G::B_FACTOR == three;
        if is_on_curve { Ok(point) } else { Err(NotInGroup::Curve) }
    }

    /// Returns whether this is the identity.
    #[must_use]
    pub fn is_identity(&self) -> bool {
        self.x.is_zero() && self.y.is_zero()
    }

    /// Returns the point times a number whose words are given, the lowest first. Time depends on the number.
    #[must_use]
    pub fn times(&self, number: &[u64]) -> Sum<G> {
        let bits = number.iter().rev().flat_map(|word| (0..64).rev().map(move |bit| word >> bit & 1 == 1));
        bits.fold(Sum::default(), |sum, is_set| {
            let mut sum = sum.double();
            if is_set {
                sum += *self;
            }
            sum
        })
    }
}

impl G1 {
    /// Returns the coordinates as numbers.
    #[must_use]
    pub fn numbers(&self) -> [Words; 2] {
        [self.x, self.y].map(|coordinate| coordinate.number())
    }
}

impl G2 {
    /// Returns the coordinates as numbers: of each the part in the field of the first group, and the factor of `u`.
    #[must_use]
    pub fn numbers(&self) -> [[Words; 2]; 2] {
        [self.x, self.y].map(|coordinate| [coordinate.re.number(), coordinate.im.number()])
    }
}

/// Why bytes are not a point of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotInGroup {
    /// A coordinate is not below the prime.
    #[error("has a coordinate that is not below the prime")]
    Coordinate,
    /// The coordinates do not fulfil the equation of the curve.
    #[error("is not on the curve")]
    Curve,
    /// The point is on the curve, but not in the subgroup.
    #[error("is not in the subgroup")]
    Subgroup,
}

impl<G: Group> Neg for Point<G> {
    type Output = Self;

    fn neg(self) -> Self {
        Self { x: self.x, y: -self.y }
    }
}

impl<G: Group> msm::Curve for Point<G> {
    type Base = G::Base;
    type Sum = Sum<G>;
    const ZETA: G::Base = G::ZETA;

    fn xy(&self) -> Option<(G::Base, G::Base)> {
        (!self.is_identity()).then_some((self.x, self.y))
    }

    fn from_affine(x: G::Base, y: G::Base) -> Self {
        Self { x, y }
    }

    fn double(sum: &Sum<G>) -> Sum<G> {
        sum.double()
    }
}
