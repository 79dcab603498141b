//! The binary container that the files of circom and snarkjs share: a magic word, a version, and numbered sections.
//!
//! ```text
//! magic: 4 bytes | version: u32 | sections: u32 | repeated: number: u32 | length: u64 | bytes
//! ```
//! Source: iden3's `r1csfile` and `snarkjs`, "binary file format". Everything is little-endian.
//!
//! Invariant: a read past the end is an error, and no length is used before its bytes are known to exist.

use crate::Error;
use ff::PrimeField;
use std::ops::{Add, Mul};

/// Length of a field element in bytes, for all primes but `goldilocks`.
pub const FIELD_BYTES: usize = 32;

/// An element of a prime field, which takes [`FIELD_BYTES`] bytes in circom's files.
pub trait Element: Copy + PartialEq + Add<Output = Self> + Mul<Output = Self> {
    /// Returns the prime, the lowest byte first.
    fn modulus() -> [u8; FIELD_BYTES];

    /// Returns the neutral element of addition.
    fn zero() -> Self;

    /// Returns the element that stands for a number, or `None` unless the number is below the prime.
    fn from_le(number: [u8; FIELD_BYTES]) -> Option<Self>;

    /// Returns the number that the element stands for.
    fn to_le(self) -> [u8; FIELD_BYTES];
}

impl<F: PrimeField<Repr = [u8; FIELD_BYTES]>> Element for F {
    fn modulus() -> [u8; FIELD_BYTES] {
        // A prime is odd, so the prime minus one is even, and adding one changes its lowest byte only.
        let mut repr = (-F::ONE).to_repr();
        repr[0] += 1;
        repr
    }

    fn zero() -> Self {
        F::ZERO
    }

    fn from_le(number: [u8; FIELD_BYTES]) -> Option<Self> {
        F::from_repr(number).into_option()
    }

    fn to_le(self) -> [u8; FIELD_BYTES] {
        self.to_repr()
    }
}

/// Largest number of sections in a file. Keys for FFLONK have 17.
pub const SECTIONS_MAX: u32 = 32;

/// Reads fields one after another.
pub struct Reader<'a> {
    rest: &'a [u8],
    format: &'static str,
}

impl<'a> Reader<'a> {
    /// Creates a reader that begins at the first byte of `rest`. Errors name the format.
    #[must_use]
    pub fn new(rest: &'a [u8], format: &'static str) -> Self {
        Self { rest, format }
    }

    /// Returns an error about this format.
    pub fn error(&self, reason: impl Into<String>) -> Error {
        Error::Malformed { format: self.format, reason: reason.into() }
    }

    /// Reads `len` bytes.
    ///
    /// # Errors
    /// Returns an error that names the field if the bytes end early.
    pub fn bytes(&mut self, len: u64, field: &str) -> Result<&'a [u8], Error> {
        let split = usize::try_from(len).ok().and_then(|len| self.rest.split_at_checked(len));
        let (head, tail) = split.ok_or_else(|| self.error(format!("it ends before its {field}")))?;
        self.rest = tail;
        Ok(head)
    }

    /// Reads an array of `N` bytes.
    ///
    /// # Errors
    /// Returns an error that names the field if the bytes end early.
    pub fn array<const N: usize>(&mut self, field: &str) -> Result<[u8; N], Error> {
        let bytes = self.bytes(N as u64, field)?;
        Ok(bytes.try_into().expect("as many bytes as were asked for"))
    }

    /// Reads a little-endian integer of 32 bits.
    ///
    /// # Errors
    /// Returns an error that names the field if the bytes end early.
    pub fn u32(&mut self, field: &str) -> Result<u32, Error> {
        self.array(field).map(u32::from_le_bytes)
    }

    /// Reads a little-endian integer of 64 bits.
    ///
    /// # Errors
    /// Returns an error that names the field if the bytes end early.
    pub fn u64(&mut self, field: &str) -> Result<u64, Error> {
        self.array(field).map(u64::from_le_bytes)
    }

    /// Reads a field element.
    ///
    /// # Errors
    /// Returns an error if the bytes end early or the number is not below the prime.
    pub fn element<F: Element>(&mut self, field: &str) -> Result<F, Error> {
        let repr = self.array(field)?;
        F::from_le(repr).ok_or_else(|| self.error(format!("its {field} is not below the prime")))
    }

    /// Returns the number of bytes that are left.
    #[must_use]
    pub fn left(&self) -> usize {
        self.rest.len()
    }

    /// Checks that no bytes are left.
    ///
    /// # Errors
    /// Returns an error if bytes are left.
    pub fn end(&self) -> Result<(), Error> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(self.error(format!("{} bytes follow its end", self.rest.len())))
        }
    }
}

/// The sections of a file, by number.
pub struct Sections<'a> {
    sections: Vec<(u32, &'a [u8])>,
    format: &'static str,
}

impl<'a> Sections<'a> {
    /// Splits a file into its sections.
    ///
    /// # Errors
    /// Returns an error if the file has another format or version, or has a section twice.
    pub fn read(bytes: &'a [u8], magic: [u8; 4], version: u32, format: &'static str) -> Result<Self, Error> {
        let mut reader = Reader::new(bytes, format);
        if reader.array("magic word")? != magic {
            return Err(reader.error("it begins with other bytes"));
        }
        let found = reader.u32("version")?;
        if found != version {
            return Err(Error::Unsupported(format!("it has version {found} of the format, not {version}")));
        }
        let count = reader.u32("number of sections")?;
        if count > SECTIONS_MAX {
            return Err(reader.error(format!("it has {count} sections, more than {SECTIONS_MAX}")));
        }
        let mut sections = Vec::new();
        for _ in 0..count {
            let number = reader.u32("section number")?;
            let len = reader.u64("section length")?;
            let bytes = reader.bytes(len, &format!("section {number}"))?;
            if sections.iter().any(|(other, _)| *other == number) {
                return Err(reader.error(format!("it has section {number} twice")));
            }
            sections.push((number, bytes));
        }
        reader.end()?;
        Ok(Self { sections, format })
    }

    /// Returns the section with this number, if the file has one.
    #[must_use]
    pub fn find(&self, number: u32) -> Option<Reader<'a>> {
        let found = self.sections.iter().find(|(found, _)| *found == number);
        found.map(|(_, bytes)| Reader::new(bytes, self.format))
    }

    /// Returns the section with this number.
    ///
    /// # Errors
    /// Returns an error if the file has no such section.
    pub fn get(&self, number: u32) -> Result<Reader<'a>, Error> {
        self.find(number).ok_or_else(|| Error::Malformed {
            format: self.format,
            reason: format!("it has no section {number}"),
        })
    }
}
