//! The guest: methods whose requests are documents, and an initialiser that runs each of them once.
//!
//! Invariant: no state but what [`prepare`] makes outlives a call.

use crate::{
    envelope::Document,
    error::Error,
    extract::{self, prepare},
    reply::{bounded, to_json},
};
use snapback_abi::{
    guest::{Answer, Failure},
    reply::Tag,
    request::Request,
};

snapback_abi::export! {
    extract => extract_document("text/html; options=json" -> "application/json"),
    markdown => markdown_of_document("text/html; options=json" -> "text/markdown; charset=utf-8"),
    text => text_of_document("text/html; options=json" -> "text/plain; charset=utf-8"),
    links => links_of_document("text/html; options=json" -> "application/json"),
    bake_init => bake_init,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let tag = match &error {
            Error::TooLarge(_) => Tag::Unsupported,
            Error::Header(_)
            | Error::NoObject
            | Error::UnknownOption(_)
            | Error::ContentType
            | Error::Url
            | Error::Content => Tag::Malformed,
        };
        Self::new(tag, error.to_string())
    }
}

/// Returns everything that the guest can find out about the document, as [`Extract`](crate::reply::Extract).
///
/// # Errors
/// Returns a failure if the header is malformed, or the document exceeds a bound.
pub fn extract_document(request: Request<'_>) -> Answer {
    let reply = extract::extract(&Document::decode(request.body)?)?;
    Ok(to_json(&reply).map_err(Error::from)?)
}

/// Returns the content of the document as Markdown.
///
/// # Errors
/// Returns a failure if the header is malformed, or the document exceeds a bound.
pub fn markdown_of_document(request: Request<'_>) -> Answer {
    Ok(extract::markdown(&Document::decode(request.body)?)?.into_bytes())
}

/// Returns the content of the document as text.
///
/// # Errors
/// Returns a failure if the header is malformed, or the document exceeds a bound.
pub fn text_of_document(request: Request<'_>) -> Answer {
    let text = extract::text(&Document::decode(request.body)?)?;
    Ok(bounded(text.into_bytes()).map_err(Error::from)?)
}

/// Returns the links of the document, as [`Links`](crate::reply::Links).
///
/// # Errors
/// Returns a failure if the header is malformed, or the document exceeds a bound.
pub fn links_of_document(request: Request<'_>) -> Answer {
    let reply = extract::links_of(&Document::decode(request.body)?)?;
    Ok(to_json(&reply).map_err(Error::from)?)
}

/// Ends a bake, with everything made that calls need.
///
/// # Errors
/// Returns a failure if the methods do not work, which is a mistake in the guest.
pub fn bake_init(_: Request<'_>) -> Answer {
    if prepare() {
        Ok(Vec::new())
    } else {
        Err(Failure::new(Tag::Internal, "the methods do not work on the sample"))
    }
}
