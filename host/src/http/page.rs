//! The page for browsers, at `/` and `/ui`: files that are part of the program.
//!
//! Invariant: the page loads nothing from anywhere else, and runs no script but its own files: the policy below makes
//! browsers refuse the rest, also if a name or a message that the page shows were taken for markup.

use super::error::ApiError;
use axum::{
    extract::Path,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use std::sync::LazyLock;

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
                      require-trusted-types-for 'script'; trusted-types 'none'";

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SVG: &str = "image/svg+xml";
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// One file of the page.
struct Asset {
    name: &'static str,
    media_type: &'static str,
    bytes: &'static [u8],
}

macro_rules! asset {
    ($name:literal, $media_type:expr) => {
        Asset { name: $name, media_type: $media_type, bytes: include_bytes!(concat!("page/", $name)) }
    };
}

/// Every file. The first one is the page itself.
static ASSETS: [Asset; 21] = [
    asset!("index.html", HTML),
    asset!("page.css", CSS),
    asset!("icon.svg", SVG),
    asset!("main.js", SCRIPT),
    asset!("alerts.js", SCRIPT),
    asset!("api.js", SCRIPT),
    asset!("changes.js", SCRIPT),
    asset!("charts.js", SCRIPT),
    asset!("circuits.js", SCRIPT),
    asset!("dom.js", SCRIPT),
    asset!("files.js", SCRIPT),
    asset!("format.js", SCRIPT),
    asset!("jobs.js", SCRIPT),
    asset!("lanes.js", SCRIPT),
    asset!("live.js", SCRIPT),
    asset!("overview.js", SCRIPT),
    asset!("prove.js", SCRIPT),
    asset!("session.js", SCRIPT),
    asset!("settings.js", SCRIPT),
    asset!("store.js", SCRIPT),
    asset!("verify.js", SCRIPT),
];

/// The tag of each file: a digest of its bytes.
static TAGS: LazyLock<Vec<HeaderValue>> = LazyLock::new(|| {
    let tag = |asset: &Asset| format!("\"{}\"", &blake3::hash(asset.bytes).to_hex()[..32]);
    ASSETS.iter().map(|asset| HeaderValue::try_from(tag(asset)).expect("hexadecimal digits")).collect()
});

pub(super) async fn index(headers: HeaderMap) -> Response {
    answer(0, &headers)
}

pub(super) async fn asset(Path(name): Path<String>, headers: HeaderMap) -> Result<Response, ApiError> {
    let index = ASSETS.iter().position(|asset| asset.name == name).ok_or(ApiError::NoRoute)?;
    Ok(answer(index, &headers))
}

/// Answers with a file, or with 304 if the browser has it.
fn answer(index: usize, headers: &HeaderMap) -> Response {
    let (asset, tag) = (&ASSETS[index], &TAGS[index]);
    let known = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let is_known = known.flat_map(|list| list.split(',')).any(|known| known.trim() == tag);
    let mut response = if is_known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(header::CONTENT_TYPE, asset.media_type)], asset.bytes).into_response()
    };
    let fixed: [(HeaderName, &'static str); 5] = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    for (name, value) in fixed {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response.headers_mut().insert(header::ETAG, tag.clone());
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Largest page, all its files together.
    const PAGE_BYTES_MAX: usize = 150_000;

    #[test]
    fn the_page_is_small_and_names_every_file_that_it_has() {
        assert!(ASSETS.iter().map(|asset| asset.bytes.len()).sum::<usize>() < PAGE_BYTES_MAX);
        let html = std::str::from_utf8(ASSETS[0].bytes).expect("text");
        for asset in &ASSETS[1..] {
            assert!(html.contains(&format!("\"/ui/{}\"", asset.name)), "{} is loaded late", asset.name);
        }
    }

    #[test]
    fn no_file_makes_markup_or_code_of_text() {
        for asset in &ASSETS {
            let text = std::str::from_utf8(asset.bytes).expect("text");
            for word in [
                "innerHTML",
                "outerHTML",
                "insertAdjacentHTML",
                "document.write",
                "eval(",
                "style=",
                "onclick=",
            ] {
                assert!(!text.contains(word), "{}: {word}", asset.name);
            }
        }
    }
}
