//! `snapback completions`

use clap_complete::Shell;
use std::io;

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  snapback completions bash > ~/.local/share/bash-completion/completions/snapback
  snapback completions zsh > ~/.zfunc/_snapback")]
pub(super) struct Args {
    /// The shell
    shell: Shell,
}

#[expect(clippy::unnecessary_wraps, reason = "every subcommand has this signature")]
pub(super) fn run(args: &Args, mut command: clap::Command) -> anyhow::Result<()> {
    clap_complete::generate(args.shell, &mut command, "snapback", &mut io::stdout());
    Ok(())
}
