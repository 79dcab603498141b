//! Sums of points times scalars.
//!
//! Pippenger's method: a scalar is cut into windows, each window of each scalar is a digit, and all points with the same
//! digit are added up before anything is multiplied. Digits are signed, which halves their number.
//!
//! ```text
//! curve         the interface to curves
//! halves        a scalar becomes two of half the length: twice the points, and half the windows
//! affine        points in affine form, whose additions share inversions
//! buckets       adds up the points of each digit, in pairs
//! generators    the generators of an inner-product argument, which are folded in half again and again
//! ```
//!
//! The sums of the digits of a window are not added up one after the other, each with its weight. They are laid out as a
//! rectangle, the low bits of the digit choosing the column and the high bits the row, and rows and columns are added up
//! like the points of a digit. Only these few sums are left to be weighted.
//!
//! Sources: Pippenger, "On the evaluation of powers and related problems", FOCS 1976; Booth's recoding for signed digits.
//!
//! Time depends on the scalars, as it does in the function of the library that this one replaces.
//!
//! Invariant: the result is the sum as a group element; how it is represented does not matter, since whoever writes it
//! normalises it.

use affine::Point;
use buckets::{Buckets, Entry};
use ff::Field;
use halves::{Half, words};
use pasta_curves::arithmetic::CurveAffine;

pub use curve::{Coordinate, Curve};
pub use generators::{Generators, Part};
pub use halves::Halves;

/// Points that are added up together: more share one inversion, fewer stay in the cache.
const POINTS_TOGETHER: usize = 8192;
/// Multiplications of one addition in affine form.
const ADDITION: u64 = 6;
/// Multiplications for the sum of a row or a column: one mixed addition and one in projective form.
const WEIGHTED: u64 = 11 + 16;
/// Widest window, in bits.
const WINDOW_BITS_MAX: u32 = 15;

/// Returns the sum of the bases, each times its scalar.
///
/// # Panics
/// Panics if there are more bases than scalars or fewer.
pub fn best_multiexp<C: CurveAffine>(scalars: &[C::Scalar], bases: &[C]) -> C::Curve {
    assert_eq!(scalars.len(), bases.len());
    let terms = scalars.iter().zip(bases);
    let Some(halves) = Halves::of::<C>() else {
        return terms.map(|(scalar, base)| *base * *scalar).sum();
    };
    // Of columns that few rows use, most terms are left out, and memory of a guest is not given back.
    let used = scalars.iter().filter(|scalar| !scalar.is_zero_vartime()).count();
    sum(&halves, used, terms.map(|(scalar, base)| (words(scalar), *base)))
}

/// Returns the sum of points, each times the number whose words come with it. At most `used` numbers differ from zero.
pub fn sum<C: Curve>(halves: &Halves, used: usize, terms: impl Iterator<Item = ([u64; 4], C)>) -> C::Sum {
    let (mut points, mut factors) = (Vec::with_capacity(2 * used), Vec::with_capacity(2 * used));
    for (number, base) in terms {
        // The identity has no coordinates, and adds nothing.
        let Some(point) = Point::of(&base) else { continue };
        let [first, second] = halves.split(number);
        if first.magnitude != 0 {
            points.push(point);
            factors.push(first);
        }
        if second.magnitude != 0 {
            points.push(point.endomorphism());
            factors.push(second);
        }
    }
    sum_of_products(&points, &factors)
}

/// Returns the sum of the points, each times its factor.
fn sum_of_products<C: Curve>(points: &[Point<C>], factors: &[Half]) -> C::Sum {
    let longest = factors.iter().fold(0, |all, factor| all | factor.magnitude);
    let cut = Cut::of(points.len(), u128::BITS - longest.leading_zeros());
    let digits = cut.digits(factors);
    let mut sum = C::Sum::default();
    each_window(points, &digits, &cut, |window| {
        (0..cut.bits).for_each(|_| sum = C::double(&sum));
        sum += window;
    });
    sum
}

/// Returns, for each row of digits, the sum of the bases, each times its digit. There are as many rows as fit `digits`,
/// each as long as `bases`, and digits are from `-2^(bits-1)` to `2^(bits-1)`.
///
/// Nothing but additions is used, so this holds for every point of the curve, in its subgroup or not.
///
/// # Panics
/// Panics if a digit is larger, or the last row is shorter.
pub fn digit_sums<C: Curve>(bases: &[C], digits: &[i16], bits: u32) -> Vec<C::Sum> {
    let rows = digits.chunks_exact(bases.len().max(1));
    assert!(rows.remainder().is_empty() && bits <= WINDOW_BITS_MAX, "rows have a digit for each base");
    assert!(digits.iter().all(|digit| digit.unsigned_abs() <= 1 << (bits - 1)), "digits have these bits");
    let cut = Cut { bits, windows: rows.len(), column_bits: (bits - 1) / 2 };
    // Room is taken once: what vectors leave behind when they grow would stay in the memory of a guest.
    let (mut kept, mut points) = (Vec::with_capacity(digits.len()), Vec::with_capacity(bases.len()));
    // The identity has no coordinates, and adds nothing.
    points.extend(bases.iter().filter_map(Point::of));
    for row in rows {
        let of_points = row.iter().zip(bases).filter(|(_, base)| base.xy().is_some());
        kept.extend(of_points.map(|(digit, _)| *digit));
    }
    let mut sums = Vec::with_capacity(cut.windows);
    each_window(&points, &kept, &cut, |sum| sums.push(sum));
    sums.reverse();
    sums
}

/// Calls a function with the sum of the points of each window, each times its digit, from the last window to the first.
fn each_window<C: Curve>(points: &[Point<C>], digits: &[i16], cut: &Cut, mut visit: impl FnMut(C::Sum)) {
    let together = (POINTS_TOGETHER / points.len().max(1)).clamp(1, cut.windows.max(1));
    let mut end = cut.windows;
    while end > 0 {
        let begin = end.saturating_sub(together);
        let mut buckets =
            Buckets::gather(points, cut.by_digit(digits, begin..end), (end - begin) << cut.bits);
        buckets.add_up();
        let mut lines = Buckets::gather(
            buckets.points(),
            buckets.entries().flat_map(|(bucket, entry)| cut.lines(bucket).map(move |line| (line, entry))),
            (end - begin) * cut.lines_of_window(),
        );
        lines.add_up();
        (0..end - begin).rev().for_each(|window| visit(cut.weighted(&mut lines, window)));
        end = begin;
    }
}

/// How factors are cut into digits, and the digits of a window laid out in rows and columns.
#[derive(Clone, Copy, Debug)]
struct Cut {
    /// Bits of a digit.
    bits: u32,
    /// Number of digits of a factor.
    windows: usize,
    /// Bits of the magnitude of a digit that choose its column; the others choose its row.
    column_bits: u32,
}

impl Cut {
    /// Returns the cut of factors of at most `factor_bits` bits for which there are the fewest multiplications.
    fn of(points: usize, factor_bits: u32) -> Self {
        let cut = |bits| Self {
            bits,
            // A carry goes into one more window if the last one is full.
            windows: (factor_bits / bits + 1) as usize,
            column_bits: (bits - 1) / 2,
        };
        (1..=WINDOW_BITS_MAX).map(cut).min_by_key(|cut| cut.cost(points)).expect("a range with elements")
    }

    fn cost(&self, points: usize) -> u64 {
        let points = points as u64;
        let digits = points.min(1 << (self.bits - 1));
        self.windows as u64 * (ADDITION * (points + 2 * digits) + WEIGHTED * self.lines_of_window() as u64)
    }

    fn columns(&self) -> usize {
        1 << self.column_bits
    }

    /// The number of rows; the last one has the largest digit alone.
    fn rows(&self) -> usize {
        (1 << (self.bits - 1 - self.column_bits)) + 1
    }

    /// The number of rows and columns of a window.
    fn lines_of_window(&self) -> usize {
        self.rows() + self.columns()
    }

    /// Returns the digits of each window, from `-2^(bits-1)` to `2^(bits-1)`, the lowest window first.
    fn digits(&self, factors: &[Half]) -> Vec<i16> {
        let radix = 1i32 << self.bits;
        let mut digits = vec![0; self.windows * factors.len()];
        for (index, factor) in factors.iter().enumerate() {
            let (mut low, mut high) = (factor.magnitude as u64, (factor.magnitude >> 64) as u64);
            let mut carry = 0;
            for digit in digits[index..].iter_mut().step_by(factors.len()) {
                let value = (low as i32 & (radix - 1)) + carry;
                carry = i32::from(value > radix / 2);
                let magnitude = (value - carry * radix) as i16;
                *digit = if factor.is_negative { -magnitude } else { magnitude };
                low = low >> self.bits | high << (u64::BITS - self.bits);
                high >>= self.bits;
            }
        }
        digits
    }

    /// Returns the points of some windows by digit. Bucket `d` of a window is that of the digits `d` and `-d`.
    fn by_digit<'a>(
        &self,
        digits: &'a [i16],
        windows: std::ops::Range<usize>,
    ) -> impl Iterator<Item = (usize, Entry)> + Clone + use<'a> {
        let (bits, count) = (self.bits, digits.len() / self.windows);
        windows.clone().zip(0..).flat_map(move |(window, index): (usize, usize)| {
            digits[window * count..][..count].iter().zip(0..).filter(|(digit, _)| **digit != 0).map(
                move |(digit, place)| {
                    let bucket = index << bits | usize::from(digit.unsigned_abs());
                    (bucket, if *digit < 0 { Entry::negative(place) } else { Entry::positive(place) })
                },
            )
        })
    }

    /// Returns the row and the column of a bucket, among those of all windows, except those that count nothing.
    fn lines(&self, bucket: usize) -> impl Iterator<Item = usize> + Clone + use<> {
        let (window, digit) = (bucket >> self.bits, bucket & ((1 << self.bits) - 1));
        let first = window * self.lines_of_window();
        let (row, column) = (digit >> self.column_bits, digit & (self.columns() - 1));
        let row = (row != 0).then_some(first + row);
        row.into_iter().chain((column != 0).then_some(first + self.rows() + column))
    }

    /// Returns the sum of the points of a window, each times its digit. Windows are taken from the last one.
    fn weighted<C: Curve>(&self, lines: &mut Buckets<C>, window: usize) -> C::Sum {
        let first = window * self.lines_of_window();
        let columns = weighted(lines, first + self.rows(), self.columns());
        let rows = weighted(lines, first, self.rows());
        (0..self.column_bits).fold(rows, |rows, _| C::double(&rows)) + columns
    }
}

/// Returns the sum of the points of `count` buckets from the `first` one on, each times its number among them. Buckets
/// are taken from the last one.
fn weighted<C: Curve>(buckets: &mut Buckets<C>, first: usize, count: usize) -> C::Sum {
    let (mut sum, mut weighted) = (C::Sum::default(), C::Sum::default());
    // Summation by parts: the points of the last bucket are in every partial sum.
    for number in (0..count).rev() {
        for point in buckets.take(first + number) {
            sum += point.to_affine();
        }
        if number > 0 {
            weighted += sum;
        }
    }
    weighted
}

mod affine;
mod buckets;
mod curve;
mod generators;
mod halves;
#[cfg(test)]
mod tests;
