//! The progress of a bake: a bar on a terminal, a line for each stage elsewhere, and lines of JSON for a server.

use super::output::outln;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use snapback_snapshot::{Progress, Stage};
use std::{io::IsTerminal, sync::Arc, time::Duration};

/// Returns text of a guest or an image without control characters, which a terminal would interpret.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}

/// Progress that is shown until it is finished.
pub(super) trait Watched: Progress {
    /// Ends the display of the progress.
    fn finish(&self);
}

/// A line of JSON for each stage: `{"stage": ..., "step": 1, "steps": 7}`.
pub(super) struct Lines;

impl Progress for Lines {
    fn stage(&self, stage: Stage) {
        let (step, steps) = (stage.position(), Stage::ALL.len());
        outln!("{}", serde_json::json!({ "stage": stage.to_string(), "step": step, "steps": steps }));
    }

    fn log(&self, _: &str) {}
}

impl Watched for Lines {
    fn finish(&self) {}
}

pub(super) struct Bar {
    guest: String,
    bar: ProgressBar,
    for_a_person: bool,
}

impl Bar {
    pub(super) fn start(guest: &str) -> Arc<Self> {
        let for_a_person = std::io::stderr().is_terminal();
        let bar = ProgressBar::new(Stage::ALL.len() as u64);
        if for_a_person {
            let style = "{spinner} baking {prefix} [{bar:24}] {pos}/{len} {msg} ({elapsed})";
            bar.set_style(
                ProgressStyle::with_template(style).expect("a valid template").progress_chars("=> "),
            );
            bar.set_prefix(guest.to_owned());
            bar.enable_steady_tick(Duration::from_millis(100));
        } else {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        Arc::new(Self { guest: guest.into(), bar, for_a_person })
    }
}

impl Watched for Bar {
    fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

impl Progress for Bar {
    fn stage(&self, stage: Stage) {
        let position = stage.position();
        self.bar.set_position(position as u64);
        self.bar.set_message(stage.to_string());
        if !self.for_a_person {
            eprintln!("baking {} [{position}/{}] {stage}", self.guest, Stage::ALL.len());
        }
    }

    fn log(&self, line: &str) {
        let line = format!("  {}: {}", self.guest, printable(line));
        if self.for_a_person { self.bar.println(line) } else { eprintln!("{line}") }
    }
}
