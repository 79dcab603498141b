//! A proof as JSON: `{"circuit": digest, "public": ["7", ...], "proof": base64}`, and back.
//!
//! Invariant: both forms hold the same data, and each can be converted into the other.

use crate::Digest;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, error::Category};
use snapback_circom::{Prime, number};
use snapback_guest_plonk::{K_MAX, ProofFile};

/// Largest number of public signals of any circuit.
const PUBLICS_MAX: usize = 1 << K_MAX;

#[derive(Serialize, Deserialize)]
struct ProofJson {
    /// The digest that identifies the circuit.
    circuit: Digest,
    /// Public signals in circom's order, outputs before public inputs, in decimal digits.
    public: Vec<String>,
    /// The proof in base64.
    proof: String,
}

/// Turns a [`ProofFile`] into JSON.
pub(super) fn encode(file: &[u8]) -> Result<Map<String, Value>, String> {
    let ProofFile { circuit, publics, proof } = ProofFile::decode(file).map_err(|error| error.to_string())?;
    let json = ProofJson {
        circuit: Digest::from_bytes(circuit),
        public: publics.iter().map(number::to_decimal).collect(),
        proof: STANDARD.encode(proof),
    };
    match serde_json::to_value(json) {
        Ok(Value::Object(map)) => Ok(map),
        _ => unreachable!("a struct serializes as an object"),
    }
}

/// Turns JSON into a [`ProofFile`]; ignores other fields, such as `timings`.
pub(super) fn decode(json: &[u8]) -> Result<Vec<u8>, String> {
    let ProofJson { circuit, public, proof } =
        serde_json::from_slice(json).map_err(|error| match error.classify() {
            // A proof is not secret, so serde's message, which names the missing field, may be shown.
            Category::Data => format!("not a proof: {error}"),
            _ => format!("not a proof: invalid JSON at line {} column {}", error.line(), error.column()),
        })?;
    if public.len() > PUBLICS_MAX {
        return Err(format!("a proof in JSON has at most {PUBLICS_MAX} public signals"));
    }
    let public = public.iter().map(|text| integer(text).ok_or("a public signal is not a decimal number"));
    let publics = public.collect::<Result<Vec<_>, _>>()?;
    let proof = STANDARD.decode(proof).map_err(|_| "the proof is not base64")?;
    Ok(ProofFile { circuit: circuit.into_bytes(), publics, proof: &proof }.encode())
}

/// Reads a number in decimal digits, as [`number::to_decimal`] writes it. The prime `vesta` is the larger of the two,
/// so numbers of both fields are accepted.
fn integer(text: &str) -> Option<[u8; 32]> {
    let value = number::parse(text, Prime::Vesta)?;
    // A number that is not below the prime, or is written in another way, converts back to another text.
    (number::to_decimal(&value) == text).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn both_forms_hold_the_same_data(
            circuit: [u8; 32], publics in prop::collection::vec(any::<[u8; 31]>(), 0..4), proof: Vec<u8>,
        ) {
            let publics = publics.into_iter().map(|low| {
                let mut bytes = [0; 32];
                bytes[..31].copy_from_slice(&low);
                bytes
            });
            let file = ProofFile { circuit, publics: publics.collect(), proof: &proof }.encode();
            let json = serde_json::to_vec(&encode(&file).expect("a proof")).expect("valid JSON");
            prop_assert_eq!(decode(&json), Ok(file));
        }
    }

    #[test]
    fn numbers_beyond_the_prime_are_refused() {
        assert!(integer(&number::to_decimal(&[0xff; 32])).is_none());
        assert!(integer("0x1").is_none() && integer("-1").is_none() && integer("").is_none());
        assert_eq!(integer("0"), Some([0; 32]));
    }
}
