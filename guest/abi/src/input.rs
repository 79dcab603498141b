//! A piece of a bake input. Inputs are fed in pieces, so that a large file leaves no hole in the image.
//!
//! ```text
//! offset: u64 | total: u64 | bytes: the rest
//! ```
//!
//! The host feeds the pieces of one input in order, without gaps, and the last one ends at `total`.

use crate::{DecodeError, wire::Reader};
use alloc::vec::Vec;

/// Length of the header before the bytes of the piece, in bytes.
pub const HEADER_LEN: usize = 16;

/// One piece of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece<'a> {
    /// Offset of the piece in the input, in bytes.
    pub offset: u64,
    /// Length of the whole input in bytes.
    pub total: u64,
    /// Bytes of the piece.
    pub bytes: &'a [u8],
}

impl<'a> Piece<'a> {
    /// Encodes the piece.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER_LEN + self.bytes.len());
        out.extend_from_slice(&self.offset.to_le_bytes());
        out.extend_from_slice(&self.total.to_le_bytes());
        out.extend_from_slice(self.bytes);
        out
    }

    /// Decodes a piece.
    ///
    /// # Errors
    /// Returns an error if the bytes end early, or the piece would reach beyond the end of the input.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader(bytes);
        let (offset, total) = (reader.u64("offset")?, reader.u64("total")?);
        let end = offset.checked_add(reader.0.len() as u64).ok_or(DecodeError::OutOfRange("offset"))?;
        if end > total {
            return Err(DecodeError::TrailingBytes);
        }
        Ok(Self { offset, total, bytes: reader.0 })
    }

    /// Returns whether this is the last piece of the input.
    #[must_use]
    pub fn is_last(&self) -> bool {
        self.offset + self.bytes.len() as u64 == self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_was_written_is_read(offset in 0u64..1 << 40, rest in 0u64..1 << 20, bytes: Vec<u8>) {
            let piece = Piece { offset, total: offset + bytes.len() as u64 + rest, bytes: &bytes };
            let encoded = piece.encode();
            prop_assert_eq!(Piece::decode(&encoded), Ok(piece));
            prop_assert_eq!(piece.is_last(), rest == 0);
        }

        #[test]
        fn any_bytes_decode_within_their_total_or_not_at_all(bytes: Vec<u8>) {
            if let Ok(piece) = Piece::decode(&bytes) {
                prop_assert!(piece.offset + piece.bytes.len() as u64 <= piece.total);
            }
        }
    }
}
