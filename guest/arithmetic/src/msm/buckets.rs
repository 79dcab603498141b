//! Adds up the points of many buckets.
//!
//! The points of a bucket are added in pairs, then the sums in pairs, those of all buckets together, so that many
//! additions share one inversion. Pairs that are equal or opposite are rare: that the inverse does not exist shows that
//! there is one, and then each pair is looked at.
//!
//! Invariant: the sum of the points of each bucket stays the same.

use super::{
    affine::{Point, invert_all},
    curve::{Coordinate, Curve},
};
use std::vec::Drain;

/// Additions for which sharing an inversion takes less time than it saves.
const SHARED_MIN: usize = 64;
/// Additions that share an inversion, about: what they need stays in the second-level cache.
const SHARED_MAX: usize = 2048;

/// The place of a point among others, and whether its negative is meant.
#[derive(Clone, Copy)]
pub(super) struct Entry(u32);

impl Entry {
    const NEGATIVE: u32 = 1 << 31;

    pub(super) fn positive(place: u32) -> Self {
        Self(place)
    }

    pub(super) fn negative(place: u32) -> Self {
        Self(place | Self::NEGATIVE)
    }

    fn point<C: Curve>(self, points: &[Point<C>]) -> Point<C> {
        let point = points[(self.0 & !Self::NEGATIVE) as usize];
        if self.0 & Self::NEGATIVE == 0 { point } else { -point }
    }
}

/// The points of some buckets.
pub(super) struct Buckets<C: Curve> {
    /// The points of one bucket after those of the one before.
    points: Vec<Point<C>>,
    /// The number of points in each bucket.
    lens: Vec<usize>,
    room: Room<C>,
}

/// Room to work in.
struct Room<C: Curve> {
    denominators: Vec<C::Base>,
    products: Vec<C::Base>,
    sums: Vec<Point<C>>,
}

/// What is known of the pairs that are to be added.
#[derive(Clone, Copy)]
enum Pairs {
    /// The points of each have different `x`.
    Distinct,
    /// Some are equal or opposite.
    Any,
}

impl<C: Curve> Buckets<C> {
    /// Puts the points that the entries mean into their buckets, of which there are `count`, and adds the first pairs.
    pub(super) fn gather(
        points: &[Point<C>],
        entries: impl Iterator<Item = (usize, Entry)> + Clone,
        count: usize,
    ) -> Self {
        let mut lens = vec![0; count];
        entries.clone().for_each(|(bucket, _)| lens[bucket] += 1);
        let mut next: Vec<usize> = lens
            .iter()
            .scan(0, |end, len| {
                let begin = *end;
                *end += len;
                Some(begin)
            })
            .collect();
        let mut sorted = vec![Entry(0); lens.iter().sum()];
        entries.for_each(|(bucket, entry)| {
            sorted[next[bucket]] = entry;
            next[bucket] += 1;
        });
        let mut room = Room { denominators: Vec::new(), products: Vec::new(), sums: Vec::new() };
        room.add_pairs(|place| sorted[place].point(points), &mut lens);
        Self { points: std::mem::take(&mut room.sums), lens, room }
    }

    /// Adds up the points of each bucket in pairs, until there are too few pairs to share an inversion.
    pub(super) fn add_up(&mut self) {
        while pairs(&self.lens) >= SHARED_MIN {
            self.room.add_pairs(|place| self.points[place], &mut self.lens);
            std::mem::swap(&mut self.points, &mut self.room.sums);
        }
    }

    /// The points, in the order of [`Self::entries`].
    pub(super) fn points(&self) -> &[Point<C>] {
        &self.points
    }

    /// Returns each point with its bucket.
    pub(super) fn entries(&self) -> impl Iterator<Item = (usize, Entry)> + Clone + use<'_, C> {
        let buckets =
            self.lens.iter().enumerate().flat_map(|(bucket, len)| std::iter::repeat_n(bucket, *len));
        buckets.zip(0..).map(|(bucket, place)| (bucket, Entry::positive(place)))
    }

    /// Takes the points of a bucket, which is the last one that was not taken.
    pub(super) fn take(&mut self, bucket: usize) -> Drain<'_, Point<C>> {
        self.lens.truncate(bucket + 1);
        let len = self.lens.pop().expect("a bucket that was not taken");
        self.points.drain(self.points.len() - len..)
    }
}

impl<C: Curve> Room<C> {
    /// Adds the points of each bucket in pairs; the last one stays as it is if their number is odd. The sums are in the
    /// order of the buckets, whose lengths change accordingly.
    fn add_pairs(&mut self, point: impl Fn(usize) -> Point<C>, lens: &mut [usize]) {
        let pairs = pairs(lens);
        self.sums.clear();
        self.sums.reserve(pairs + lens.len());
        let at_once = pairs.div_ceil(pairs.div_ceil(SHARED_MAX).max(1)).max(1);
        let (mut begin, mut rest) = (0, lens);
        while !rest.is_empty() {
            let mut pairs = 0;
            let batch = rest.iter().take_while(|len| {
                let fits = pairs < at_once;
                pairs += **len / 2;
                fits
            });
            let (batch, others) = rest.split_at_mut(batch.count().max(1));
            let points: usize = batch.iter().sum();
            self.add_batch(|place| point(begin + place), batch);
            begin += points;
            rest = others;
        }
    }

    /// Adds the points of some of the buckets in pairs.
    fn add_batch(&mut self, point: impl Fn(usize) -> Point<C>, lens: &mut [usize]) {
        self.denominators.clear();
        each_pair(lens, |place| self.denominators.push(point(place).run_to(&point(place + 1))));
        let mut pairs = Pairs::Distinct;
        if !invert_all(&mut self.denominators, &mut self.products) {
            pairs = Pairs::Any;
            self.denominators.clear();
            each_pair(lens, |place| {
                // The inverse of one, which is not used, keeps the others in their places.
                let denominator = point(place).denominator(&point(place + 1)).unwrap_or(C::Base::ONE);
                self.denominators.push(denominator);
            });
            let are_inverted = invert_all(&mut self.denominators, &mut self.products);
            assert!(are_inverted, "no denominator is zero");
        }
        let mut inverses = self.denominators.iter();
        let mut place = 0;
        for len in lens {
            let (end, first) = (place + *len, self.sums.len());
            while place + 1 < end {
                let (a, b) = (point(place), point(place + 1));
                let inverse = inverses.next().expect("one for each pair");
                match pairs {
                    Pairs::Distinct => self.sums.push(a.add(&b, inverse)),
                    Pairs::Any if a.denominator(&b).is_none() => {}
                    Pairs::Any if a == b => self.sums.push(a.double(inverse)),
                    Pairs::Any => self.sums.push(a.add(&b, inverse)),
                }
                place += 2;
            }
            if place < end {
                self.sums.push(point(place));
                place += 1;
            }
            *len = self.sums.len() - first;
        }
    }
}

/// Returns the number of pairs in all buckets.
fn pairs(lens: &[usize]) -> usize {
    lens.iter().map(|len| len / 2).sum()
}

/// Calls a function with the place of the first point of each pair.
fn each_pair(lens: &[usize], mut visit: impl FnMut(usize)) {
    let mut begin = 0;
    for len in lens {
        (0..len / 2).for_each(|pair| visit(begin + 2 * pair));
        begin += len;
    }
}
