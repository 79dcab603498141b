//! One frame: a head that says how the server is, the view, and what keys do.
//!
//! Invariant: a frame fits any terminal. Where there is little room the view gets it, and the head keeps saying whether
//! what is shown is true.

use super::{
    alerts::Severity,
    numbers::{clock, seconds},
    state::{Link, Loss, State},
    tab::Tab,
    ui::{Mode, Ui, may_swap},
    view::{self, Canvas, Theme, fit, line_of, split, wrap},
};
use ratatui::{
    Frame,
    layout::Rect,
    style::Style,
    text::{Line, Span},
};

/// Lines of the message about a lost connection.
const BANNER_MAX: usize = 2;
/// A server that is silent for so long, in milliseconds, is said to be.
const SILENCE_MS: u64 = 4_000;
/// Narrower than this, only the most needed keys are named, and places are short.
const WIDE_FROM: usize = 60;
/// Less height than this has no room for what keys do.
const KEYS_FROM: u16 = 8;

/// Draws a state, and moves the scroll position to where something is. `link` is the state as it is now, which says how the
/// connection is while what is shown is frozen.
pub(super) fn draw(frame: &mut Frame<'_>, ui: &mut Ui, state: &State, link: &State, theme: Theme) {
    let area = frame.area();
    let margin = u16::from(area.width > 30);
    let width = usize::from(area.width.saturating_sub(2 * margin));
    let canvas = Canvas { state, width, theme, choice: ui.choice(state) };
    let body = match ui.mode {
        Mode::Help => view::help(&canvas),
        Mode::Browse | Mode::Swap(_) => view::lines(ui.tab, &canvas),
    };
    let mut head = vec![title(state, link, width, theme)];
    let banner = banner(link, width, theme);
    let has_keys = area.height >= KEYS_FROM || matches!(ui.mode, Mode::Swap(_));
    let keys: Vec<_> = has_keys.then(|| keys(ui, state, link, width, theme)).into_iter().collect();
    // The title, the tabs and a line below them.
    let taken = 3 + banner.len() + keys.len();
    let room = usize::from(area.height).saturating_sub(taken);
    let offset = scroll(ui, &canvas, &body, room);
    head.push(tabs(ui, &body, offset, room, width, theme));
    head.extend(banner);
    head.push(Line::default());

    let shown = head.into_iter().chain(body.into_iter().skip(offset).take(room));
    let bottom = area.height.saturating_sub(u16::try_from(keys.len()).unwrap_or(0));
    let above = shown.zip(0..bottom);
    let below = keys.into_iter().zip(bottom..area.height);
    for (line, y) in above.chain(below) {
        let place = Rect::new(margin, y, area.width.saturating_sub(2 * margin), 1);
        frame.render_widget(line, place.intersection(area));
    }
}

/// Returns the first line of the view that is shown.
fn scroll(ui: &mut Ui, canvas: &Canvas<'_>, body: &[Line<'static>], room: usize) -> usize {
    let last = body.len().saturating_sub(room);
    let offset = ui.scroll();
    *offset = (*offset).min(last);
    if let Some(marked) = line_of(canvas, body).filter(|_| room > 0) {
        // The lane that the question is about is seen.
        *offset = (*offset).clamp((marked + 1).saturating_sub(room), marked);
    }
    *offset
}

/// What the server is called, and how it is.
pub(super) fn title(state: &State, link: &State, width: usize, theme: Theme) -> Line<'static> {
    let server = state.server.as_str();
    let server = server.strip_prefix("http://").unwrap_or(server).to_owned();
    let version = state.status.as_ref().map_or_else(String::new, |status| format!(" {}", status.version));
    let start = vec![
        Span::styled("snapback", theme.strong()),
        Span::styled(version, theme.strong()),
        Span::styled(format!(" · {server}"), theme.dim()),
    ];
    let mut end = vec![health(link, theme)];
    if let (Some(status), Link::Up) = (&state.status, &link.link) {
        end.push(Span::styled(format!(" · up {}", seconds(status.uptime_seconds as f64)), theme.dim()));
    }
    if width >= 72 {
        end.push(Span::styled(format!(" · {} UTC", clock(state.server_now_ms())), theme.dim()));
    }
    split(start, end, width)
}

/// The state of the server, in one or two words.
fn health(link: &State, theme: Theme) -> Span<'static> {
    let silent_ms = link.now_ms.saturating_sub(link.heard_ms);
    match (&link.link, &link.status) {
        (Link::Connecting, _) => Span::styled("○ connecting", theme.dim()),
        (Link::Lost { why: Loss::Key(_), .. }, _) => Span::styled("✗ key refused", theme.bad()),
        (Link::Lost { why: Loss::Refused(_), .. }, _) => Span::styled("✗ no events", theme.bad()),
        (Link::Lost { .. }, _) => Span::styled("✗ no connection", theme.bad()),
        (Link::Up, _) if silent_ms > SILENCE_MS => {
            Span::styled(format!("○ silent for {}", seconds(silent_ms as f64 / 1000.0)), theme.warn())
        }
        (Link::Up, None) => Span::styled("○ connecting", theme.dim()),
        (Link::Up, Some(status)) => {
            let words = status.state.as_str().replace('-', " ");
            let style = match status.state.as_str() {
                "ready" => theme.good(),
                "lanes-missing" | "breaker-open" => theme.bad(),
                _ => theme.warn(),
            };
            Span::styled(format!("● {words}"), style)
        }
    }
}

/// What is wrong with the connection.
fn banner(link: &State, width: usize, theme: Theme) -> Vec<Line<'static>> {
    let Link::Lost { since_ms, retry_at_ms, why } = &link.link else { return Vec::new() };
    let since = clock(*since_ms);
    let what = match why {
        Loss::Unreachable(_) | Loss::Ended if link.status.is_none() => "No connection".into(),
        Loss::Unreachable(_) | Loss::Ended => {
            format!("No connection since {since}, and what is shown is from then")
        }
        Loss::Key(_) => "The server does not accept the key".into(),
        Loss::Refused(_) => "The server sends no events".into(),
    };
    let reason = match why {
        Loss::Unreachable(text) | Loss::Key(text) | Loss::Refused(text) => text.as_str(),
        Loss::Ended => "the server ended the stream, as it does when it stops",
    };
    let again = match retry_at_ms.saturating_sub(link.now_ms).div_ceil(1000) {
        0 => "Trying again.".into(),
        wait => format!("Trying again in {wait} s."),
    };
    // What to know first comes first, because the rest may be cut.
    let mut lines = wrap(&format!("{what}. {again} {reason}"), width, theme.bad());
    lines.truncate(BANNER_MAX);
    lines
}

fn tabs(ui: &Ui, body: &[Line<'_>], offset: usize, room: usize, width: usize, theme: Theme) -> Line<'static> {
    let mut start = Vec::new();
    for tab in Tab::ALL {
        let is_shown = tab == ui.tab && ui.mode != Mode::Help;
        let style = if is_shown { theme.accent().patch(theme.strong()) } else { theme.dim() };
        let gap = if start.is_empty() { "" } else { "  " };
        start.push(Span::styled(format!("{gap}{}", tab.title()), style));
    }
    let is_wide = width >= WIDE_FROM;
    let mut end = Vec::new();
    if ui.is_paused {
        end.push(Span::styled("paused", theme.warn()));
    }
    if body.len() > room && room > 0 && (is_wide || !ui.is_paused) {
        let last = (offset + room).min(body.len());
        let place = if is_wide {
            format!("  {}–{last} of {}", offset + 1, body.len())
        } else {
            format!("{last}/{}", body.len())
        };
        end.push(Span::styled(place, theme.dim()));
    }
    split(start, end, width)
}

/// What keys do, the question that is open, or what became of the last command.
fn keys(ui: &Ui, state: &State, link: &State, width: usize, theme: Theme) -> Line<'static> {
    if let Some(choice) = ui.choice(state) {
        let lane = choice.lane.map_or_else(|| "every lane".into(), |lane| format!("lane {lane}"));
        let question = Span::styled(format!("Swap {lane} of {}?  y / n", choice.image), theme.warn());
        return split(vec![question], vec![Span::styled("↑↓ another one", theme.dim())], width);
    }
    if let Some(notice) = link.notice() {
        return fit(vec![Span::styled(notice.to_string(), theme.accent())], width);
    }
    let swap = if may_swap(state) { "  s swap" } else { "" };
    let pause = if ui.is_paused { "p go on" } else { "p pause" };
    let keys = if width >= WIDE_FROM {
        format!("q quit  Tab view  ↑↓ scroll{swap}  {pause}  ? help")
    } else {
        format!("q quit{swap}  ? help")
    };
    let firing = state.alerts.iter().filter(|alert| alert.pending_seconds == 0);
    let worst = firing.clone().any(|alert| alert.severity == Severity::Critical);
    let end = match firing.count() {
        0 => Vec::new(),
        count => {
            let style: Style = if worst { theme.bad() } else { theme.warn() };
            let noun = if count == 1 { "alert" } else { "alerts" };
            vec![Span::styled(format!("{count} {noun}"), style)]
        }
    };
    split(vec![Span::styled(keys, theme.dim())], end, width)
}
