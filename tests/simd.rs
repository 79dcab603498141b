//! The guest `extract` in its two builds: with vectors and without they give the same replies, which are those of native code
//! too, and a server says which of them it serves.

mod harness;

use harness::{Server, native_key, pages::gathered, run_err, run_ok, snapback, state_with};
use serde_json::Value;
use snapback_guest_extract::{
    envelope::{Content, Document, Options},
    extract::{extract, links_of, markdown, text},
    reply::to_json,
};
use snapback_host::{
    ids::GenerationId,
    instance::{Call, Entropy, Generation, Instance},
};
use snapback_snapshot::{Guest, ImageStore, NativeCache, Simd, Ticker, engine};
use std::{fs, path::PathBuf, sync::Arc, time::Duration};
use wasmtime::Engine;

/// What ends a run of text somewhere: every byte that a vector is searched for, and characters of several bytes.
const ENDS: [&str; 14] =
    ["<b>", "<", "&amp;", "&", "\n", "\r\n", "\r", "\0", "\u{a0}", "\u{e9}", "\u{1f600}", "\"", "'", " "];

/// A page that has the text wherever the parser searches for the end of a run.
fn everywhere(run: &str) -> String {
    format!(
        "<title>{run}</title><p title=\"{run}\" class='{run}' id={run}>{run}<a href=\"/{run}\">{run}</a><textarea>{run}</textarea>\
         <pre>{run}</pre><script>{run}</script><style>{run}</style><!--{run}--><svg><![CDATA[{run}]]></svg><p>{run}{run}"
    )
}

/// Runs of every length around that of a vector, with every end at every place.
fn runs() -> impl Iterator<Item = String> {
    ENDS.into_iter().flat_map(|end| {
        (0..=34).flat_map(move |before| {
            [0, 1, 15, 16, 17, 40]
                .map(|after| format!("{}{end}{}", "x".repeat(before), "\u{e4}".repeat(after / 2)))
        })
    })
}

/// Texts of many ends in disorder, which are the same in every run of this test.
fn disordered() -> impl Iterator<Item = String> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut below = move |bound: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 33) as usize % bound
    };
    (0..200).map(move |_| {
        (0..60)
            .map(|_| match below(3) {
                0 => ENDS[below(ENDS.len())].to_owned(),
                1 => ["</p>", "<li>", "<script>", "</script>", "<!--", "-->", "<table><td>", "&#x41;"]
                    [below(8)]
                .to_owned(),
                _ => "word ".repeat(below(8)),
            })
            .collect()
    })
}

/// Mozilla's pages for Readability, if they were gathered, and the sample of the guest.
fn whole_pages() -> Vec<Vec<u8>> {
    let mut pages = vec![include_bytes!("../guest/extract/src/sample.html").to_vec()];
    if let Some(dir) = gathered("readability") {
        let dirs = fs::read_dir(dir).expect("a directory").map(|entry| entry.expect("an entry").path());
        let mut files: Vec<PathBuf> = dirs.map(|dir| dir.join("source.html")).collect();
        files.sort();
        pages.extend(files.iter().map(|file| fs::read(file).expect("a page")));
    }
    pages
}

/// Returns an instance of a build.
fn instance(engine: &Engine, simd: Simd) -> Instance {
    let state = state_with("extract");
    let text = run_ok(
        snapback().args(["bake", "extract", "--simd", simd.as_str(), "--json", "--state-dir"]).arg(&state),
    );
    let baked: Value = serde_json::from_str(&text).expect("JSON");
    let digest = baked["digest"].as_str().expect("a digest").parse().expect("a digest");
    let store = ImageStore::open(&state).expect("the store");
    let sealed = store.open_image(&digest).expect("the image");
    assert_eq!(sealed.manifest().guest.digest, Guest::build("extract", simd).expect("two builds").digest);
    assert_eq!(sealed.manifest().simd(), simd);
    let cache = NativeCache::open(&state, &native_key(), 1 << 30);
    let image = cache.load(engine, &sealed).expect("native code");
    let generation = Arc::new(Generation::new(GenerationId::FIRST, image).expect("an image"));
    Instance::instantiate(&generation, 1 << 30).expect("an instance")
}

fn reply(instance: &mut Instance, method: &str, body: &[u8]) -> Vec<u8> {
    let call = Call {
        method,
        circuit: "",
        body,
        entropy: Entropy::fresh(),
        // Far longer than a machine under any load needs.
        deadline: Duration::from_mins(20),
        reply_bytes_max: 64 << 20,
        stop: None,
    };
    instance.call(&call).expect("a reply").body.to_vec()
}

#[test]
fn both_builds_give_the_replies_of_native_code() {
    let engine = engine(2).expect("an engine");
    let _ticker = Ticker::start(&engine).expect("a thread");
    let (mut with, mut without) = (instance(&engine, Simd::On), instance(&engine, Simd::Off));

    let made = runs().chain(disordered()).map(|run| everywhere(&run).into_bytes());
    let mut pages = 0;
    for page in whole_pages().into_iter().chain(made) {
        let shown = || String::from_utf8_lossy(&page[..page.len().min(600)]).into_owned();
        let mut both = |method: &str| {
            let (with, without) = (reply(&mut with, method, &page), reply(&mut without, method, &page));
            assert_eq!(with, without, "{method} of {}", shown());
            with
        };
        let document = Document::new(&page, Options::default()).expect("a page");
        let native = extract(&document).expect("a reply");
        assert_eq!(both("extract"), to_json(&native).expect("short"), "{}", shown());
        assert_eq!(both("markdown"), markdown(&document).expect("a reply").as_bytes(), "{}", shown());
        assert_eq!(both("text"), text(&document).expect("a reply").as_bytes(), "{}", shown());
        let links = links_of(&document).expect("a reply");
        assert_eq!(both("links"), to_json(&links).expect("short"), "{}", shown());

        // The main content of a short page may be nothing; the whole page has all of its text.
        let whole = Options { content: Some(Content::Page), ..Options::default() };
        let head = snapback_abi::options::encode(&serde_json::to_vec(&whole).expect("JSON"));
        let body = [&head[..], &page].concat();
        let native = text(&Document::new(&page, whole).expect("a page")).expect("a reply");
        for build in [&mut with, &mut without] {
            assert_eq!(reply(build, "text", &body), native.as_bytes(), "{}", shown());
        }
        pages += 1;
    }
    assert!(pages > 3_000, "{pages} pages");
}

#[test]
fn a_server_says_which_build_it_serves() {
    for (args, simd) in [(vec![], "on"), (vec!["--simd", "on"], "on"), (vec!["--simd", "off"], "off")] {
        let server = Server::start("extract", &args);
        let status = server.get("/v1/status").json();
        let image = &status["images"][0];
        assert_eq!((&image["simd"], &image["guest"]), (&simd.into(), &"extract".into()));
        let features: Vec<&str> =
            image["features"].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
        assert_eq!(features.contains(&"simd128"), simd == "on", "{features:?}");
        assert!(features.contains(&"bulk-memory") && features.is_sorted(), "{features:?}");

        let digest = image["digest"].as_str().expect("a digest");
        let series = format!("snapback_image_info{{digest=\"{digest}\",image=\"extract\",simd=\"{simd}\"}}");
        assert_eq!(server.metric(&series), 1.0, "{}", server.get("/metrics").text());
        assert_eq!(server.post("/v1/methods/text", b"<p>the words").text(), "the words");
        server.stop();

        let state = state_with("extract");
        let inspect = |more: &[&str]| {
            run_ok(snapback().args(["inspect", "extract", "--state-dir"]).arg(&state).args(&args).args(more))
        };
        let json: Value = serde_json::from_str(&inspect(&["--json"])).expect("JSON");
        assert_eq!((&json["digest"], &json["simd"]), (&digest.into(), &simd.into()));
        assert_eq!(json["manifest"]["features"], image["features"]);
        assert!(inspect(&[]).contains(&format!("(SIMD {simd})")));
    }
}

#[test]
fn a_build_that_does_not_exist_is_refused() {
    let state = state_with("fixtures");
    for command in ["bake", "serve", "inspect"] {
        let stderr =
            run_err(snapback().args([command, "fixtures", "--simd", "off", "--state-dir"]).arg(&state), 2);
        assert!(stderr.contains("only extract has two"), "{stderr}");
    }
}
