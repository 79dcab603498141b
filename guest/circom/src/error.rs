//! Errors about circom's files.

/// Why a file cannot be read. Messages hold numbers and names of signals, never values of a witness.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The bytes do not follow the format.
    #[error("not {format}: {reason}")]
    Malformed {
        /// The format, with its article.
        format: &'static str,
        /// The violation of the format.
        reason: String,
    },
    /// The file is well formed, but uses a feature that is not supported.
    #[error("{0}")]
    Unsupported(String),
}
