//! What the methods reply to ordinary pages.

use crate::{
    Error,
    envelope::{Content, Document, Options},
    extract::{extract, links_of, markdown, prepare, text},
    reply::{Link, Property},
};
use snapback_abi::{DecodeError, options};

const PAGE: &str = include_str!("../sample.html");

fn document(html: &str) -> Document<'_> {
    let url = Some("https://example.org/posts/1".to_owned());
    Document::new(html.as_bytes(), Options { url, ..Options::default() }).expect("a document")
}

#[test]
fn everything_about_a_page_is_found() {
    let reply = extract(&document(PAGE)).expect("a reply");
    assert_eq!(reply.title.as_deref(), Some("How an image is mapped"));
    assert_eq!(reply.byline.as_deref(), Some("A. Writer"));
    assert_eq!(reply.language.as_deref(), Some("en"));
    assert_eq!(reply.language_detected.map(|language| language.code), Some("eng"));
    assert_eq!(reply.published.as_deref(), Some("2024-02-29"));
    assert_eq!(reply.canonical.as_deref(), Some("https://example.org/image"));
    assert_eq!(reply.excerpt.as_deref(), Some("What happens between a request and the first page fault."));
    assert_eq!(reply.encoding, "UTF-8");
    assert_eq!(
        reply.open_graph,
        [Property { property: "og:title".into(), content: "How an image is mapped".into() }]
    );
    assert_eq!(reply.json_ld.len(), 1);
    assert!(
        reply.images.iter().any(|image| image.url == "https://example.org/map.png" && image.alt == "The map")
    );
    assert!(reply.links.iter().any(|link| link.url == "https://example.org/mapped" && link.text == "mapped"));
    assert!(!reply.text.contains("About"), "navigation is no content");
    assert!((150..250).contains(&reply.word_count), "{}", reply.word_count);
}

#[test]
fn markdown_has_the_structure_of_the_page() {
    let markdown = markdown(&document(PAGE)).expect("a reply");
    for part in [
        "## What is copied",
        "*copy-on-write*",
        "**microseconds**",
        "[mapped](https://example.org/mapped)",
        "![The map](https://example.org/map.png)",
        "| Step | Time |",
        "> Nothing is faster",
        "```rust\nlet image = Image::open(path)?;\n```",
        "caf\u{e9} & cr\u{e8}me \u{2014} \u{2233}",
    ] {
        assert!(markdown.contains(part), "{part} is not in\n{markdown}");
    }
}

#[test]
fn the_options_choose_the_content() {
    let mut page = document(PAGE);
    assert!(!text(&page).expect("a reply").contains("About"));
    page.content = Some(Content::Page);
    assert!(text(&page).expect("a reply").contains("About"));
    assert!(markdown(&page).expect("a reply").contains("[About](https://example.org/about)"));

    let about = Link { url: "https://example.org/about".into(), text: "About".into(), rel: None };
    assert!(links_of(&document(PAGE)).expect("a reply").links.contains(&about));
    page.content = Some(Content::Main);
    assert!(!links_of(&page).expect("a reply").links.contains(&about));
}

#[test]
fn a_body_is_a_document_or_has_a_header() {
    let options = Options { content: Some(Content::Page), ..Options::default() };
    let json = serde_json::to_vec(&options).expect("texts");
    let body = [&options::encode(&json)[..], b"<p>a"].concat();
    let document = Document::decode(&body).expect("a document");
    assert_eq!((document.bytes, document.content), (&b"<p>a"[..], Some(Content::Page)));
    assert_eq!(Document::decode(b"<p>a").expect("a document").bytes, b"<p>a");

    let refusal = |body: &[u8]| Document::decode(body).expect_err("a refusal");
    assert_eq!(refusal(&options::MAGIC), Error::Header(DecodeError::Truncated("length of the options")));
    let cut = options::encode(b"{}");
    assert_eq!(refusal(&cut[..cut.len() - 1]), Error::Header(DecodeError::Truncated("options")));
    for (bad, error) in [
        ("[]", Error::NoObject),
        ("{", Error::NoObject),
        (r#"{"url": "/relative"}"#, Error::Url),
        (r#"{"url": 1}"#, Error::Url),
        (r#"{"content_type": null}"#, Error::ContentType),
        (r#"{"content": "all"}"#, Error::Content),
        (r#"{"no": 1}"#, Error::UnknownOption("no".into())),
    ] {
        assert_eq!(refusal(&options::encode(bad.as_bytes())), error, "{bad}");
    }
}

#[test]
fn a_page_without_content_gives_an_empty_reply() {
    for html in ["", " ", "<p>", "<!--", "\0", "<frameset><frame src=a></frameset>"] {
        let reply = extract(&document(html)).expect("a reply");
        assert_eq!((reply.title, &*reply.text, &*reply.markdown), (None, "", ""), "{html:?}");
        assert_eq!(links_of(&document(html)).expect("a reply").links, []);
    }
}

#[test]
fn the_initialiser_finds_that_all_works() {
    assert!(prepare());
}
