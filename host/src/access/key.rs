//! The text of a key, its identifier and its hash.
//!
//! A key reads `snapback_ID_SECRET`: 12 hexadecimal digits that find it, and 64 that prove it. The secret has 256
//! random bits, so that one pass of a fast hash protects it as well as a slow one would.
//!
//! Invariant: the text of a key is overwritten when it is dropped, and hashes are compared in constant time.

use crate::ids::{InvalidValue, as_text};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};
use zeroize::Zeroizing;

/// How every key begins, so that scanners find keys that were published by accident.
const PREFIX: &str = "snapback_";
const ID_BYTES: usize = 6;
const SECRET_BYTES: usize = 32;
/// Keeps these hashes apart from all others. Changing it invalidates every key.
const HASH_CONTEXT: &str = "snapback 2026-11-27 access key";

/// Names a key. It is no secret.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyId([u8; ID_BYTES]);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&hex(&self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for KeyId {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        unhex(text.as_bytes())
            .map(Self)
            .ok_or(InvalidValue::new("the identifier of a key (12 hexadecimal digits)"))
    }
}

/// Hash of the text of a key.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyHash(blake3::Hash);

impl KeyHash {
    pub(super) fn of(text: &[u8]) -> Self {
        Self(blake3::Hasher::new_derive_key(HASH_CONTEXT).update(text).finalize())
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyHash(..)")
    }
}

impl fmt::Display for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.to_hex())
    }
}

impl FromStr for KeyHash {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        blake3::Hash::from_hex(text)
            .map(Self)
            .map_err(|_| InvalidValue::new("a hash (64 hexadecimal digits)"))
    }
}

/// SHA-256 of a client's certificate in DER.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Fingerprint([u8; 32]);

impl From<[u8; 32]> for Fingerprint {
    fn from(digest: [u8; 32]) -> Self {
        Self(digest)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&hex(&self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Fingerprint {
    type Err = InvalidValue;

    /// Accepts the form of `openssl x509 -fingerprint -sha256` too, with colons.
    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let digits: String = text.chars().filter(|digit| *digit != ':').collect();
        let digest = unhex(digits.to_ascii_lowercase().as_bytes()).map(Self);
        digest.ok_or(InvalidValue::new("the SHA-256 fingerprint of a certificate (64 hexadecimal digits)"))
    }
}

/// A key that was just made: the only place where its text is.
pub struct NewKey {
    /// Its identifier.
    pub id: KeyId,
    /// Its text, which is shown once.
    pub text: Zeroizing<String>,
}

impl NewKey {
    /// Makes a key.
    ///
    /// # Panics
    /// Panics if the operating system provides no entropy.
    #[must_use]
    pub fn generate() -> Self {
        let mut bytes = Zeroizing::new([0; ID_BYTES + SECRET_BYTES]);
        getrandom::fill(&mut *bytes).expect("the operating system provides entropy");
        let (id, secret) = bytes.split_at(ID_BYTES);
        let id = KeyId(id.try_into().expect("the length of an identifier"));
        let secret = Zeroizing::new(hex(secret));
        // With its whole length from the start, so that no shorter copy stays behind.
        let mut text = Zeroizing::new(String::with_capacity(PREFIX.len() + 2 * bytes.len() + 1));
        text.extend([PREFIX, &id.to_string(), "_", &secret]);
        Self { id, text }
    }

    pub(super) fn hash(&self) -> KeyHash {
        KeyHash::of(self.text.as_bytes())
    }
}

/// Returns the identifier in the text of a key, if it has the form of one.
pub(super) fn id_of(text: &[u8]) -> Option<KeyId> {
    let rest = text.strip_prefix(PREFIX.as_bytes())?;
    let (id, secret) = rest.split_at_checked(2 * ID_BYTES)?;
    let has_form = secret.len() == 1 + 2 * SECRET_BYTES && secret[0] == b'_';
    if has_form { unhex(id).map(KeyId) } else { None }
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(2 * bytes.len());
    text.extend(
        bytes
            .iter()
            .flat_map(|byte| [byte >> 4, byte & 15])
            .map(|digit| char::from(DIGITS[usize::from(digit)])),
    );
    text
}

/// Reads lower-case digits.
fn unhex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    if text.len() != 2 * N {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

as_text!(KeyId, KeyHash, Fingerprint);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_key_has_the_form_of_one() {
        let (one, other) = (NewKey::generate(), NewKey::generate());
        assert_ne!(*one.text, *other.text);
        assert_eq!(id_of(one.text.as_bytes()), Some(one.id));
        assert_eq!(one.hash(), KeyHash::of(one.text.as_bytes()));
        assert_eq!(one.text.len(), PREFIX.len() + 12 + 1 + 64);
        assert_eq!(one.id.to_string().parse(), Ok(one.id));
    }

    #[test]
    fn other_texts_have_no_identifier() {
        let key = NewKey::generate();
        let text = key.text.as_str();
        for wrong in
            ["", "snapback_", &text[1..], &text[..text.len() - 1], &text.to_uppercase(), "snapback_\u{e9}"]
        {
            assert_eq!(id_of(wrong.as_bytes()), None, "{wrong}");
        }
        let dash = text.replacen("_", "-", 2);
        assert_eq!(id_of(dash.as_bytes()), None);
    }

    #[test]
    fn a_fingerprint_reads_as_openssl_writes_it() {
        let colons = ["AB"; 32].join(":");
        assert_eq!(colons.parse::<Fingerprint>().expect("a fingerprint").to_string(), "ab".repeat(32));
        assert!("ab".parse::<Fingerprint>().is_err());
    }
}
