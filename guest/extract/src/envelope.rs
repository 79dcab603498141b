//! The body of a request: an HTML document, with options before it as [`snapback_abi::options`] has them, or without.
//!
//! No HTML begins as options do, in any encoding: as UTF-16 it would begin with a letter. The document itself is never
//! re-encoded, because its encoding is unknown.
//!
//! Invariant: the document is borrowed from the body, unchanged.

use crate::{
    error::{Error, Limit},
    limits::{ADDRESS_BYTES_MAX, DOCUMENT_BYTES_MAX, NAME_SHOWN_CHARS},
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use snapback_abi::options;
use url::Url;

/// Options of a call. Each can be a query parameter of a URL.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Options {
    /// `Content-Type` of the document; its charset takes precedence over a `meta` element.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// Absolute URL of the document, against which its links are resolved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// What `markdown`, `text` and `links` are taken from. Each has its own default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<Content>,
}

impl Options {
    fn read(entries: Map<String, Value>) -> Result<Self, Error> {
        let text = |value, error| if let Value::String(text) = value { Ok(text) } else { Err(error) };
        let mut options = Self::default();
        for (name, value) in entries {
            match &*name {
                "content_type" => options.content_type = Some(text(value, Error::ContentType)?),
                "url" => options.url = Some(text(value, Error::Url)?),
                "content" => {
                    let content = Content::deserialize(value).map_err(|_| Error::Content)?;
                    options.content = Some(content);
                }
                _ => return Err(Error::UnknownOption(name.chars().take(NAME_SHOWN_CHARS).collect())),
            }
        }
        Ok(options)
    }
}

/// A part of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    /// The main content, without navigation, advertisements and the like.
    Main,
    /// The whole page.
    Page,
}

/// A document with its options.
#[derive(Clone, Debug)]
pub struct Document<'a> {
    /// The bytes of the document.
    pub bytes: &'a [u8],
    /// `Content-Type` of the document.
    pub content_type: Option<String>,
    /// URL of the document.
    pub url: Option<Url>,
    /// The part that the client asked for.
    pub content: Option<Content>,
}

impl<'a> Document<'a> {
    /// Creates a document with options.
    ///
    /// # Errors
    /// Returns an error if the document is too long, or its URL is not absolute or too long.
    pub fn new(bytes: &'a [u8], options: Options) -> Result<Self, Error> {
        if bytes.len() > DOCUMENT_BYTES_MAX {
            return Err(Limit::Document.into());
        }
        let url = options.url.map(|url| match Url::parse(&url) {
            Ok(url) if url.as_str().len() <= ADDRESS_BYTES_MAX => Ok(url),
            _ => Err(Error::Url),
        });
        Ok(Self {
            bytes,
            content_type: options.content_type,
            url: url.transpose()?,
            content: options.content,
        })
    }

    /// Reads the body of a request.
    ///
    /// # Errors
    /// Returns an error if the header is not as this module describes, and those of [`Document::new`].
    pub fn decode(body: &'a [u8]) -> Result<Self, Error> {
        let (options, document) = options::decode(body).map_err(Error::Header)?;
        let Some(options) = options else { return Self::new(document, Options::default()) };
        let options: Map<String, Value> = serde_json::from_slice(options).map_err(|_| Error::NoObject)?;
        Self::new(document, Options::read(options)?)
    }
}
