//! The guest of `guest/extract` with two leaks that parsers have, for measurements: strings that are interned for ever,
//! and trees that are cached for ever.
//!
//! It links that guest and so has all of its methods, which do not leak, and one more: `leak_extract` is `extract` with
//! the leaks. The guest that is shipped has no code for it.
//!
//! Invariant: the replies of `leak_extract` are those of `extract`, byte for byte.

use dom_query::Document;
use snapback_abi::{guest::Answer, request::Request};
use snapback_guest_extract::guest::extract_document;
use std::{
    collections::HashSet,
    hash::{BuildHasherDefault, DefaultHasher},
    mem,
    sync::{Mutex, PoisonError},
};

/// Each word that any document had, once.
type Words = HashSet<Box<str>, BuildHasherDefault<DefaultHasher>>;

static INTERNED: Mutex<Words> = Mutex::new(Words::with_hasher(BuildHasherDefault::new()));

/// Returns what `extract` returns, and keeps the words and the tree of the document.
///
/// # Errors
/// Returns the failures of `extract`.
pub fn leak_extract(request: Request<'_>) -> Answer {
    let reply = extract_document(request)?;
    let text = String::from_utf8_lossy(request.body);
    let mut interned = INTERNED.lock().unwrap_or_else(PoisonError::into_inner);
    for word in text.split_ascii_whitespace() {
        if !interned.contains(word) {
            interned.insert(word.into());
        }
    }
    // The bounds of `extract` hold for this tree too, which is that of the same document.
    mem::forget(Document::from(&*text));
    Ok(reply)
}

#[cfg(target_arch = "wasm32")]
#[expect(unsafe_code, reason = "exports have the names of the contract")]
mod exports {
    #[unsafe(no_mangle)]
    extern "C" fn leak_extract(ptr: usize, len: u32) -> u64 {
        snapback_abi::guest::call(ptr, len, super::leak_extract)
    }
}
