//! The replies, as JSON.
//!
//! Invariant: a reply is no longer than [`REPLY_BYTES_MAX`], and every field is present in every reply.

use crate::{error::Limit, limits::REPLY_BYTES_MAX};
use serde::Serialize;
use serde_json::Value;

/// Reply of `extract`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Extract {
    /// Title of the article, or of the page.
    pub title: Option<String>,
    /// Author or authors, as the page names them.
    pub byline: Option<String>,
    /// Name of the site.
    pub site: Option<String>,
    /// Language: as the page declares it, or else as its text suggests.
    pub language: Option<String>,
    /// Language as the text suggests.
    pub language_detected: Option<Language>,
    /// Direction of the text, `ltr` or `rtl`, if the page declares it.
    pub direction: Option<String>,
    /// Time of publication, as the page writes it.
    pub published: Option<String>,
    /// Time of the last change, as the page writes it.
    pub modified: Option<String>,
    /// Canonical URL: as the page declares it, or else the URL that the request gave.
    pub canonical: Option<String>,
    /// Summary: as the page declares it, or else its first paragraph.
    pub excerpt: Option<String>,
    /// Image that stands for the page.
    pub image: Option<String>,
    /// Main content as Markdown.
    pub markdown: String,
    /// Main content as text.
    pub text: String,
    /// Words of the text, as Unicode separates them.
    pub word_count: usize,
    /// Links of the main content.
    pub links: Vec<Link>,
    /// Images of the main content.
    pub images: Vec<Image>,
    /// OpenGraph properties, in order.
    pub open_graph: Vec<Property>,
    /// JSON-LD of the page, one value for each script.
    pub json_ld: Vec<Value>,
    /// Name of the encoding that the document was decoded from.
    pub encoding: &'static str,
}

/// Reply of `links`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Links {
    /// Links, in order.
    pub links: Vec<Link>,
}

/// A link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Link {
    /// Address, resolved if the request gave the URL of the document or the document does.
    pub url: String,
    /// Text of the link.
    pub text: String,
    /// Attribute `rel`.
    pub rel: Option<String>,
}

/// An image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Image {
    /// Address, resolved as that of a link.
    pub url: String,
    /// Text that stands for the image; empty if there is none.
    pub alt: String,
}

/// A property of OpenGraph, or of the vocabularies that are used with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Property {
    /// Name, such as `og:title`.
    pub property: String,
    /// Value.
    pub content: String,
}

/// A language that was guessed from a text.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Language {
    /// Code of ISO 639-3.
    pub code: &'static str,
    /// English name.
    pub name: &'static str,
    /// Confidence, from 0 to 1.
    pub confidence: f64,
    /// Whether the guess is better than chance.
    pub reliable: bool,
}

/// Encodes a reply.
///
/// # Errors
/// Returns the bound if it is too long.
pub fn to_json(reply: &impl Serialize) -> Result<Vec<u8>, Limit> {
    let json = serde_json::to_vec(reply).expect("a reply has texts as keys");
    bounded(json)
}

/// Returns a reply that is not too long.
///
/// # Errors
/// Returns the bound if it is.
pub fn bounded(reply: Vec<u8>) -> Result<Vec<u8>, Limit> {
    if reply.len() > REPLY_BYTES_MAX { Err(Limit::Reply) } else { Ok(reply) }
}
