//! Second stage of the arithmetisation: gates become slots on a tape, two to a row.
//!
//! A slot has four cells `a b c d` that satisfy `m ab + p0 a + p1 b + p2 c + p3 d + n a' + k = 0`, where `a'` is the
//! first cell of the next slot. A gate that does not fit one slot leaves its partial sum in `a'`, and continues there.
//!
//! Invariant: every cell holds a wire or nothing, and the tape depends on the circuit alone.

use crate::{
    Scalar,
    fuse::{Combination, Gate, add, gates, take},
};
use snapback_circom::r1cs::{ONE, R1cs, Wire};
use std::collections::BTreeMap;

/// Number of cells of a slot.
pub(crate) const CELLS: usize = 4;
/// Number of slots of a row.
pub(crate) const SLOTS: usize = 2;

/// The fixed values of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Coefficients<F> {
    pub(crate) product: F,
    pub(crate) cells: [F; CELLS],
    pub(crate) next: F,
    pub(crate) constant: F,
}

/// The wire whose value a slot defines. It is one that the tape adds to those of the circuit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Defines {
    Nothing,
    /// The first cell of the next slot.
    Next(Wire),
    /// One of the cells of the slot itself.
    Cell(usize),
}

/// Four cells and the coefficients of their equation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Slot<F> {
    pub(crate) cells: [Option<Wire>; CELLS],
    pub(crate) coefficients: Coefficients<F>,
    defines: Defines,
}

/// A circuit as slots.
pub(crate) struct Tape<F> {
    pub(crate) slots: Vec<Slot<F>>,
    /// Number of wires of the circuit and of wires that the tape adds.
    wires: u32,
}

impl<F: Scalar> Tape<F> {
    pub(crate) fn new(r1cs: &R1cs<F>) -> Self {
        let mut writer = Writer { slots: Vec::new(), wires: r1cs.header.wires, sums: BTreeMap::new() };
        gates(r1cs).into_iter().for_each(|gate| writer.gate(gate));
        writer.publics(r1cs.header.publics());
        writer.slots.shrink_to_fit();
        Self { slots: writer.slots, wires: writer.wires }
    }

    /// Returns the number of rows that the tape takes.
    pub(crate) fn rows(&self) -> usize {
        self.slots.len().div_ceil(SLOTS)
    }

    /// Returns the values of all wires, given those of the wires of the circuit.
    pub(crate) fn fill(&self, witness: &[F]) -> Vec<F> {
        let mut values = Vec::with_capacity(self.wires as usize);
        values.extend_from_slice(witness);
        values.resize(self.wires as usize, F::ZERO);
        for slot in &self.slots {
            let wire = match slot.defines {
                Defines::Nothing => continue,
                Defines::Next(wire) => wire,
                Defines::Cell(cell) => slot.cells[cell].expect("the slot has the cell"),
            };
            // The wire itself is still zero and its coefficient is minus one, so the sum of the slot is its value.
            let value = slot.value(&values);
            values[wire as usize] = value;
        }
        values
    }
}

impl<F: Scalar> Slot<F> {
    fn value(&self, values: &[F]) -> F {
        let cell = |cell: usize| self.cells[cell].map_or(F::ZERO, |wire| values[wire as usize]);
        let Coefficients { product, cells, next: _, constant } = self.coefficients;
        let linear: F = cells.iter().enumerate().map(|(index, coefficient)| *coefficient * cell(index)).sum();
        product * cell(0) * cell(1) + linear + constant
    }

    fn empty() -> Self {
        let coefficients =
            Coefficients { product: F::ZERO, cells: [F::ZERO; CELLS], next: F::ZERO, constant: F::ZERO };
        Self { cells: [None; CELLS], coefficients, defines: Defines::Nothing }
    }

    fn put(&mut self, cell: usize, wire: Wire, coefficient: F) {
        self.cells[cell] = Some(wire);
        self.coefficients.cells[cell] = coefficient;
    }
}

/// A factor, reduced to one wire: `scale * wire + constant`.
struct Factor<F> {
    wire: Wire,
    scale: F,
    constant: F,
}

struct Writer<F> {
    slots: Vec<Slot<F>>,
    wires: u32,
    /// Wires that the tape adds for sums in factors, by the sum scaled to a leading one.
    sums: BTreeMap<Vec<(Wire, F)>, Wire>,
}

impl<F: Scalar> Writer<F> {
    /// Adds a wire.
    fn wire(&mut self) -> Wire {
        let wire = self.wires;
        self.wires = self.wires.checked_add(1).expect("a file has fewer than 2^32 terms");
        wire
    }

    fn gate(&mut self, Gate { product, mut sum }: Gate<F>) {
        let Some([a, b]) = product else { return self.write(None, sum, None) };
        let (a, b) = (self.factor(a), self.factor(b));
        add(&mut sum, a.wire, a.scale * b.constant);
        add(&mut sum, b.wire, b.scale * a.constant);
        add(&mut sum, ONE, a.constant * b.constant);
        self.write(Some((a.wire, b.wire, a.scale * b.scale)), sum, None);
    }

    fn factor(&mut self, mut terms: Combination<F>) -> Factor<F> {
        let constant = take(&mut terms, ONE);
        let (first, scale) = *terms.first().expect("a factor has a wire");
        if terms.len() == 1 {
            return Factor { wire: first, scale, constant };
        }
        let inverse = scale.invert_vartime().expect("no zeros are kept");
        let sum: Vec<_> =
            terms.into_iter().map(|(wire, coefficient)| (wire, coefficient * inverse)).collect();
        let wire = self.sums.get(&sum).copied().unwrap_or_else(|| {
            let wire = self.wire();
            self.write(None, sum.clone(), Some(wire));
            self.sums.insert(sum, wire);
            wire
        });
        Factor { wire, scale, constant }
    }

    /// Writes the slots of `product + sum = 0`, or of `sum = defined`.
    fn write(&mut self, product: Option<(Wire, Wire, F)>, mut sum: Combination<F>, defined: Option<Wire>) {
        let mut slot = Slot::empty();
        slot.coefficients.constant = take(&mut sum, ONE);
        let mut free = 0;
        if let Some((a, b, coefficient)) = product {
            slot.coefficients.product = coefficient;
            slot.put(0, a, take(&mut sum, a));
            slot.put(1, b, take(&mut sum, b));
            free = 2;
        }
        let defined = defined.map(|wire| (wire, -F::ONE));
        let terms = sum.into_iter().chain(defined);
        for (wire, coefficient) in terms {
            if free == CELLS {
                let partial = self.wire();
                slot.coefficients.next = -F::ONE;
                slot.defines = Defines::Next(partial);
                self.slots.push(std::mem::replace(&mut slot, Slot::empty()));
                slot.put(0, partial, F::ONE);
                free = 1;
            }
            slot.put(free, wire, coefficient);
            free += 1;
        }
        if defined.is_some() {
            slot.defines = Defines::Cell(free - 1);
        }
        self.slots.push(slot);
    }

    /// Gives a cell to every public wire that has none, because public values are copied from cells.
    fn publics(&mut self, publics: u32) {
        let mut has_cell = vec![false; publics as usize + 1];
        for wire in self.slots.iter().flat_map(|slot| slot.cells).flatten() {
            if let Some(has_cell) = has_cell.get_mut(wire as usize) {
                *has_cell = true;
            }
        }
        let without: Vec<Wire> = (1..=publics).filter(|wire| !has_cell[*wire as usize]).collect();
        for wires in without.chunks(CELLS) {
            let mut slot = Slot::empty();
            wires.iter().enumerate().for_each(|(cell, wire)| slot.put(cell, *wire, F::ZERO));
            self.slots.push(slot);
        }
    }
}
