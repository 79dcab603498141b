//! The smallest circuit: what every image proves for trial before it is published.

use crate::{
    Side,
    r1cs::{Header, R1cs},
    wtns::Witness,
};
use ff::Field;

/// The circuit `out = x * x` as an `.r1cs`, and a witness of it as a `.wtns`.
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
