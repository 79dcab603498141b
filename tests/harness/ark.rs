//! The verifier of `ark-groth16`, with keys, proofs and signals as snarkjs writes them.

use ark_bn254::{Bn254, Fq, Fq2, Fr, G1Affine, G2Affine};
use ark_ff::AdditiveGroup;
use ark_groth16::{Groth16, Proof, VerifyingKey};
use serde_json::Value;
use std::str::FromStr;

/// Returns whether a proof verifies.
pub(crate) fn verifies(key: &Value, proof: &Value, publics: &Value) -> bool {
    let key = VerifyingKey::<Bn254> {
        alpha_g1: first(&key["vk_alpha_1"]),
        beta_g2: second(&key["vk_beta_2"]),
        gamma_g2: second(&key["vk_gamma_2"]),
        delta_g2: second(&key["vk_delta_2"]),
        gamma_abc_g1: list(&key["IC"]).iter().map(first).collect(),
    };
    let proof = Proof { a: first(&proof["pi_a"]), b: second(&proof["pi_b"]), c: first(&proof["pi_c"]) };
    let publics: Vec<Fr> = list(publics).iter().map(number).collect();
    let prepared = ark_groth16::prepare_verifying_key(&key);
    Groth16::<Bn254>::verify_proof(&prepared, &proof, &publics).expect("as many signals as the key has")
}

fn list(value: &Value) -> &Vec<Value> {
    value.as_array().expect("a list")
}

fn number<F: FromStr>(value: &Value) -> F {
    value.as_str().and_then(|text| text.parse().ok()).expect("a number in quotes")
}

/// Reads a point, which is checked to be on its curve and in its subgroup.
fn first(value: &Value) -> G1Affine {
    G1Affine::new(number(&value[0]), number(&value[1]))
}

fn second(value: &Value) -> G2Affine {
    let part = |value: &Value| Fq2::new(number::<Fq>(&value[0]), number::<Fq>(&value[1]));
    assert_ne!(part(&value[1]), Fq2::ZERO);
    G2Affine::new(part(&value[0]), part(&value[1]))
}
