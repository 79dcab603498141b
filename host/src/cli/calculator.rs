//! `snapback calculator`: checks, compiles and keeps a witness calculator, in a process of its own.

use super::{output::outln, resolve::State};
use crate::{config::Config, subprocess::step_back};
use anyhow::Context;
use snapback_snapshot::{calculators, proof_systems::ProofSystems};
use std::{fs, path::PathBuf};

#[derive(clap::Args)]
pub(super) struct Args {
    /// The calculator's .wasm
    file: PathBuf,
}

pub(super) fn run(args: &Args, config: &Config, systems: &ProofSystems) -> anyhow::Result<()> {
    step_back()?;
    let state = State::open(config, systems)?;
    state.enter_bake_sandbox(vec![args.file.clone()], config)?;
    let wasm = fs::read(&args.file).with_context(|| format!("cannot read {}", args.file.display()))?;
    let digest = calculators::keep(&state.store, &state.cache, &wasm, config.bake.memory_bytes_max)?;
    outln!("{}", serde_json::json!({ "digest": digest }));
    Ok(())
}
