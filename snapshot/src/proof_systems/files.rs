//! The files that a circuit consists of, by kind.
//!
//! Invariant: a kind is a short plain word, since it names parts of uploads and entries of catalogues.

use super::CircuitError;
use crate::Mapped;
use serde::{Deserialize, Deserializer, Serialize, de};
use std::{borrow::Cow, collections::BTreeMap, fmt, ops::Deref};

/// Longest kind, in bytes.
const KIND_LEN_MAX: usize = 16;

/// A kind of file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct FileKind(Cow<'static, str>);

impl FileKind {
    /// `.r1cs`: the constraints.
    pub const R1CS: Self = Self::new("r1cs");
    /// `.sym`: the names of the signals.
    pub const SYM: Self = Self::new("sym");
    /// `.zkey`: a proving key of snarkjs, with the coefficients of the constraints.
    pub const ZKEY: Self = Self::new("zkey");
    /// `.wasm`: the witness calculator. The host runs it; the guest never sees it.
    pub const WASM: Self = Self::new("wasm");

    /// Creates a kind that a proof system defines.
    ///
    /// # Panics
    /// Panics if the word is empty, longer than 16 bytes, or has characters other than `a-z`, `0-9`, `-` and `_`.
    #[must_use]
    pub const fn new(kind: &'static str) -> Self {
        assert!(is_kind(kind.as_bytes()), "a kind of file is a short plain word");
        Self(Cow::Borrowed(kind))
    }

    /// Returns the kind as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

const fn is_kind(kind: &[u8]) -> bool {
    let mut index = 0;
    while index < kind.len() {
        if !matches!(kind[index], b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_') {
            return false;
        }
        index += 1;
    }
    index > 0 && index <= KIND_LEN_MAX
}

impl fmt::Display for FileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for FileKind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let kind = String::deserialize(deserializer)?;
        if is_kind(kind.as_bytes()) {
            Ok(Self(Cow::Owned(kind)))
        } else {
            Err(de::Error::custom("not a kind of file"))
        }
    }
}

/// Whether a circuit needs a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// A circuit cannot be added without it.
    Needed,
    /// A circuit can be added without it.
    Optional,
}

/// One kind of file that circuits of a proof system consist of.
#[derive(Clone, Debug)]
pub struct FileSpec {
    /// The kind of file.
    pub kind: FileKind,
    /// Whether a circuit needs it.
    pub presence: Presence,
    /// The bake input that carries the file into the image, as `INPUT/NAME`; `None` for files that the host keeps.
    pub input: Option<&'static str>,
}

/// Returns the kind of this name among those of a proof system.
///
/// # Errors
/// Returns an error that lists the kinds if there is none of this name.
pub fn find_spec<'a>(specs: &'a [FileSpec], name: &str) -> Result<&'a FileSpec, CircuitError> {
    specs.iter().find(|spec| spec.kind.as_str() == name).ok_or_else(|| {
        let known: Vec<&str> = specs.iter().map(|spec| spec.kind.as_str()).collect();
        CircuitError::Malformed(format!("no part is called `{name}`; there are {}", known.join(", ")))
    })
}

/// The bytes of one file.
pub enum FileBytes {
    /// Read into memory.
    Read(Vec<u8>),
    /// Mapped from a disk.
    Mapped(Mapped),
}

impl From<Vec<u8>> for FileBytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Read(bytes)
    }
}

impl From<Mapped> for FileBytes {
    fn from(mapped: Mapped) -> Self {
        Self::Mapped(mapped)
    }
}

impl Deref for FileBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Read(bytes) => bytes,
            Self::Mapped(mapped) => mapped,
        }
    }
}

/// The files of one circuit.
#[derive(Default)]
pub struct CircuitFiles(BTreeMap<FileKind, FileBytes>);

impl CircuitFiles {
    /// Adds a file, in place of any earlier one of its kind. Returns whether it is the first of its kind.
    pub fn insert(&mut self, kind: FileKind, bytes: impl Into<FileBytes>) -> bool {
        self.0.insert(kind, bytes.into()).is_none()
    }

    /// Returns the file of this kind, if the circuit has one.
    #[must_use]
    pub fn get(&self, kind: &FileKind) -> Option<&[u8]> {
        self.0.get(kind).map(|bytes| &**bytes)
    }

    /// Returns the file of this kind.
    ///
    /// # Errors
    /// Returns an error that names the kind if the circuit has no such file.
    pub fn needed(&self, kind: &FileKind) -> Result<&[u8], CircuitError> {
        self.get(kind).ok_or_else(|| CircuitError::Malformed(format!("the part `{kind}` is missing")))
    }

    /// Returns every file with its kind, in the order of the kinds.
    pub fn iter(&self) -> impl Iterator<Item = (&FileKind, &[u8])> {
        self.0.iter().map(|(kind, bytes)| (kind, &**bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_short_plain_words() {
        let read = |text: &str| serde_json::from_str::<FileKind>(&format!("{text:?}")).ok();
        assert_eq!(read("r1cs"), Some(FileKind::R1CS));
        for text in ["", "../etc", "R1CS", "a.b", "seventeen-letters"] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
