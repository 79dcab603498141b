//! Documents: a page is served, and read here, with the reply that the guest's own code gives natively; and nothing that a
//! page holds moves the server.

mod harness;

use harness::{Server, run_err, run_ok, snapback, state_with};
use serde_json::Value;
use snapback_guest_extract::{
    envelope::{Document, Options},
    extract::{extract, links_of, markdown, text},
    reply::to_json,
};
use std::{fs, process::Command};

const PAGE: &str = include_str!("../guest/extract/src/sample.html");
const ADDRESS: &str = "https://example.org/posts/1";

fn native(page: &[u8]) -> Value {
    let options = Options { url: Some(ADDRESS.into()), ..Options::default() };
    let reply = extract(&Document::new(page, options).expect("a document")).expect("a reply");
    serde_json::from_slice(&to_json(&reply).expect("short")).expect("JSON")
}

#[test]
fn a_page_gives_the_reply_that_native_code_gives() {
    let server = Server::start("extract", &[]);
    let path = |method: &str| format!("/v1/methods/{method}?url=https%3A%2F%2Fexample.org%2Fposts%2F1");
    let reply = server.post(&path("extract"), PAGE.as_bytes());
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert_eq!(reply.json(), native(PAGE.as_bytes()));
    assert_eq!(reply.json()["title"], "How an image is mapped");

    let document =
        Document::new(PAGE.as_bytes(), Options { url: Some(ADDRESS.into()), ..Options::default() })
            .expect("a document");
    let reply = server.post(&path("markdown"), PAGE.as_bytes());
    assert_eq!(reply.header("content-type"), Some("text/markdown; charset=utf-8"));
    assert_eq!(reply.text(), markdown(&document).expect("a reply"));
    assert_eq!(server.post(&path("text"), PAGE.as_bytes()).text(), text(&document).expect("a reply"));
    let links = to_json(&links_of(&document).expect("a reply")).expect("short");
    assert_eq!(server.post(&path("links"), PAGE.as_bytes()).ok(), links);

    // The charset of the header counts, and a document needs no options.
    let typed = |charset: &str| {
        let content_type = format!("text/html; charset={charset}");
        server.post_as("/v1/methods/text?content=page", &content_type, b"<p>caf\xe9").text()
    };
    assert_eq!((typed("iso-8859-1"), typed("koi8-r")), ("caf\u{e9}".into(), "caf\u{418}".into()));
    assert_eq!(server.post("/v1/methods/text", b"").text(), "");

    // What the guest does not know is refused, and so are options of methods without any.
    let refused = server.post("/v1/methods/text?colour=red", PAGE.as_bytes());
    assert_eq!((refused.status, refused.json()["code"].as_str()), (400, Some("malformed_input")));
    let refused = server.post("/v1/methods/text?content=main&content=page", PAGE.as_bytes());
    assert!(refused.error(400, "bad_query").contains("\"content\" is given twice"));
    let refused = server.post("/v1/methods/text?url=/relative", PAGE.as_bytes());
    assert!(refused.error(400, "malformed_input").contains("absolute"));
}

#[test]
fn an_instance_reads_many_pages_unless_it_is_asked_for_another_policy() {
    let swapped =
        |server: &Server| server.metric(r#"snapback_swaps_total{image="extract",reason="every-call"}"#);
    let policy = |server: &Server, image: &str| {
        let status = server.get("/v1/status").json();
        let images = status["images"].as_array().expect("images").clone();
        let image = images.into_iter().find(|shown| shown["name"] == image).expect("served");
        image["policy"]["swap.policy"].clone()
    };
    let _ = state_with("fixtures");
    let warm = Server::start("extract", &["--lanes", "1", "fixtures", "reader=extract"]);
    let policies = ["extract", "reader", "fixtures"].map(|image| policy(&warm, image));
    assert_eq!(policies, ["threshold", "threshold", "every-call"], "whatever the image is called");
    (0..3).for_each(|_| drop(warm.post("/v1/methods/text?image=extract", PAGE.as_bytes()).ok()));
    assert_eq!(swapped(&warm), 0.0);

    let cold = Server::start("extract", &["--lanes", "1", "--swap-policy", "every-call"]);
    assert_eq!(policy(&cold, "extract"), "every-call");
    (0..3).for_each(|_| drop(cold.post("/v1/methods/text", PAGE.as_bytes()).ok()));
    // The reply comes before the swap, so the last one may not have happened yet.
    assert!(swapped(&cold) >= 2.0);
}

#[test]
fn options_are_refused_where_a_method_takes_none() {
    let server = Server::start("fixtures", &[]);
    let refused = server.post("/v1/methods/echo?url=x", b"");
    assert!(refused.error(400, "bad_query").contains("url"));
}

#[test]
fn hostile_pages_get_an_answer_and_the_server_stays() {
    let server = Server::start("extract", &[]);
    let nested = |open: &str, inner: &str, depth: usize| format!("{}{inner}", open.repeat(depth));
    let pages = [
        nested("<div>", "the innermost words", 200_000),
        nested("<ul><li>", "the innermost words", 250),
        nested("<blockquote>", &"<p>some words, with commas. ".repeat(200), 250),
        nested("<b><i>", &"word ".repeat(10_000), 120),
        nested("<table><tr><td>", "<tr><td>x", 20_000),
        nested("<font color=red>", "x", 50_000),
        format!("<p title='{}'>the words</p>", "x".repeat(5 << 20)),
        "&".repeat(500_000),
        "<".repeat(200_000),
        "<a href=1><div>x</a>".repeat(5_000),
        format!("<script type='application/ld+json'>{}</script>", "[".repeat(200_000)),
    ];
    for page in &pages {
        for method in ["extract", "markdown", "text", "links"] {
            let answer = server.post(&format!("/v1/methods/{method}"), page.as_bytes());
            // A bound of the guest, and no trap: its code recurses over what it has checked.
            let is_refused = answer.status == 422 && answer.json()["code"] == "unsupported_input";
            assert!(answer.status == 200 || is_refused, "{method} of {:.40}: {}", page, answer.text());
        }
    }
    assert_eq!(server.post("/v1/methods/text", b"<p>still there").text(), "still there");
}

#[test]
fn a_document_is_read_without_a_server() {
    let dir = tempfile::tempdir().expect("a directory");
    let page = dir.path().join("page.html");
    fs::write(&page, PAGE).expect("written");
    let state = state_with("extract");
    let read = |args: &[&str]| -> Command {
        let mut command = snapback();
        command.arg("extract").arg(&page).arg("--state-dir").arg(&state).args(args);
        command
    };
    let json: Value = serde_json::from_str(&run_ok(&mut read(&["--url", ADDRESS]))).expect("JSON");
    assert_eq!(json, native(PAGE.as_bytes()));
    let markdown = run_ok(&mut read(&["--method", "markdown", "--content", "page", "--url", ADDRESS]));
    assert!(markdown.contains("[About](https://example.org/about)"), "{markdown}");
    assert!(run_err(&mut read(&["--url", "relative"]), 4).contains("absolute"));

    let server = Server::start("extract", &[]);
    let address = server.url("");
    let there = run_ok(&mut read(&["--url", ADDRESS, "--server", address.trim_end_matches('/')]));
    assert_eq!(serde_json::from_str::<Value>(&there).expect("JSON"), json);
}
