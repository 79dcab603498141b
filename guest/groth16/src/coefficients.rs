//! The coefficients of the constraints, by which the values of both sides of each constraint are computed.
//!
//! Most coefficients of a circuit are the same few numbers, so each number is kept once.
//!
//! Invariant: a coefficient refers to a number that is there.

use crate::{
    Error,
    domain::reversed,
    field::{Fr, Modulus, R, Words, words},
    header::FORMAT,
    section::COEFFICIENT_BYTES,
};
use snapback_arithmetic::words::is_below;

/// A side of the constraints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Matrix {
    /// The left side.
    A = 0,
    /// The right side.
    B = 1,
}

/// The coefficients of both sides.
#[derive(Default)]
pub(crate) struct Coefficients {
    entries: Vec<Entry>,
    /// Numbers that are coefficients times `R²`: a product with a number of a witness, divided by `R` once, is in Montgomery
    /// form.
    numbers: Vec<Words>,
    index: Index,
    /// One more than the largest row, and than the largest signal.
    bounds: [u32; 2],
}

/// A coefficient as a file has it.
pub(crate) struct Coefficient {
    matrix: Matrix,
    pub(crate) row: u32,
    signal: u32,
    /// The number times `R²`.
    number: Words,
}

impl Coefficient {
    /// Reads a record.
    pub(crate) fn read(record: &[u8; COEFFICIENT_BYTES]) -> Result<Self, Error> {
        let malformed = |reason: &str| Err(Error::malformed(FORMAT, format!("a coefficient {reason}")));
        let field =
            |at: usize| u32::from_le_bytes(*record[at..].first_chunk().expect("a record has 44 bytes"));
        let matrix = match field(0) {
            0 => Matrix::A,
            1 => Matrix::B,
            _ => return malformed("is of a matrix other than A and B"),
        };
        let number = words(record[12..].first_chunk().expect("a record has 44 bytes"));
        if !is_below(&number, &R::WORDS) {
            return malformed("is not below the prime");
        }
        Ok(Self { matrix, row: field(4), signal: field(8), number })
    }
}

/// A coefficient whose number is kept once for all.
#[derive(Clone, Copy)]
struct Entry {
    /// Row of the coefficient.
    row: u32,
    /// The index of its signal, shifted by one, and a bit for the side.
    signal_and_side: u32,
    /// The index of its number.
    number: u32,
}

impl Coefficients {
    pub(crate) fn reserve(&mut self, count: usize) {
        self.entries.reserve_exact(count);
    }

    /// Adds a coefficient.
    pub(crate) fn add(&mut self, Coefficient { matrix, row, signal, number }: Coefficient) {
        let number = self.index.find(number, &mut self.numbers);
        self.bounds =
            [self.bounds[0].max(row.saturating_add(1)), self.bounds[1].max(signal.saturating_add(1))];
        self.entries.push(Entry { row, signal_and_side: signal << 1 | matrix as u32, number });
    }

    /// Returns one more than the largest row, and than the largest signal.
    pub(crate) fn bounds(&self) -> [u32; 2] {
        self.bounds
    }

    /// Releases what was needed to add coefficients.
    pub(crate) fn end(&mut self) {
        self.index.clear();
        self.numbers.shrink_to_fit();
    }

    /// Returns the values of the left and the right sides of all rows, in bit-reversed order.
    pub(crate) fn sides(&self, witness: &[[u8; 32]], log_domain: u32) -> [Vec<Fr>; 2] {
        let mut sides = [vec![Fr::ZERO; 1 << log_domain], vec![Fr::ZERO; 1 << log_domain]];
        for Entry { row, signal_and_side, number } in &self.entries {
            let value =
                Fr::product(self.numbers[*number as usize], &witness[(signal_and_side >> 1) as usize]);
            let place = &mut sides[(signal_and_side & 1) as usize][reversed(*row, log_domain) as usize];
            *place += value;
        }
        sides
    }

    /// Returns, for each signal, the sum of its coefficients on the right side, each times the number of its row.
    pub(crate) fn right_of(&self, rows: &[[u8; 32]], signals: u32) -> Vec<Fr> {
        let mut sums = vec![Fr::ZERO; signals as usize];
        for Entry { row, signal_and_side, number } in &self.entries {
            if signal_and_side & 1 == Matrix::B as u32 {
                sums[(signal_and_side >> 1) as usize] +=
                    Fr::product(self.numbers[*number as usize], &rows[*row as usize]);
            }
        }
        sums
    }
}

/// Places that are looked at for a number. Whoever chooses numbers that belong to one place has them kept twice, and takes no
/// more time.
const PROBES_MAX: usize = 32;

/// Finds numbers by their value: a table of indices, with linear probing.
#[derive(Default)]
struct Index(Vec<u32>);

impl Index {
    const EMPTY: u32 = 0;

    /// Returns the index of a number, which is added if it is not found.
    fn find(&mut self, number: Words, numbers: &mut Vec<Words>) -> u32 {
        if 2 * (numbers.len() + 1) > self.0.len() {
            self.grow(numbers);
        }
        let slot = self.slot(&number, numbers);
        if let Some(found) = slot.map(|slot| self.0[slot]).filter(|found| *found != Self::EMPTY) {
            return found - 1;
        }
        numbers.push(number);
        let index = u32::try_from(numbers.len()).expect("a file has fewer coefficients");
        if let Some(slot) = slot {
            self.0[slot] = index;
        }
        index - 1
    }

    /// Returns the slot of a number, or the empty one where it would be; `None` if it is too far away.
    fn slot(&self, number: &Words, numbers: &[Words]) -> Option<usize> {
        let hash = number
            .iter()
            .fold(0u64, |hash, word| (hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29));
        let mask = self.0.len() - 1;
        (0..PROBES_MAX).map(|probe| (hash as usize).wrapping_add(probe) & mask).find(|slot| {
            let index = self.0[*slot];
            index == Self::EMPTY || numbers[index as usize - 1] == *number
        })
    }

    fn grow(&mut self, numbers: &[Words]) {
        let size = (2 * self.0.len()).max(64);
        self.clear();
        self.0 = vec![Self::EMPTY; size];
        for (number, index) in numbers.iter().zip(1..) {
            if let Some(slot) = self.slot(number, numbers) {
                self.0[slot] = index;
            }
        }
    }

    /// Releases the table. Its memory stays in the image, and costs nothing there if it holds zeros.
    fn clear(&mut self) {
        self.0.fill(Self::EMPTY);
        std::hint::black_box(&mut self.0);
        self.0 = Vec::new();
    }
}
