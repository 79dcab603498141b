//! `snapback completions`

use super::files;
use clap_complete::Shell;

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  snapback completions bash > ~/.local/share/bash-completion/completions/snapback
  snapback completions zsh > ~/.zfunc/_snapback")]
pub(super) struct Args {
    /// The shell
    shell: Shell,
}

pub(super) fn run(args: &Args, mut command: clap::Command) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "snapback", &mut script);
    files::write(None, &script)
}
