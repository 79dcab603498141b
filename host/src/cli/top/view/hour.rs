//! The last hour as charts.
//!
//! Invariant: two charts stand beside each other where there is room, and a chart on a small terminal has one row.

use super::{
    super::{
        numbers::{digits, milliseconds, seconds},
        wire::History,
    },
    canvas::Canvas,
    shapes::{Fold, Scale, chart, columns, fit, left, right, width_of},
};
use ratatui::text::{Line, Span};

/// From this width on, two charts stand beside each other.
const PAIRS_FROM: usize = 76;
const ROWS: usize = 3;
/// Columns of a label and of a value where a chart has one row.
const LABEL: usize = 8;
const VALUE: usize = 8;

/// One chart: its title, its values, and its last value in words.
struct Chart {
    title: &'static str,
    /// Where there is little room.
    short: &'static str,
    values: Vec<Option<f64>>,
    fold: Fold,
    scale: Scale,
    /// The last value, and the highest that the chart shows.
    format: fn(f64) -> String,
}

fn time(ms: f64) -> String {
    milliseconds(Some(ms))
}

/// Counts of buckets as counts in a second.
fn per_second(history: &History, column: &[u64]) -> Vec<Option<f64>> {
    let last = column.len().saturating_sub(1);
    let seconds = |index| {
        if index == last { history.last_seconds.max(1.0) } else { history.bucket_seconds.max(1) as f64 }
    };
    column.iter().enumerate().map(|(index, value)| Some(*value as f64 / seconds(index))).collect()
}

fn charts_of(history: &History) -> [Chart; 4] {
    let queue = history.queue_max.iter().map(|value| Some(*value as f64)).collect();
    [
        Chart {
            title: "Calls a second",
            short: "calls/s",
            values: per_second(history, &history.calls),
            fold: Fold::Mean,
            scale: Scale::Linear,
            format: digits,
        },
        Chart {
            title: "On a lane, 99 %",
            short: "99 %",
            values: history.p99_ms.clone(),
            fold: Fold::Largest,
            scale: Scale::Log,
            format: time,
        },
        Chart {
            title: "Queue, longest",
            short: "queue",
            values: queue,
            fold: Fold::Largest,
            scale: Scale::Linear,
            format: digits,
        },
        Chart {
            title: "Swaps a second",
            short: "swaps/s",
            values: per_second(history, &history.swaps),
            fold: Fold::Mean,
            scale: Scale::Linear,
            format: digits,
        },
    ]
}

/// Appends the charts.
pub(super) fn charts(canvas: &Canvas<'_>, history: &History, lines: &mut Vec<Line<'static>>) {
    let closed = history.calls.len().saturating_sub(1) as u64 * history.bucket_seconds;
    let span = closed as f64 + history.last_seconds;
    let title = if span > 3500.0 { "The last hour".into() } else { format!("The last {}", seconds(span)) };
    let charts = charts_of(history);
    canvas.heading(lines, &title, "");
    if canvas.width < PAIRS_FROM {
        lines.extend(charts.iter().map(|chart| row(canvas, chart)));
        return;
    }
    let width = (canvas.width - 3) / 2;
    for [first, second] in charts.as_chunks::<2>().0 {
        let pairs = block(canvas, first, width).into_iter().zip(block(canvas, second, width));
        lines.extend(pairs.map(|(mut line, other)| {
            line.push(Span::raw("   "));
            line.extend(other);
            fit(line, canvas.width)
        }));
    }
}

/// The last value that is known, in words.
fn last(chart: &Chart) -> String {
    chart.values.iter().rev().find_map(|value| *value).map_or_else(|| "–".into(), chart.format)
}

/// A chart of one row.
fn row(canvas: &Canvas<'_>, shown: &Chart) -> Line<'static> {
    let width = canvas.width.saturating_sub(LABEL + VALUE + 2);
    let spans = vec![
        Span::styled(left(shown.short, LABEL), canvas.theme.dim()),
        Span::styled(
            chart(&shown.values, (width, 1), shown.fold, shown.scale).concat(),
            canvas.theme.accent(),
        ),
        Span::raw(right(&last(shown), VALUE + 2)),
    ];
    fit(spans, canvas.width)
}

/// A chart with its title above it, as spans of one width.
fn block(canvas: &Canvas<'_>, shown: &Chart, width: usize) -> Vec<Vec<Span<'static>>> {
    let theme = canvas.theme;
    let top = columns(&shown.values, width, shown.fold).into_iter().flatten().fold(0.0, f64::max);
    let (peak, value) = (format!("up to {}  ", (shown.format)(top)), last(shown));
    let peak = if top > 0.0 { peak } else { String::new() };
    let title = left(shown.title, width.saturating_sub(width_of(&peak) + width_of(&value) + 1)) + " ";
    let head = vec![Span::styled(title, theme.dim()), Span::styled(peak, theme.dim()), Span::raw(value)];
    let rows = chart(&shown.values, (width, ROWS), shown.fold, shown.scale);
    [head].into_iter().chain(rows.into_iter().map(|row| vec![Span::styled(row, theme.accent())])).collect()
}
