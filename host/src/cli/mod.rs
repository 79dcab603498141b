//! The command line: one file for each subcommand.
//!
//! ```text
//! bake · serve · oneshot (prove, verify) · snarkjs (calldata) · extract · inspect · size · images · circuits · jobs ·
//! keys · tenants · webhooks · settings · top · doctor · completions  subcommands
//! calculator · ready      hidden subcommands, which a server runs in processes of their own
//! man                     a hidden subcommand for those who package the program
//! setting_args            settings as flags         resolve   finds the image that a user names
//! client                  requests to a server      progress  bars, stages, printable text
//! here                    a call without a server   access    who may use a server
//! tls                     the files of TLS at the start and at SIGHUP
//! job_engine              the engine of the jobs for a server
//! files                   reading and writing files output    standard output, with readers that leave
//! exit                    exit codes                stopwatch the parts of a start
//! builds                  guests in two builds      open_files the limit of open files
//! ```
//!
//! Invariant: results go to standard output and everything else to standard error; the exit code says how the command
//! ended.

mod access;
mod bake;
mod builds;
mod calculator;
mod circuits;
mod client;
mod completions;
mod doctor;
mod exit;
mod extract;
mod files;
mod here;
mod images;
mod inspect;
mod job_engine;
mod jobs;
mod keys;
mod man;
mod oneshot;
mod open_files;
mod output;
mod progress;
mod ready;
mod resolve;
mod serve;
mod setting_args;
mod settings;
mod size;
mod snarkjs;
mod stopwatch;
mod tenants;
mod tls;
mod top;
mod traces;
mod webhooks;

use crate::{config::Config, subprocess};
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use exit::{AlreadyReported, EXIT_CODES, describe, exit_of};
use setting_args::SettingArgs;
use snapback_snapshot::proof_systems::ProofSystems;
use std::process::ExitCode;

const EXAMPLES: &str = "\
Examples:
  snapback serve                                    bake the Zcash prover once, then serve it
  snapback bake zcash --input sapling_spend=sapling-spend.params \\
      --input sapling_output=sapling-output.params
  snapback prove orchard2.pczt -o proven.pczt       prove without a server
  snapback verify proven.pczt --server http://127.0.0.1:8080
  snapback extract page.html --method markdown
  snapback images                                   list the baked images
  snapback settings                                 list every setting, and where its value comes from
  snapback doctor                                   check whether this machine can serve";

/// Serves WebAssembly guests whose memory only grows, from images of their finished set-up.
#[derive(Parser)]
#[command(name = "snapback", version, after_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"))]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// The process that started this one; this one ends with it
    #[arg(long, global = true, hide = true)]
    parent: Option<u32>,
}

/// Arguments of a subcommand that reads the settings.
#[derive(clap::Args)]
struct With<A: clap::Args> {
    #[command(flatten)]
    args: A,
    #[command(flatten)]
    settings: SettingArgs,
}

#[derive(Subcommand)]
enum Command {
    /// Run a guest's initialiser and keep the result as an image
    Bake(With<bake::Args>),
    /// Serve images over HTTP; without an image, the Zcash prover
    Serve(With<serve::Args>),
    /// Prove one statement, here or on a server
    Prove(With<oneshot::ProveArgs>),
    /// Verify one proof, here or on a server
    Verify(With<oneshot::VerifyArgs>),
    /// Print a proof as the arguments of the Solidity verifier that snarkjs exports
    Calldata(snarkjs::CalldataArgs),
    /// Extract the text and the metadata of an HTML document, here or on a server
    Extract(With<extract::Args>),
    /// Show an image's manifest, and whether copy-on-write holds
    Inspect(With<inspect::Args>),
    /// Show how much memory a server of an image needs
    Size(With<size::Args>),
    /// Add, remove and list circuits on a running server
    Circuits(circuits::Args),
    /// Submit calls as durable jobs to a running server, and follow them
    Jobs(jobs::Args),
    /// Make, list and revoke the keys of those who may use a server
    Keys(With<keys::Args>),
    /// Set what each tenant of a server may use
    Tenants(With<tenants::Args>),
    /// Watch a running server in a terminal: lanes, the last hour, jobs, circuits, alerts
    Top(top::Args),
    /// List the webhooks about jobs, send them again, and show what verifies them
    Webhooks(webhooks::Args),
    /// List or remove the images in the store
    Images(With<images::Args>),
    /// List every setting, with its value and where the value comes from
    Settings(With<settings::Args>),
    /// Check whether this machine can serve, and say what to do where it cannot
    Doctor(With<doctor::Args>),
    /// Check a witness calculator, compile it and keep both: a part of adding a circuit
    #[command(hide = true)]
    Calculator(With<calculator::Args>),
    /// Bake and compile an image that is about to be served: a part of serving it
    #[command(hide = true)]
    Ready(With<ready::Args>),
    /// Write the manual pages into a directory: a part of packaging the program
    #[command(hide = true)]
    Man(man::Args),
    /// Print a completion script for a shell
    Completions(completions::Args),
}

/// Parses the command line, runs the subcommand and returns the exit code.
#[must_use]
pub fn main(systems: &ProofSystems) -> ExitCode {
    let cli = Cli::from_arg_matches(&Cli::command().get_matches()).unwrap_or_else(|error| error.exit());
    match run(cli, systems) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if let Some(AlreadyReported(code)) = error.downcast_ref() {
                return ExitCode::from(*code);
            }
            eprintln!("snapback: {}", progress::printable(&describe(&error)));
            ExitCode::from(exit_of(&error) as u8)
        }
    }
}

fn run(Cli { command, parent }: Cli, systems: &ProofSystems) -> anyhow::Result<()> {
    if let Some(parent) = parent {
        subprocess::follow(parent)?;
    }
    match command {
        Command::Bake(with) => with.run(|args, config| bake::run(args, config, systems)),
        Command::Serve(With { args, settings }) => serve::run(&args, &settings.config()?, settings, systems),
        Command::Prove(with) => with.run(|args, config| oneshot::prove(args, config, systems)),
        Command::Verify(with) => with.run(|args, config| oneshot::verify(args, config, systems)),
        Command::Calldata(args) => snarkjs::calldata(&args),
        Command::Extract(with) => with.run(|args, config| extract::run(args, config, systems)),
        Command::Inspect(with) => with.run(|args, config| inspect::run(args, config, systems)),
        Command::Size(with) => with.run(|args, config| size::run(args, config, systems)),
        Command::Images(with) => with.run(|args, config| images::run(args, config, systems)),
        Command::Calculator(with) => with.run(|args, config| calculator::run(args, config, systems)),
        Command::Ready(with) => with.run(|args, config| ready::run(args, config, systems)),
        Command::Settings(With { args, settings }) => settings::run(&args, &settings),
        Command::Doctor(with) => with.run(|args, config| doctor::run(args, config, systems)),
        Command::Circuits(args) => circuits::run(&args, systems),
        Command::Jobs(args) => jobs::run(&args),
        Command::Keys(with) => with.run(keys::run),
        Command::Tenants(with) => with.run(tenants::run),
        Command::Man(args) => man::run(&args, Cli::command()),
        Command::Top(args) => top::run(args),
        Command::Webhooks(args) => webhooks::run(&args),
        Command::Completions(args) => completions::run(&args, Cli::command()),
    }
}

impl<A: clap::Args> With<A> {
    fn run(self, run: impl FnOnce(&A, &Config) -> anyhow::Result<()>) -> anyhow::Result<()> {
        run(&self.args, &self.settings.config()?)
    }
}
