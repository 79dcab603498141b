//! The list of circuits that a prover image returns from [`METHOD_CIRCUITS`](crate::METHOD_CIRCUITS).
//!
//! ```text
//! repeated: name length: u16 | name: UTF-8 | SHA-256 digest of the verifying key: 32 bytes
//! ```

use crate::{DecodeError, wire::Reader};
use alloc::vec::Vec;

/// Longest name of a circuit, in bytes.
pub const NAME_LEN_MAX: usize = 128;

/// One circuit that an image can prove.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Circuit<'a> {
    /// Name that clients use: 1 to [`NAME_LEN_MAX`] characters of `a-z A-Z 0-9 . _ -`, since it is part of URLs.
    pub name: &'a str,
    /// SHA-256 of the verifying key, in the encoding that the guest documents.
    pub vk_digest: [u8; 32],
}

/// Encodes the list.
///
/// # Panics
/// Panics if [`decode`] would refuse a name, which is a mistake in the guest that a bake finds.
#[must_use]
pub fn encode(circuits: &[Circuit<'_>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for circuit in circuits {
        assert!(is_name(circuit.name), "not a name of a circuit: {:?}", circuit.name);
        let name_len = u16::try_from(circuit.name.len()).expect("bounded by NAME_LEN_MAX");
        bytes.extend_from_slice(&name_len.to_le_bytes());
        bytes.extend_from_slice(circuit.name.as_bytes());
        bytes.extend_from_slice(&circuit.vk_digest);
    }
    bytes
}

/// Decodes the list.
///
/// # Errors
/// Returns an error if the bytes end early, or a name cannot name a circuit.
pub fn decode(bytes: &[u8]) -> Result<Vec<Circuit<'_>>, DecodeError> {
    let mut reader = Reader(bytes);
    let mut circuits = Vec::new();
    while !reader.0.is_empty() {
        let name_len = reader.u16("circuit name length")?;
        let name = reader.str(usize::from(name_len), "circuit name")?;
        if !is_name(name) {
            return Err(DecodeError::OutOfRange("circuit name"));
        }
        circuits.push(Circuit { name, vk_digest: reader.array("verifying key digest")? });
    }
    Ok(circuits)
}

/// Returns whether a text can name a circuit.
#[must_use]
pub fn is_name(name: &str) -> bool {
    (1..=NAME_LEN_MAX).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_was_written_is_read(list in prop::collection::vec(("[a-zA-Z0-9._-]{1,40}", any::<[u8; 32]>()), 0..8)) {
            let circuits: Vec<_> = list
                .iter()
                .map(|(name, vk_digest)| Circuit { name, vk_digest: *vk_digest })
                .collect();
            let bytes = encode(&circuits);
            prop_assert_eq!(decode(&bytes), Ok(circuits));
        }

        #[test]
        fn any_bytes_decode_to_themselves_or_an_error(bytes: Vec<u8>) {
            if let Ok(circuits) = decode(&bytes) {
                prop_assert_eq!(encode(&circuits), bytes);
            }
        }
    }
}
