//! The progress of long work: a bar on a terminal, lines elsewhere, and lines of JSON for a server.

use super::output::outln;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use snapback_snapshot::{Portion, Progress, Stage};
use std::{
    io::IsTerminal,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// Parts of a stage after which a line is written where there is no bar.
const PARTS: u64 = 4;

/// Returns text of a guest or an image without control characters, which a terminal would interpret.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}

/// Progress that is shown until it is finished.
pub(super) trait Watched: Progress {
    /// Ends the display of the progress.
    fn finish(&self);
}

/// A line of JSON for each stage: `{"stage": ..., "step": 1, "steps": 7}`. A stage whose work is counted has more of
/// them, with the share that is done and the seconds that the rest is likely to take: `"done": 0.25, "left_s": 12`.
pub(super) struct Lines;

impl Progress for Lines {
    fn stage(&self, stage: Stage) {
        let (step, steps) = (stage.position(), Stage::ALL.len());
        outln!("{}", serde_json::json!({ "stage": stage.to_string(), "step": step, "steps": steps }));
    }

    fn portion(&self, stage: Stage, portion: Portion) {
        let (step, steps) = (stage.position(), Stage::ALL.len());
        let (done, left_s) = (portion.share(), portion.left().as_secs());
        outln!(
            "{}",
            serde_json::json!({ "stage": stage.to_string(), "step": step, "steps": steps, "done": done, "left_s": left_s })
        );
    }

    fn log(&self, _: &str) {}
}

impl Watched for Lines {
    fn finish(&self) {}
}

/// How much of some work is done, in words.
fn in_words(portion: Portion) -> String {
    let percent = (100.0 * portion.share()).floor();
    match portion.left().as_secs() {
        0 => format!("{percent} %"),
        left => format!("{percent} %, about {left} s left"),
    }
}

/// Notices when another part of some work is done.
#[derive(Default)]
struct Parts(AtomicU64);

impl Parts {
    /// Whether this portion begins a part, the first one included.
    fn begins(&self, portion: Portion) -> bool {
        let part = portion.done * PARTS / portion.of.max(1) + 1;
        portion.done < portion.of && self.0.fetch_max(part, Ordering::Relaxed) < part
    }
}

/// Shows how far one piece of work has come.
pub(super) struct Counted {
    what: &'static str,
    bar: Option<ProgressBar>,
    parts: Parts,
}

impl Counted {
    pub(super) fn new(what: &'static str) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{spinner} {prefix}: {msg}").expect("a valid template");
            ProgressBar::new_spinner().with_style(style).with_prefix(what)
        });
        Self { what, bar, parts: Parts::default() }
    }

    pub(super) fn show(&self, portion: Portion) {
        match &self.bar {
            Some(bar) if portion.done < portion.of => bar.set_message(in_words(portion)),
            Some(bar) => bar.finish_and_clear(),
            None if self.parts.begins(portion) => eprintln!("{}: {}", self.what, in_words(portion)),
            None => {}
        }
    }
}

pub(super) struct Bar {
    guest: String,
    bar: ProgressBar,
    for_a_person: bool,
    parts: Parts,
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
        Arc::new(Self { guest: guest.into(), bar, for_a_person, parts: Parts::default() })
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

    fn portion(&self, stage: Stage, portion: Portion) {
        let words = in_words(portion);
        self.bar.set_message(format!("{stage}: {words}"));
        if !self.for_a_person && self.parts.begins(portion) {
            let position = stage.position();
            eprintln!("baking {} [{position}/{}] {stage}: {words}", self.guest, Stage::ALL.len());
        }
    }

    fn log(&self, line: &str) {
        let line = format!("  {}: {}", self.guest, printable(line));
        if self.for_a_person { self.bar.println(line) } else { eprintln!("{line}") }
    }
}
