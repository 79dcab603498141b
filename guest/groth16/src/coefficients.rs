//! The coefficients of the constraints, by which the values of both sides of each constraint are computed.
//!
//! Most coefficients of a circuit are the same few numbers, so each number is kept once.
//!
//! Invariant: a coefficient refers to a number that is there.

use crate::{
    domain::reversed,
    field::{Fr, Words},
};

/// A side of the constraints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Matrix {
    /// The left side.
    A,
    /// The right side.
    B,
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

/// A coefficient that is not zero.
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

    /// Adds a coefficient, as a number times `R²`.
    pub(crate) fn add(&mut self, matrix: Matrix, row: u32, signal: u32, number: Words) {
        let number = self.index.find(number, &mut self.numbers);
        self.bounds =
            [self.bounds[0].max(row.saturating_add(1)), self.bounds[1].max(signal.saturating_add(1))];
        let side = u32::from(matrix == Matrix::B);
        self.entries.push(Entry { row, signal_and_side: signal << 1 | side, number });
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
}

/// Finds numbers by their value: a table of indices, with linear probing.
#[derive(Default)]
struct Index(Vec<u32>);

impl Index {
    const EMPTY: u32 = 0;

    /// Returns the index of a number, which is added if it is not there.
    fn find(&mut self, number: Words, numbers: &mut Vec<Words>) -> u32 {
        if 2 * (numbers.len() + 1) > self.0.len() {
            self.grow(numbers);
        }
        let slot = self.slot(&number, numbers);
        if self.0[slot] == Self::EMPTY {
            numbers.push(number);
            self.0[slot] = u32::try_from(numbers.len()).expect("a file has fewer coefficients");
        }
        self.0[slot] - 1
    }

    /// Returns the slot of a number, or the empty one where it would be.
    fn slot(&self, number: &Words, numbers: &[Words]) -> usize {
        let hash = number
            .iter()
            .fold(0u64, |hash, word| (hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29));
        let mask = self.0.len() - 1;
        let mut slot = hash as usize & mask;
        while self.0[slot] != Self::EMPTY && numbers[self.0[slot] as usize - 1] != *number {
            slot = (slot + 1) & mask;
        }
        slot
    }

    fn grow(&mut self, numbers: &[Words]) {
        let size = (2 * self.0.len()).max(64);
        self.clear();
        self.0 = vec![Self::EMPTY; size];
        for (number, index) in numbers.iter().zip(1..) {
            let slot = self.slot(number, numbers);
            self.0[slot] = index;
        }
    }

    /// Releases the table. Its memory stays in the image, and costs nothing there if it holds zeros.
    fn clear(&mut self) {
        self.0.fill(Self::EMPTY);
        std::hint::black_box(&mut self.0);
        self.0 = Vec::new();
    }
}
