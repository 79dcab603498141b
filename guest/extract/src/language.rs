//! Guesses the language of a text.
//!
//! Invariant: the guess depends on the first [`LANGUAGE_SAMPLE_BYTES`] of the text only, so that its cost is bounded.

use crate::{limits::LANGUAGE_SAMPLE_BYTES, page::start, reply::Language};

/// Returns the language of a text, if it has letters of one.
pub(crate) fn detect(text: &str) -> Option<Language> {
    let info = whatlang::detect(start(text, LANGUAGE_SAMPLE_BYTES))?;
    Some(Language {
        code: info.lang().code(),
        name: info.lang().eng_name(),
        confidence: info.confidence(),
        reliable: info.is_reliable(),
    })
}
