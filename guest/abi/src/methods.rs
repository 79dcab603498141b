//! Declarations of methods, which a guest makes in the custom section [`METHODS_SECTION`](crate::METHODS_SECTION).
//!
//! ```text
//! repeated: method, tab, media type of the request, tab, media type of the reply, newline
//! or:       the same, with a tab and the word `pure` before the newline
//! ```
//!
//! A method that is not listed takes and returns [`DEFAULT`], and is not pure. The reply of a pure method depends on the
//! circuit and the body of its request alone: not on randomness, on time or on earlier calls. The host may answer a
//! request with the reply to another one that was equal.

use crate::DecodeError;

/// Media type of a body whose type the guest does not declare.
pub const DEFAULT: &str = "application/octet-stream";
/// Longest media type, in bytes.
pub const MEDIA_TYPE_LEN_MAX: usize = 127;
/// What the line of a pure method ends with.
const PURE: &str = "pure";

/// The declaration of one method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MethodTypes<'a> {
    /// Name of the export.
    pub name: &'a str,
    /// Media type of the request's body.
    pub request: &'a str,
    /// Media type of the reply's body.
    pub reply: &'a str,
    /// Whether equal requests have equal replies.
    pub is_pure: bool,
}

/// Decodes the section. Each item is the declaration of one method, or an error if the line does not follow the format.
pub fn decode(section: &[u8]) -> impl Iterator<Item = Result<MethodTypes<'_>, DecodeError>> {
    let lines = section.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| {
        let line = core::str::from_utf8(line).map_err(|_| DecodeError::OutOfRange("line"))?;
        let mut fields = line.split('\t');
        let (Some(name), Some(request), Some(reply)) = (fields.next(), fields.next(), fields.next()) else {
            return Err(DecodeError::OutOfRange("line"));
        };
        let is_pure = match (fields.next(), fields.next()) {
            (None, _) => false,
            (Some(PURE), None) => true,
            _ => return Err(DecodeError::OutOfRange("line")),
        };
        if !is_media_type(request) || !is_media_type(reply) {
            return Err(DecodeError::OutOfRange("line"));
        }
        Ok(MethodTypes { name, request, reply, is_pure })
    })
}

/// Returns whether a text can be the value of a `Content-Type` header: `type/subtype`, possibly with parameters.
#[must_use]
pub fn is_media_type(text: &str) -> bool {
    let is_plain = text.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\');
    let halves = text.split_once('/');
    text.len() <= MEDIA_TYPE_LEN_MAX
        && is_plain
        && halves.is_some_and(|(a, b)| !a.is_empty() && !b.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::{string::String, vec::Vec};
    use proptest::prelude::*;

    #[test]
    fn lines_are_read_and_anything_else_is_refused() {
        let section = b"prove\tapplication/json\ttext/plain; charset=utf-8\n\nverify\ta/b\tc/d\tpure\n";
        let read: Vec<MethodTypes<'_>> = decode(section).map(|line| line.expect("a line")).collect();
        assert_eq!(read[0].reply, "text/plain; charset=utf-8");
        assert_eq!((read[1].name, read.len()), ("verify", 2));
        assert_eq!((read[0].is_pure, read[1].is_pure), (false, true), "unless it says so, it is not pure");
        for bad in [
            "prove",
            "prove\ta/b",
            "prove\ta/b\tc/d\te/f",
            "prove\ta/b\tc/d\tpure\tpure",
            "prove\ta/b\tc/d\t",
            "prove\ta\tc/d",
            "prove\ta/b\tc/d\r",
            "p\t/\ta/b",
        ] {
            assert!(decode(bad.as_bytes()).any(|line| line.is_err()), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn any_section_is_read_or_refused(section: Vec<u8>, text: String) {
            let _ = decode(&section).count();
            let _ = decode(text.as_bytes()).count();
        }
    }
}
