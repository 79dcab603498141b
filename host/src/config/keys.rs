//! Which keys there are, beside those of the table: keys of one image or method.
//!
//! Invariant: a key has one reading.

use super::{setting::Scope, settings::SETTINGS};

/// Splits a key that concerns one image: `image.NAME.KEY`.
pub(super) fn of_image(key: &str) -> Option<(&str, &str)> {
    // A name may hold dots, so the split is at the first dot after which a key of an image follows.
    let rest = key.strip_prefix("image.")?;
    rest.match_indices('.')
        .map(|(dot, _)| (&rest[..dot], &rest[dot + 1..]))
        .find(|(_, key)| is_policy_key(key))
}

/// Splits a key that concerns one method: `method.NAME.deadline` or `method.NAME.repeatable`.
pub(super) fn of_method(key: &str) -> Option<(&str, &str)> {
    let (method, what) = key.strip_prefix("method.")?.rsplit_once('.')?;
    (!method.is_empty() && ["deadline", "repeatable"].contains(&what)).then_some((method, what))
}

/// Whether a key can be set for one image.
pub(super) fn is_policy_key(key: &str) -> bool {
    of_method(key).is_some()
        || SETTINGS.iter().any(|setting| setting.scope == Scope::Image && setting.key == key)
}

/// Whether there is such a key.
pub(super) fn is_key(key: &str) -> bool {
    SETTINGS.iter().any(|setting| setting.key == key) || of_method(key).is_some() || of_image(key).is_some()
}
