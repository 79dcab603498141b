//! The progress of a bake: a bar where a person watches, a line for each stage elsewhere.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use snapback_snapshot::{Progress, Stage};
use std::{io::IsTerminal, sync::Arc, time::Duration};

/// A guest's or an image's text, fit for a terminal: without the characters that steer one.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
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

    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

impl Progress for Bar {
    fn stage(&self, stage: Stage) {
        let position = Stage::ALL.iter().position(|known| *known == stage).unwrap_or(0) + 1;
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
