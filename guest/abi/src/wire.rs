//! Reads little-endian fields from bytes whose lengths may be wrong.
//!
//! Invariant: a read past the end is an error; the cursor never moves beyond its input.

use core::fmt;

/// Why an encoding of the contract cannot be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// The bytes end before the field that is named here.
    Truncated(&'static str),
    /// The field is not UTF-8.
    NotUtf8(&'static str),
    /// The field has a value outside its range.
    OutOfRange(&'static str),
    /// Bytes follow the last field.
    TrailingBytes,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated(field) => write!(f, "ends before its {field}"),
            Self::NotUtf8(field) => write!(f, "has a {field} that is not UTF-8"),
            Self::OutOfRange(field) => write!(f, "has a {field} out of range"),
            Self::TrailingBytes => f.write_str("continues after its last field"),
        }
    }
}

impl core::error::Error for DecodeError {}

/// Reads fields one after another. Errors name the field.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn bytes(&mut self, len: usize, field: &'static str) -> Result<&'a [u8], DecodeError> {
        let (head, tail) = self.0.split_at_checked(len).ok_or(DecodeError::Truncated(field))?;
        self.0 = tail;
        Ok(head)
    }

    pub(crate) fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], DecodeError> {
        self.array_ref(field).copied()
    }

    pub(crate) fn array_ref<const N: usize>(
        &mut self,
        field: &'static str,
    ) -> Result<&'a [u8; N], DecodeError> {
        let (head, tail) = self.0.split_first_chunk().ok_or(DecodeError::Truncated(field))?;
        self.0 = tail;
        Ok(head)
    }

    pub(crate) fn u16(&mut self, field: &'static str) -> Result<u16, DecodeError> {
        self.array(field).map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self, field: &'static str) -> Result<u32, DecodeError> {
        self.array(field).map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self, field: &'static str) -> Result<u64, DecodeError> {
        self.array(field).map(u64::from_le_bytes)
    }

    pub(crate) fn str(&mut self, len: usize, field: &'static str) -> Result<&'a str, DecodeError> {
        core::str::from_utf8(self.bytes(len, field)?).map_err(|_| DecodeError::NotUtf8(field))
    }
}
