//! The trial of a circuit that was added: the server proves a statement of the user, and this program verifies the proof
//! with the verifying key alone.
//!
//! Invariant: the inputs or the witness go to the server for one call, and are kept nowhere.

use super::place::Place;
use crate::{
    cli::{
        client::ApiRequest,
        exit::{Exit, Failure},
        files,
        output::outln,
    },
    witness::inputs::is_json,
};
use anyhow::Context;
use serde_json::json;
use snapback_abi::METHOD_PROVE;
use snapback_snapshot::{References, proof_systems::ProofSystems};
use std::path::Path;

const JSON: &str = "application/json";

/// What becomes of a circuit whose trial fails.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum OnFailure {
    /// It is removed.
    Remove,
    /// It stays, because it may have replaced another one.
    Keep,
}

/// Proves the statement in a file, and verifies the proof.
pub(super) fn run(
    place: &Place,
    name: &str,
    statement: &Path,
    systems: &ProofSystems,
    on_failure: OnFailure,
) -> anyhow::Result<()> {
    let Err(error) = prove_and_verify(place, name, statement, systems) else {
        if place.json {
            outln!("{}", json!({ "trial": { "circuit": name, "verified": true } }));
        } else {
            outln!("a proof of {} by `{name}` was made and verified", statement.display());
        }
        return Ok(());
    };
    let what = match on_failure {
        OnFailure::Keep => "the trial failed, and the circuit is still served: `snapback circuits activate` \
                            returns to an earlier generation"
            .into(),
        OnFailure::Remove => {
            let path = ["v1", "circuits", name];
            let removal = ApiRequest { method: "DELETE", path: &path, ..ApiRequest::default() };
            match place.send(removal, &[]) {
                Ok(_) => format!("the trial failed, and `{name}` is being removed again"),
                Err(removal) => format!("the trial failed, and `{name}` cannot be removed ({removal:#})"),
            }
        }
    };
    Err(error.context(what))
}

fn prove_and_verify(
    place: &Place,
    name: &str,
    statement: &Path,
    systems: &ProofSystems,
) -> anyhow::Result<()> {
    let body = files::read(statement)?;
    let proof = place.call(&ApiRequest {
        method: "POST",
        path: &["v1", "circuits", name, METHOD_PROVE],
        content_type: is_json(&body).then_some(JSON),
        accept: Some(JSON),
        body: &body,
        ..ApiRequest::default()
    })?;
    let key = place.verifying_key(name)?;
    let refuted = |reason: String| Failure::error(Exit::Refuted, format!("the proof is refused: {reason}"));
    let system = systems.of_key(&key).context("the server's verifying key has no known format")?;
    let proof = system.proof_from_json(&proof, usize::MAX).map_err(|error| refuted(error.to_string()))?;
    let references = References { store: None, progress: &|_| {} };
    system.verify(&references, &key, &proof).map_err(|error| refuted(error.to_string()))
}
