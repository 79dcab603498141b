//! The views: what is known, as lines for a width.
//!
//! ```text
//! now · lanes · hour      the view Now: figures, lanes and the last hour
//! jobs · circuits · settings · help
//! shapes                  gauges, charts, cut text        canvas · theme   what views draw with
//! ```
//!
//! Invariant: a view is a function of the state, and its lines are no wider than asked for.

mod canvas;
mod circuits;
mod help;
mod hour;
mod jobs;
mod lanes;
mod now;
mod settings;
mod shapes;
mod theme;

pub(super) use canvas::Canvas;
pub(super) use help::lines as help;
pub(super) use lanes::line_of;
pub(super) use shapes::{fit, split, wrap};
pub(super) use theme::Theme;

use super::tab::Tab;
use ratatui::text::Line;

/// The lines of a view.
pub(super) fn lines(tab: Tab, canvas: &Canvas<'_>) -> Vec<Line<'static>> {
    match tab {
        Tab::Now => now::lines(canvas),
        Tab::Jobs => jobs::lines(canvas),
        Tab::Circuits => circuits::lines(canvas),
        Tab::Settings => settings::lines(canvas),
    }
}
