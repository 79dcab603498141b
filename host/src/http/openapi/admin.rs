//! The operations of operators.
//!
//! Invariant: an operation here needs an operator.

use super::{
    errors::{AUDIT, SETTINGS},
    operation::{Described, JSON, Op, object},
    server::status_example,
};
use crate::http::{admin::Target, status::AdminStatus, whoami::Audit};
use axum::http::Method;
use serde_json::json;

const TAG: &str = "operators";
const UNKNOWN_IMAGE: &[&str] = &["unknown_image"];

pub(super) fn operations() -> Vec<Described> {
    vec![status(), prepare(), swap(), drain(), policy(), change_policy(), events(), audit()]
}

fn status() -> Described {
    let mut example = status_example();
    example["instances"] = json!({ "zcash": [{
        "lane": 0,
        "calls": 17,
        "age_seconds": 12.5,
        "used_bytes": 1_048_576,
        "pressure": "calm",
        "standby": "ready",
        "standbys_ready": 1,
        "standbys_ordered": 0,
        "samples": [{ "at_ms": 1_795_000_000_000_u64, "used_bytes": 1_048_576 }]
    }] });
    example["calls"] = json!({ "zcash": { "prove": { "ok": 17 } } });
    Op::get("/v1/admin/status", TAG, "admin_status", "Returns the status, with the instances of every lane")
        .json::<AdminStatus>(200, "The status.", example)
        .end()
}

fn prepare() -> Described {
    Op::post("/v1/admin/prepare", TAG, "prepare", "Makes lanes order a standby")
        .query::<Target>()
        .empty(202, "The lanes know it.")
        .fails(&[UNKNOWN_IMAGE])
        .end()
}

fn swap() -> Described {
    Op::post("/v1/admin/swap", TAG, "swap", "Makes lanes replace their active instance between two calls")
        .query::<Target>()
        .empty(202, "The lanes know it.")
        .fails(&[UNKNOWN_IMAGE])
        .end()
}

fn drain() -> Described {
    Op::post("/v1/admin/drain", TAG, "drain", "Drains the server, as SIGTERM does")
        .empty(202, "It drains.")
        .end()
}

fn policy() -> Described {
    let example = json!({ "zcash": { "swap.policy": "threshold", "memory.limit": 268_435_456 } });
    Op::get("/v1/admin/policy", TAG, "show_policy", "Returns the settings of each image")
        .query::<Target>()
        .replies(200, "The settings by image.", JSON, object(example))
        .fails(&[UNKNOWN_IMAGE])
        .end()
}

fn change_policy() -> Described {
    Op::new(Method::PATCH, "/v1/admin/policy", TAG, "change_policy", "Changes settings: all of them, or none")
        .query::<Target>()
        .takes(JSON, "The settings and their values.", object(json!({ "swap.policy": "off" })))
        .empty(204, "They are changed.")
        .fails(&[UNKNOWN_IMAGE, SETTINGS])
        .end()
}

fn events() -> Described {
    let example = "event: swap-complete\ndata: {\"at_ms\":1795000000000,\"image\":\"zcash\",\"lane\":0}\n\n";
    Op::get("/v1/admin/events", TAG, "admin_events", "Sends events as they happen, until the server stops")
        .events("Events, each with JSON; docs/http.md lists their names.", example)
        .end()
}

fn audit() -> Described {
    let example = json!({ "entries": [{
        "at": "2026-11-27T14:40:00.123Z",
        "request_id": "9f86d081884c7d65",
        "client_request_id": "order-17",
        "who": { "tenant": "acme", "role": "registrar", "key": "3f9a0c1b2d4e" },
        "from": "192.0.2.7",
        "what": "PUT /v1/circuits/{circuit}",
        "target": "/v1/circuits/membership",
        "verdict": "done",
        "code": "ok"
    }] });
    Op::get("/v1/audit", TAG, "audit", "Returns the latest changes and refusals, oldest first")
        .json::<Audit>(200, "The latest entries of the audit log.", example)
        .fails(&[AUDIT])
        .end()
}
