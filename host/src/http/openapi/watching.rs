//! The operations with which people watch the server: the page, the last hour, and what happens.
//!
//! Invariant: an operation here changes nothing.

use super::operation::{Described, Op};
use crate::{http::history::SettingChanges, telemetry::history::HistoryView};
use serde_json::json;
use utoipa::openapi::Type;

const TAG: &str = "watching";

pub(super) fn operations() -> Vec<Described> {
    vec![page("/", "page"), page("/ui", "page_at_ui"), asset(), history(), settings(), events()]
}

fn page(path: &'static str, name: &'static str) -> Described {
    Op::get(path, TAG, name, "Returns the page for people")
        .text(200, "The page.", "text/html; charset=utf-8", "<!doctype html>")
        .empty(304, "The browser has the page.")
        .end()
}

fn asset() -> Described {
    Op::get("/ui/{asset}", TAG, "page_file", "Returns a file of the page")
        .segment("asset", Type::String, "The name of the file.")
        .text(200, "The file.", "text/javascript; charset=utf-8", "\"use strict\";")
        .empty(304, "The browser has the file.")
        .fails(&[&["no_route"]])
        .end()
}

fn history() -> Described {
    let example = json!({
        "bucket_seconds": 10,
        "last_seconds": 3.2,
        "calls": [40, 12],
        "refused": [0, 0],
        "failed": [0, 0],
        "p50_ms": [812.5, null],
        "p99_ms": [1402.0, null],
        "queue_max": [2, 0],
        "swaps": [40, 12],
        "lost": [0, 0],
        "rejected": [0, 0],
        "growth_refused": [0, 0],
        "swaps_put_off": [0, 0],
        "swaps_refused": [0, 0],
        "standby_failures": [0, 0],
        "changes_failed": [0, 0]
    });
    Op::get("/v1/history", TAG, "history", "Returns the calls of the last hour, in buckets of ten seconds")
        .json::<HistoryView>(200, "The buckets, oldest first.", example)
        .end()
}

fn settings() -> Described {
    let example = json!({ "changes": [{
        "at_ms": 1_795_000_000_000_u64,
        "image": "zcash",
        "by": "key 3f9a0c1b2d4e",
        "changed": { "swap.policy": ["threshold", "every-call"] }
    }] });
    Op::get(
        "/v1/history/settings",
        TAG,
        "setting_changes",
        "Returns the latest changes of settings of images",
    )
    .json::<SettingChanges>(200, "The changes, newest first.", example)
    .end()
}

fn events() -> Described {
    let example = "event: status\ndata: {\"at_ms\":1795000000000,\"state\":\"ready\"}\n\n";
    Op::get("/v1/events", TAG, "events", "Streams the status once a second, and what happens")
        .events("Events, each with JSON; docs/http.md lists their names.", example)
        .end()
}
