//! The operations that tell what the server is and how it is.
//!
//! Invariant: an operation here changes nothing.

use super::{
    operation::{Described, JSON, Op, TEXT, object},
    parameters,
};
use crate::http::{health::Health, status::Status, whoami::Whoami};
use serde_json::{Value, json};

const TAG: &str = "server";

pub(super) fn operations() -> Vec<Described> {
    vec![healthz(), readyz(), metrics(), status(), whoami(), document(), page(), script(), style()]
}

/// The status of a server with one image.
pub(super) fn status_example() -> Value {
    json!({
        "version": "0.1.0",
        "uptime_seconds": 86_400,
        "state": "ready",
        "images": [{
            "name": "zcash",
            "digest": "8d3c2a1b90f4e5d6c7b8a99887766554433221100ffeeddccbbaa99887766554",
            "generation": 1,
            "guest": "snapback-guest-zcash",
            "simd": "off",
            "features": ["bulk-memory", "wide-arithmetic"],
            "circuits": ["orchard"],
            "native_bytes": 4_194_304,
            "native_check": "identity",
            "native_check_reason": null,
            "memory_bytes": 67_108_864,
            "breaker": "closed",
            "policy": { "swap.policy": "threshold" }
        }],
        "lanes": { "configured": 2, "at_work": 2 },
        "queue": { "length": 0, "depth": 64 },
        "memory": {
            "resident_bytes": 134_217_728,
            "private_resident_bytes": 6_340_608,
            "granted_bytes": 0,
            "process_limit_bytes": null
        },
        "swaps": { "total": 17 },
        "sandbox": { "landlock": "full", "no_new_privileges": true, "no_core_dumps": true }
    })
}

fn healthz() -> Described {
    let example = json!({ "status": "ok", "memory": {
        "private_resident_bytes": 6_340_608, "granted_bytes": 0, "limit_bytes": null, "pressure": "calm"
    } });
    Op::get("/healthz", TAG, "healthz", "Answers as long as the process lives")
        .json::<Health>(200, "It lives.", example)
        .probe()
}

fn readyz() -> Described {
    Op::get("/readyz", TAG, "readyz", "Tells whether a call that came now would run at once or soon")
        .text(200, "It would.", TEXT, "ready\n")
        .text(503, "It would not; the text is the reason.", TEXT, "draining\n")
        .probe()
}

fn metrics() -> Described {
    Op::get("/metrics", TAG, "metrics", "Returns metrics in Prometheus' text format")
        .text(200, "The metrics.", TEXT, "snapback_lanes 2\n")
        .end()
}

fn status() -> Described {
    Op::get("/v1/status", TAG, "status", "Returns the images that are served, the lanes and the memory")
        .json::<Status>(200, "The status.", status_example())
        .end()
}

fn whoami() -> Described {
    let example = json!({
        "keys": "required",
        "tenant": "acme",
        "role": "prover",
        "key": "3f9a0c1b2d4e",
        "quota": { "per_minute_max": 600 }
    });
    Op::get("/v1/whoami", TAG, "whoami", "Returns the tenant, the role and the quota of the caller")
        .json::<Whoami>(200, "The caller.", example)
        .end()
}

fn document() -> Described {
    Op::get("/v1/openapi.json", TAG, "openapi", "Returns this document")
        .parameter(parameters::if_none_match())
        .replies(200, "This document.", JSON, object(json!({ "openapi": "3.1.0" })))
        .header(200, "ETag", "The digest of the document.")
        .empty(304, "The client has the document.")
        .header(304, "ETag", "The digest of the document.")
        .fails(&[&["lost"]])
        .end()
}

fn page() -> Described {
    Op::get("/docs", TAG, "docs", "Returns a page that shows this document")
        .text(200, "The page.", "text/html", "<!doctype html>")
        .end()
}

fn script() -> Described {
    Op::get("/docs/page.js", TAG, "docs_script", "Returns the script of the page")
        .text(200, "The script.", "text/javascript", "\"use strict\";")
        .end()
}

fn style() -> Described {
    Op::get("/docs/page.css", TAG, "docs_style", "Returns the style sheet of the page")
        .text(200, "The style sheet.", "text/css", "body { margin: 0 }")
        .end()
}
