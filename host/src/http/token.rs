//! The token of the admin routes.
//!
//! Invariant: nothing is done before the token was compared, and comparing takes the same time for every guess.

use super::error::ApiError;
use axum::{
    extract::{Request, State},
    http::{HeaderMap, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use std::{fs, io, os::unix::fs::PermissionsExt, path::Path, sync::Arc};

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
        let given = headers.get(header::AUTHORIZATION).map(|value| value.as_bytes());
        let candidate = given.and_then(|value| value.strip_prefix(b"Bearer "));
        candidate.is_some_and(|candidate| self.0 == blake3::hash(candidate))
    }
}

/// Passes requests on that carry the token, and refuses all others.
pub(super) async fn authorise(State(token): State<Arc<Token>>, request: Request, next: Next) -> Response {
    if token.is_in(request.headers()) {
        next.run(request).await
    } else {
        ApiError::Unauthorised.into_response()
    }
}
