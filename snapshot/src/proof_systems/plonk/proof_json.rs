//! A proof as JSON: `{"circuit": digest, "public": ["7", ...], "proof": base64}`, and back.
//!
//! Invariant: both forms hold the same data, and each can be converted into the other.

use crate::{Digest, proof_systems::object};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{self, DeserializeSeed, SeqAccess, Visitor},
};
use serde_json::{Map, Value, error::Category, value::RawValue};
use snapback_circom::{Prime, number};
use snapback_guest_plonk::{K_MAX, ProofFile};
use std::{borrow::Cow, fmt};

/// Largest number of public signals of any circuit.
const PUBLICS_MAX: usize = 1 << K_MAX;

/// Length of a public signal in a [`ProofFile`].
const PUBLIC_BYTES: usize = 32;

#[derive(Serialize)]
struct ProofJson {
    /// The digest that identifies the circuit.
    circuit: Digest,
    /// Public signals in circom's order, outputs before public inputs, in decimal digits.
    public: Vec<String>,
    /// The proof in base64.
    proof: String,
}

/// The same as it is read: the public signals are parsed later, within their limit.
#[derive(Deserialize)]
struct ProofText<'a> {
    circuit: Digest,
    #[serde(borrow)]
    public: &'a RawValue,
    #[serde(borrow)]
    proof: Cow<'a, str>,
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

/// Turns JSON into a [`ProofFile`] of at most `bytes_max` bytes; ignores other fields, such as `timings`.
pub(super) fn decode(json: &[u8], bytes_max: usize) -> Result<Vec<u8>, String> {
    let ProofText { circuit, public, proof } = object::read(json).map_err(|error| malformed(&error))?;
    let publics_max = PUBLICS_MAX.min(bytes_max / PUBLIC_BYTES);
    let publics =
        Publics { max: publics_max }.deserialize(&mut serde_json::Deserializer::from_str(public.get()));
    let publics = publics.map_err(|error| malformed(&error))?;
    let proof = STANDARD.decode(proof.as_bytes()).map_err(|_| "the proof is not base64")?;
    let file = ProofFile { circuit: circuit.into_bytes(), publics, proof: &proof }.encode();
    if file.len() > bytes_max { Err(format!("the proof is longer than {bytes_max} bytes")) } else { Ok(file) }
}

fn malformed(error: &serde_json::Error) -> String {
    match error.classify() {
        // A proof is not secret, so serde's message, which names the missing field, may be shown.
        Category::Data => format!("not a proof: {error}"),
        _ => format!("not a proof: invalid JSON at line {} column {}", error.line(), error.column()),
    }
}

/// Reads public signals one by one, at most `max` of them, so that JSON never takes more memory than its numbers.
struct Publics {
    max: usize,
}

impl<'de> DeserializeSeed<'de> for Publics {
    type Value = Vec<[u8; PUBLIC_BYTES]>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Publics {
    type Value = Vec<[u8; PUBLIC_BYTES]>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of public signals as decimal numbers in quotes")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut publics = Vec::new();
        while let Some(text) = list.next_element::<Cow<'_, str>>()? {
            if publics.len() == self.max {
                return Err(de::Error::custom(format_args!("it has more than {} public signals", self.max)));
            }
            let public = integer(&text);
            publics.push(public.ok_or_else(|| de::Error::custom("a public signal is not a decimal number"))?);
        }
        Ok(publics)
    }
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
            prop_assert_eq!(decode(&json, file.len()), Ok(file.clone()));
            prop_assert!(decode(&json, file.len() - 1).is_err());
        }
    }

    #[test]
    fn numbers_beyond_the_prime_are_refused() {
        assert!(integer(&number::to_decimal(&[0xff; 32])).is_none());
        assert!(integer("0x1").is_none() && integer("-1").is_none() && integer("").is_none());
        assert_eq!(integer("0"), Some([0; 32]));
    }

    #[test]
    fn the_limit_holds_while_the_list_is_read() {
        let json = |publics: usize| {
            let list = vec!["\"0\""; publics].join(",");
            format!(r#"{{"circuit": "{}", "public": [{list}], "proof": ""}}"#, "0".repeat(64))
        };
        assert!(decode(json(100).as_bytes(), 4096).is_ok());
        let refused = decode(json(1_000_000).as_bytes(), 4096).expect_err("too many");
        assert!(refused.contains("more than 128 public signals"), "{refused}");
    }
}
