//! Circuits of any size with a witness each, for tests and benches.

use ff::PrimeField;
use halo2_proofs::pasta::Fp;
use snapback_circom::{
    Element, Prime,
    r1cs::{Header, ONE, R1cs},
    wtns::Witness,
};

/// A circuit of `rounds` squarings over pallas, `out = x^(2^rounds)`, and a witness of it.
pub(crate) fn squares(rounds: u32, x: u64) -> (Vec<u8>, Vec<u8>) {
    squares_over::<Fp>(Prime::Pallas, rounds, x)
}

/// The same over a field with this prime.
pub(crate) fn squares_over<F: PrimeField + Element>(prime: Prime, rounds: u32, x: u64) -> (Vec<u8>, Vec<u8>) {
    // The wires are one, out, x, and the intermediate values.
    let wires = rounds + 2;
    let header = Header {
        prime,
        wires,
        public_outputs: 1,
        public_inputs: 0,
        private_inputs: 1,
        labels: u64::from(wires),
        constraints: 0,
    };
    let one = F::from(1);
    let wire = |round: u32| if round == rounds { 1 } else { round + 2 };
    let constraints: Vec<_> = (0..rounds)
        .map(|round| [vec![(wire(round), one)], vec![(wire(round), one)], vec![(wire(round + 1), one)]])
        .collect();
    let mut values = vec![F::from(0); wires as usize];
    values[ONE as usize] = one;
    let mut value = F::from(x);
    for round in 0..=rounds {
        values[wire(round) as usize] = value;
        value = value * value;
    }
    let r1cs = R1cs::from_constraints(header, &constraints).write();
    (r1cs, Witness::from_values(values).write(prime))
}
