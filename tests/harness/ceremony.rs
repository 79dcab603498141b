//! Proving keys for tests and benches, as snarkjs writes them. A ceremony of snarkjs takes hours for 2^18 constraints, and
//! this takes a minute, because it knows the secrets: nobody may use such a key for anything else.
//!
//! Source: Groth, "On the Size of Pairing-based Non-interactive Arguments", section 3.2; for the order of the points and the
//! coset of the points H, snarkjs, `zkey_new.js`.

use ark_bn254::{Fq, Fq2, Fr, G1Affine, G1Projective, G2Affine, G2Projective};
use ark_ec::{CurveGroup, PrimeGroup, scalar_mul::BatchMulPreprocessing};
use ark_ff::{AdditiveGroup, BigInt, FftField, Field, MontFp, PrimeField, batch_inversion};
use snapback_circom::{
    Prime,
    r1cs::{Constraint, R1cs, Terms},
};
use snapback_guest_groth16 as groth16;

/// The secrets.
const ALPHA: Fr = MontFp!("7652365218756218756187256218756187256");
const BETA: Fr = MontFp!("1983475198347518347518347591834751938475");
const DELTA: Fr = MontFp!("88316508346510348751034875103487510348751");
const TAU: Fr = MontFp!("5601983745019384750198347501983475019834750193847");

/// Points are made in pieces of this many, so that they do not all have to be in memory.
const PIECE: usize = 1 << 16;

/// Makes the proving key of a circuit over BN254.
pub(crate) fn zkey(r1cs: &[u8]) -> Vec<u8> {
    let r1cs = R1cs::<groth16::Fr>::read(r1cs).expect("a circuit over BN254");
    let (wires, publics) = (r1cs.header.wires as usize, r1cs.header.publics() as usize);
    let constraints = r1cs.header.constraints as usize;
    let domain = (constraints + publics + 1).next_power_of_two();
    let double = lagrange(2 * domain);
    let (first, second) = (Multiples::first(), Multiples::second());

    // Each wire's polynomials at the secret point.
    let basis = lagrange(domain);
    let mut sides = vec![[Fr::ZERO; 3]; wires];
    let mut coefficients = Vec::new();
    let mut count = 0_u32;
    let mut coefficient = |matrix: u32, row: usize, wire: u32, value: Fr| {
        count += 1;
        for number in [matrix, row as u32, wire] {
            coefficients.extend_from_slice(&number.to_le_bytes());
        }
        // Coefficients are in Montgomery form twice.
        let twice = Fr::new(value.0);
        coefficients.extend_from_slice(&words(twice.0));
    };
    for (row, Constraint { a, b, c }) in r1cs.constraints().enumerate() {
        for (side, terms) in [a, b, c].into_iter().enumerate() {
            for (wire, value) in numbers(terms) {
                sides[wire as usize][side] += value * basis[row];
                if side < 2 {
                    coefficient(side as u32, row, wire, value);
                }
            }
        }
    }
    for signal in 0..=publics {
        sides[signal][0] += basis[constraints + signal];
        coefficient(0, constraints + signal, signal as u32, Fr::ONE);
    }
    coefficients.splice(0..0, count.to_le_bytes());

    let combined = |[a, b, c]: &[Fr; 3]| BETA * a + ALPHA * b + c;
    let inverse = DELTA.inverse().expect("not zero");
    let side = |side: usize| sides.iter().map(|sides| sides[side]).collect::<Vec<_>>();
    let ic: Vec<Fr> = sides[..=publics].iter().map(combined).collect();
    let c: Vec<Fr> = sides[publics + 1..].iter().map(|sides| combined(sides) * inverse).collect();
    let h: Vec<Fr> = double.iter().skip(1).step_by(2).map(|value| *value * inverse).collect();

    let mut header = Vec::new();
    for prime in [Fq::MODULUS, Fr::MODULUS] {
        header.extend_from_slice(&32_u32.to_le_bytes());
        header.extend_from_slice(&words(prime));
    }
    for number in [wires, publics, domain] {
        header.extend_from_slice(&(number as u32).to_le_bytes());
    }
    for point in [
        first.of(&[ALPHA]),
        first.of(&[BETA]),
        second.of(&[BETA]),
        second.of(&[Fr::ONE]),
        first.of(&[DELTA]),
        second.of(&[DELTA]),
    ] {
        header.extend_from_slice(&point);
    }
    let sections = [
        1_u32.to_le_bytes().to_vec(),
        header,
        first.of(&ic),
        coefficients,
        first.of(&side(0)),
        first.of(&side(1)),
        second.of(&side(1)),
        first.of(&c),
        first.of(&h),
        // No contributions.
        vec![0; 68],
    ];
    let mut file = Vec::new();
    for bytes in [b"zkey", &1_u32.to_le_bytes(), &(sections.len() as u32).to_le_bytes()] {
        file.extend_from_slice(bytes);
    }
    for (number, section) in (1_u32..).zip(&sections) {
        file.extend_from_slice(&number.to_le_bytes());
        file.extend_from_slice(&(section.len() as u64).to_le_bytes());
        file.extend_from_slice(section);
    }
    file
}

fn numbers(terms: &Terms<groth16::Fr>) -> impl Iterator<Item = (u32, Fr)> {
    terms
        .iter()
        .map(|(wire, value)| (*wire, Fr::from_bigint(BigInt(value.number())).expect("below the prime")))
}

/// Returns the Lagrange polynomials of the roots of unity of this order at the secret point.
fn lagrange(order: usize) -> Vec<Fr> {
    let root = Fr::get_root_of_unity(order as u64).expect("a power of two");
    let mut power = Fr::ONE;
    let mut differences: Vec<Fr> = (0..order)
        .map(|_| {
            let difference = TAU - power;
            power *= root;
            difference
        })
        .collect();
    batch_inversion(&mut differences);
    let order = order as u64;
    let vanishing = TAU.pow([order]) - Fr::ONE;
    let mut factor = vanishing * Fr::from(order).inverse().expect("not zero");
    for value in &mut differences {
        *value *= factor;
        factor *= root;
    }
    differences
}

/// Multiples of the generator of a group.
struct Multiples<G: CurveGroup> {
    table: BatchMulPreprocessing<G>,
    write: fn(&G::Affine) -> Vec<u8>,
}

impl Multiples<G1Projective> {
    fn first() -> Self {
        let write = |point: &G1Affine| [point.x, point.y].iter().flat_map(|x| words(x.0)).collect();
        Self { table: BatchMulPreprocessing::new(G1Projective::generator(), PIECE), write }
    }
}

impl Multiples<G2Projective> {
    fn second() -> Self {
        let write = |point: &G2Affine| {
            let parts = |Fq2 { c0, c1, .. }: &Fq2| [c0.0, c1.0];
            [&point.x, &point.y].into_iter().flat_map(parts).flat_map(words).collect()
        };
        Self { table: BatchMulPreprocessing::new(G2Projective::generator(), PIECE), write }
    }
}

impl<G: CurveGroup<ScalarField = Fr>> Multiples<G> {
    /// Returns the multiples as snarkjs writes points. The identity has zeros for coordinates, as in these libraries.
    fn of(&self, scalars: &[Fr]) -> Vec<u8> {
        // Wires that no constraint has on a side are many, and cost nothing.
        let zero = (self.write)(&self.table.batch_mul(&[Fr::ZERO])[0]);
        let mut bytes = Vec::with_capacity(scalars.len() * zero.len());
        for piece in scalars.chunks(PIECE) {
            let others: Vec<Fr> = piece.iter().filter(|scalar| **scalar != Fr::ZERO).copied().collect();
            let mut points = self.table.batch_mul(&others).into_iter();
            for scalar in piece {
                if *scalar == Fr::ZERO {
                    bytes.extend_from_slice(&zero);
                } else {
                    bytes.extend_from_slice(&(self.write)(&points.next().expect("one for each")));
                }
            }
        }
        bytes
    }
}

/// Returns the words of a number, or of an element in Montgomery form.
fn words(number: BigInt<4>) -> [u8; 32] {
    let mut bytes = [0; 32];
    for (bytes, word) in bytes.chunks_exact_mut(8).zip(number.0) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    bytes
}

/// A circuit of `rounds` squarings over BN254 and a witness, whose values are of full size.
pub(crate) fn squares(rounds: u32) -> (Vec<u8>, Vec<u8>) {
    super::squares::squares_over::<groth16::Fr>(Prime::Bn128, rounds, 3)
}
