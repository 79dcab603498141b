//! Text of a server, as a terminal may show it.
//!
//! Invariant: no character of a `Clean` moves a cursor, begins an escape sequence, is invisible or turns the direction of
//! writing, and none is longer than [`CHARS_MAX`]. What is deserialised is cleaned on the way.

use serde::{Deserialize, Deserializer, Serialize};
use std::fmt;

/// Longest text that is kept, in characters. Names and messages of a server are shorter.
const CHARS_MAX: usize = 400;

/// Text without characters that a terminal would interpret.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(super) struct Clean(String);

/// Whether a terminal shows the character as itself.
fn is_shown(c: char) -> bool {
    let is_invisible = matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff0}'..='\u{fffb}' | '\u{fe00}'..='\u{fe0f}'
        | '\u{e0000}'..='\u{e0fff}');
    !c.is_control() && !is_invisible
}

impl Clean {
    pub(super) fn new(text: &str) -> Self {
        Self(text.chars().take(CHARS_MAX).map(|c| if is_shown(c) { c } else { '\u{fffd}' }).collect())
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first characters of a digest.
    pub(super) fn short(&self) -> String {
        self.0.chars().take(10).collect()
    }
}

impl fmt::Display for Clean {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Clean {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self::new(&text))
    }
}

/// The value of a setting: a number, or text.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub(super) enum Value {
    Number(serde_json::Number),
    Text(Clean),
}

impl Value {
    pub(super) fn as_u64(&self) -> Option<u64> {
        match self {
            Self::Number(number) => number.as_u64(),
            Self::Text(_) => None,
        }
    }

    /// The share that a text such as `70%` is, from 0 to 1.
    pub(super) fn share(&self) -> Option<f64> {
        match self {
            Self::Number(_) => None,
            Self::Text(text) => {
                let percent: f64 = text.as_str().strip_suffix('%')?.trim().parse().ok()?;
                Some((percent / 100.0).clamp(0.0, 1.0))
            }
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => text.fmt(f),
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::Number(number) => Self::Number(number),
            serde_json::Value::String(text) => Self::Text(Clean::new(&text)),
            serde_json::Value::Null => Self::Text(Clean::new("not set")),
            other => Self::Text(Clean::new(&other.to_string())),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_a_terminal_interprets_is_replaced() {
        for hostile in ["\u{1b}[2J", "\u{9b}2J", "\u{7f}", "a\rb\nc\td\u{8}", "\u{202e}", "\u{200b}\u{e0041}"]
        {
            let json = serde_json::to_string(hostile).expect("text");
            for clean in [Clean::new(hostile), serde_json::from_str(&json).expect("text")] {
                assert!(clean.as_str().chars().all(is_shown), "{clean:?}");
                assert!(clean.as_str().contains('\u{fffd}'));
            }
        }
        assert_eq!(Clean::new("Zcash – größe 日本").as_str(), "Zcash – größe 日本");
        assert_eq!(Clean::new(&"x".repeat(9999)).as_str().len(), CHARS_MAX);
    }

    #[test]
    fn values_of_settings_are_numbers_or_clean_text() {
        let of = |json: &str| serde_json::from_str::<Value>(json).expect("any JSON");
        assert_eq!((of("17").as_u64(), of("17").to_string()), (Some(17), "17".into()));
        assert_eq!((of(r#""70%""#).share(), of(r#""off""#).share()), (Some(0.7), None));
        assert_eq!(of("null").to_string(), "not set");
        assert_eq!(of(r#"["\u001b[31m"]"#).to_string(), r#"["\u001b[31m"]"#, "escaped as JSON has it");
        assert_eq!(of(r#""\u001b[31m""#).to_string(), "\u{fffd}[31m");
    }

    proptest! {
        #[test]
        fn no_text_has_anything_else(text in "\\PC{0,20}.{0,20}\\p{Cc}{0,4}\\p{Cf}{0,4}") {
            prop_assert!(Clean::new(&text).as_str().chars().all(is_shown));
        }
    }
}
