//! Guesses the language of a text.
//!
//! Invariant: the guess depends on the first [`LANGUAGE_SAMPLE_BYTES`] of the text only, so that its cost is bounded, and it
//! is the same natively and in WebAssembly.

use crate::{limits::LANGUAGE_SAMPLE_BYTES, page::start, reply::Language};

/// Returns the language of a text, if it has letters of one, and is not as likely to be in another one.
pub(crate) fn detect(text: &str) -> Option<Language> {
    let info = whatlang::detect(start(text, LANGUAGE_SAMPLE_BYTES))?;
    // Which of several languages with the same score comes first is up to an unstable sort, whose order depends on the
    // width of pointers.
    if info.confidence() <= 0.0 {
        return None;
    }
    Some(Language {
        code: info.lang().code(),
        name: info.lang().eng_name(),
        confidence: info.confidence(),
        reliable: info.is_reliable(),
    })
}

#[cfg(test)]
mod tests {
    use super::detect;

    #[test]
    fn a_text_that_could_as_well_be_in_another_language_has_none() {
        assert_eq!(detect("\u{cf}A\u{bf}t\u{c0}").map(|language| language.code), None);
        let english = "The memory of an instance grows while it works, and nothing that it has once taken is ever given back.";
        assert_eq!(detect(english).map(|language| language.code), Some("eng"));
    }
}
