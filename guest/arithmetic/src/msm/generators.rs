//! The generators of an inner-product argument, which are folded in half again and again.
//!
//! To fold means to multiply every point of the upper half by the challenge of the round and to add it to its counterpart
//! in the lower half. A multiplication takes some 130 doublings, and a third as many additions. So three rounds are folded
//! together: they make one point of eight, and the seven multiplications that this takes share their doublings. Until then,
//! a sum of folded generators is computed as a sum of more points; a sum of products takes little time for each.
//!
//! The challenges come from the transcript. They are public, so time may depend on them.
//!
//! Source: the shared doublings are Straus's, "Addition chains of vectors", 1964; the digits are those of Solinas,
//! "Efficient arithmetic on Koblitz curves", 2000.
//!
//! Invariant: [`Generators`] stands for the points that folding round by round gives.

use super::{
    affine::{Point, invert_all},
    best_multiexp,
    halves::{Half, Halves, words},
};
use ff::Field;
use group::{Curve, Group};
use pasta_curves::arithmetic::CurveAffine;

/// Rounds that are folded together.
const ROUNDS_TOGETHER: usize = 3;
/// Fewer points are not folded at all: sums of them take less time.
const POINTS_MIN: usize = 128;
/// Points that come of folding and are computed together: more share one inversion, fewer stay in the cache.
const BATCH: usize = 256;
/// Odd multiples in the table of a point: 1, 3, 5 and 7.
const MULTIPLES: usize = 4;
/// Number of digits of a half, one for each bit and one for a carry.
const DIGITS: usize = 128;

/// Which of the folded generators are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The first half.
    Lower,
    /// The second half.
    Upper,
}

/// Generators, and the challenges of rounds that are still to be folded.
#[derive(Debug)]
pub struct Generators<C: CurveAffine> {
    points: Vec<C>,
    challenges: Vec<C::Scalar>,
}

impl<C: CurveAffine> Generators<C> {
    /// Wraps generators before the first round; their number is a power of two.
    #[must_use]
    pub fn new(points: &[C]) -> Self {
        Self { points: points.to_vec(), challenges: Vec::new() }
    }

    /// Returns the sum of half of the folded generators, each times its scalar.
    ///
    /// # Panics
    /// Panics if there are more or fewer scalars than generators in a half.
    pub fn sum(&self, part: Part, scalars: &[C::Scalar]) -> C::Curve {
        let folded = self.points.len() >> self.challenges.len();
        assert_eq!(scalars.len(), folded / 2);
        let first = match part {
            Part::Lower => 0,
            Part::Upper => folded / 2,
        };
        let weights = self.weights();
        let mut bases = Vec::with_capacity(weights.len() * scalars.len());
        let mut products = Vec::with_capacity(weights.len() * scalars.len());
        for (weight, points) in weights.iter().zip(self.points.chunks(folded)) {
            bases.extend_from_slice(&points[first..][..scalars.len()]);
            products.extend(scalars.iter().map(|scalar| *scalar * weight));
        }
        best_multiexp(&products, &bases)
    }

    /// Folds the generators in half.
    pub fn fold(&mut self, challenge: C::Scalar) {
        self.challenges.push(challenge);
        if self.challenges.len() == ROUNDS_TOGETHER && self.points.len() >= POINTS_MIN {
            self.points = fold(&self.points, &self.weights());
            self.challenges.clear();
        }
    }

    /// Returns the scalars by which the parts of the points are multiplied before they are added up.
    fn weights(&self) -> Vec<C::Scalar> {
        // The first challenge multiplies the upper half, the next one the upper half of both halves.
        let one = vec![C::Scalar::ONE];
        self.challenges.iter().fold(one, |weights, challenge| {
            weights.iter().flat_map(|weight| [*weight, *weight * challenge]).collect()
        })
    }
}

/// Returns the sum of the parts of the points, of which there are as many as weights. The first weight is one.
fn fold<C: CurveAffine>(points: &[C], weights: &[C::Scalar]) -> Vec<C> {
    let count = points.len() / weights.len();
    let digits = Halves::of::<C>().map(|halves| {
        let pairs = weights[1..].iter().map(|weight| halves.split(words(weight)).map(Digits::of));
        pairs.collect::<Vec<_>>()
    });
    let mut folded = Vec::with_capacity(count);
    for begin in (0..count).step_by(BATCH) {
        let batch = begin..count.min(begin + BATCH);
        let parts: Vec<&[C]> = points.chunks(count).map(|part| &part[batch.clone()]).collect();
        let sums = digits.as_ref().and_then(|digits| Batch::fold(&parts, digits));
        folded.extend(sums.unwrap_or_else(|| fold_one_by_one(&parts, weights)));
    }
    folded
}

/// Does so for points of which some are equal, opposite or the identity.
fn fold_one_by_one<C: CurveAffine>(parts: &[&[C]], weights: &[C::Scalar]) -> Vec<C> {
    let sum = |index: usize| {
        let products = parts.iter().zip(weights).map(|(part, weight)| part[index] * *weight);
        products.fold(C::Curve::identity(), |sum, product| sum + product)
    };
    let sums: Vec<C::Curve> = (0..parts[0].len()).map(sum).collect();
    let mut affine = vec![C::identity(); sums.len()];
    C::Curve::batch_normalize(&sums, &mut affine);
    affine
}

/// Half of a scalar in the non-adjacent form of width 4: digits are zero, or odd from -7 to 7, and at least three zeros
/// follow each that is not.
struct Digits([i8; DIGITS]);

impl Digits {
    fn of(half: Half) -> Self {
        let mut digits = [0; DIGITS];
        let mut left = half.magnitude;
        for digit in &mut digits {
            if left & 1 == 1 {
                let low = (left & 15) as i8;
                let odd = if low < 8 { low } else { low - 16 };
                left = left.wrapping_sub(odd as u128);
                *digit = if half.is_negative { -odd } else { odd };
            }
            left >>= 1;
        }
        Self(digits)
    }
}

/// Points that are computed together.
struct Batch<C: CurveAffine> {
    /// The sums so far; empty while they are the identity.
    sums: Vec<Point<C>>,
    operands: Vec<Point<C>>,
    denominators: Vec<C::Base>,
    products: Vec<C::Base>,
}

impl<C: CurveAffine> Batch<C> {
    /// Returns the sums of the parts, the first one as it is and each of the others times the scalar of these digits.
    /// Returns `None` if points that are equal, opposite or the identity came together.
    fn fold(parts: &[&[C]], digits: &[[Digits; 2]]) -> Option<Vec<C>> {
        let points: Option<Vec<Point<C>>> = parts.iter().copied().flatten().map(Point::of).collect();
        let (points, len) = (points?, parts[0].len());
        let (first, others) = points.split_at(len);
        let mut batch =
            Self { sums: Vec::new(), operands: Vec::new(), denominators: Vec::new(), products: Vec::new() };
        let tables = batch.tables(others)?;
        for place in (0..DIGITS).rev() {
            batch.double_sums()?;
            for (part, halves) in digits.iter().enumerate() {
                for (half, digits) in halves.iter().enumerate() {
                    let digit = digits.0[place];
                    if digit == 0 {
                        continue;
                    }
                    let table = &tables[usize::from(digit.unsigned_abs() / 2)][part * len..][..len];
                    batch.operands.clear();
                    batch.operands.extend(table.iter().map(|point| {
                        let point = if digit < 0 { -*point } else { *point };
                        if half == 0 { point } else { point.endomorphism() }
                    }));
                    batch.add_operands()?;
                }
            }
        }
        batch.operands.clear();
        batch.operands.extend_from_slice(first);
        batch.add_operands()?;
        Some(batch.sums.into_iter().map(Point::to_affine).collect())
    }

    /// Returns the odd multiples of the points.
    fn tables(&mut self, points: &[Point<C>]) -> Option<[Vec<Point<C>>; MULTIPLES]> {
        self.sums = points.to_vec();
        self.double_sums()?;
        self.operands = std::mem::replace(&mut self.sums, points.to_vec());
        let mut tables = [const { Vec::new() }; MULTIPLES];
        let [first, others @ ..] = &mut tables;
        first.clone_from(&self.sums);
        for table in others {
            self.add_operands()?;
            table.clone_from(&self.sums);
        }
        self.sums.clear();
        Some(tables)
    }

    fn double_sums(&mut self) -> Option<()> {
        self.denominators.clear();
        self.denominators.extend(self.sums.iter().map(Point::rise));
        self.invert()?;
        for (sum, inverse) in self.sums.iter_mut().zip(&self.denominators) {
            *sum = sum.double(inverse);
        }
        Some(())
    }

    fn add_operands(&mut self) -> Option<()> {
        if self.sums.is_empty() {
            self.sums.clone_from(&self.operands);
            return Some(());
        }
        self.denominators.clear();
        self.denominators.extend(self.sums.iter().zip(&self.operands).map(|(sum, point)| sum.run_to(point)));
        self.invert()?;
        for ((sum, point), inverse) in self.sums.iter_mut().zip(&self.operands).zip(&self.denominators) {
            *sum = sum.add(point, inverse);
        }
        Some(())
    }

    fn invert(&mut self) -> Option<()> {
        invert_all(&mut self.denominators, &mut self.products).then_some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pasta_curves::{EpAffine, EqAffine, Fq};
    use proptest::prelude::*;

    /// Folds as the argument is defined.
    fn folded<C: CurveAffine>(points: &[C], challenge: C::Scalar) -> Vec<C> {
        let (lower, upper) = points.split_at(points.len() / 2);
        lower.iter().zip(upper).map(|(low, high)| (*high * challenge + low).to_affine()).collect()
    }

    fn agrees<C: CurveAffine>(logarithms: &[C::Scalar], challenges: &[C::Scalar]) {
        let points: Vec<C> = logarithms.iter().map(|log| (C::generator() * *log).to_affine()).collect();
        let (mut generators, mut expected) = (Generators::new(&points), points);
        for challenge in challenges {
            let half = expected.len() / 2;
            let scalars: Vec<C::Scalar> = (1..=half as u64).map(C::Scalar::from).collect();
            for (part, points) in [(Part::Lower, &expected[..half]), (Part::Upper, &expected[half..])] {
                assert!(generators.sum(part, &scalars) == best_multiexp(&scalars, points));
            }
            generators.fold(*challenge);
            expected = folded(&expected, *challenge);
        }
    }

    fn random<F: Field>(count: usize, seed: u64) -> Vec<F> {
        let mut state = F::ONE.double();
        (0..count as u64)
            .map(|index| {
                state = state.square() + (0..=seed % 7 + index % 3).fold(F::ONE, |sum, _| sum.double());
                state
            })
            .collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(6))]
        #[test]
        fn sums_are_those_of_points_that_are_folded_round_by_round(k in 1..10usize, seed: u64) {
            agrees::<EpAffine>(&random(1 << k, seed), &random(k, seed / 3));
            agrees::<EqAffine>(&random(1 << k, seed), &random(k, seed / 3));
        }

        #[test]
        fn digits_are_those_of_the_half(magnitude: u128, is_negative: bool) {
            let half = Half { is_negative, magnitude: magnitude >> 1 };
            let Digits(digits) = Digits::of(half);
            let sum = digits.iter().rev().fold(0i128, |sum, digit| sum.wrapping_mul(2) + i128::from(*digit));
            let expected = half.magnitude as i128;
            prop_assert_eq!(sum, if is_negative { -expected } else { expected });
            let odd = |digit: &i8| digit % 2 != 0 && digit.unsigned_abs() < 8;
            prop_assert!(digits.iter().all(|digit| *digit == 0 || odd(digit)));
        }
    }

    #[test]
    fn points_are_folded_twice_in_several_batches_of_which_one_has_the_identity() {
        fn check<C: CurveAffine>() {
            let mut logarithms: Vec<C::Scalar> = random(1 << 12, 5);
            logarithms[700] = C::Scalar::ZERO;
            agrees::<C>(&logarithms, &random(7, 2));
        }
        check::<EpAffine>();
        check::<EqAffine>();
    }

    #[test]
    fn points_and_challenges_that_are_rare() {
        let small =
            |number: i64| if number < 0 { -Fq::from(number.unsigned_abs()) } else { Fq::from(number as u64) };
        let challenges = [1, -1, 2, 0, 7, -8].map(small);
        // Equal points, opposite ones, the identity among others, and points all different.
        for points in [
            vec![small(5); 256],
            (0..256).map(|index| small(if index % 2 == 0 { 3 } else { -3 })).collect(),
            (0..256).map(|index| small(index % 16)).collect(),
            (0..256).map(|index| small(index + 1)).collect(),
        ] {
            agrees::<EpAffine>(&points, &challenges);
            agrees::<EpAffine>(&points, &random(6, 1));
        }
    }
}
