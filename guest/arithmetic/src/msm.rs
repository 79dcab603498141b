//! Sums of points times scalars.
//!
//! Pippenger's method: a scalar is cut into windows, each window of each scalar is a digit, and all points with the same
//! digit are added up before anything is multiplied. Digits are signed, which halves their number. Two points in affine
//! form are added with six multiplications instead of eleven if an inversion is shared among many additions, so the
//! points of a digit are added in pairs, then the sums in pairs, all digits of several windows together.
//!
//! The Pasta curves have an endomorphism, which multiplies a point by a constant at the price of one multiplication. A
//! scalar is split into two halves, one for the point and one for its image: twice the points, and half the windows,
//! each of which costs the sum of its buckets. See [`halves`].
//!
//! Sources: Pippenger, "On the evaluation of powers and related problems", FOCS 1976; Booth's recoding for signed digits;
//! Montgomery, "Speeding the Pollard and elliptic curve methods of factorization", 1987, for shared inversions.
//!
//! Time depends on the scalars, as it does in the function of the library that this one replaces.
//!
//! Invariant: the result is the sum as a group element; how it is represented does not matter, since whoever writes it
//! normalises it.

use ff::{Field, PrimeField, WithSmallOrderMulGroup};
use group::Group;
use halves::{HALF_BITS, Half, Halves};
use pasta_curves::arithmetic::{Coordinates, CurveAffine, VartimeField};

/// Additions for which sharing an inversion takes less time than it saves.
const SHARED_MIN: usize = 64;
/// Points that are added up together: more share one inversion, fewer stay in the cache.
const POINTS_TOGETHER: usize = 8192;
/// Multiplications of an addition in affine form, and of putting one digit's sum in its place.
const COSTS: [usize; 2] = [6, 27];
/// Widest window, in bits.
const WINDOW_BITS_MAX: u32 = 15;

/// Returns the sum of the bases, each times its scalar.
///
/// # Panics
/// Panics if there are more bases than scalars or fewer.
pub fn best_multiexp<C: CurveAffine>(scalars: &[C::Scalar], bases: &[C]) -> C::Curve {
    assert_eq!(scalars.len(), bases.len());
    let points = bases.iter().map(Point::of);
    match Halves::of::<C>() {
        Some(halves) => {
            let scalars: Vec<Half> = scalars.iter().flat_map(|scalar| halves.split(scalar)).collect();
            let points: Vec<_> = points.flat_map(|point| [point, point.map(Point::endomorphism)]).collect();
            sum_of_products(&points, &scalars, HALF_BITS)
        }
        None => sum_of_products(&points.collect::<Vec<_>>(), scalars, C::Scalar::NUM_BITS),
    }
}

/// Returns the sum of the points, each times its scalar, whose magnitude has at most `scalar_bits` bits.
fn sum_of_products<C: CurveAffine>(
    points: &[Option<Point<C>>],
    scalars: &[impl Digits],
    scalar_bits: u32,
) -> C::Curve {
    let bits = window_bits(points.len(), scalar_bits);
    // A carry goes into one more window if the last one is full.
    let windows = (scalar_bits / bits + 1) as usize;
    let digits: Vec<i16> = scalars.iter().flat_map(|scalar| digits(scalar, bits, windows)).collect();

    let mut sum = C::Curve::identity();
    let together = (POINTS_TOGETHER / points.len().max(1)).clamp(1, windows);
    let mut end = windows;
    while end > 0 {
        let begin = end.saturating_sub(together);
        let mut buckets = Buckets::fill(points, &digits, windows, begin..end, bits);
        buckets.add_in_pairs();
        for window in (0..end - begin).rev() {
            (0..bits).for_each(|_| sum = sum.double());
            sum += buckets.weighted_sum(window);
        }
        end = begin;
    }
    sum
}

/// Returns the width of a window for which there are the fewest multiplications.
fn window_bits(points: usize, scalar_bits: u32) -> u32 {
    let cost = |bits: u32| {
        let windows = (scalar_bits / bits + 1) as usize;
        windows * (COSTS[0] * points + COSTS[1] * (1 << (bits - 1)))
    };
    (1..=WINDOW_BITS_MAX).min_by_key(|bits| cost(*bits)).expect("a range with elements")
}

/// A number that is cut into digits.
trait Digits {
    /// Returns whether the number is negative, and its magnitude in bytes, the lowest first.
    fn parts(&self) -> (bool, impl AsRef<[u8]> + use<Self>);
}

impl<F: PrimeField> Digits for F {
    fn parts(&self) -> (bool, impl AsRef<[u8]> + use<F>) {
        (false, self.to_repr())
    }
}

impl Digits for Half {
    fn parts(&self) -> (bool, impl AsRef<[u8]> + use<>) {
        (self.is_negative, self.magnitude.to_le_bytes())
    }
}

/// Returns the digits of a number, the lowest first, each from `-2^(bits-1)` to `2^(bits-1)`.
fn digits<D: Digits>(number: &D, bits: u32, windows: usize) -> impl Iterator<Item = i16> + use<D> {
    let (is_negative, repr) = number.parts();
    let radix = 1i32 << bits;
    let mut carry = 0;
    (0..windows).map(move |window| {
        let first = window * bits as usize;
        let mut word = [0; 4];
        for (place, byte) in word.iter_mut().zip(repr.as_ref().iter().skip(first / 8)) {
            *place = *byte;
        }
        // At most 15 bits after at most seven others are within a word.
        let value = (u32::from_le_bytes(word) >> (first % 8)) as i32 & (radix - 1);
        let digit = value + carry;
        carry = i32::from(digit > radix / 2);
        let digit = i16::try_from(digit - carry * radix).expect("at most 2^14 in magnitude");
        if is_negative { -digit } else { digit }
    })
}

/// A point other than the identity.
struct Point<C: CurveAffine> {
    x: C::Base,
    y: C::Base,
}

impl<C: CurveAffine> Clone for Point<C> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<C: CurveAffine> Copy for Point<C> {}

impl<C: CurveAffine> Point<C> {
    fn of(point: &C) -> Option<Self> {
        let coordinates: Option<Coordinates<C>> = point.coordinates().into();
        coordinates.map(|coordinates| Self { x: *coordinates.x(), y: *coordinates.y() })
    }

    /// The point times [`Halves`]'s constant.
    fn endomorphism(self) -> Self {
        Self { x: self.x * C::Base::ZETA, y: self.y }
    }

    fn to_affine(self) -> C {
        C::from_xy(self.x, self.y).expect("sums of points are on the curve")
    }

    /// The denominator of the slope of the line through both points; `None` if their sum is the identity.
    fn denominator(&self, other: &Self) -> Option<C::Base> {
        if self.x != other.x {
            Some(other.x - self.x)
        } else if self.y == other.y && self.y != C::Base::ZERO {
            Some(self.y.double())
        } else {
            None
        }
    }

    /// Adds a point, with the inverse of the denominator.
    fn add(&self, other: &Self, inverse: &C::Base) -> Self {
        let numerator = if self.x == other.x {
            let square = self.x.square();
            square.double() + square + C::a()
        } else {
            other.y - self.y
        };
        let slope = numerator * inverse;
        let x = slope.square() - self.x - other.x;
        Self { x, y: slope * (self.x - x) - self.y }
    }
}

/// The points of each digit in each of some windows.
struct Buckets<C: CurveAffine> {
    /// The points of one bucket after those of the one before.
    points: Vec<Point<C>>,
    /// The number of points in each bucket: those of the first window by digit, then those of the next.
    lens: Vec<usize>,
    /// Number of digits of a window, beside zero and without their sign.
    digits: usize,
}

impl<C: CurveAffine> Buckets<C> {
    fn fill(
        points: &[Option<Point<C>>],
        digits: &[i16],
        windows: usize,
        window: std::ops::Range<usize>,
        bits: u32,
    ) -> Self {
        let digits_of_window = 1 << (bits - 1);
        let placed = || {
            points
                .iter()
                .zip(digits.chunks(windows))
                .filter_map(|(point, digits)| Some(((*point)?, &digits[window.clone()])))
        };
        let bucket = |window: usize, digit: i16| {
            (digit != 0).then(|| window * digits_of_window + usize::from(digit.unsigned_abs()) - 1)
        };
        let mut lens = vec![0; window.len() * digits_of_window];
        for (_, digits) in placed() {
            digits
                .iter()
                .enumerate()
                .filter_map(|(window, digit)| bucket(window, *digit))
                .for_each(|bucket| lens[bucket] += 1);
        }
        let mut next: Vec<usize> = lens
            .iter()
            .scan(0, |end, len| {
                let begin = *end;
                *end += len;
                Some(begin)
            })
            .collect();
        let zero = Point { x: C::Base::ZERO, y: C::Base::ZERO };
        let mut filled = vec![zero; lens.iter().sum()];
        for (point, digits) in placed() {
            for (window, digit) in digits.iter().enumerate() {
                let Some(bucket) = bucket(window, *digit) else { continue };
                let y = if *digit < 0 { -point.y } else { point.y };
                filled[next[bucket]] = Point { x: point.x, y };
                next[bucket] += 1;
            }
        }
        Self { points: filled, lens, digits: digits_of_window }
    }

    /// Adds up the points of each bucket in pairs, until there are too few pairs to share an inversion.
    fn add_in_pairs(&mut self) {
        let (mut denominators, mut products) = (Vec::new(), Vec::new());
        while self.lens.iter().map(|len| len / 2).sum::<usize>() >= SHARED_MIN {
            denominators.clear();
            let mut begin = 0;
            for len in &self.lens {
                for [a, b] in self.points[begin..begin + len].as_chunks().0 {
                    // The inverse of one, which is not used, keeps the others in their places.
                    denominators.push(a.denominator(b).unwrap_or(C::Base::ONE));
                }
                begin += len;
            }
            invert_all(&mut denominators, &mut products);
            let mut inverses = denominators.iter();
            let (mut read, mut write) = (0, 0);
            for len in &mut self.lens {
                let (end, first) = (read + *len, write);
                while read + 1 < end {
                    let (a, b) = (self.points[read], self.points[read + 1]);
                    let inverse = inverses.next().expect("one for each pair");
                    if a.denominator(&b).is_some() {
                        self.points[write] = a.add(&b, inverse);
                        write += 1;
                    }
                    read += 2;
                }
                if read < end {
                    self.points[write] = self.points[read];
                    (read, write) = (read + 1, write + 1);
                }
                *len = write - first;
            }
            self.points.truncate(write);
        }
    }

    /// Returns the sum of the points of a window, each times its digit. Windows are taken from the last one.
    fn weighted_sum(&mut self, window: usize) -> C::Curve {
        let (mut sum, mut weighted) = (C::Curve::identity(), C::Curve::identity());
        // Summation by parts: the points of the highest digit are in every partial sum.
        for len in self.lens.drain(window * self.digits..).rev() {
            for point in self.points.drain(self.points.len() - len..) {
                sum += point.to_affine();
            }
            weighted += sum;
        }
        weighted
    }
}

/// Replaces each element, none of which is zero, by its inverse. `products` is room to work in.
fn invert_all<F: VartimeField>(elements: &mut [F], products: &mut Vec<F>) {
    products.clear();
    let mut product = F::ONE;
    for element in &*elements {
        products.push(product);
        product *= element;
    }
    let mut inverse = product.invert_vartime().expect("no element is zero");
    for (element, before) in elements.iter_mut().zip(&*products).rev() {
        let inverted = inverse * before;
        inverse *= *element;
        *element = inverted;
    }
}

mod halves;
#[cfg(test)]
mod tests;
