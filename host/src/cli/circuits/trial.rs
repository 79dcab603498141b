//! The trial of a circuit that was added: the server proves a statement of the user, and this program verifies the proof
//! with the verifying key alone.
//!
//! Invariant: the inputs or the witness go to the server for one call, and are kept nowhere.

use super::place::Place;
use crate::{
    cli::{
        client::{ApiRequest, JSON},
        exit::{Exit, Failure, describe, exit_of},
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
use zeroize::Zeroizing;

/// A statement that is tried.
pub(super) struct Trial<'a> {
    file: &'a Path,
    statement: Zeroizing<Vec<u8>>,
    /// Whether the name has a circuit already, which a failure must not cost.
    was_there: bool,
}

impl<'a> Trial<'a> {
    /// Reads the statement, and asks whether there is a circuit of this name.
    pub(super) fn read(place: &Place, name: &str, file: &'a Path) -> anyhow::Result<Self> {
        let statement = files::read(file)?;
        let get = |path| place.send(ApiRequest { method: "GET", path, ..ApiRequest::default() }, &[]);
        // The listener of operators takes circuits and proves nothing.
        get(&["v1", "methods"]).context("a trial needs the address at which the server proves")?;
        let list = get(&["v1", "circuits"])?;
        let was_there =
            list["circuits"].as_array().is_some_and(|all| all.iter().any(|circuit| circuit["name"] == name));
        Ok(Self { file, statement, was_there })
    }

    /// Proves the statement, and verifies the proof.
    pub(super) fn run(&self, place: &Place, name: &str, systems: &ProofSystems) -> anyhow::Result<()> {
        let Err(error) = prove_and_verify(place, name, &self.statement, systems) else {
            if place.json {
                outln!("{}", json!({ "trial": { "circuit": name, "verified": true } }));
            } else {
                outln!("a proof of {} by `{name}` was made and verified", self.file.display());
            }
            return Ok(());
        };
        let exit = exit_of(&error);
        // A server that is full, or gone, says nothing about the circuit.
        let is_refused = matches!(exit, Exit::Call | Exit::Refuted);
        let what = if !is_refused {
            format!("`{name}` is served, and was not tried")
        } else if self.was_there {
            "the trial failed, and the circuit is still served: `snapback circuits activate` returns to an earlier \
             generation"
                .into()
        } else {
            let path = ["v1", "circuits", name];
            let removal = ApiRequest { method: "DELETE", path: &path, ..ApiRequest::default() };
            match place.send(removal, &[]) {
                Ok(_) => format!("the trial failed, and `{name}` is being removed again"),
                Err(removal) => format!("the trial failed, and `{name}` cannot be removed ({removal:#})"),
            }
        };
        Err(Failure::error(exit, format!("{what}: {}", describe(&error))))
    }
}

fn prove_and_verify(place: &Place, name: &str, body: &[u8], systems: &ProofSystems) -> anyhow::Result<()> {
    let proof = place.call(&ApiRequest {
        method: "POST",
        path: &["v1", "circuits", name, METHOD_PROVE],
        content_type: is_json(body).then_some(JSON),
        accept: Some(JSON),
        body,
        ..ApiRequest::default()
    })?;
    let key = place.verifying_key(name)?;
    let refuted = |reason: String| Failure::error(Exit::Refuted, format!("the proof is refused: {reason}"));
    let system = systems.of_key(&key).context("the server's verifying key has no known format")?;
    let proof = system.proof_from_json(&proof, usize::MAX).map_err(|error| refuted(error.to_string()))?;
    let references = References { store: None, progress: &|_| {} };
    system.verify(&references, &key, &proof).map_err(|error| refuted(error.to_string()))
}
