//! What a view draws with.
//!
//! Invariant: it is only read.

use super::{
    super::{state::State, ui::Choice},
    shapes::{fit, width_of, wrap},
    theme::Theme,
};
use ratatui::text::{Line, Span};

/// What a view draws with.
pub(in crate::cli::top) struct Canvas<'a> {
    pub(in crate::cli::top) state: &'a State,
    pub(in crate::cli::top) width: usize,
    pub(in crate::cli::top) theme: Theme,
    /// The lane that a question is about.
    pub(in crate::cli::top) choice: Option<Choice>,
}

impl Canvas<'_> {
    /// The heading of a section, after an empty line if there is something above it.
    pub(super) fn heading(&self, lines: &mut Vec<Line<'static>>, title: &str, note: &str) {
        if !lines.is_empty() {
            lines.push(Line::default());
        }
        let title = Span::styled(title.to_owned(), self.theme.strong());
        let gap = if width_of(note) > 0 { "  " } else { "" };
        let note = Span::styled(format!("{gap}{note}"), self.theme.dim());
        lines.push(fit(vec![title, note], self.width));
    }

    /// A sentence in place of what is not there.
    pub(super) fn remark(&self, lines: &mut Vec<Line<'static>>, text: &str) {
        lines.extend(wrap(text, self.width, self.theme.dim()));
    }
}
