//! The settings of each image, and who changed which.
//!
//! Invariant: changes come first, newest first; a value is shown as the server has it, and sizes as sizes.

use super::{
    super::{
        clean::{Clean, Value},
        numbers::{bytes, moment},
        state::Part,
        wire::{Image, SettingChange},
    },
    canvas::Canvas,
    shapes::{fit, left, width_of, wrap},
};
use ratatui::{
    style::Style,
    text::{Line, Span},
};

/// From this width on, settings stand in two columns.
const PAIRS_FROM: usize = 84;

/// The view Settings.
pub(super) fn lines(canvas: &Canvas<'_>) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    match &canvas.state.setting_changes {
        Part::Awaited => canvas.remark(&mut lines, "Waiting for the changes of settings."),
        Part::Refused(reason) => {
            canvas.heading(&mut lines, "Changes of settings", "");
            canvas.remark(&mut lines, reason.as_str());
        }
        Part::Known(changes) => {
            let note = if changes.is_empty() { "none since the server started" } else { "newest first" };
            canvas.heading(&mut lines, "Changes of settings", note);
            lines.extend(changes.iter().flat_map(|change| of_change(canvas, change)));
        }
    }
    for image in canvas.state.status.iter().flat_map(|status| &status.images) {
        canvas.heading(&mut lines, image.name.as_str(), "settings that can change while the server runs");
        lines.extend(of_image(canvas, image));
    }
    lines
}

fn readable(setting: &Clean, value: &Value) -> String {
    match value.as_u64() {
        Some(size) if setting.as_str() == "memory.limit" => bytes(size),
        _ => value.to_string(),
    }
}

fn of_change(canvas: &Canvas<'_>, change: &SettingChange) -> Vec<Line<'static>> {
    let theme = canvas.theme;
    let when = moment(change.at_ms, canvas.state.server_now_ms());
    let by = match change.by.as_str() {
        "reload" => "SIGHUP",
        by => by,
    };
    let lines = change.changed.iter().flat_map(|(setting, [from, to])| {
        let what = format!("{setting}: {} → {}", readable(setting, from), readable(setting, to));
        let [when, by] = [format!("{when}  {}  ", change.image), format!("  by {by}")];
        let [when, by] = [when, by].map(|text| Span::styled(text, theme.dim()));
        if when.width() + width_of(&what) + by.width() <= canvas.width {
            vec![Line::from(vec![when, Span::raw(what), by])]
        } else {
            let below = wrap(&what, canvas.width, Style::new());
            [fit(vec![when, by], canvas.width)].into_iter().chain(below).collect()
        }
    });
    lines.collect()
}

fn of_image(canvas: &Canvas<'_>, image: &Image) -> Vec<Line<'static>> {
    let pairs = if canvas.width >= PAIRS_FROM { 2 } else { 1 };
    let width = canvas.width / pairs;
    let cell = |(setting, value): (&Clean, &Value)| {
        let key = (width / 2).min(26);
        let value = readable(setting, value);
        [
            Span::styled(left(setting.as_str(), key) + " ", canvas.theme.dim()),
            Span::raw(left(&value, width.saturating_sub(key + 1))),
        ]
    };
    let settings: Vec<_> = image.policy.iter().collect();
    let rows = settings.len().div_ceil(pairs);
    // The second column goes on where the first one ends.
    let row = |row: usize| {
        let cells = (0..pairs).filter_map(|column| settings.get(row + column * rows).copied());
        fit(cells.flat_map(cell).collect(), canvas.width)
    };
    (0..rows).map(row).collect()
}
