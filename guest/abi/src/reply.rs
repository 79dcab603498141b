//! The reply, which is one tag byte and a body, and the pair of pointer and length that a method returns.

use crate::{DecodeError, wire::Reader};

/// How a call ended, as the guest sees it. The body of every tag but `Ok` is a UTF-8 message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Tag {
    /// The body is the method's result.
    Ok = 0,
    /// The input does not follow the format that the method reads, or ends early.
    Malformed = 1,
    /// The input is well formed, but this guest cannot do what it asks.
    Unsupported = 2,
    /// The image holds no circuit of that name.
    UnknownCircuit = 3,
    /// The input is well formed and already complete.
    NothingToProve = 4,
    /// A proof, or a witness, does not satisfy its statement.
    Refuted = 5,
    /// The guest failed at its own work, such as a proof of its own that does not verify.
    Internal = 6,
}

impl Tag {
    /// Every tag, in the order of its byte.
    pub const ALL: [Self; 7] = [
        Self::Ok,
        Self::Malformed,
        Self::Unsupported,
        Self::UnknownCircuit,
        Self::NothingToProve,
        Self::Refuted,
        Self::Internal,
    ];
}

impl TryFrom<u8> for Tag {
    type Error = DecodeError;

    fn try_from(byte: u8) -> Result<Self, DecodeError> {
        Self::ALL.get(usize::from(byte)).copied().ok_or(DecodeError::OutOfRange("tag"))
    }
}

/// Splits a reply into its tag and body.
///
/// # Errors
/// Returns an error if the reply is empty, or its first byte is not a [`Tag`].
pub fn decode(bytes: &[u8]) -> Result<(Tag, &[u8]), DecodeError> {
    let mut reader = Reader(bytes);
    let [tag] = reader.array("tag")?;
    Ok((tag.try_into()?, reader.0))
}

/// Location of a reply in the memory of the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Address of the first byte.
    pub ptr: u32,
    /// Length in bytes.
    pub len: u32,
}

impl Span {
    /// Packs the span as a method returns it: the pointer in the upper 32 bits, the length in the lower 32 bits.
    #[must_use]
    pub const fn pack(self) -> u64 {
        (self.ptr as u64) << 32 | self.len as u64
    }

    /// Unpacks a span; the inverse of [`Span::pack`].
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "each part is 32 bits wide")]
    pub const fn unpack(packed: u64) -> Self {
        Self { ptr: (packed >> 32) as u32, len: packed as u32 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn spans_survive_packing(ptr: u32, len: u32) {
            prop_assert_eq!(Span::unpack(Span { ptr, len }.pack()), Span { ptr, len });
        }

        #[test]
        fn a_reply_is_its_tag_and_the_rest(bytes: Vec<u8>) {
            match decode(&bytes) {
                Ok((tag, body)) => {
                    prop_assert_eq!(tag as u8, bytes[0]);
                    prop_assert_eq!(body, &bytes[1..]);
                }
                Err(_) => prop_assert!(bytes.first().is_none_or(|byte| usize::from(*byte) >= Tag::ALL.len())),
            }
        }
    }
}
