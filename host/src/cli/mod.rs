//! The command line: one file for each subcommand.
//!
//! Invariant: results go to standard output, everything else to standard error, and how it ended is the exit
//! code of [`Exit`].

mod bake;
mod calculator;
mod circuits;
mod client;
mod completions;
mod files;
mod images;
mod inspect;
mod oneshot;
mod progress;
mod ready;
mod resolve;
mod serve;
mod settings;
mod size;

use crate::{apart, config::ConfigError};
use clap::{Parser, Subcommand};
use settings::SettingArgs;
use snapback_snapshot::Error as SnapshotError;
use std::process::ExitCode;

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  failed: input or output, the network, the engine
  2  wrong usage or settings
  3  the guest was refused, or its bake failed
  4  the guest refused the input, or the call failed
  5  the proof does not verify
  6  the server is full or stopping; try again";

const EXAMPLES: &str = "\
Examples:
  snapback serve                                    bake the Zcash prover once, then serve it
  snapback bake zcash --input sapling_spend=sapling-spend.params \
      --input sapling_output=sapling-output.params
  snapback prove orchard2.pczt -o proven.pczt       prove without a server
  snapback verify proven.pczt --server http://127.0.0.1:8080
  snapback images                                   what was baked";

/// Serves WebAssembly guests whose memory only grows, from images of their finished set-up.
#[derive(Parser)]
#[command(name = "snapback", version, after_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"))]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    settings: SettingArgs,
    /// The process that started this one, and that it is to end with
    #[arg(long, global = true, hide = true)]
    parent: Option<u32>,
}

#[derive(Subcommand)]
enum Command {
    /// Run a guest's initialiser and keep the result as an image.
    Bake(bake::Args),
    /// Serve images over HTTP; without an image, the Zcash prover.
    Serve(serve::Args),
    /// Prove one statement, here or on a server.
    Prove(oneshot::ProveArgs),
    /// Verify one proof, here or on a server.
    Verify(oneshot::VerifyArgs),
    /// Show what an image says of itself, and whether copy-on-write holds.
    Inspect(inspect::Args),
    /// Say how much memory to give a server of an image.
    Size(size::Args),
    /// Add, remove and list circuits on a server that runs.
    Circuits(circuits::Args),
    /// List or remove the images in the store.
    Images(images::Args),
    /// Check a witness calculator, compile it and keep both: a part of adding a circuit.
    #[command(hide = true)]
    Calculator(calculator::Args),
    /// Bake and compile what is about to be served: a part of serving it.
    #[command(hide = true)]
    Ready(ready::Args),
    /// Print a completion script for a shell.
    Completions(completions::Args),
}

/// How the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Exit {
    Failed = 1,
    Usage = 2,
    Bake = 3,
    Call = 4,
    Refuted = 5,
    Unavailable = 6,
}

/// An error that carries its exit code.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
struct Failure {
    exit: Exit,
    message: String,
}

impl Failure {
    fn error(exit: Exit, message: impl Into<String>) -> anyhow::Error {
        Self { exit, message: message.into() }.into()
    }
}

/// A process that this one started failed, and said why: how it ended.
#[derive(Debug, thiserror::Error)]
#[error("it ended with exit code {0}")]
struct Told(u8);

/// Runs a command and turns its error into an exit code.
#[must_use]
pub fn run(cli: Cli) -> ExitCode {
    let Cli { command, settings, parent } = cli;
    let result = parent.map_or(Ok(()), apart::follow).and_then(|()| match command {
        Command::Bake(args) => settings.config().and_then(|config| bake::run(&args, &config)),
        Command::Serve(args) => settings.config().and_then(|config| serve::run(&args, &config, settings)),
        Command::Prove(args) => settings.config().and_then(|config| oneshot::prove(&args, &config)),
        Command::Verify(args) => settings.config().and_then(|config| oneshot::verify(&args, &config)),
        Command::Inspect(args) => settings.config().and_then(|config| inspect::run(&args, &config)),
        Command::Size(args) => settings.config().and_then(|config| size::run(&args, &config)),
        Command::Images(args) => settings.config().and_then(|config| images::run(&args, &config)),
        Command::Circuits(args) => circuits::run(&args),
        Command::Calculator(args) => settings.config().and_then(|config| calculator::run(&args, &config)),
        Command::Ready(args) => settings.config().and_then(|config| ready::run(&args, &config)),
        Command::Completions(args) => completions::run(&args),
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if let Some(Told(code)) = error.downcast_ref() {
                return ExitCode::from(*code);
            }
            eprintln!("snapback: {}", progress::printable(&describe(&error)));
            ExitCode::from(exit_of(&error) as u8)
        }
    }
}

/// The error and its causes, each said once: an error of the libraries below says its cause itself.
fn describe(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |text, cause| match text.as_str() {
        "" => cause,
        said if said.contains(&cause) => text,
        said => format!("{said}: {cause}"),
    })
}

fn exit_of(error: &anyhow::Error) -> Exit {
    if let Some(failure) = error.downcast_ref::<Failure>() {
        return failure.exit;
    }
    if error.is::<ConfigError>() {
        return Exit::Usage;
    }
    match error.downcast_ref::<SnapshotError>() {
        Some(
            SnapshotError::Refused(_)
            | SnapshotError::Initialiser { .. }
            | SnapshotError::Input { .. }
            | SnapshotError::Trial { .. },
        ) => Exit::Bake,
        Some(SnapshotError::NoSuchImage(_) | SnapshotError::Ambiguous { .. }) => Exit::Usage,
        _ => Exit::Failed,
    }
}
