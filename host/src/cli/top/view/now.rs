//! The view Now: figures, alerts, lanes, the last hour, changes under way, and what has just happened.
//!
//! Invariant: figures over a time come from the history, and all others from the last status.

use super::{
    super::{
        alerts::{Alert, Severity},
        numbers::{bytes, clock, count, digits, milliseconds, seconds},
        state::Part,
        wire::{Event, History, Status},
    },
    canvas::Canvas,
    circuits::change_line,
    hour, jobs, lanes,
    shapes::{fit, left, width_of, wrap},
};
use ratatui::{
    style::Style,
    text::{Line, Span},
};

/// Narrower than this, figures are words in lines.
const TILES_WIDTH_MIN: usize = 66;
/// Widest tile.
const TILE_WIDTH_MAX: usize = 22;
/// Events that are shown.
const EVENTS_SHOWN: usize = 30;

pub(super) fn lines(canvas: &Canvas<'_>) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    let Some(status) = &canvas.state.status else {
        canvas.remark(&mut lines, "Waiting for the server.");
        return lines;
    };
    figures(canvas, status, &mut lines);
    alerts(canvas, &mut lines);
    lanes::images(canvas, status, &mut lines);
    if let Some(history) = &canvas.state.history {
        hour::charts(canvas, history, &mut lines);
    }
    if let Part::Known(known) = &canvas.state.jobs {
        jobs::summary(canvas, known, &mut lines);
    }
    let open: Vec<_> = canvas.state.changes.iter().filter(|change| change.is_open()).collect();
    if !open.is_empty() {
        canvas.heading(&mut lines, "Changes of circuits", "");
        lines.extend(open.iter().map(|change| change_line(canvas, change)));
    }
    events(canvas, &mut lines);
    lines
}

/// A figure: its value, its label, and a note.
struct Figure {
    label: &'static str,
    value: String,
    note: String,
}

/// What happened in the last minute that is over, and in the bucket under way: the sum, and the seconds.
fn last_minute(history: &History, column: &[u64]) -> (u64, f64) {
    let values = &column[column.len().saturating_sub(7)..];
    let buckets = values.len().saturating_sub(1) as u64 * history.bucket_seconds;
    let sum = values.iter().fold(0u64, |sum, value| sum.saturating_add(*value));
    (sum, (buckets as f64 + history.last_seconds).max(1.0))
}

fn figures_of(history: Option<&History>, status: &Status) -> Vec<Figure> {
    let figure = |label, value, note| Figure { label, value, note };
    let mut figures = Vec::new();
    if let Some(history) = history {
        let rate = |column: &[u64]| {
            let (sum, time) = last_minute(history, column);
            digits(sum as f64 / time)
        };
        let some = |column: &[u64], word: &str| {
            let (sum, _) = last_minute(history, column);
            (sum > 0).then(|| format!("{} {word}", count(sum)))
        };
        let troubles = [some(&history.failed, "failed"), some(&history.refused, "refused")];
        let troubles: Vec<_> = troubles.into_iter().flatten().collect();
        figures.push(figure("calls", format!("{}/s", rate(&history.calls)), troubles.join(", ")));
        let last = |column: &[Option<f64>]| column.iter().rev().find_map(|value| *value);
        let slow = last(&history.p99_ms).map(|ms| format!("99 % {}", milliseconds(Some(ms))));
        let note = slow.unwrap_or_else(|| "no calls yet".into());
        figures.push(figure("on a lane", milliseconds(last(&history.p50_ms)), note));
    }
    let queue = &status.queue;
    figures.push(figure("queue", count(queue.length), format!("of {}", count(queue.depth))));
    let lanes = &status.lanes;
    let note = if lanes.at_work < lanes.configured { "some are missing" } else { "all at work" };
    figures.push(figure("lanes", format!("{} of {}", lanes.at_work, lanes.configured), note.into()));
    let memory = &status.memory;
    let limit = memory.process_limit_bytes.filter(|limit| *limit > 0);
    let note = limit.map_or_else(|| "no limit".into(), |limit| format!("of {}", bytes(limit)));
    figures.push(figure("memory", bytes(memory.private_resident_bytes), note));
    let rate = history.map(|history| last_minute(history, &history.swaps));
    let note = rate.map_or_else(String::new, |(sum, time)| format!("{}/s", digits(sum as f64 / time)));
    figures.push(figure("swaps", count(status.swaps.total), note));
    figures
}

fn figures(canvas: &Canvas<'_>, status: &Status, lines: &mut Vec<Line<'static>>) {
    let theme = canvas.theme;
    let figures = figures_of(canvas.state.history.as_ref(), status);
    if canvas.width < TILES_WIDTH_MIN {
        let phrases = figures.iter().map(|figure| format!("{} {}", figure.label, figure.value));
        lines.extend(flow(phrases, canvas.width));
        return;
    }
    let width = (canvas.width / figures.len().max(1)).min(TILE_WIDTH_MAX);
    let row = |text: fn(&Figure) -> &str, style| {
        let cells = figures.iter().map(|figure| Span::styled(left(text(figure), width - 1) + " ", style));
        fit(cells.collect(), canvas.width)
    };
    lines.push(row(|figure| figure.label, theme.dim()));
    lines.push(row(|figure| &figure.value, theme.strong()));
    lines.push(row(|figure| &figure.note, theme.dim()));
}

/// Phrases in lines of a width; a line breaks between two of them.
fn flow(phrases: impl Iterator<Item = String>, width: usize) -> Vec<Line<'static>> {
    const BETWEEN: &str = " · ";
    let mut lines: Vec<String> = Vec::new();
    for phrase in phrases {
        match lines.last_mut() {
            Some(line) if width_of(line) + width_of(BETWEEN) + width_of(&phrase) <= width => {
                line.push_str(BETWEEN);
                line.push_str(&phrase);
            }
            _ => lines.push(phrase),
        }
    }
    lines.into_iter().map(|line| fit(vec![Span::raw(line)], width)).collect()
}

fn alerts(canvas: &Canvas<'_>, lines: &mut Vec<Line<'static>>) {
    let theme = canvas.theme;
    let alerts = &canvas.state.alerts;
    let firing = alerts.iter().filter(|alert| alert.pending_seconds == 0).count();
    let note = match (alerts.len(), firing) {
        _ if canvas.state.history.is_none() => "not known yet".into(),
        (0, _) => "none would fire".to_owned(),
        (_, 0) => "none would fire yet".to_owned(),
        (_, firing) => format!("{firing} would fire"),
    };
    canvas.heading(lines, "Alerts", &note);
    for Alert { name, severity, text, pending_seconds } in alerts {
        let style = match (pending_seconds, severity) {
            (0, Severity::Critical) => theme.bad(),
            (0, Severity::Warning) => theme.warn(),
            _ => theme.dim(),
        };
        let name = name.strip_prefix("Snapback").unwrap_or(name);
        let when = match pending_seconds {
            0 => String::new(),
            pending => format!("  fires if it lasts another {}", seconds(*pending as f64)),
        };
        let name = Span::styled(format!("{name}  "), style);
        if name.width() + width_of(text) + width_of(&when) <= canvas.width {
            lines.push(Line::from(vec![name, Span::raw(text.clone()), Span::styled(when, theme.dim())]));
        } else {
            // What has no room beside the name goes below it.
            lines.push(fit(vec![name], canvas.width));
            lines.extend(wrap(&format!("{text}{when}"), canvas.width, theme.dim()));
        }
    }
}

fn events(canvas: &Canvas<'_>, lines: &mut Vec<Line<'static>>) {
    let state = canvas.state;
    let left_out = match state.events_left_out {
        0 => String::new(),
        left_out => format!("{} more are not listed", count(left_out)),
    };
    if state.events.is_empty() {
        return;
    }
    canvas.heading(lines, "Events", &left_out);
    let events = state.events.iter().take(EVENTS_SHOWN).map(|event| {
        let place = match event.lane {
            Some(lane) => format!("  {} lane {lane}  ", event.image),
            None => format!("  {}  ", event.image),
        };
        let style = match event.event.as_str() {
            "breaker" | "stall" | "swap-error" => canvas.theme.warn(),
            _ => Style::new(),
        };
        let spans = vec![
            Span::styled(clock(event.at_ms), canvas.theme.dim()),
            Span::styled(place, canvas.theme.dim()),
            Span::styled(told(event), style),
        ];
        fit(spans, canvas.width)
    });
    lines.extend(events);
}

/// What happened, in words.
fn told(event: &Event) -> String {
    let Event { reason, error, from, to, generation, .. } = event;
    match event.event.as_str() {
        "swap-complete" => {
            format!("swapped ({reason}) in {}", milliseconds(Some(event.took_us as f64 / 1000.0)))
        }
        "swap-error" => format!("swap ({reason}) put off: {error}"),
        "pressure" => format!("memory pressure: {from}, now {to}"),
        "breaker" => format!("circuit breaker: {to}"),
        "stall" => format!(
            "a call stalled after {}; the lane was replaced",
            milliseconds(Some(event.after_ms as f64))
        ),
        "policy" => "settings changed".into(),
        "published" => format!("generation {generation} is served"),
        other => other.to_owned(),
    }
}
