//! The codes of errors, with their status and their meaning, and which operations answer with which.
//!
//! Invariant: status and meaning are those of docs/http.md, which a test compares with the sources.

use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};
use utoipa::openapi::{
    ContentBuilder, Ref, Response, ResponseBuilder,
    example::{Example, ExampleBuilder},
};

/// The page with the list of codes.
const PAGE: &str = include_str!("../../../../docs/http.md");

/// What is known of a code.
pub(super) struct Code {
    pub(super) status: u16,
    meaning: &'static str,
}

/// Every code.
pub(super) static CODES: LazyLock<BTreeMap<&str, Code>> = LazyLock::new(|| {
    let rows = PAGE.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| ")?.strip_suffix(" |")?.splitn(3, " | ");
        let status = cells.next()?.parse().ok()?;
        let code = cells.next()?.trim_matches('`');
        Some((code, Code { status, meaning: cells.next()? }))
    });
    rows.collect()
});

/// Codes of a group of operations.
pub(super) type Group = &'static [&'static str];

/// Requests that the connection, the host or its origin refuses. Probes are answered nevertheless.
pub(super) const EVERY: Group = &["bad_host", "unknown_host", "connections_full"];
/// Images that a path or a query names.
pub(super) const IMAGE: Group = &["unknown_image", "ambiguous"];
/// Bodies that arrive.
pub(super) const BODY: Group = &["body_too_large", "body_timeout", "body_broken", "overloaded"];
/// Calls that a guest answers.
pub(super) const CALL: Group = &[
    "malformed_input",
    "unsupported_input",
    "unknown_circuit",
    "nothing_to_prove",
    "refuted",
    "guest_failed",
    "queue_full",
    "breaker_open",
    "draining",
    "lost",
    "unknown_method",
    "guest_trapped",
    "out_of_memory",
    "deadline",
    "stalled",
    "cancelled",
    "guest_broke_contract",
    "reply_too_large",
    "engine_failed",
];
/// Calls that compute a witness first.
pub(super) const CALCULATOR: Group = &[
    "no_calculator",
    "bad_inputs",
    "refuted",
    "calculator_mismatch",
    "calculator_trapped",
    "calculator_out_of_memory",
    "calculator_deadline",
    "calculator_failed",
];
/// Witnesses that are exported.
pub(super) const WITNESS: Group = &["witness_export_off"];
/// Everything that concerns jobs.
pub(super) const JOBS: Group = &["jobs_off", "no_jobs", "jobs_not_stored", "job_damaged", "lost"];
/// Calls that become jobs.
pub(super) const SUBMISSION: Group = &["jobs_full", "idempotency_mismatch", "bad_callback", "webhooks_off"];
/// Many jobs in one request.
pub(super) const BATCH: Group = &["bad_batch", "bad_query", "unknown_circuit", "unknown_method"];
/// One job.
pub(super) const JOB: Group = &["unknown_job"];
/// The result of a job.
pub(super) const RESULT: Group = &["job_not_finished", "job_failed", "job_without_result", "overloaded"];
/// Everything that concerns circuits as data.
pub(super) const REGISTRY: Group = &["no_circuits_as_data", "lost"];
/// Changes of circuits.
pub(super) const CHANGING: Group =
    &["changes_off", "too_many_changes", "draining", "catalogue_failed", "forbidden"];
/// One change of circuits.
pub(super) const CHANGE: Group = &["unknown_change"];
/// Files that arrive.
pub(super) const UPLOAD: Group = &[
    "bad_circuit",
    "unsupported_circuit",
    "circuit_too_large",
    "name_taken",
    "upload_too_large",
    "upload_timeout",
    "overloaded",
    "quota_exceeded",
];
/// A circuit that is removed.
pub(super) const REMOVAL: Group = &["unknown_circuit", "name_taken"];
/// A change that is cancelled.
pub(super) const CANCELLATION: Group = &["not_cancellable"];
/// A generation that is activated.
pub(super) const ACTIVATION: Group = &["unknown_generation", "not_servable"];
/// Settings that are changed.
pub(super) const SETTINGS: Group = &["bad_settings", "lost"];
/// Webhooks that are sent.
pub(super) const WEBHOOKS: Group = &["webhooks_off"];
/// One webhook.
pub(super) const DELIVERY: Group = &["unknown_delivery"];
/// The audit log.
pub(super) const AUDIT: Group = &["no_audit_log", "lost"];

/// Returns the responses with these codes, by status.
pub(super) fn responses(codes: &BTreeSet<&'static str>) -> BTreeMap<u16, Response> {
    let mut by_status: BTreeMap<u16, Vec<(&'static str, &Code)>> = BTreeMap::new();
    for code in codes {
        if let Some(known) = CODES.get(code) {
            by_status.entry(known.status).or_default().push((code, known));
        }
    }
    by_status.into_iter().map(|(status, codes)| (status, response(&codes))).collect()
}

fn response(codes: &[(&'static str, &Code)]) -> Response {
    let lines = codes.iter().map(|(code, known)| format!("`{code}`: {}", known.meaning));
    let examples = codes.iter().map(|(code, known)| (*code, example(code, known)));
    let content = ContentBuilder::new()
        .schema(Some(Ref::from_schema_name("Error")))
        .examples_from_iter(examples)
        .build();
    ResponseBuilder::new()
        .description(lines.collect::<Vec<_>>().join("\n\n"))
        .content("application/json", content)
        .build()
}

fn example(code: &str, known: &Code) -> Example {
    let value = json!({ "code": code, "message": known.meaning, "request_id": "9f86d081884c7d65" });
    ExampleBuilder::new().summary(known.meaning).value(Some(value)).build()
}

/// Returns the list of all codes, for clients that want to know each.
pub(super) fn table() -> Value {
    CODES
        .iter()
        .map(|(code, known)| json!({ "status": known.status, "code": code, "meaning": known.meaning }))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_of_a_group_is_known_and_every_known_code_is_in_a_group() {
        let groups = [
            EVERY,
            IMAGE,
            BODY,
            CALL,
            CALCULATOR,
            WITNESS,
            JOBS,
            SUBMISSION,
            BATCH,
            JOB,
            RESULT,
            REGISTRY,
            CHANGING,
            CHANGE,
            UPLOAD,
            REMOVAL,
            CANCELLATION,
            ACTIVATION,
            SETTINGS,
            AUDIT,
            WEBHOOKS,
            DELIVERY,
        ];
        // Those that an operation has by what it is.
        let derived =
            ["no_route", "bad_query", "unauthorised", "forbidden", "foreign_origin", "quota_exceeded"];
        // The answer to what is no operation.
        let other = ["wrong_method"];
        let grouped: BTreeSet<&str> =
            groups.into_iter().flatten().copied().chain(derived).chain(other).collect();
        let known: BTreeSet<&str> = CODES.keys().copied().collect();
        let unknown: Vec<_> = grouped.difference(&known).collect();
        assert!(unknown.is_empty(), "docs/http.md does not list {unknown:?}");
        let missing: Vec<_> = known.difference(&grouped).collect();
        assert!(
            missing.is_empty(),
            "no operation answers with {missing:?}: add them to a group in http/openapi/errors.rs"
        );
    }
}
