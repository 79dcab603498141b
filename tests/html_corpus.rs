//! Many pages: the documentation that other projects publish, and pages that nobody wrote, each with the reply of the same
//! code natively.
//!
//! `tests/html_pages.sh` gathers the documentation from packages of Debian. Without it that test is skipped, unless
//! `SNAPBACK_REQUIRE_PAGES` is set.

mod harness;

use harness::{Answer, Server, pages::gathered};
use proptest::{prelude::*, sample::select, test_runner::TestRunner};
use snapback_guest_extract::{
    Error,
    envelope::{Document, Options},
    extract::{extract, markdown},
    reply::to_json,
};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

/// Pages that are worked on at the same time.
const CLIENTS: usize = 2;
const ADDRESS: &str = "https://example.org/a/page.html";

/// Methods, with what the guest's own code replies natively.
type Native = fn(&Document<'_>) -> Result<Vec<u8>, Error>;
const METHODS: [(&str, Native); 2] = [
    ("extract", |document| to_json(&extract(document)?).map_err(Error::from)),
    ("markdown", |document| markdown(document).map(String::into_bytes)),
];

/// Sends a page, and compares the reply with the native one. Returns whether the page was answered and not refused.
fn compare(server: &Server, page: &[u8], (method, native): (&str, Native)) -> Result<bool, String> {
    let path = format!("/v1/methods/{method}?url=https%3A%2F%2Fexample.org%2Fa%2Fpage.html");
    let answer: Answer = server.post(&path, page);
    let options = Options { url: Some(ADDRESS.into()), ..Options::default() };
    match Document::new(page, options).and_then(|document| native(&document)) {
        Ok(reply) if answer.status == 200 && answer.body == reply => Ok(true),
        Ok(_) => Err(format!("{method}: status {}, or another reply than natively", answer.status)),
        Err(error) if answer.status == 422 && answer.text().contains(&error.to_string()) => Ok(false),
        Err(error) => Err(format!("{method}: status {}, natively: {error}", answer.status)),
    }
}

fn pages(directory: &Path) -> Vec<PathBuf> {
    let mut pages = Vec::new();
    let mut directories = vec![directory.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry")) {
            let (path, kind) = (entry.path(), entry.file_type().expect("a type"));
            if kind.is_dir() {
                directories.push(path);
            } else if kind.is_file() && path.extension().is_some_and(|extension| extension == "html") {
                pages.push(path);
            }
        }
    }
    pages.sort();
    pages
}

#[test]
fn the_documentation_of_other_projects_is_read_as_natively() {
    let Some(directory) = gathered("pages") else { return };
    let pages = pages(&directory);
    assert!(pages.len() >= 10_000, "{} pages", pages.len());
    let server = Server::start("extract", &[]);
    let (next, answered) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                while let Some(path) = pages.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let page = fs::read(path).expect("a page");
                    let is_answered = compare(&server, &page, METHODS[0])
                        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                    answered.fetch_add(usize::from(is_answered), Ordering::Relaxed);
                }
            });
        }
    });
    let answered = answered.into_inner();
    println!("{} pages: {answered} answered, the others refused for a bound, all as natively", pages.len());
    assert!(answered * 100 >= pages.len() * 99, "{answered} of {}", pages.len());
}

/// Pieces of pages, separated by bars.
const PIECES: &str = "<p>|</p>|<div class=a>|</div>|<table>|<tr>|<td>|</table>|<a href='/x?y=1'>|</a>|<h1>|</h1>|\
    <img src=i.png alt=\"an image\">|<title>|</title>|<article>|</article>|<svg><path d=1>|</svg>|<math><mi>|<template>|\
    </template>|<select><option>|<b><i>|</b>|<script>|</script>|<style>|</style>|<!--|-->|<![CDATA[|]]>|<?pi?>|\
    <script type='application/ld+json'>{\"@type\":\"Article\",\"headline\":\"h\"}</script>|<base href='//b.example/'>|\
    <meta charset=koi8-r>|<meta property='og:title' content='t'>|&amp;|&#x0;|&#xd800;|&notit;|<pre><code class=language-c>|\
    </code></pre>|<ul><li>|</li>|<blockquote>|<br>|<hr/>|\u{feff}|\u{202e}|\0|<|=|\
    A sentence that is long enough to count as content, with commas, and more of them. ";

/// A page of tags, text and bytes in any order.
fn page() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        9 => select(PIECES.split('|').collect::<Vec<_>>()).prop_map(|piece| piece.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..16),
    ];
    prop::collection::vec(piece, 0..120).prop_map(|pieces| pieces.concat())
}

#[test]
fn pages_that_nobody_wrote_are_read_as_natively() {
    let server = Server::start("extract", &[]);
    let config = ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() };
    let run = TestRunner::new(config).run(&(page(), select(&METHODS[..])), |(page, method)| {
        compare(&server, &page, method).map(drop).map_err(TestCaseError::fail)
    });
    run.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(server.post("/v1/methods/text", b"<p>still there").text(), "still there");
}
