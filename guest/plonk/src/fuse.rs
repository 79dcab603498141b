//! First stage of the arithmetisation: substitutes linear constraints into other constraints.
//!
//! If a private wire occurs in exactly two constraints, linearly in both, and one of them is linear, that one defines
//! the wire. The definition is substituted for the wire in the other constraint, which removes the wire and the linear
//! constraint. For example, circom's `t <== s + k + i` and `s <== a * b` become the one constraint `a * b = t - k - i`.
//!
//! Invariant: an assignment of the remaining wires satisfies the gates exactly if it can be extended to the removed
//! wires so that all constraints hold.

use crate::Scalar;
use snapback_circom::r1cs::{Constraint, ONE, R1cs, Wire};

/// Longest combination that takes part in a substitution, in terms. The limit bounds the work; longer ones gain little.
const TERMS_MAX: usize = 64;

/// A sum of wires times coefficients: sorted by wire, each wire once, without zeros. It is a vector, because there are
/// millions of combinations of one or two terms.
pub(crate) type Combination<F> = Vec<(Wire, F)>;

/// A gate: `a * b + sum = 0`, or `sum = 0`.
pub(crate) struct Gate<F> {
    pub(crate) product: Option<[Combination<F>; 2]>,
    pub(crate) sum: Combination<F>,
}

/// The occurrences of a wire in the sums of gates, in constant space.
#[derive(Clone, Copy, Default)]
struct Uses {
    /// Number of gates in whose sums the wire occurs.
    count: u32,
    /// Exclusive or of the numbers of these gates: if there are two, one number yields the other.
    numbers: u32,
    /// Whether the wire keeps its cell, because it is public or occurs in a factor.
    stays: bool,
}

impl Uses {
    fn add(&mut self, gate: u32) {
        self.count += 1;
        self.numbers ^= gate;
    }

    fn remove(&mut self, gate: u32) {
        self.count -= 1;
        self.numbers ^= gate;
    }
}

/// Returns the gates of a circuit after all substitutions.
pub(crate) fn gates<F: Scalar>(r1cs: &R1cs<F>) -> Vec<Gate<F>> {
    let mut gates: Vec<Option<Gate<F>>> =
        r1cs.constraints().map(|constraint| Some(gate(constraint))).collect();
    let mut uses = vec![Uses::default(); r1cs.header.wires as usize];
    for stays in &mut uses[..=r1cs.header.publics() as usize] {
        stays.stays = true;
    }
    for (number, gate) in (0..).zip(gates.iter().flatten()) {
        gate.sum.iter().for_each(|(wire, _)| uses[*wire as usize].add(number));
        for (wire, _) in gate.product.iter().flatten().flatten() {
            uses[*wire as usize].stays = true;
        }
    }

    let is_linear = |gate: &Option<Gate<F>>| gate.as_ref().is_some_and(|gate| gate.product.is_none());
    let linear = (0..).zip(&gates).filter(|(_, gate)| is_linear(gate)).map(|(number, _)| number);
    let mut open: Vec<u32> = linear.collect();
    open.reverse();
    while let Some(number) = open.pop() {
        if !is_linear(&gates[number as usize]) {
            continue;
        }
        let Some((wire, into)) = substitutable(&gates, &uses, number) else { continue };
        let definition = gates[number as usize].take().expect("the gate is linear");
        substitute(&definition.sum, number, wire, into, &mut gates, &mut uses);
        if is_linear(&gates[into as usize]) {
            open.push(into);
        }
    }
    gates.into_iter().flatten().filter(|gate| gate.product.is_some() || !gate.sum.is_empty()).collect()
}

fn gate<F: Scalar>(Constraint { a, b, c }: Constraint<'_, F>) -> Gate<F> {
    let (a, b) = (collect(a.iter().copied()), collect(b.iter().copied()));
    let sum = c.iter().map(|(wire, coefficient)| (*wire, -*coefficient));
    for (factor, other) in [(&a, &b), (&b, &a)] {
        if let Some(constant) = constant(factor) {
            let scaled = other.iter().map(|(wire, coefficient)| (*wire, *coefficient * constant));
            return Gate { product: None, sum: collect(sum.chain(scaled)) };
        }
    }
    Gate { product: Some([a, b]), sum: collect(sum) }
}

/// Returns the value of a combination without wires, except for the constant one.
fn constant<F: Scalar>(combination: &Combination<F>) -> Option<F> {
    match combination.as_slice() {
        [] => Some(F::ZERO),
        [(ONE, constant)] => Some(*constant),
        _ => None,
    }
}

/// Sorts terms by wire, adds those of the same wire, and removes zeros.
fn collect<F: Scalar>(terms: impl Iterator<Item = (Wire, F)>) -> Combination<F> {
    let mut combination: Combination<F> = terms.collect();
    combination.sort_by_key(|(wire, _)| *wire);
    combination.dedup_by(|(wire, coefficient), (kept, sum)| {
        let is_same = wire == kept;
        if is_same {
            *sum += *coefficient;
        }
        is_same
    });
    combination.retain(|(_, coefficient)| *coefficient != F::ZERO);
    combination
}

/// Returns the index of a wire, or, as an error, the index at which it would be inserted.
fn place<F>(combination: &Combination<F>, wire: Wire) -> Result<usize, usize> {
    combination.binary_search_by_key(&wire, |(wire, _)| *wire)
}

/// Removes a wire, and returns its coefficient, which is zero if the wire does not occur.
pub(crate) fn take<F: Scalar>(combination: &mut Combination<F>, wire: Wire) -> F {
    place(combination, wire).map_or(F::ZERO, |place| combination.remove(place).1)
}

/// Adds a term. Returns whether the wire occurred before, and whether it occurs now.
pub(crate) fn add<F: Scalar>(combination: &mut Combination<F>, wire: Wire, coefficient: F) -> (bool, bool) {
    match place(combination, wire) {
        Ok(place) => {
            combination[place].1 += coefficient;
            let stays = combination[place].1 != F::ZERO;
            if !stays {
                combination.remove(place);
            }
            (true, stays)
        }
        Err(place) => {
            let comes = coefficient != F::ZERO;
            if comes {
                combination.insert(place, (wire, coefficient));
            }
            (false, comes)
        }
    }
}

/// Returns a wire that the linear gate defines, and the number of the one other gate in which it occurs.
fn substitutable<F: Scalar>(gates: &[Option<Gate<F>>], uses: &[Uses], number: u32) -> Option<(Wire, u32)> {
    let sum = &gates[number as usize].as_ref()?.sum;
    if sum.len() > TERMS_MAX {
        return None;
    }
    sum.iter().find_map(|(wire, _)| {
        let Uses { count: 2, numbers, stays: false } = uses[*wire as usize] else { return None };
        let into = numbers ^ number;
        gates[into as usize].as_ref().is_some_and(|gate| gate.sum.len() <= TERMS_MAX).then_some((*wire, into))
    })
}

/// Substitutes the definition of `wire`, the sum of gate `number`, into gate `into`.
fn substitute<F: Scalar>(
    definition: &Combination<F>,
    number: u32,
    wire: Wire,
    into: u32,
    gates: &mut [Option<Gate<F>>],
    uses: &mut [Uses],
) {
    let gate = gates[into as usize].as_mut().expect("the gate is in use");
    let coefficient = |sum: &Combination<F>| sum[place(sum, wire).expect("the wire occurs in both")].1;
    let inverse = coefficient(definition).invert_vartime().expect("no zeros are kept");
    let scale = -(coefficient(&gate.sum) * inverse);
    for (wire, coefficient) in definition {
        let uses = &mut uses[*wire as usize];
        uses.remove(number);
        match add(&mut gate.sum, *wire, *coefficient * scale) {
            (false, true) => uses.add(into),
            (true, false) => uses.remove(into),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use halo2_proofs::pasta::Fp;
    use snapback_circom::{Prime, r1cs::Header};

    fn circuit(wires: u32, publics: u32, constraints: &[[Vec<(Wire, i64)>; 3]]) -> R1cs<Fp> {
        let header = Header {
            prime: Prime::Pallas,
            wires,
            public_outputs: publics,
            public_inputs: 0,
            private_inputs: 0,
            labels: u64::from(wires),
            constraints: 0,
        };
        let number = |number: i64| {
            let size = Fp::from(number.unsigned_abs());
            if number < 0 { -size } else { size }
        };
        let constraints: Vec<[Vec<(Wire, Fp)>; 3]> = constraints
            .iter()
            .map(|combinations| {
                combinations.clone().map(|terms| terms.into_iter().map(|(w, c)| (w, number(c))).collect())
            })
            .collect();
        R1cs::from_constraints(header, &constraints)
    }

    #[test]
    fn a_linear_constraint_is_substituted_into_a_product() {
        // The constraints are w3 * w4 = w5, w6 = w5 + w3 + 7, and w6 * w6 = w1.
        let r1cs = circuit(
            7,
            1,
            &[
                [vec![(3, 1)], vec![(4, 1)], vec![(5, 1)]],
                [vec![], vec![], vec![(5, 1), (3, 1), (ONE, 7), (6, -1)]],
                [vec![(6, 1)], vec![(6, 1)], vec![(1, 1)]],
            ],
        );
        let gates = gates(&r1cs);
        assert_eq!(gates.len(), 2);
        // The first gate is w3 * w4 - w6 + w3 + 7 = 0.
        let wanted: Combination<Fp> = vec![(ONE, Fp::from(7)), (3, Fp::from(1)), (6, -Fp::from(1))];
        assert_eq!(gates[0].sum, wanted);
    }

    #[test]
    fn public_wires_and_factors_stay() {
        let r1cs = circuit(
            5,
            2,
            &[
                [vec![], vec![], vec![(1, 1), (2, -1)]],
                [vec![(3, 1)], vec![(3, 1)], vec![(2, 1)]],
                [vec![], vec![], vec![(3, 1), (1, 1)]],
            ],
        );
        assert_eq!(gates(&r1cs).len(), 3);
    }

    #[test]
    fn a_chain_of_definitions_becomes_one_sum_and_a_repeated_constraint_is_removed() {
        let chain: Vec<_> =
            (2..20).map(|wire| [vec![], vec![], vec![(wire, 1), (wire + 1, -1), (ONE, 1)]]).collect();
        let mut constraints = chain;
        constraints.push([vec![], vec![], vec![(20, 1), (1, -1)]]);
        constraints.push([vec![(2, 1)], vec![(2, 1)], vec![(1, 1)]]);
        let gates = gates(&circuit(21, 1, &constraints));
        assert_eq!(gates.len(), 2);
        // The same constraint twice: one defines a wire, and the other becomes empty.
        let twice = [vec![], vec![], vec![(2, 1), (3, -1)]];
        assert_eq!(super::gates(&circuit(4, 1, &[twice.clone(), twice])).len(), 0);
    }
}
