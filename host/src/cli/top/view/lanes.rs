//! The images that are served, and their lanes: memory against its thresholds, standbys, and the last swap.
//!
//! Invariant: a lane takes one line, with fewer columns where there is less room.

use super::{
    super::{
        numbers::{age, bytes, clock, milliseconds, plural},
        ui::Choice,
        wire::{Image, Lane, Status},
    },
    canvas::Canvas,
    shapes::{Fold, Scale, chart, fit, gauge, left, right},
};
use ratatui::{
    style::Style,
    text::{Line, Span},
};

/// A swap is new for so long, in milliseconds.
const NEW_MS: u64 = 1500;
/// Widths from which on more columns are shown.
const STANDBYS_FROM: usize = 56;
const CALLS_FROM: usize = 76;
const SWAPS_FROM: usize = 96;
const TRENDS_FROM: usize = 132;
/// Columns of a gauge, and of the trend of a lane's memory.
const GAUGE_MAX: usize = 40;
const TREND: usize = 20;

/// Appends what is served.
pub(super) fn images(canvas: &Canvas<'_>, status: &Status, lines: &mut Vec<Line<'static>>) {
    for image in &status.images {
        heading(canvas, image, lines);
        lines.extend(canvas.state.lanes_of(image).iter().map(|lane| line(canvas, image, lane)));
    }
}

/// Where the line of a lane is in the view, counted from the heading of the first image.
pub(in crate::cli::top) fn line_of(canvas: &Canvas<'_>, lines: &[Line<'static>]) -> Option<usize> {
    canvas.choice.as_ref()?;
    let marked = canvas.theme.marked();
    lines.iter().position(|line| line.style == marked)
}

fn heading(canvas: &Canvas<'_>, image: &Image, lines: &mut Vec<Line<'static>>) {
    let guest = if image.guest == image.name { String::new() } else { image.guest.to_string() };
    let circuits = match image.circuits.len() as u64 {
        0 => String::new(),
        circuits => plural(circuits, "circuit"),
    };
    let policy = image.setting("swap.policy").map(|policy| format!("swap {policy}"));
    let digest = image.digest.short();
    let notes = [
        guest,
        format!("generation {}", image.generation),
        if digest.is_empty() { digest } else { format!("image {digest}") },
        circuits,
        policy.unwrap_or_default(),
    ];
    let notes: Vec<_> = notes.into_iter().filter(|note| !note.is_empty()).collect();
    canvas.heading(lines, image.name.as_str(), &notes.join(" · "));
    let style = match image.breaker.as_str() {
        "" | "closed" => return,
        "half-open" => canvas.theme.warn(),
        _ => canvas.theme.bad(),
    };
    let text = format!("circuit breaker {}: calls of this image are refused", image.breaker);
    lines.push(fit(vec![Span::styled(text, style)], canvas.width));
}

fn line(canvas: &Canvas<'_>, image: &Image, lane: &Lane) -> Line<'static> {
    let (theme, width) = (canvas.theme, canvas.width);
    let is_chosen = canvas.choice.as_ref().is_some_and(|choice| is_of(choice, image, lane));
    let level = match lane.pressure.as_str() {
        "critical" => theme.bad(),
        "warn" => theme.warn(),
        _ => theme.accent(),
    };
    let mut after = vec![Span::raw(format!("  {}", memory(image, lane)))];
    if width >= STANDBYS_FROM {
        let (text, style) = standbys(canvas, lane);
        after.push(Span::styled(format!("  {}", left(&text, 13)), style));
    }
    if width >= CALLS_FROM {
        let text = lane.calls.map_or_else(
            || "no instance".into(),
            |calls| format!("{}, {}", plural(calls, "call"), age(lane.age_seconds.unwrap_or(0.0))),
        );
        after.push(Span::styled(format!("  {}", left(&text, 17)), theme.dim()));
    }
    if width >= SWAPS_FROM {
        let (text, style) = last_swap(canvas, image, lane);
        let columns = if width >= TRENDS_FROM { 32 } else { 18 };
        after.push(Span::styled(format!("  {}", left(&text, columns)), style));
    }
    if width >= TRENDS_FROM {
        let samples = canvas.state.memory_of(&image.name, lane.lane);
        let samples: Vec<_> = samples.map(|used| Some(used as f64)).collect();
        let trend = chart(&samples, (TREND, 1), Fold::Largest, Scale::Linear).concat();
        after.push(Span::styled(format!("  {trend}"), theme.dim()));
    }
    let label = Span::styled(left(&format!("  lane {}", lane.lane), 9) + " ", theme.dim());
    let taken: usize = label.width() + after.iter().map(Span::width).sum::<usize>();
    let mut spans = vec![label];
    let limit = image.memory_limit_bytes();
    let share = limit.map_or(0.0, |limit| lane.used_bytes.unwrap_or(0) as f64 / limit as f64);
    let marks =
        ["memory.warn", "memory.critical"].map(|key| image.setting(key).and_then(|value| value.share()));
    let marks: Vec<f64> = marks.into_iter().flatten().collect();
    spans.extend(gauge(width.saturating_sub(taken).min(GAUGE_MAX), share, &marks, level, theme));
    spans.extend(after);
    let line = fit(spans, width);
    if is_chosen { line.style(theme.marked()) } else { line }
}

fn is_of(choice: &Choice, image: &Image, lane: &Lane) -> bool {
    choice.image == image.name && choice.lane.is_none_or(|chosen| chosen == lane.lane)
}

fn memory(image: &Image, lane: &Lane) -> String {
    let used = lane.used_bytes.map_or_else(|| "–".into(), bytes);
    let limit = image.memory_limit_bytes().map_or_else(String::new, |limit| format!(" of {}", bytes(limit)));
    format!("{}{limit}", right(&used, 7))
}

fn standbys(canvas: &Canvas<'_>, lane: &Lane) -> (String, Style) {
    match (lane.standbys_ready, lane.standby.as_str()) {
        (0, "preparing") => ("○ being made".into(), canvas.theme.dim()),
        (0, _) => ("· no standby".into(), canvas.theme.dim()),
        (1, _) => ("● standby".into(), canvas.theme.good()),
        (ready, _) => (format!("● {ready} standbys"), canvas.theme.good()),
    }
}

fn last_swap(canvas: &Canvas<'_>, image: &Image, lane: &Lane) -> (String, Style) {
    let Some(swap) = canvas.state.swap_of(&image.name, lane.lane) else {
        return (String::new(), canvas.theme.dim());
    };
    let took = milliseconds(Some(swap.took_us as f64 / 1000.0));
    let is_new = canvas.state.server_now_ms().saturating_sub(swap.at_ms) < NEW_MS;
    let style = if is_new { canvas.theme.accent() } else { canvas.theme.dim() };
    let reason = if canvas.width >= TRENDS_FROM { format!(" {}", swap.reason) } else { String::new() };
    (format!("⇄ {} {took}{reason}", clock(swap.at_ms)), style)
}
