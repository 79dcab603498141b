//! What the keys do, and what the signs mean.
//!
//! Invariant: every key that `ui` takes is here.

use super::{
    canvas::Canvas,
    shapes::{fit, left, wrap},
};
use ratatui::text::{Line, Span};

const KEYS: [(&str, &str); 7] = [
    ("q, Esc, Ctrl-C", "end"),
    ("Tab, ← →, 1 to 4", "another view"),
    ("↑ ↓, j k", "scroll by a line"),
    ("Page Up, Page Down", "scroll further; Home and End go all the way"),
    ("p", "freeze what is shown, and go on"),
    ("s", "swap a lane, after a question; for operators, by the role of the key"),
    ("?", "this help; any other key closes it"),
];

const SIGNS: [(&str, &str); 4] = [
    ("━━━╾──┼─┼", "memory in use, of memory.limit; the marks are memory.warn and memory.critical"),
    ("● ○ ·", "a standby is ready, is being made, is missing"),
    ("⇄", "the last swap of the lane that was seen: when, how long it took, why"),
    ("▁▃█", "columns of the last hour, the newest at the right"),
];

/// The help.
pub(in crate::cli::top) fn lines(canvas: &Canvas<'_>) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    for (title, pairs) in [("Keys", &KEYS[..]), ("Signs", &SIGNS[..])] {
        canvas.heading(&mut lines, title, "");
        for (sign, meaning) in pairs {
            lines.extend(pair(canvas, sign, meaning));
        }
    }
    lines.push(Line::default());
    canvas.remark(&mut lines, "Times are in UTC. docs/top.md explains the rest.");
    lines
}

fn pair(canvas: &Canvas<'_>, sign: &str, meaning: &str) -> Vec<Line<'static>> {
    let column = 20.min(canvas.width / 2);
    let meaning = wrap(meaning, canvas.width.saturating_sub(column + 1), canvas.theme.dim());
    let lines = meaning.into_iter().enumerate().map(|(index, line)| {
        let sign = if index == 0 { sign } else { "" };
        let mut spans = vec![Span::raw(left(sign, column) + " ")];
        spans.extend(line.spans.into_iter().map(|span| span.style(canvas.theme.dim())));
        fit(spans, canvas.width)
    });
    lines.collect()
}
