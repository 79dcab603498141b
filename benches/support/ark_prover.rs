//! Proofs of `ark-groth16` with the keys and the witnesses of snarkjs, for comparison.
//!
//! The reduction is the one that the keys of snarkjs are made for: the quotient is taken at the odd coset. Source: snarkjs,
//! `groth16_prove.js`.

use ark_bn254::{Bn254, Fq, Fq2, Fr, G1Affine, G2Affine};
use ark_ff::{BigInt, PrimeField};
use ark_groth16::{Groth16, ProvingKey, VerifyingKey, r1cs_to_qap::R1CSToQAP};
use ark_poly::EvaluationDomain;
use ark_relations::gr1cs::{ConstraintSystemRef, Matrix, Result, SynthesisError};
use snapback_circom::{
    Prime,
    sections::{Reader, Sections},
    wtns,
};

/// A key, and the matrices of its circuit.
pub(crate) struct ArkProver {
    key: ProvingKey<Bn254>,
    matrices: Vec<Matrix<Fr>>,
    publics: usize,
    rows: usize,
}

impl ArkProver {
    /// Reads a `.zkey`.
    pub(crate) fn read(zkey: &[u8]) -> Self {
        let sections = Sections::read(zkey, *b"zkey", 1, "a .zkey").expect("a key");
        let section = |number| sections.get(number).expect("a section");
        let mut header = section(2);
        header.bytes(72, "primes").expect("both primes");
        let mut number = || header.u32("count").expect("a count") as usize;
        let (_wires, publics, rows) = (number(), number(), number());
        let (alpha_g1, beta_g1) = (first(&mut header), first(&mut header));
        let (beta_g2, gamma_g2) = (second(&mut header), second(&mut header));
        let (delta_g1, delta_g2) = (first(&mut header), second(&mut header));
        let list = |number| {
            let mut reader = section(number);
            std::iter::from_fn(|| (reader.left() > 0).then(|| first(&mut reader))).collect::<Vec<_>>()
        };
        let mut reader = section(7);
        let b_g2_query = std::iter::from_fn(|| (reader.left() > 0).then(|| second(&mut reader))).collect();
        let key = ProvingKey {
            vk: VerifyingKey { alpha_g1, beta_g2, gamma_g2, delta_g2, gamma_abc_g1: list(3) },
            beta_g1,
            delta_g1,
            a_query: list(5),
            b_g1_query: list(6),
            b_g2_query,
            h_query: list(9),
            l_query: list(8),
        };
        let mut matrices = vec![vec![Vec::new(); rows]; 2];
        let mut coefficients = section(4);
        // A coefficient is in Montgomery form twice.
        let radix = Fr::new_unchecked(BigInt([1, 0, 0, 0]));
        for _ in 0..coefficients.u32("count").expect("a count") {
            let mut number = || coefficients.u32("index").expect("an index") as usize;
            let (matrix, row, signal) = (number(), number(), number());
            let value = Fr::new_unchecked(words(&mut coefficients)) * radix;
            matrices[matrix][row].push((value, signal));
        }
        Self { key, matrices, publics, rows }
    }

    /// Proves, and verifies the proof.
    pub(crate) fn prove(&self, witness: &[u8]) {
        let wires = self.key.a_query.len() as u32;
        let values = wtns::values(witness, Prime::Bn128, wires).expect("a witness");
        let values: Vec<Fr> = values.iter().map(|value| Fr::from_le_bytes_mod_order(value)).collect();
        let inputs = self.publics + 1;
        let proof = Groth16::<Bn254, Circom>::create_proof_with_reduction_and_matrices(
            &self.key,
            Fr::from(3),
            Fr::from(5),
            &self.matrices,
            inputs,
            self.rows - inputs,
            &values,
        );
        let key = ark_groth16::prepare_verifying_key(&self.key.vk);
        let verified = Groth16::<Bn254>::verify_proof(&key, &proof.expect("a proof"), &values[1..inputs]);
        assert!(verified.expect("as many signals as the key has"));
    }
}

fn words(reader: &mut Reader<'_>) -> BigInt<4> {
    BigInt(std::array::from_fn(|_| reader.u64("number").expect("a number")))
}

fn coordinate(reader: &mut Reader<'_>) -> Fq {
    Fq::new_unchecked(words(reader))
}

fn first(reader: &mut Reader<'_>) -> G1Affine {
    let (x, y) = (coordinate(reader), coordinate(reader));
    if x == Fq::from(0) && y == Fq::from(0) { G1Affine::identity() } else { G1Affine::new_unchecked(x, y) }
}

fn second(reader: &mut Reader<'_>) -> G2Affine {
    let mut pair = || Fq2::new(coordinate(reader), coordinate(reader));
    let (x, y) = (pair(), pair());
    if x == Fq2::from(0) && y == Fq2::from(0) { G2Affine::identity() } else { G2Affine::new_unchecked(x, y) }
}

/// The reduction of snarkjs.
struct Circom;

impl R1CSToQAP for Circom {
    fn instance_map_with_evaluation<F: PrimeField, D: EvaluationDomain<F>>(
        _: ConstraintSystemRef<F>,
        _: &F,
    ) -> Result<(Vec<F>, Vec<F>, Vec<F>, F, usize, usize)> {
        Err(SynthesisError::AssignmentMissing)
    }

    fn witness_map_from_matrices<F: PrimeField, D: EvaluationDomain<F>>(
        matrices: &[Matrix<F>],
        inputs: usize,
        constraints: usize,
        values: &[F],
    ) -> Result<Vec<F>> {
        let domain = D::new(inputs + constraints).ok_or(SynthesisError::PolynomialDegreeTooLarge)?;
        let side = |matrix: &Matrix<F>| -> Vec<F> {
            matrix.iter().map(|row| row.iter().map(|(value, signal)| values[*signal] * value).sum()).collect()
        };
        let (mut a, mut b) = (side(&matrices[0]), side(&matrices[1]));
        let mut c: Vec<F> = a.iter().zip(&b).map(|(a, b)| *a * b).collect();
        // Circom's tools and this library have the same generator of the roots of unity. The root of twice the order of the
        // domain is the offset of the coset.
        let root = F::get_root_of_unity(2 * domain.size() as u64);
        let offset = root.ok_or(SynthesisError::PolynomialDegreeTooLarge)?;
        let coset = domain.get_coset(offset).ok_or(SynthesisError::PolynomialDegreeTooLarge)?;
        for side in [&mut a, &mut b, &mut c] {
            domain.ifft_in_place(side);
            coset.fft_in_place(side);
        }
        Ok(a.iter().zip(&b).zip(&c).map(|((a, b), c)| *a * b - c).collect())
    }

    fn h_query_scalars<F: PrimeField, D: EvaluationDomain<F>>(_: usize, _: F, _: F, _: F) -> Result<Vec<F>> {
        Err(SynthesisError::AssignmentMissing)
    }
}
