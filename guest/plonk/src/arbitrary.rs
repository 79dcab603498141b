//! Generates random circuits with a witness, for property tests.

use crate::{Scalar, Side};
use proptest::prelude::*;
use snapback_circom::{
    Prime,
    r1cs::{Header, ONE, R1cs, Wire},
};

/// A linear combination before its wires are known. Each index selects one of the wires that exist by then.
type Sketch = Vec<(prop::sample::Index, i8)>;

/// A constraint before its wires are known. If `linear` is set, its factors are left out.
#[derive(Clone, Debug)]
struct ConstraintSketch {
    factors: [Sketch; 2],
    sum: Sketch,
    linear: bool,
}

/// A circuit and values that satisfy it.
#[derive(Clone)]
pub(crate) struct Satisfied<F> {
    pub(crate) r1cs: R1cs<F>,
    pub(crate) witness: Vec<F>,
}

impl<F> std::fmt::Debug for Satisfied<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "a circuit: {:?}", self.r1cs.header)
    }
}

/// Generates circuits in which every constraint defines a wire of its own.
pub(crate) fn satisfied<C: Side>() -> impl Strategy<Value = Satisfied<C::ScalarExt>> {
    let sketch = |terms| prop::collection::vec((any::<prop::sample::Index>(), any::<i8>()), 0..terms);
    let constraint = (sketch(4), sketch(4), sketch(14), any::<bool>())
        .prop_map(|(a, b, sum, linear)| ConstraintSketch { factors: [a, b], sum, linear });
    (1..4usize, prop::collection::vec(any::<u64>(), 1..5), prop::collection::vec(constraint, 1..12))
        .prop_map(|(publics, inputs, constraints)| build(C::PRIME, publics, &inputs, &constraints))
}

fn build<F: Scalar>(
    prime: Prime,
    publics: usize,
    inputs: &[u64],
    sketches: &[ConstraintSketch],
) -> Satisfied<F> {
    let mut witness: Vec<F> = std::iter::once(F::ONE)
        .chain((0..publics as u64).map(|public| F::from(public + 2)))
        .chain(inputs.iter().map(|input| F::from(*input)))
        .collect();
    let mut constraints = Vec::new();
    for ConstraintSketch { factors, sum, linear } in sketches {
        let take = |sketch: &Sketch| -> Vec<(Wire, F)> {
            let term = |(index, number): &(prop::sample::Index, i8)| {
                let size = F::from(u64::from(number.unsigned_abs()));
                let coefficient = if *number < 0 { -size } else { size };
                (index.index(witness.len()) as Wire, coefficient)
            };
            sketch.iter().map(term).collect()
        };
        let [a, b] = if *linear { [vec![], vec![]] } else { [take(&factors[0]), take(&factors[1])] };
        let mut sum = take(sum);
        let value = |terms: &[(Wire, F)]| -> F { terms.iter().map(|(w, c)| *c * witness[*w as usize]).sum() };
        let defined = value(&a) * value(&b) - value(&sum);
        sum.push((witness.len() as Wire, F::ONE));
        witness.push(defined);
        constraints.push([a, b, sum]);
    }
    let header = Header {
        prime,
        wires: witness.len() as u32,
        public_outputs: 1,
        public_inputs: publics as u32 - 1,
        private_inputs: inputs.len() as u32,
        labels: witness.len() as u64,
        constraints: 0,
    };
    assert_eq!(ONE, 0);
    Satisfied { r1cs: R1cs::from_constraints(header, &constraints), witness }
}
