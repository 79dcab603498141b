//! Documents that are made to exhaust the stack, the memory or the time. Each gets a reply or a documented refusal.
//!
//! Times are not measured: a quadratic blow-up would take these tests hours.

use crate::{
    Error, Limit,
    envelope::{Content, Document, Options},
    extract::{extract, links_of, markdown, text},
    limits::{ATTRIBUTE_BYTES_MAX, DOCUMENT_BYTES_MAX, NODES_MAX},
    reply::{Extract, to_json},
};
use proptest::prelude::*;

/// Runs all methods.
fn run(bytes: &[u8]) -> Result<Extract, Error> {
    let url = Some("https://example.org/".to_owned());
    let options = |content| Options { url: url.clone(), content, content_type: None };
    let main = Document::new(bytes, options(Some(Content::Main)))?;
    let page = Document::new(bytes, options(Some(Content::Page)))?;
    for document in [&main, &page] {
        let _ = (markdown(document), text(document), links_of(document));
    }
    let reply = extract(&main)?;
    to_json(&reply)?;
    Ok(reply)
}

/// Runs all methods. What is refused is refused because of a bound.
fn named(name: &str, html: &str) -> Result<Extract, Error> {
    let reply = run(html.as_bytes());
    assert!(matches!(reply, Ok(_) | Err(Error::TooLarge(_))), "{name}");
    reply
}

/// Nests an element `depth` times.
fn nested(open: &str, inner: &str, close: &str, depth: usize) -> String {
    [&open.repeat(depth), inner, &close.repeat(depth)].concat()
}

/// How often a pattern is repeated.
const DEEP: usize = if cfg!(debug_assertions) { 20_000 } else { 200_000 };

#[test]
fn deep_nesting_keeps_its_text() {
    let tags = [
        "div",
        "b",
        "a href=x",
        "ul><li",
        "blockquote",
        "table><tr><td",
        "font color=red",
        "svg",
        "template",
    ];
    for tag in tags {
        let html = nested(&format!("<{tag}>"), "the innermost words, which are kept", "", DEEP / tag.len());
        let result = named(tag, &html);
        match result {
            Ok(reply) => {
                assert!(matches!(tag, "svg" | "template") || reply.text.contains("innermost"), "{tag}")
            }
            Err(error) => assert!(matches!(error, Error::TooLarge(_)), "{tag}: {error}"),
        }
        let close = tag.split(['>', ' ', '<']).next().expect("a name");
        let html = nested(&format!("<{tag}>"), "the innermost words", &format!("</{close}>"), DEEP / 10)
            + "<p>after";
        let _ = named(&format!("{tag} closed"), &html);
    }
}

#[test]
fn misnested_formatting_is_bounded() {
    let ids: String = (0..3000).map(|i| format!("<b id={i}><p>x</b>")).collect();
    let _ = named("misnested b", &ids);
    let formatting: String = (0..200).map(|i| format!("<b id={i}>")).collect();
    let copied = format!("<p>{formatting}{}", "<p>x".repeat(20_000));
    assert_eq!(named("copied b", &copied).err(), Some(Limit::Nodes.into()));
    let links: String = (0..DEEP / 20).map(|i| format!("<a href={i}><div>x</a>")).collect();
    let _ = named("misnested a", &links);
    let tables = "<table><b>x".repeat(DEEP / 20);
    let _ = named("foster parents", &tables);
    let ignored = "<div></x>".repeat(DEEP / 20);
    let _ = named("ignored end tags", &ignored);
}

#[test]
fn attributes_are_bounded() {
    let long = format!("<p title='{}'>the words</p>", "x".repeat(10 << 20));
    assert_eq!(named("one attribute", &long).expect("a reply").text, "the words");
    let image =
        format!("<p>the words <img src='data:image/png;base64,{}'></p>", "A".repeat(2 * ATTRIBUTE_BYTES_MAX));
    assert_eq!(named("an image", &image).expect("a reply").images, []);

    let names: String = (0..1_000_000).map(|i| format!(" a{i}")).collect();
    assert_eq!(named("many attributes", &format!("<p{names}>x")).err(), Some(Limit::Attributes.into()));
    let names: String = (0..4000).map(|i| format!(" a{i}")).collect();
    let _ = named("many, often", &format!("<b><p{names}>").repeat(500));
    let comment = format!("<!-- {} --><p>the words", "a b ".repeat(10_000)).repeat(20);
    assert!(named("comments", &comment).expect("a reply").text.contains("the words"));
    let roots: String = (0..DEEP / 10).map(|i| format!("<html a{i}><body b{i}>")).collect();
    let _ = named("many roots", &roots);
}

#[test]
fn work_at_every_level_is_bounded() {
    let text = "some words, with commas, ".repeat(DEEP / 100);
    let _ = named("text in depth", &nested("<div>", &text, "", 250));
    let _ = named(
        "text at each level",
        &nested(&format!("<div><p>{}</p>", &text[..text.len() / 200]), "", "", 200),
    );
    let _ = named("lists", &nested("<ul><li>", &"<li>x".repeat(DEEP / 10), "", 120));
    let _ = named("quotes", &nested("<blockquote>", &"<p>x".repeat(DEEP / 10), "", 250));
    let _ = named("tables", &nested("<table><tr><td>", &"<tr><td>x".repeat(DEEP / 20), "", 60));
    let _ = named(
        "headings",
        &format!("<title>{}</title>{}", "a b ".repeat(5000), "<h2>y z</h2>".repeat(DEEP / 10)),
    );
    let _ = named(
        "one heading",
        &format!("<h1>{}</h1>{}", "a b ".repeat(DEEP), "<h2>y z</h2>".repeat(DEEP / 10)),
    );
    let long = format!("<h1>{}</h1>", "a b ".repeat(DEEP));
    let _ = named(
        "two headings",
        &format!("{long}{}{long}{}", "<h2>q</h2>".repeat(DEEP / 20), "<h2>y z</h2>".repeat(DEEP / 20)),
    );
    let links = nested("<div><p><a href=x><object>", &"words, and ".repeat(DEEP), "", 64);
    assert!(cfg!(debug_assertions) || named("links in links", &links).err() == Some(Limit::Depth.into()));
    let _ = named("breaks", &"<br>".repeat(DEEP / 5));
    let _ = named("breaks and words", &"<br> x <br><br>".repeat(DEEP / 10));
    let _ = named("siblings", &"<p>some words, and more of them, in a paragraph".repeat(DEEP / 10));
    let _ = named("divs", &"<div>some words, and more of them, in a paragraph</div>".repeat(DEEP / 10));
    let _ = named("scripts", &"<noscript><img src=a></noscript><img>".repeat(DEEP / 20));
    let _ = named("spans", &"<span>x </span>".repeat(DEEP / 5));
    let _ = named("emphasis", &nested("<b><i>", &"word ".repeat(DEEP / 10), "", 120));
    let _ = named("options", &"<select><option>x".repeat(DEEP / 10));
    let base =
        format!("<base href='https://e.org/{}/'>{}", "b".repeat(4000), "<a href=x>y</a>".repeat(DEEP / 10));
    let result = named("long base", &base);
    assert!(cfg!(debug_assertions) || result.err() == Some(Limit::Reply.into()));
}

#[test]
fn characters_that_mean_nothing_are_harmless() {
    let entities = "&CounterClockwiseContourIntegral;&#x10ffff;&#99999999999;&notit;&amp".repeat(DEEP / 50);
    assert!(named("entities", &format!("<p>{entities}")).expect("a reply").text.contains('\u{2233}'));
    let _ = named("ampersands", &"&".repeat(DEEP));
    let _ =
        named("ampersands in attributes", &format!("<p title='{}'>x", "&".repeat(8000)).repeat(DEEP / 8000));
    let _ = named("signs", &"\u{a9} ".repeat(DEEP));
    let cell = format!("<table><tr><td>{}{}", "\\".repeat(5 * DEEP), "<p></p>".repeat(DEEP / 20));
    let emphasis = r"<b>\</b>".repeat(DEEP * 9 / 10);
    for (name, html) in [("backslashes", cell), ("emphasised backslashes", emphasis)] {
        let document =
            Document::new(html.as_bytes(), Options { content: Some(Content::Page), ..Options::default() });
        let refused = markdown(&document.expect("a document")).err();
        assert!(cfg!(debug_assertions) || refused == Some(Limit::Backslashes.into()), "{name}: {refused:?}");
        let _ = named(name, &html);
    }
    // Addresses of videos behind a character of several bytes.
    for embed in [
        "<iframe src='\u{fffd}youtube.com'>",
        "<embed src=a title='\u{1f600}xyoutube.com'>",
        "<object>\u{fffd}youtube.com",
        "<object><param name='\u{e9}'>youtube.com",
        "<object>a<object><!--\u{e9}youtube.com-->",
        "<svg><iframe href='\u{fffd}youtube.com' xlink:href='\u{e9}\u{fffd}youtube.com'>",
    ] {
        named(embed, &format!("<p>some words{embed}")).expect("a reply");
    }
    let _ = named("zeros", &"\0".repeat(DEEP));
    let _ = named("angles", &"<".repeat(DEEP));
    let _ = named("open tags", &"<a ".repeat(DEEP / 20));
    let _ = named("comments", &"<!--".repeat(DEEP));
    let _ = named("spaces", &" ".repeat(DEEP));
    let _ = named("json", &format!("<script type='application/ld+json'>{}</script>", "[".repeat(DEEP)));
    let _ = named("cdata", &"<svg><![CDATA[".repeat(DEEP / 20));
    for bytes in
        [&b"\xff\xfe<"[..], b"\xfe\xff\0<\0p\xd8\0", b"\xef\xbb\xbf\xff\xff", b"<meta charset=utf-16>\xff"]
    {
        run(bytes).expect("a reply");
    }
}

#[test]
fn sizes_are_bounded() {
    assert_eq!(run(&vec![b'a'; DOCUMENT_BYTES_MAX + 1]).err(), Some(Limit::Document.into()));
    assert_eq!(named("nodes", &"<i></i>".repeat(NODES_MAX + 1)).err(), Some(Limit::Nodes.into()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 100 } else { 500 }))]

    #[test]
    fn any_bytes_give_a_reply(bytes: Vec<u8>) {
        run(&bytes).expect("a reply");
    }

    #[test]
    fn any_tags_give_a_reply(parts in prop::collection::vec((0..PARTS.len(), 1..4_usize), 0..200)) {
        let html: String = parts.iter().map(|(part, count)| PARTS[*part].repeat(*count)).collect();
        run(html.as_bytes()).expect("a reply");
    }

    #[test]
    fn any_header_is_read_or_refused(options: Vec<u8>, text: String) {
        let body = [&b"\0opt\x04\0\0\0"[..], &options].concat();
        let _ = Document::decode(&body);
        let _ = Document::new(b"", Options { url: Some(text.clone()), content_type: Some(text), content: None });
    }
}

/// Pieces of pages on which parsers differ.
const PARTS: [&str; 72] = [
    "<div class=article>",
    "</div>",
    "<p>",
    "</p>",
    "<b>",
    "</b>",
    "<i id=x>",
    "</i>",
    "<a href=/x>",
    "</a>",
    "<table>",
    "</table>",
    "<tr>",
    "<td>",
    "<th>",
    "</td>",
    "<tbody>",
    "<caption>",
    "<ul>",
    "</ul>",
    "<ol start=-5>",
    "<li value=7>",
    "</li>",
    "<pre>",
    "<code class=language-x>",
    "</pre>",
    "`",
    "```\n",
    "<blockquote>",
    "</blockquote>",
    "<h1>",
    "<h2>",
    "</h1>",
    "<br>",
    "<hr>",
    "<img src=a alt='b]('>",
    "<img data-src='x.png 2x' class=lazy>",
    "<svg>",
    "</svg>",
    "<math>",
    "<annotation-xml encoding=text/html>",
    "<foreignObject>",
    "<template>",
    "</template>",
    "<select>",
    "<option>",
    "</select>",
    "<form>",
    "</form>",
    "<title>",
    "</title>",
    "<script>",
    "</script>",
    "<noscript>",
    "</noscript>",
    "<style>",
    "</style>",
    "<textarea>",
    "</textarea>",
    "<frameset>",
    "<!--",
    "-->",
    "<iframe src=https://youtube.com/x>",
    "</iframe>",
    "&amp;",
    " ",
    "\n",
    "\u{e9}\u{4e2d}\u{1f600}",
    "some words, with commas, and enough of them to be content. ",
    "<font>",
    "</br>",
    "<meta property=og:title content=x>",
];
