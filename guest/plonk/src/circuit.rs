//! Third stage of the arithmetisation: the tape as a circuit of halo2.
//!
//! The circuit has eight advice columns in two slots of four, seven fixed columns for each slot, and one instance
//! column. Every row holds two slots; the slot after the second one is the first slot of the row below. All advice
//! cells of a wire are copies of its first one, and public wires are copies of the instance column.

use crate::{
    Scalar,
    tape::{CELLS, Coefficients, SLOTS, Tape},
};
use halo2_proofs::{
    circuit::{Cell, Layouter, SimpleFloorPlanner, Value},
    plonk::{Advice, Circuit, Column, ConstraintSystem, Error, Expression, Fixed, Instance, VirtualCells},
    poly::Rotation,
};
use snapback_circom::r1cs::Wire;

/// Degree of the constraint system: higher than its gates need, so that the permutation takes three columns at a time.
const DEGREE: usize = 5;

/// Columns of one slot.
#[derive(Clone, Copy)]
struct SlotColumns {
    advice: [Column<Advice>; CELLS],
    product: Column<Fixed>,
    cells: [Column<Fixed>; CELLS],
    next: Column<Fixed>,
    constant: Column<Fixed>,
}

/// Columns of a row.
#[derive(Clone, Copy)]
pub(crate) struct Columns {
    slots: [SlotColumns; SLOTS],
    publics: Column<Instance>,
}

/// A tape, with or without the values of its wires.
#[derive(Clone, Copy)]
pub(crate) struct TapeCircuit<'a, F: Scalar> {
    pub(crate) tape: &'a Tape<F>,
    pub(crate) publics: u32,
    pub(crate) values: Option<&'a [F]>,
}

impl<F: Scalar> Circuit<F> for TapeCircuit<'_, F> {
    type Config = Columns;
    type FloorPlanner = SimpleFloorPlanner;

    fn without_witnesses(&self) -> Self {
        Self { values: None, ..*self }
    }

    fn configure(meta: &mut ConstraintSystem<F>) -> Columns {
        let slots = [(); SLOTS].map(|()| SlotColumns {
            advice: [(); CELLS].map(|()| meta.advice_column()),
            product: meta.fixed_column(),
            cells: [(); CELLS].map(|()| meta.fixed_column()),
            next: meta.fixed_column(),
            constant: meta.fixed_column(),
        });
        let publics = meta.instance_column();
        slots.iter().flat_map(|slot| slot.advice).for_each(|column| meta.enable_equality(column));
        meta.enable_equality(publics);
        meta.set_minimum_degree(DEGREE);
        meta.create_gate("slots", |cells| {
            [
                slot(cells, &slots[0], (slots[1].advice[0], Rotation::cur())),
                slot(cells, &slots[1], (slots[0].advice[0], Rotation::next())),
            ]
        });
        Columns { slots, publics }
    }

    fn synthesize(&self, columns: Columns, mut layouter: impl Layouter<F>) -> Result<(), Error> {
        let publics = layouter.assign_region(
            || "tape",
            |mut region| {
                let mut first: Vec<Option<Cell>> = Vec::new();
                for (index, slot) in self.tape.slots.iter().enumerate() {
                    let (row, columns) = (index / SLOTS, &columns.slots[index % SLOTS]);
                    let Coefficients { product, cells, next, constant } = slot.coefficients;
                    let fixed =
                        [(columns.product, product), (columns.next, next), (columns.constant, constant)];
                    let cells = columns.cells.into_iter().zip(cells);
                    for (column, value) in
                        fixed.into_iter().chain(cells).filter(|(_, value)| *value != F::ZERO)
                    {
                        region.assign_fixed(|| "", column, row, || Value::known(value))?;
                    }
                    for (column, wire) in columns.advice.into_iter().zip(slot.cells) {
                        let Some(wire) = wire else { continue };
                        let value = self.values.map(|values| values[wire as usize]);
                        let value = value.map_or_else(Value::unknown, Value::known);
                        let cell = region.assign_advice(|| "", column, row, || value)?.cell();
                        let index = wire as usize;
                        if first.len() <= index {
                            first.resize(index + 1, None);
                        }
                        match first[index] {
                            Some(first) => region.constrain_equal(first, cell)?,
                            None => first[index] = Some(cell),
                        }
                    }
                }
                let publics = 1..=self.publics;
                Ok(publics.map(|wire| first.get(wire as usize).copied().flatten()).collect::<Vec<_>>())
            },
        )?;
        for (row, cell) in publics.into_iter().enumerate() {
            let cell = cell.expect("the tape has a cell for every public wire");
            layouter.constrain_instance(cell, columns.publics, row)?;
        }
        Ok(())
    }
}

/// Returns the expression of a slot, which has to be zero. `next` is the first cell of the next slot.
fn slot<F: Scalar>(
    cells: &mut VirtualCells<'_, F>,
    slot: &SlotColumns,
    next: (Column<Advice>, Rotation),
) -> Expression<F> {
    let advice = slot.advice.map(|column| cells.query_advice(column, Rotation::cur()));
    let next = cells.query_advice(next.0, next.1) * cells.query_fixed(slot.next);
    let product = cells.query_fixed(slot.product) * advice[0].clone() * advice[1].clone();
    let constant = cells.query_fixed(slot.constant);
    let terms = slot.cells.into_iter().zip(advice);
    terms.fold(product + next + constant, |sum, (column, cell)| sum + cells.query_fixed(column) * cell)
}

/// Returns the values of the public wires.
pub(crate) fn publics<F: Scalar>(values: &[F], publics: u32) -> &[F] {
    const FIRST: Wire = 1;
    &values[FIRST as usize..=publics as usize]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Compiled, Side,
        arbitrary::{Satisfied, satisfied},
    };
    use halo2_proofs::{
        dev::MockProver,
        pasta::{EpAffine, EqAffine},
    };
    use proptest::prelude::*;

    /// Returns whether halo2's `MockProver` accepts the values.
    fn holds<F: Scalar>(compiled: &Compiled<F>, witness: &[F]) -> bool {
        let values = compiled.tape().fill(witness);
        let header = compiled.r1cs().header;
        let circuit = TapeCircuit { tape: compiled.tape(), publics: header.publics(), values: Some(&values) };
        let publics = publics(&values, header.publics()).to_vec();
        // There are more rows than needed: the prover cannot describe a failure in a row that reads the blinding rows.
        let prover = MockProver::run(compiled.k() + 1, &circuit, vec![publics]).expect("the circuit fits");
        prover.verify().is_ok()
    }

    fn agrees<C: Side>(
        Satisfied { r1cs, mut witness }: Satisfied<C::ScalarExt>,
        at: prop::sample::Index,
        by: u64,
    ) -> Result<(), TestCaseError> {
        let compiled = Compiled::new(r1cs).expect("the circuit is small");
        prop_assert_eq!(compiled.r1cs().unsatisfied(&witness), None);
        prop_assert!(holds(&compiled, &witness), "a satisfying witness is refused");

        let at = 1 + at.index(witness.len() - 1);
        witness[at] += C::ScalarExt::from(by);
        let satisfied = compiled.r1cs().unsatisfied(&witness).is_none();
        // A wire that was substituted has no cell, so its value occurs in the constraints only.
        let has_cell =
            compiled.tape().slots.iter().flat_map(|slot| slot.cells).any(|cell| cell == Some(at as Wire));
        if has_cell {
            prop_assert_eq!(holds(&compiled, &witness), satisfied);
        }
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn the_columns_hold_exactly_when_the_constraints_do(
            circuit in satisfied::<EqAffine>(), at: prop::sample::Index, by in 1u64..,
        ) {
            agrees::<EqAffine>(circuit, at, by)?;
        }

        #[test]
        fn both_agree_over_vesta(circuit in satisfied::<EpAffine>(), at: prop::sample::Index, by in 1u64..) {
            agrees::<EpAffine>(circuit, at, by)?;
        }
    }
}
