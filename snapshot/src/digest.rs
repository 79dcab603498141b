//! Digests that name bytes: SHA-256 for guests, inputs and images, which people pin, and BLAKE3 for native code, which
//! is large and hashed at a start or beside it.
//!
//! Invariant: a file is hashed through the descriptor that is used afterwards, never through its path.

use serde::{Deserialize, Serialize, de};
use sha2::Digest as _;
use std::{fmt, fs::File, io, os::unix::fs::FileExt, str::FromStr};

/// A SHA-256 digest. As text it has 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest([u8; 32]);

/// The text is not 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a digest is 64 hexadecimal digits")]
pub struct NotADigest;

impl Digest {
    /// Returns the bytes of the digest.
    #[must_use]
    pub const fn into_bytes(self) -> [u8; 32] {
        self.0
    }

    /// Wraps the bytes of a digest that was computed elsewhere.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Hashes bytes in memory.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(sha2::Sha256::digest(bytes).into())
    }

    /// Hashes an open file from its beginning, regardless of its cursor.
    ///
    /// # Errors
    /// Returns an error if the file cannot be read.
    pub fn of_file(file: &File) -> io::Result<Self> {
        let mut hasher = Hasher::default();
        read_in_pieces(file, |piece| hasher.update(piece))?;
        Ok(hasher.digest())
    }
}

/// Hashes bytes that come in pieces.
#[derive(Clone, Default)]
pub struct Hasher(sha2::Sha256);

impl Hasher {
    /// Hashes the next piece.
    pub fn update(&mut self, piece: &[u8]) {
        self.0.update(piece);
    }

    /// Returns the digest of all pieces.
    #[must_use]
    pub fn digest(self) -> Digest {
        Digest(self.0.finalize().into())
    }
}

/// A BLAKE3 digest of native code and of the identity of its image, under a key of this user. Without the key, nobody
/// can make such a digest or use the digest of one image for another.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct NativeDigest(blake3::Hash);

impl NativeDigest {
    /// Hashes bytes in memory.
    pub(crate) fn of(key: &[u8; 32], of_what: &str, bytes: &[u8]) -> Self {
        Self(Self::hasher(key, of_what).update(bytes).finalize())
    }

    /// Hashes an open file from its beginning, regardless of its cursor.
    pub(crate) fn of_file(key: &[u8; 32], of_what: &str, file: &File) -> io::Result<Self> {
        let mut hash = Self::hasher(key, of_what);
        read_in_pieces(file, |piece| {
            hash.update(piece);
        })?;
        Ok(Self(hash.finalize()))
    }

    fn hasher(key: &[u8; 32], of_what: &str) -> blake3::Hasher {
        let mut hash = blake3::Hasher::new_keyed(key);
        // The length comes first, so that the text cannot run into the bytes that follow it.
        hash.update(&(of_what.len() as u64).to_le_bytes()).update(of_what.as_bytes());
        hash
    }
}

/// Reads a file in pieces that fit the second-level cache. The buffer is the only memory that is touched.
fn read_in_pieces(file: &File, mut piece: impl FnMut(&[u8])) -> io::Result<()> {
    const PIECE: usize = 256 * 1024;
    const CACHE_LINE: usize = 64;
    let mut buffer = vec![0; PIECE + CACHE_LINE];
    // Where the buffer begins within a cache line, the kernel takes half as long again to fill it.
    let begin = buffer.as_ptr().align_offset(CACHE_LINE).min(CACHE_LINE);
    let buffer = &mut buffer[begin..begin + PIECE];
    let mut offset = 0;
    loop {
        match file.read_at(buffer, offset) {
            Ok(0) => return Ok(()),
            Ok(len) => {
                piece(&buffer[..len]);
                offset += len as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn write_hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

fn read_hex(text: &str) -> Result<[u8; 32], NotADigest> {
    let mut bytes = [0; 32];
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return Err(NotADigest) };
    if pairs.len() != bytes.len() {
        return Err(NotADigest);
    }
    for (byte, pair) in bytes.iter_mut().zip(pairs) {
        let digit = |c: u8| char::from(c).to_digit(16).ok_or(NotADigest);
        *byte = u8::try_from(digit(pair[0])? << 4 | digit(pair[1])?).map_err(|_| NotADigest)?;
    }
    Ok(bytes)
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.0, f)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = NotADigest;

    fn from_str(text: &str) -> Result<Self, NotADigest> {
        read_hex(text).map(Self)
    }
}

impl Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl Serialize for NativeDigest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.to_hex())
    }
}

impl<'de> Deserialize<'de> for NativeDigest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        read_hex(&text).map(|bytes| Self(bytes.into())).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write;

    proptest! {
        #[test]
        fn text_and_bytes_agree(bytes: [u8; 32]) {
            let digest = Digest::from_bytes(bytes);
            prop_assert_eq!(digest.to_string().parse(), Ok(digest));
        }

        #[test]
        fn any_text_is_a_digest_or_an_error(text in "[0-9a-gé]{0,70}") {
            let digest = text.parse::<Digest>();
            prop_assert_eq!(digest.is_ok(), text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit()));
        }
    }

    #[test]
    fn a_file_has_the_digest_of_its_bytes() {
        let bytes: Vec<u8> = (0..700_000u32).map(|i| (i % 251) as u8).collect();
        let mut file = tempfile::tempfile().expect("a temporary file");
        file.write_all(&bytes).expect("written");
        assert_eq!(Digest::of_file(&file).expect("readable"), Digest::of(&bytes));
        let (key, other) = ([1; 32], [2; 32]);
        let found = NativeDigest::of_file(&key, "a", &file).expect("readable");
        assert!(found == NativeDigest::of(&key, "a", &bytes));
        assert!(found != NativeDigest::of(&key, "b", &bytes));
        assert!(found != NativeDigest::of(&other, "a", &bytes));
    }
}
