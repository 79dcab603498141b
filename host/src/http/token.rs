//! The token of operators, and where requests carry it or a key.
//!
//! Invariant: comparing takes the same time for every guess.

use axum::http::{HeaderMap, header};
use std::{fs, io, os::unix::fs::PermissionsExt, path::Path};

/// Shortest token that is accepted, in characters.
const TOKEN_LEN_MIN: usize = 16;

/// The token that admin requests carry. Only its hash is kept, and hashes are compared.
pub struct Token(blake3::Hash);

impl Token {
    /// Reads the token from a file that only its owner can read.
    ///
    /// # Errors
    /// Returns an error if the file cannot be read, others can read it too, or the token is short.
    pub fn read(path: &Path) -> io::Result<Self> {
        let refuse = |why: String| Err(io::Error::new(io::ErrorKind::InvalidData, why));
        let file = fs::File::open(path)?;
        let mode = file.metadata()?.permissions().mode();
        if mode & 0o077 != 0 {
            return refuse(format!("others may read it (mode {:o}): chmod 600", mode & 0o777));
        }
        let text = zeroize::Zeroizing::new(io::read_to_string(file)?);
        let token = text.trim();
        if token.len() < TOKEN_LEN_MIN {
            return refuse(format!("a token has at least {TOKEN_LEN_MIN} characters"));
        }
        Ok(Self(blake3::hash(token.as_bytes())))
    }

    /// Whether a request carries the token.
    pub(super) fn is_in(&self, headers: &HeaderMap) -> bool {
        bearer(headers).is_some_and(|text| self.is(text))
    }

    /// Whether this is the token.
    pub(super) fn is(&self, text: &[u8]) -> bool {
        self.0 == blake3::hash(text)
    }
}

/// What a request carries in `Authorization: Bearer`. Source: RFC 6750.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let value = headers.get(header::AUTHORIZATION)?.as_bytes();
    let (scheme, text) = value.split_at_checked(b"Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| text.trim_ascii())
}
