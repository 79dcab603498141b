//! The `snapback` binary.

use snapback_host::cli;
use snapback_snapshot::proof_systems::ProofSystems;
use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main(&ProofSystems::builtin())
}
