//! Circuits of any size with a witness each, for tests and benches.

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
pub(crate) fn squares_over<F: Element>(prime: Prime, rounds: u32, x: u64) -> (Vec<u8>, Vec<u8>) {
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
    let number = |number: u64| {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&number.to_le_bytes());
        F::from_le(bytes).expect("below the prime")
    };
    let one = number(1);
    let wire = |round: u32| if round == rounds { 1 } else { round + 2 };
    let constraints: Vec<_> = (0..rounds)
        .map(|round| [vec![(wire(round), one)], vec![(wire(round), one)], vec![(wire(round + 1), one)]])
        .collect();
    let mut values = vec![F::zero(); wires as usize];
    values[ONE as usize] = one;
    let mut value = number(x);
    for round in 0..=rounds {
        values[wire(round) as usize] = value;
        value = value * value;
    }
    let r1cs = R1cs::from_constraints(header, &constraints).write();
    (r1cs, Witness::from_values(values).write(prime))
}
