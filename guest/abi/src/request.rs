//! The request envelope: entropy, the name of a circuit, and the bytes of the client, unchanged.
//!
//! ```text
//! entropy: 32 bytes | circuit length: u32 | circuit: UTF-8 | body: the rest
//! ```
//!
//! The entropy is fresh for each call, and a guest has no other source of randomness. While baking, a guest must draw
//! nothing from it, because values that it keeps would be copied into every instance.

use crate::{DecodeError, ENTROPY_LEN, wire::Reader};
use alloc::vec::Vec;

/// Length of an envelope with an empty circuit and an empty body, in bytes.
pub const HEADER_LEN_MIN: usize = ENTROPY_LEN + size_of::<u32>();

/// The input of one call, borrowed from the bytes of its envelope.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Request<'a> {
    /// 32 bytes from the host's system entropy, never used for another call.
    ///
    /// It is borrowed, because a copy would remain on the stack, which is part of a snapshot.
    pub entropy: &'a [u8; ENTROPY_LEN],
    /// The name of the circuit; empty if the method needs none.
    pub circuit: &'a str,
    /// The bytes that the client sent.
    pub body: &'a [u8],
}

impl<'a> Request<'a> {
    /// Encodes everything that precedes the body. The caller appends the body, so that a large one is written once.
    ///
    /// # Panics
    /// Panics if the name of the circuit has 4 GiB or more, which the limits of every caller exclude.
    #[must_use]
    pub fn header(entropy: &[u8; ENTROPY_LEN], circuit: &str) -> Vec<u8> {
        let circuit_len = u32::try_from(circuit.len()).expect("the name of a circuit is short");
        let mut header = Vec::with_capacity(HEADER_LEN_MIN + circuit.len());
        header.extend_from_slice(entropy);
        header.extend_from_slice(&circuit_len.to_le_bytes());
        header.extend_from_slice(circuit.as_bytes());
        header
    }

    /// Decodes an envelope.
    ///
    /// # Errors
    /// Returns an error if the bytes end early, or the circuit is not UTF-8.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader(bytes);
        let entropy = reader.array_ref("entropy")?;
        let circuit_len = reader.u32("circuit length")? as usize;
        let circuit = reader.str(circuit_len, "circuit")?;
        Ok(Self { entropy, circuit, body: reader.0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_was_written_is_read(entropy: [u8; 32], circuit in ".{0,40}", body: Vec<u8>) {
            let mut bytes = Request::header(&entropy, &circuit);
            bytes.extend_from_slice(&body);
            let request = Request::decode(&bytes).expect("a valid envelope");
            prop_assert_eq!(request.entropy, &entropy);
            prop_assert_eq!(request.circuit, circuit);
            prop_assert_eq!(request.body, body);
        }

        #[test]
        fn any_bytes_decode_to_a_view_of_themselves_or_an_error(bytes: Vec<u8>) {
            if let Ok(request) = Request::decode(&bytes) {
                let written = HEADER_LEN_MIN + request.circuit.len() + request.body.len();
                prop_assert_eq!(written, bytes.len());
            }
        }

        #[test]
        fn a_wrong_length_is_an_error(len in 1u32.., body in prop::collection::vec(any::<u8>(), 0..64)) {
            let mut bytes = Request::header(&[7; 32], "");
            bytes[ENTROPY_LEN..].copy_from_slice(&len.to_le_bytes());
            bytes.extend_from_slice(&body);
            if len as usize > body.len() {
                let refusal = matches!(Request::decode(&bytes), Err(DecodeError::Truncated("circuit")));
                prop_assert!(refusal);
            }
        }
    }
}
