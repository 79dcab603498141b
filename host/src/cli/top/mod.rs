//! `snapback top`: the page of a server, in a terminal.
//!
//! ```text
//! target                  the server             clean · wire   what it sends, as a terminal may show it
//! bounded                 as much of its lists as is read
//! stream · poll           threads that ask it    channel        what they learn, on its way to the loop
//! state · job_list        what is known          alerts         which alerts would fire
//! tab · ui                what a person looks at, and what keys do
//! view · numbers          the views, as lines    frame          one frame of them
//! terminal · live         the display            once           text and JSON, once
//! ```
//!
//! Invariant: what a server sends reaches the terminal as text alone. The server is asked for what its page asks it.

mod alerts;
mod bounded;
mod channel;
mod clean;
mod frame;
mod job_list;
mod live;
mod numbers;
mod once;
mod poll;
mod state;
mod stream;
mod tab;
mod target;
mod terminal;
mod ui;
mod view;
mod wire;

#[cfg(test)]
mod tests;

use tab::Tab;
use target::Target;

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  snapback top
  snapback top --server https://prover.example --key-file operator.key
  snapback top --view jobs
  snapback top --once                                               print it as text, without a terminal
  COLUMNS=160 snapback top --once --view now
  snapback top --json | jq '.alerts[] | select(.pending_seconds == 0)'

Keys:
  Tab, 1 to 4     another view
  arrows          scroll
  p               freeze what is shown, and go on
  s               swap a lane, after a question; for the key of an operator
  ?               help
  q, Esc, Ctrl-C  end")]
pub(super) struct Args {
    #[command(flatten)]
    target: Target,
    /// The view to begin with, or the only one that `--once` prints
    #[arg(long)]
    view: Option<Tab>,
    /// Print what is shown as text, once
    #[arg(long)]
    once: bool,
    /// Print what is shown as JSON, once
    #[arg(long, conflicts_with = "view")]
    json: bool,
}

pub(super) fn run(args: Args) -> anyhow::Result<()> {
    match args {
        Args { target, json: true, .. } => once::json(&target),
        Args { target, view, once: true, .. } => once::text(&target, view),
        Args { target, view, .. } => live::run(target, view.unwrap_or(Tab::Now)),
    }
}
