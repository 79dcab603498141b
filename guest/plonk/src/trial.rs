//! The smallest circuit, which every image proves as a trial before it is published.

use crate::Side;
use ff::Field;
use snapback_circom::{
    r1cs::{Header, R1cs},
    wtns::Witness,
};

/// Returns the circuit `out = x * x` as an `.r1cs` file, and a witness of it as a `.wtns` file.
#[must_use]
pub fn trial<C: Side>() -> (Vec<u8>, Vec<u8>) {
    const OUT: u32 = 1;
    const X: u32 = 2;
    let header = Header {
        prime: C::PRIME,
        wires: 3,
        public_outputs: 1,
        public_inputs: 0,
        private_inputs: 1,
        labels: 3,
        constraints: 1,
    };
    let one = C::ScalarExt::ONE;
    let r1cs = R1cs::from_constraints(header, &[[vec![(X, one)], vec![(X, one)], vec![(OUT, one)]]]);
    let x = C::ScalarExt::from(3);
    (r1cs.write(), Witness::from_values(vec![one, x * x, x]).write(C::PRIME))
}
