//! Random combinations of points, which show for many points at once that they are in the subgroup.
//!
//! A point of the second curve is the sum of a point of the subgroup and one whose order divides the cofactor. So a sum of
//! points is in the subgroup only if these second parts cancel out. A digit is one of 2^10 numbers in a row, and no prime
//! below 2^10 divides the cofactor, so for a point outside of the subgroup at most one digit lets that happen, whatever the
//! digits of the other points are. A row of digits overlooks it with a probability of at most 2^-10, and all rows with
//! 2^-130. That takes a sixth of the time of looking at each point.
//!
//! Digits are drawn from the digest of all points, so that no point can be chosen to fit its digit. A digest of each part of
//! them would not do: variants of parts could be made one by one, and put together so that what is wrong with one cancels
//! out what is wrong with another, which takes far fewer than 2^130 attempts.
//!
//! Sources: Bellare, Garay, Rabin, "Fast batch verification for modular exponentiation and digital signatures", EUROCRYPT
//! 1998, the test with small exponents; Boyd, Pavlovski, "Attacking and repairing batch verification schemes", ASIACRYPT
//! 2000, for why the exponents may not exceed the factors of the cofactor.
//!
//! Invariant: points are reported as outside of the subgroup only if one of them is, which is then named.

use crate::{
    field::{Fr, Words, bytes},
    groups::{Group, Second},
    point::{G2, Point},
    sum::Sum,
};
use chacha20::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use sha2::{Digest, Sha256};
use snapback_arithmetic::msm;

/// Bits of a digit. No prime below 2 to this power divides the cofactor of the second group, whose smallest is 10069.
pub(crate) const DIGIT_BITS: u32 = 10;
/// Digits of a point, which together have the bits of a weight.
pub(crate) const ROWS: usize = 13;
/// Digits in a word that is drawn.
const DIGITS_OF_WORD: usize = (u64::BITS / DIGIT_BITS) as usize;
/// Fewer points are tested one by one. That takes less time than sums over all digits, and no memory, of which a short file
/// must not take much.
const TOGETHER_FROM: usize = 512;
/// Points that are added up together. Memory of a guest is not given back, so what this takes stays bounded.
const POINTS_TOGETHER: usize = 1 << 12;
/// Memory that this takes for each of them, about.
const ROOM_BYTES: usize = 640;
const PIECE_BYTES: usize = 1 << 14;

/// Random weights of points, in digits from `-2^9` to `2^9 - 1`.
pub(crate) struct Combination(Vec<[i16; ROWS]>);

impl Combination {
    /// Draws the weights of some points.
    pub(crate) fn draw(random: &mut ChaCha20Rng, points: usize) -> Self {
        let digits = |_| {
            let words: [u64; ROWS.div_ceil(DIGITS_OF_WORD)] = std::array::from_fn(|_| random.next_u64());
            std::array::from_fn(|row| {
                let shift = DIGIT_BITS as usize * (row % DIGITS_OF_WORD);
                let digit = words[row / DIGITS_OF_WORD] >> shift & ((1 << DIGIT_BITS) - 1);
                digit as i16 - (1 << (DIGIT_BITS - 1))
            })
        };
        Self((0..points).map(digits).collect())
    }

    /// Returns the weights: those of different digits are different.
    pub(crate) fn weights(&self) -> Vec<Fr> {
        let middle = Fr::from_number(number(&[0; ROWS]));
        self.0.iter().map(|digits| Fr::from_number(number(digits)) - middle).collect()
    }

    /// Returns one digit of each point, as weights of their own.
    pub(crate) fn row(&self, row: usize) -> Vec<Fr> {
        let small = |digit: i16| Fr::from_number([u64::from(digit.unsigned_abs()), 0, 0, 0]);
        let signed = |digit: i16| if digit < 0 { -small(digit) } else { small(digit) };
        self.0.iter().map(|digits| signed(digits[row])).collect()
    }

    /// Returns, for each row, the sum of the points, each times its digit.
    pub(crate) fn sums<G: Group>(&self, points: &[Point<G>]) -> [Sum<G>; ROWS] {
        assert_eq!(self.0.len(), points.len());
        let mut sums = [Sum::default(); ROWS];
        for (points, digits) in points.chunks(POINTS_TOGETHER).zip(self.0.chunks(POINTS_TOGETHER)) {
            let mut rows = Vec::with_capacity(ROWS * digits.len());
            (0..ROWS).for_each(|row| rows.extend(digits.iter().map(|digits| digits[row])));
            let rows = msm::digit_sums(points, &rows, DIGIT_BITS);
            sums.iter_mut().zip(rows).for_each(|(sum, row)| *sum += row);
        }
        sums
    }
}

/// Returns the digits as a number, each raised so that it is not negative.
fn number(digits: &[i16; ROWS]) -> Words {
    let mut words = [0; 4];
    for (digit, shift) in digits.iter().zip((0..).step_by(DIGIT_BITS as usize)) {
        let raised = (digit + (1 << (DIGIT_BITS - 1))) as u128;
        let shifted = raised << (shift % u64::BITS);
        words[(shift / u64::BITS) as usize] |= shifted as u64;
        words[(shift / u64::BITS) as usize + 1] |= (shifted >> u64::BITS) as u64;
    }
    words
}

/// Returns the sum of the points, each times its weight, of the sums of the rows.
pub(crate) fn total<G: Group>(sums: &[Sum<G>; ROWS]) -> Sum<G> {
    let shift = |sum: Sum<G>| (0..DIGIT_BITS).fold(sum, |sum, _| sum.double());
    sums.iter().rev().fold(Sum::default(), |total, sum| shift(total) + *sum)
}

/// Returns the first of the points that is not in the subgroup, if the sums of a combination are not. The points are on
/// the curve.
pub(crate) fn outside_of(points: &[G2], sums: &[Sum<Second>; ROWS]) -> Option<usize> {
    if sums.iter().all(|sum| Second::is_in_subgroup(&sum.to_affine())) {
        return None;
    }
    first_outside(points)
}

/// Returns the first of the points that is not in the subgroup, after a look at each.
fn first_outside(points: &[G2]) -> Option<usize> {
    points.iter().position(|point| !Second::is_in_subgroup(point))
}

/// Returns the first of the points that is not in the subgroup. The points are on the curve.
pub(crate) fn find_outside(points: &[G2]) -> Option<usize> {
    if points.len() < TOGETHER_FROM {
        return first_outside(points);
    }
    let mut digest = Sha256::new();
    for point in points {
        let parts = [point.x.re, point.x.im, point.y.re, point.y.im];
        parts.iter().for_each(|part| digest.update(bytes(part.montgomery())));
    }
    let mut random = ChaCha20Rng::from_seed(digest.finalize().into());
    let mut sums = [Sum::default(); ROWS];
    // The weights of a part are forgotten before those of the next are drawn, for the memory of the guest.
    for points in points.chunks(POINTS_TOGETHER) {
        let part = Combination::draw(&mut random, points.len()).sums(points);
        sums.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
    }
    // What the sums were added up in stays in the memory of a guest, and costs nothing there if it holds zeros. Small pieces
    // fit into what was released, and one large piece would be put behind it.
    let pieces = (ROOM_BYTES * points.len().min(POINTS_TOGETHER)).div_ceil(PIECE_BYTES);
    std::hint::black_box((0..pieces).map(|_| vec![0u8; PIECE_BYTES]).collect::<Vec<_>>());
    outside_of(points, &sums)
}
