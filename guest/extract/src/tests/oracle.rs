//! Mozilla's test pages for Readability, with the content that its own implementation extracts.
//!
//! They are in the crate `readability-rust` 0.1.0. The similarity of two texts is the
//! harmonic mean of precision and recall of their words.

use super::gathered;
use crate::{
    envelope::{Document, Options},
    extract::{extract, text},
};
use std::{collections::HashMap, fs, path::Path};

fn counts(text: &str) -> HashMap<&str, usize> {
    let mut counts = HashMap::new();
    for word in text.split_whitespace() {
        *counts.entry(word).or_default() += 1;
    }
    counts
}

fn similarity(a: &str, b: &str) -> f64 {
    let (a, b) = (counts(a), counts(b));
    let common: usize = a.iter().map(|(word, count)| b.get(word).copied().unwrap_or(0).min(*count)).sum();
    let total = a.values().sum::<usize>() + b.values().sum::<usize>();
    if total == 0 { 1.0 } else { 2.0 * common as f64 / total as f64 }
}

/// Returns the similarity of a page to what Mozilla's implementation extracts, and whether the titles are equal.
fn compare(page: &Path) -> (f64, bool) {
    let source = fs::read(page.join("source.html")).expect("a page");
    let expected = fs::read_to_string(page.join("expected.html")).expect("its content");
    let metadata = fs::read(page.join("expected-metadata.json")).expect("its metadata");
    let metadata: serde_json::Value = serde_json::from_slice(&metadata).expect("JSON");

    let options = Options {
        url: Some("http://fakehost/test/page.html".into()),
        content_type: Some("text/html; charset=utf-8".into()),
        content: None,
    };
    let reply = extract(&Document::new(&source, options.clone()).expect("a page")).expect("a reply");
    let options = Options { content: Some(crate::envelope::Content::Page), ..options };
    let expected = text(&Document::new(expected.as_bytes(), options).expect("a page")).expect("a reply");
    (
        similarity(&reply.text, &expected),
        metadata["title"].as_str() == Some(reply.title.as_deref().unwrap_or("")),
    )
}

#[test]
fn the_content_is_what_mozilla_extracts() {
    let Some(pages) = gathered("readability") else { return };
    let mut results: Vec<_> = fs::read_dir(pages)
        .expect("a directory")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.join("expected.html").is_file())
        .map(|path| (compare(&path), path))
        .collect();
    results.sort_by(|a, b| a.0.0.total_cmp(&b.0.0));
    let mean = results.iter().map(|((similarity, _), _)| similarity).sum::<f64>() / results.len() as f64;
    let titles = results.iter().filter(|((_, title), _)| *title).count();
    let close = results.iter().filter(|((similarity, _), _)| *similarity >= 0.99).count();
    println!("{} pages, mean {mean:.4}, {close} at 0.99 or more, {titles} equal titles", results.len());
    for ((similarity, _), path) in results.iter().take(10) {
        println!("{similarity:.3} {}", path.display());
    }
    assert!(mean > 0.97 && titles * 10 > results.len() * 9);
}
