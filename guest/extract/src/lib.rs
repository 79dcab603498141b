//! Extracts text from untrusted HTML: clean content, metadata and links, for search indexes and retrieval.
//!
//! ```text
//! envelope     the document and its options       encoding     bytes to text
//! parse        text to a tree                     filter, sink     the bounds of a tree
//! page         head, links and images             address      resolves addresses
//! content      main content, Markdown, text       json_ld      what a page says about its article
//! language     guesses the language               extract      the methods
//! reply        the replies                        guest        the methods of the guest
//! limits, error    the bounds, and why a document is refused
//! ```
//!
//! Invariant: every input gives a reply or an [`Error`], in time and memory that [`limits`] bounds.

mod address;
mod content;
mod encoding;
pub mod envelope;
mod error;
pub mod extract;
mod filter;
pub mod guest;
mod json_ld;
mod language;
pub mod limits;
mod page;
mod parse;
pub mod reply;
mod sink;
#[cfg(test)]
mod tests;

pub use error::{Error, Limit};

/// Name of this guest.
pub const GUEST_NAME: &str = "extract";
