//! The binary container that circom's files share: a magic word, a version, and numbered sections.
//!
//! ```text
//! magic: 4 bytes | version: u32 | sections: u32 | repeated: number: u32 | length: u64 | bytes
//! ```
//! Source: iden3's `r1csfile` and `snarkjs`, "binary file format". Everything is little-endian.
//!
//! Invariant: a read past the end is an error, and no length is believed before the bytes are there.

use crate::Error;
use ff::PrimeField;

/// Bytes of a field element: both sides of Pasta have 255 bits.
pub(crate) const FIELD_BYTES: usize = 32;

/// No format here has more sections.
const SECTIONS_MAX: u32 = 16;

/// Reads fields one after the other.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    format: &'static str,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(rest: &'a [u8], format: &'static str) -> Self {
        Self { rest, format }
    }

    pub(crate) fn error(&self, reason: impl Into<String>) -> Error {
        Error::Malformed { format: self.format, reason: reason.into() }
    }

    pub(crate) fn bytes(&mut self, len: u64, field: &str) -> Result<&'a [u8], Error> {
        let split = usize::try_from(len).ok().and_then(|len| self.rest.split_at_checked(len));
        let (head, tail) = split.ok_or_else(|| self.error(format!("it ends before its {field}")))?;
        self.rest = tail;
        Ok(head)
    }

    pub(crate) fn array<const N: usize>(&mut self, field: &str) -> Result<[u8; N], Error> {
        let bytes = self.bytes(N as u64, field)?;
        Ok(bytes.try_into().expect("as many as were asked for"))
    }

    pub(crate) fn u32(&mut self, field: &str) -> Result<u32, Error> {
        self.array(field).map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self, field: &str) -> Result<u64, Error> {
        self.array(field).map(u64::from_le_bytes)
    }

    pub(crate) fn element<F: PrimeField<Repr = [u8; FIELD_BYTES]>>(
        &mut self,
        field: &str,
    ) -> Result<F, Error> {
        let repr = self.array(field)?;
        F::from_repr(repr)
            .into_option()
            .ok_or_else(|| self.error(format!("its {field} is not below the prime")))
    }

    pub(crate) fn left(&self) -> usize {
        self.rest.len()
    }

    pub(crate) fn end(&self) -> Result<(), Error> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(self.error(format!("{} bytes follow its end", self.rest.len())))
        }
    }
}

/// The sections of a file, by number.
pub(crate) struct Sections<'a> {
    sections: Vec<(u32, &'a [u8])>,
    format: &'static str,
}

impl<'a> Sections<'a> {
    pub(crate) fn read(
        bytes: &'a [u8],
        magic: [u8; 4],
        version: u32,
        format: &'static str,
    ) -> Result<Self, Error> {
        let mut reader = Reader::new(bytes, format);
        if reader.array("magic word")? != magic {
            return Err(reader.error("it begins with other bytes"));
        }
        let found = reader.u32("version")?;
        if found != version {
            return Err(Error::Unsupported(format!("version {found} of this format, {version} is read")));
        }
        let count = reader.u32("number of sections")?;
        if count > SECTIONS_MAX {
            return Err(reader.error(format!("it has {count} sections")));
        }
        let mut sections = Vec::new();
        for _ in 0..count {
            let number = reader.u32("section number")?;
            let len = reader.u64("section length")?;
            let bytes = reader.bytes(len, &format!("section {number}"))?;
            if sections.iter().any(|(other, _)| *other == number) {
                return Err(reader.error(format!("section {number} comes twice")));
            }
            sections.push((number, bytes));
        }
        reader.end()?;
        Ok(Self { sections, format })
    }

    pub(crate) fn find(&self, number: u32) -> Option<Reader<'a>> {
        let found = self.sections.iter().find(|(found, _)| *found == number);
        found.map(|(_, bytes)| Reader::new(bytes, self.format))
    }

    pub(crate) fn get(&self, number: u32) -> Result<Reader<'a>, Error> {
        self.find(number).ok_or_else(|| Error::Malformed {
            format: self.format,
            reason: format!("it has no section {number}"),
        })
    }
}
