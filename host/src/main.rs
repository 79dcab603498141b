//! The `snapback` binary: reads the command line and hands over.

use clap::Parser;
use snapback_host::cli::{Cli, run};
use std::process::ExitCode;

fn main() -> ExitCode {
    run(Cli::parse())
}
