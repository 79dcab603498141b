//! Options of a call before its body, for methods whose request has a media type with the parameter `options=json`.
//!
//! ```text
//! magic: "\0opt" | length of the options: u32 | options: JSON, an object | body: the rest
//! ```
//!
//! A body that does not begin with the magic has no options, so that clients that need none send it as it is. The host
//! writes options when a request has query parameters or a `Content-Type`.

use crate::{DecodeError, wire::Reader};
use alloc::vec::Vec;

/// The first bytes of a body with options.
pub const MAGIC: [u8; 4] = *b"\0opt";
/// What the media type of a request ends with if its method takes options.
const PARAMETER: &str = "options=json";

/// Returns whether a method with requests of this media type takes options.
#[must_use]
pub fn are_taken(media_type: &str) -> bool {
    media_type.split(';').skip(1).any(|parameter| parameter.trim() == PARAMETER)
}

/// Encodes what comes before the body.
///
/// # Panics
/// Panics if the options have 4 GiB or more.
#[must_use]
pub fn encode(options: &[u8]) -> Vec<u8> {
    let len = u32::try_from(options.len()).expect("options are short");
    let mut head = Vec::with_capacity(MAGIC.len() + 4 + options.len());
    head.extend_from_slice(&MAGIC);
    head.extend_from_slice(&len.to_le_bytes());
    head.extend_from_slice(options);
    head
}

/// Returns the options, if there are any, and the body.
///
/// # Errors
/// Returns an error if the bytes end within the options.
pub fn decode(bytes: &[u8]) -> Result<(Option<&[u8]>, &[u8]), DecodeError> {
    let Some(rest) = bytes.strip_prefix(&MAGIC) else { return Ok((None, bytes)) };
    let mut reader = Reader(rest);
    let len = reader.u32("length of the options")?;
    let options = reader.bytes(len as usize, "options")?;
    Ok((Some(options), reader.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_was_encoded_is_decoded(options: Vec<u8>, body: Vec<u8>) {
            let bytes = [encode(&options), body.clone()].concat();
            prop_assert_eq!(decode(&bytes), Ok((Some(&options[..]), &body[..])));
            prop_assert!(decode(&bytes[..MAGIC.len() + options.len()]).is_err());
        }

        #[test]
        fn other_bytes_are_a_body(body: Vec<u8>) {
            prop_assume!(!body.starts_with(&MAGIC));
            prop_assert_eq!(decode(&body), Ok((None, &body[..])));
        }
    }

    #[test]
    fn a_parameter_says_that_options_are_taken() {
        for (media_type, taken) in [
            ("text/html; options=json", true),
            ("text/html;charset=utf-8; options=json", true),
            ("text/html", false),
            ("options=json", false),
            ("text/html; options=jsonp", false),
        ] {
            assert_eq!(are_taken(media_type), taken, "{media_type}");
        }
    }
}
