//! Media types of methods, which a guest declares in the custom section [`METHODS_SECTION`](crate::METHODS_SECTION).
//!
//! ```text
//! repeated: method, tab, media type of the request, tab, media type of the reply, newline
//! ```
//!
//! A method that is not listed takes and returns [`DEFAULT`].

use crate::DecodeError;

/// Media type of a body whose type the guest does not declare.
pub const DEFAULT: &str = "application/octet-stream";
/// Longest media type, in bytes.
pub const MEDIA_TYPE_LEN_MAX: usize = 127;

/// The media types of one method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MethodTypes<'a> {
    /// Name of the export.
    pub name: &'a str,
    /// Media type of the request's body.
    pub request: &'a str,
    /// Media type of the reply's body.
    pub reply: &'a str,
}

/// Decodes the section. Each item is the declaration of one method, or an error if the line does not follow the format.
pub fn decode(section: &[u8]) -> impl Iterator<Item = Result<MethodTypes<'_>, DecodeError>> {
    let lines = section.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| {
        let line = core::str::from_utf8(line).map_err(|_| DecodeError::OutOfRange("line"))?;
        let mut fields = line.split('\t');
        match (fields.next(), fields.next(), fields.next(), fields.next()) {
            (Some(name), Some(request), Some(reply), None)
                if is_media_type(request) && is_media_type(reply) =>
            {
                Ok(MethodTypes { name, request, reply })
            }
            _ => Err(DecodeError::OutOfRange("line")),
        }
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
        let section = b"prove\tapplication/json\ttext/plain; charset=utf-8\n\nverify\ta/b\tc/d\n";
        let read: Vec<MethodTypes<'_>> = decode(section).map(|line| line.expect("a line")).collect();
        assert_eq!(read[0].reply, "text/plain; charset=utf-8");
        assert_eq!((read[1].name, read.len()), ("verify", 2));
        for bad in
            ["prove", "prove\ta/b", "prove\ta/b\tc/d\te/f", "prove\ta\tc/d", "prove\ta/b\tc/d\r", "p\t/\ta/b"]
        {
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
