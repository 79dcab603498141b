//! A proof as JSON: `{"circuit": digest, "public": ["7", ...], "proof": base64}`, and back.
//!
//! Invariant: the two forms say the same; whatever is read in one can be written in the other.

use crate::witness::inputs::number;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use ff::PrimeField;
use halo2_proofs::pasta::Fq;
use serde::{Deserialize, Serialize};
use serde_json::error::Category;
use snapback_guest_plonk::{Error, K_MAX, ProofFile};
use snapback_snapshot::Digest;

/// Most public signals of any circuit.
const PUBLICS_MAX: usize = 1 << K_MAX;

/// A proof for people and their tools.
#[derive(Debug, Serialize, Deserialize)]
pub struct ProofJson {
    /// What identifies the circuit.
    pub circuit: Digest,
    /// Public signals in circom's order: outputs, then public inputs, in decimal digits.
    pub public: Vec<String>,
    /// The proof in base64.
    pub proof: String,
}

impl ProofJson {
    /// Of a [`ProofFile`].
    ///
    /// # Errors
    /// When the bytes are none.
    pub fn of(file: &[u8]) -> Result<Self, Error> {
        let ProofFile { circuit, publics, proof } = ProofFile::decode(file)?;
        Ok(Self {
            circuit: Digest::from_bytes(circuit),
            public: publics.into_iter().map(decimal).collect(),
            proof: STANDARD.encode(proof),
        })
    }

    /// The [`ProofFile`] again; anything else that the JSON holds is left aside.
    ///
    /// # Errors
    /// What does not fit.
    pub fn read(json: &[u8]) -> Result<Vec<u8>, String> {
        let Self { circuit, public, proof } =
            serde_json::from_slice(json).map_err(|error| match error.classify() {
                // Proofs are nobody's secret: serde's words name what is missing.
                Category::Data => format!("not a proof: {error}"),
                _ => format!("not a proof: no JSON from line {} column {} on", error.line(), error.column()),
            })?;
        if public.len() > PUBLICS_MAX {
            return Err(format!("a proof has at most {PUBLICS_MAX} public signals as JSON"));
        }
        let public = public.iter().map(|text| integer(text).ok_or("a public signal is no decimal number"));
        let publics = public.collect::<Result<Vec<_>, _>>()?;
        let proof = STANDARD.decode(proof).map_err(|_| "the proof is not base64")?;
        Ok(ProofFile { circuit: circuit.into_bytes(), publics, proof: &proof }.encode())
    }
}

/// Decimal digits of a little-endian number.
fn decimal(bytes: [u8; 32]) -> String {
    const CHUNK: u64 = 10_000_000_000_000_000_000;
    let mut words: [u64; 4] = std::array::from_fn(|word| {
        u64::from_le_bytes(bytes[8 * word..][..8].try_into().expect("eight bytes"))
    });
    let mut chunks = Vec::new();
    while words != [0; 4] {
        let mut rest = 0u128;
        for word in words.iter_mut().rev() {
            let value = rest << 64 | u128::from(*word);
            *word = u64::try_from(value / u128::from(CHUNK)).expect("less than a word, as the rest is less");
            rest = value % u128::from(CHUNK);
        }
        chunks.push(rest);
    }
    let mut text = chunks.pop().unwrap_or(0).to_string();
    chunks.iter().rev().for_each(|chunk| text.push_str(&format!("{chunk:019}")));
    text
}

/// The inverse of [`decimal`]; the larger of the two fields holds both sides' numbers.
fn integer(text: &str) -> Option<[u8; 32]> {
    let value: Fq = number(text).filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()))?;
    let repr = value.to_repr();
    // A number beyond the prime would come back as another.
    (decimal(repr) == text).then_some(repr)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn both_forms_say_the_same(
            circuit: [u8; 32], publics in prop::collection::vec(any::<[u8; 31]>(), 0..4), proof: Vec<u8>,
        ) {
            let publics = publics.into_iter().map(|low| {
                let mut bytes = [0; 32];
                bytes[..31].copy_from_slice(&low);
                bytes
            });
            let file = ProofFile { circuit, publics: publics.collect(), proof: &proof }.encode();
            let json = serde_json::to_vec(&ProofJson::of(&file).expect("our own")).expect("strings");
            prop_assert_eq!(ProofJson::read(&json), Ok(file));
        }

        #[test]
        fn numbers_are_written_in_decimal(number: u128) {
            let mut bytes = [0; 32];
            bytes[..16].copy_from_slice(&number.to_le_bytes());
            prop_assert_eq!(decimal(bytes), number.to_string());
        }
    }

    #[test]
    fn numbers_beyond_the_prime_are_refused() {
        assert!(integer(&decimal([0xff; 32])).is_none());
        assert!(integer("0x1").is_none() && integer("-1").is_none() && integer("").is_none());
        assert_eq!(integer("0"), Some([0; 32]));
    }
}
