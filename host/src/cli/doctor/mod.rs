//! `snapback doctor`: measures whether this machine can serve, and says what to do where it cannot.
//!
//! ```text
//! kernel · memory · wasm · instances · disk · clock · network · files   families of checks
//! check      name, verdict, what was found, what to do
//! report     lines for people, JSON for programs
//! scratch    the directory of the measurements         accounts   parsers of what the kernel reports
//! adjtimex   the state of the wall clock
//! ```
//!
//! Invariant: a run changes nothing. It creates no state, no key and no setting, and removes what it measured with.

mod accounts;
mod adjtimex;
mod check;
mod clock;
mod disk;
mod files;
mod instances;
mod kernel;
mod memory;
mod network;
mod report;
mod scratch;
mod wasm;

use super::exit::{AlreadyReported, Exit};
use crate::config::Config;
use check::{Check, Verdict};
use report::Colours;
use scratch::Scratch;
use snapback_snapshot::proof_systems::ProofSystems;
use std::io;

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  snapback doctor
  snapback doctor --config /etc/snapback/snapback.toml
  snapback doctor --json | jq '.checks[] | select(.verdict != \"ok\")'

It takes the settings of `snapback serve`: run it as the same user, with the same flags, variables and file. The exit
code is 1 if a check is an error, and 0 otherwise. What each check means: docs/doctor.md.")]
pub(super) struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, config: &Config, systems: &ProofSystems) -> anyhow::Result<()> {
    let checks = checks(config, systems);
    if args.json {
        report::print_json(&checks);
    } else {
        report::print_text(&checks, Colours::of_stdout());
    }
    match report::worst(&checks) {
        Verdict::Ok | Verdict::Warning => Ok(()),
        Verdict::Error => Err(AlreadyReported(Exit::Failed as u8).into()),
    }
}

fn checks(config: &Config, systems: &ProofSystems) -> Vec<Check> {
    let scratch = Scratch::create(&config.state_dir);
    let available = scratch.as_ref().ok();
    let instances = match &scratch {
        Ok(scratch) => instances::checks(scratch, config, systems),
        Err(error) => vec![no_scratch(error)],
    };
    [
        kernel::checks(config.sandbox),
        memory::checks(config),
        wasm::checks(),
        instances,
        disk::checks(&config.state_dir, available),
        clock::checks(),
        network::checks(config),
        files::checks(config, available),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Returns the check of a machine where no file can be created at all.
fn no_scratch(error: &io::Error) -> Check {
    Check::error(
        "instances.image",
        format!("no directory can be made to bake in: {error}"),
        "set `state_dir` to a directory that belongs to the user of the server",
    )
}
