//! The methods: functions of a document, which do not know that a guest calls them.
//!
//! Invariant: the same document gives the same reply, natively and in WebAssembly, in every call.

use crate::{
    content::Content,
    envelope::{self, Document},
    error::{Error, Limit},
    json_ld, language,
    page::{Page, images, links, words},
    reply::{Extract, Links, bounded},
};
use unicode_segmentation::UnicodeSegmentation;

/// A page that serves to run all code once: it has a title, a byline, a list, a table, an image and JSON-LD.
const SAMPLE: &str = include_str!("sample.html");

/// Returns everything that the guest can find out about a document.
///
/// # Errors
/// Returns an error if the document exceeds a bound.
pub fn extract(document: &Document<'_>) -> Result<Extract, Error> {
    let Page { tree, encoding, head, base } = Page::new(document)?;
    let json_ld = json_ld::read(&head.json_ld);
    let article = json_ld::article(&json_ld);

    let content = Content::main(tree, &base)?;
    let (markdown, text) = (content.markdown()?, content.text());
    let (links, images) = match content.root() {
        Some(root) => (links(&root)?, images(&root)),
        None => Default::default(),
    };
    let metadata = content.metadata;
    let language_detected = language::detect(&text);
    let detected =
        language_detected.filter(|language| language.reliable).map(|language| language.code.to_owned());
    let title = article.title.or(Some(metadata.title)).map(|title| words(&title));
    Ok(Extract {
        title: title.filter(|title| !title.is_empty()),
        byline: article.byline.or(metadata.byline),
        site: article.site.or(metadata.site_name),
        language: head.language.clone().or(article.language).or(metadata.lang).or(detected),
        language_detected,
        direction: metadata.dir,
        published: article.published.or(metadata.published_time).or_else(|| head.time.clone()),
        modified: article.modified.or(metadata.modified_time),
        canonical: head
            .canonical
            .clone()
            .or_else(|| head.property(&["og:url"]))
            .or_else(|| document.url.clone().map(String::from)),
        excerpt: article.excerpt.or(metadata.excerpt),
        image: head.property(&["og:image", "twitter:image"]).or(metadata.image),
        word_count: text.unicode_words().count(),
        markdown,
        text,
        links,
        images,
        open_graph: head.properties,
        json_ld,
        encoding,
    })
}

/// Returns the content of a document, which is its main content unless the options say otherwise.
fn content(document: &Document<'_>, default: envelope::Content) -> Result<Content, Error> {
    let page = Page::new(document)?;
    Ok(match document.content.unwrap_or(default) {
        envelope::Content::Main => Content::main(page.tree, &page.base)?,
        envelope::Content::Page => Content::page(page.tree),
    })
}

/// Returns the main content of a document as Markdown, or the whole page if the options say so.
///
/// # Errors
/// Returns an error if the document exceeds a bound.
pub fn markdown(document: &Document<'_>) -> Result<String, Error> {
    let markdown = content(document, envelope::Content::Main)?.markdown()?;
    if markdown.len() > crate::limits::REPLY_BYTES_MAX { Err(Limit::Reply.into()) } else { Ok(markdown) }
}

/// Returns the main content of a document as text, or the whole page if the options say so.
///
/// # Errors
/// Returns an error if the document exceeds a bound.
pub fn text(document: &Document<'_>) -> Result<String, Error> {
    Ok(content(document, envelope::Content::Main)?.text())
}

/// Returns the links of the whole page, or of the main content if the options say so.
///
/// # Errors
/// Returns an error if the document exceeds a bound.
pub fn links_of(document: &Document<'_>) -> Result<Links, Error> {
    let content = content(document, envelope::Content::Page)?;
    let root = content.root();
    Ok(Links { links: root.map(|root| links(&root)).transpose()?.unwrap_or_default() })
}

/// Makes what the first call of a process would make: selectors, tables of names, alphabets.
///
/// Returns whether the methods work on a sample.
#[must_use]
pub fn prepare() -> bool {
    let document = |bytes, content| Document { bytes, content_type: None, url: None, content: Some(content) };
    let main = document(SAMPLE.as_bytes(), envelope::Content::Main);
    let page = document(SAMPLE.as_bytes(), envelope::Content::Page);
    // Another script has other tables of letters.
    let russian = language::detect("Съешь же ещё этих мягких французских булок, да выпей чаю");
    // An encoding that is not declared has a detector.
    let _ = crate::encoding::decode(b"caf\xe9", None, None);
    let works = [markdown(&main), markdown(&page), text(&main), text(&page)]
        .iter()
        .all(|reply| reply.as_ref().is_ok_and(|reply| reply.contains("copy-on-write")));
    let extract = extract(&main).and_then(|reply| Ok(bounded(crate::reply::to_json(&reply)?)?));
    works
        && russian.is_some()
        && extract.is_ok()
        && links_of(&page).is_ok_and(|reply| !reply.links.is_empty())
}
