//! Circuits, changes of them as they are baked, and the generations that are kept.
//!
//! Invariant: what waits or is baked comes before what has ended.

use super::{
    super::{
        numbers::{bytes, count, moment, seconds},
        state::Part,
        wire::{Change, Circuit, Generation, Generations},
    },
    canvas::Canvas,
    shapes::{fit, gauge, left},
};
use ratatui::{
    style::Style,
    text::{Line, Span},
};

/// Changes that have ended and are shown.
const ENDED_SHOWN: usize = 8;
/// Generations of an image that are shown.
const GENERATIONS_SHOWN: usize = 8;
/// Columns of a state, of a bar, of an image, of a digest, and of a size.
const STATE: usize = 10;
const BAR: usize = 12;
const IMAGE: usize = 12;
const DIGEST: usize = 10;
const SIZE: usize = 24;
/// From this width on, the image and the digest of a circuit are shown, and the progress of a change has a bar.
const IMAGES_FROM: usize = 60;

/// The view Circuits.
pub(super) fn lines(canvas: &Canvas<'_>) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    let state = canvas.state;
    match &state.circuits {
        Part::Awaited => canvas.remark(&mut lines, "Waiting for the circuits."),
        Part::Refused(reason) => {
            canvas.heading(&mut lines, "Circuits", "");
            canvas.remark(&mut lines, reason.as_str());
        }
        Part::Known(circuits) => {
            let note =
                if circuits.is_empty() { "there are none".into() } else { count(circuits.len() as u64) };
            canvas.heading(&mut lines, "Circuits", &note);
            lines.extend(circuits.iter().map(|circuit| circuit_line(canvas, circuit)));
        }
    }
    let (open, ended): (Vec<_>, Vec<_>) = state.changes.iter().partition(|change| change.is_open());
    if !state.changes.is_empty() {
        canvas.heading(&mut lines, "Changes", &format!("{} under way", open.len()));
        lines.extend(
            open.into_iter()
                .chain(ended.into_iter().take(ENDED_SHOWN))
                .map(|change| change_line(canvas, change)),
        );
    }
    for generations in &state.generations {
        let Generations { image, active, generations: list } = generations;
        canvas.heading(&mut lines, "Generations", &format!("{image}, generation {active} is served"));
        let newest = list.iter().rev().take(GENERATIONS_SHOWN);
        lines.extend(newest.map(|generation| generation_line(canvas, generation, *active)));
    }
    lines
}

fn circuit_line(canvas: &Canvas<'_>, circuit: &Circuit) -> Line<'static> {
    let theme = canvas.theme;
    let digest = circuit.circuit.as_ref().map_or_else(|| "built in".into(), |digest| digest.short());
    let size = match (circuit.constraints, circuit.k) {
        (Some(constraints), Some(k)) => format!("{} constraints, 2^{k}", count(constraints)),
        (Some(constraints), None) => format!("{} constraints", count(constraints)),
        _ => String::new(),
    };
    let added = circuit.added.as_ref().map(|added| added.at.saturating_mul(1000));
    let added =
        added.map_or_else(String::new, |at| format!("  added {}", moment(at, canvas.state.server_now_ms())));
    let name = (canvas.width / 4).clamp(12, 28);
    let mut spans = vec![Span::raw(left(circuit.name.as_str(), name) + " ")];
    if canvas.width >= IMAGES_FROM {
        spans.push(Span::styled(left(circuit.image.as_str(), IMAGE) + " ", theme.dim()));
        spans.push(Span::styled(left(&digest, DIGEST) + " ", theme.dim()));
    }
    spans.push(Span::raw(left(&size, SIZE)));
    spans.push(Span::styled(added, theme.dim()));
    fit(spans, canvas.width)
}

/// The line of a change.
pub(super) fn change_line(canvas: &Canvas<'_>, change: &Change) -> Line<'static> {
    let theme = canvas.theme;
    let style = match change.state.as_str() {
        "baking" => theme.accent(),
        "done" => theme.good(),
        "failed" => theme.bad(),
        "cancelled" => theme.warn(),
        _ => Style::new(),
    };
    let mut spans = vec![
        Span::styled(left(change.state.as_str(), STATE) + " ", style),
        Span::raw(left(&format!("{}: {}", change.id, change.change), (canvas.width / 4).clamp(12, 28)) + " "),
    ];
    if change.is_open() {
        if canvas.width >= IMAGES_FROM {
            spans.extend(gauge(BAR, change.percent as f64 / 100.0, &[], theme.accent(), theme));
        }
        let stage = change.stage.as_ref().map_or("", |stage| stage.as_str());
        let rest = change.left_s.map_or_else(String::new, |rest| format!(", {} left", seconds(rest as f64)));
        spans.push(Span::styled(format!(" {} %  {stage}{rest}", change.percent.min(100)), theme.dim()));
    } else {
        let text = match (&change.reason, change.generation) {
            (Some(reason), _) => reason.to_string(),
            (None, Some(generation)) => format!("generation {generation}"),
            (None, None) => String::new(),
        };
        spans.push(Span::styled(text, theme.dim()));
    }
    fit(spans, canvas.width)
}

fn generation_line(canvas: &Canvas<'_>, generation: &Generation, active: u64) -> Line<'static> {
    let theme = canvas.theme;
    let is_active = generation.id == active;
    let style = if is_active { theme.good() } else { theme.dim() };
    let names = generation.circuits.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ");
    let published = moment(generation.created.saturating_mul(1000), canvas.state.server_now_ms());
    let spans = vec![
        Span::styled(left(&format!("{} {}", if is_active { "●" } else { " " }, generation.id), 6), style),
        Span::styled(left(&generation.image.short(), 12), theme.dim()),
        Span::raw(left(&published, 18)),
        Span::styled(left(&bytes(generation.disk_bytes), 9), theme.dim()),
        Span::styled(if names.is_empty() { "no circuits".into() } else { names }, theme.dim()),
    ];
    fit(spans, canvas.width)
}
