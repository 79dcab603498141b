//! Why a document is refused.
//!
//! Invariant: no message holds bytes of the document.

use crate::limits;
use snapback_abi::DecodeError;
use thiserror::Error;

/// Why a document is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Error {
    /// The bytes end within the options.
    #[error("what comes before the document {0}")]
    Header(DecodeError),
    /// The options are not JSON, or no object.
    #[error("the options are not a JSON object")]
    NoObject,
    /// There is no option of this name, which is cut to [`limits::NAME_SHOWN_CHARS`].
    #[error("there is no option {0:?}; the options are `content_type`, `url` and `content`")]
    UnknownOption(String),
    /// `content_type` is no text.
    #[error("`content_type` is not a text such as `text/html; charset=utf-8`")]
    ContentType,
    /// `url` is no absolute URL, or longer than [`limits::ADDRESS_BYTES_MAX`].
    #[error("`url` is not an absolute URL of at most {} bytes", limits::ADDRESS_BYTES_MAX)]
    Url,
    /// `content` is no part of a document.
    #[error("`content` is neither `main` nor `page`")]
    Content,
    /// The document exceeds a bound.
    #[error("{0}")]
    TooLarge(Limit),
}

/// A bound that a document exceeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Limit {
    /// [`limits::DOCUMENT_BYTES_MAX`].
    #[error("the document is longer than {} bytes", limits::DOCUMENT_BYTES_MAX)]
    Document,
    /// [`limits::NODES_MAX`].
    #[error("the document has more than {} nodes", limits::NODES_MAX)]
    Nodes,
    /// [`limits::DEPTH_REPAIRED_MAX`], [`limits::TEXT_LEVELS_MAX`] or [`limits::NODE_LEVELS_MAX`].
    #[error("the elements of the document nest too deeply for its length")]
    Depth,
    /// [`limits::ATTRIBUTE_COMPARISONS_MAX`].
    #[error("the tags of the document have too many attributes")]
    Attributes,
    /// [`limits::BACKSLASH_STEPS_MAX`].
    #[error("the document has too long a run of backslashes for Markdown")]
    Backslashes,
    /// [`limits::REPLY_BYTES_MAX`].
    #[error("the reply would be longer than {} bytes", limits::REPLY_BYTES_MAX)]
    Reply,
}

impl From<Limit> for Error {
    fn from(limit: Limit) -> Self {
        Self::TooLarge(limit)
    }
}
