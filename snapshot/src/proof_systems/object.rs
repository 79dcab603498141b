//! Objects in JSON.
//!
//! Invariant: what is read as a structure was an object. Serde alone would take a list of its fields too.

use serde::{Deserialize, de::Error as _};

/// Reads an object.
///
/// # Errors
/// Returns an error if the text is not JSON, or not an object with the fields of `T`.
pub(super) fn read<'a, T: Deserialize<'a>>(text: &'a [u8]) -> serde_json::Result<T> {
    if text.trim_ascii_start().first() == Some(&b'{') {
        serde_json::from_slice(text)
    } else {
        Err(serde_json::Error::custom("an object is expected"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_fields_is_no_object() {
        #[derive(Deserialize)]
        struct One {
            field: u8,
        }
        let field = |text: &str| read::<One>(text.as_bytes()).ok().map(|one| one.field);
        assert_eq!(field(" \n{\"field\": 7}"), Some(7));
        for text in ["[7]", "7", "", "{\"field\": 7", "{}"] {
            assert_eq!(field(text), None, "{text}");
        }
    }
}
