//! Proofs as snarkjs keeps them: `proof.json` and `public.json`, two files.
//!
//! Invariant: what is written here, snarkjs reads, and the other way round.

use super::{
    exit::{Exit, Failure},
    files,
    output::outln,
};
use anyhow::Context;
use serde::Serialize;
use serde_json::{Value, ser::PrettyFormatter};
use snapback_snapshot::proof_systems::{ProofSystem, groth16};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Where a proof and its public signals are written.
#[derive(clap::Args)]
pub(super) struct Outputs {
    /// Write the proof to this file, as `snarkjs groth16 prove` does
    #[arg(long, value_name = "FILE", conflicts_with = "output", requires = "public")]
    proof: Option<PathBuf>,
    /// Write the public signals to this file, as `snarkjs groth16 prove` does
    #[arg(long, value_name = "FILE", requires = "proof")]
    public: Option<PathBuf>,
}

impl Outputs {
    /// Returns whether files were named.
    pub(super) fn are_named(&self) -> bool {
        self.proof.is_some()
    }

    /// Writes both files.
    pub(super) fn write(&self, proven: &Value) -> anyhow::Result<()> {
        let part = |key: &str| {
            proven.get(key).with_context(|| {
                format!(
                    "the reply has no `{key}`: --proof and --public are for circuits of the image `groth16`"
                )
            })
        };
        // Nothing is written unless both are there.
        let (public, proof) = (part("publicSignals")?, part("proof")?);
        files::write(self.public.as_deref(), &pretty(public))?;
        files::write(self.proof.as_deref(), &pretty(proof))
    }
}

/// Reads a proof, and if its public signals are in a file of their own, both as one.
pub(super) fn read(proof: &Path, public: Option<&Path>) -> anyhow::Result<Zeroizing<Vec<u8>>> {
    let bytes = files::read(proof)?;
    let Some(public) = public else { return Ok(bytes) };
    let merged = groth16::merge(&bytes, &files::read(public)?);
    let merged = merged.map_err(|reason| {
        Failure::error(Exit::Call, format!("{} and {}: {reason}", proof.display(), public.display()))
    })?;
    Ok(Zeroizing::new(merged))
}

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  snapback calldata proof.json --public public.json
  snapback prove input.json --circuit membership | snapback calldata -")]
pub(super) struct CalldataArgs {
    /// The proof, as snarkjs or `snapback prove` writes it; - reads standard input
    proof: PathBuf,
    /// The public signals, unless they are in the same file
    #[arg(long, value_name = "FILE")]
    public: Option<PathBuf>,
}

/// Prints the arguments for the verifier in Solidity that snarkjs exports.
pub(super) fn calldata(args: &CalldataArgs) -> anyhow::Result<()> {
    let proof = read(&args.proof, args.public.as_deref())?;
    let file = groth16::Groth16.proof_from_json(&proof, usize::MAX).map_err(|error| error.to_string());
    let calldata = file.and_then(|file| groth16::calldata(&file));
    let calldata = calldata
        .map_err(|reason| Failure::error(Exit::Call, format!("{}: {reason}", args.proof.display())))?;
    outln!("{calldata}");
    Ok(())
}

/// Returns JSON that is indented by single spaces.
fn pretty(value: &Value) -> Vec<u8> {
    let mut text = Vec::new();
    let mut serializer =
        serde_json::Serializer::with_formatter(&mut text, PrettyFormatter::with_indent(b" "));
    value.serialize(&mut serializer).expect("a value has string keys only");
    text
}
