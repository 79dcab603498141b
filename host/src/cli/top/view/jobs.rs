//! Durable jobs: counts by state, and the latest with their state and progress.
//!
//! Invariant: progress is what the server expects; a job of which it knows nothing has none.

use super::{
    super::{
        clean::Clean,
        job_list::Jobs,
        numbers::{age, count, digits, moment, parsed, seconds},
        state::Part,
        wire::Job,
    },
    canvas::Canvas,
    shapes::{fit, gauge, left, width_of},
};
use ratatui::{
    style::Style,
    text::{Line, Span},
};

/// The priority of a job that asks for none.
const PRIORITY: u64 = 5;
/// Jobs that run and are shown in the view Now.
const RUNNING_SHOWN: usize = 4;
/// Columns of a state, of the bar of progress, and of a time.
const STATE: usize = 12;
const BAR: usize = 12;
const TIME: usize = 17;
/// From this width on, the time of submission is shown.
const SUBMITTED_FROM: usize = 72;
/// From this width on, ids are shown, as other commands take them.
const IDS_FROM: usize = 118;
const ID: usize = 36;

/// The view Jobs.
pub(super) fn lines(canvas: &Canvas<'_>) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    match &canvas.state.jobs {
        Part::Awaited => canvas.remark(&mut lines, "Waiting for the jobs."),
        Part::Refused(reason) => {
            canvas.heading(&mut lines, "Jobs", "");
            canvas.remark(&mut lines, reason.as_str());
        }
        Part::Known(jobs) => {
            heading(canvas, jobs, &mut lines);
            for job in jobs.list() {
                lines.push(line(canvas, job));
                let error = job.error.as_ref().filter(|error| !error.message.is_empty());
                lines.extend(error.map(|error| {
                    let text = format!("  {} ({})", error.message, error.code);
                    fit(
                        vec![
                            Span::styled(left("", STATE), Style::new()),
                            Span::styled(text, canvas.theme.dim()),
                        ],
                        canvas.width,
                    )
                }));
            }
            if jobs.latest.next.is_some() {
                canvas.remark(&mut lines, "There are older ones: snapback jobs list");
            }
        }
    }
    lines
}

/// Appends the counts and what runs.
pub(super) fn summary(canvas: &Canvas<'_>, jobs: &Jobs, lines: &mut Vec<Line<'static>>) {
    let list = jobs.list();
    if list.is_empty() {
        return;
    }
    heading(canvas, jobs, lines);
    let running = list.into_iter().filter(|job| job.state.as_str() == "claimed");
    lines.extend(running.take(RUNNING_SHOWN).map(|job| line(canvas, job)));
}

fn heading(canvas: &Canvas<'_>, jobs: &Jobs, lines: &mut Vec<Line<'static>>) {
    let counts = jobs.counts().into_iter().filter(|(_, count, _)| *count > 0);
    let counts = counts.map(|(state, jobs, is_cut)| {
        let mark = if is_cut { "+" } else { "" };
        format!("{}{mark} {state}", count(jobs as u64))
    });
    let counts: Vec<_> = counts.collect();
    let note = if counts.is_empty() { "there are none".into() } else { counts.join(" · ") };
    canvas.heading(lines, "Jobs", &note);
}

fn style_of(canvas: &Canvas<'_>, job: &Job) -> Style {
    match job.state.as_str() {
        "claimed" => canvas.theme.accent(),
        "succeeded" => canvas.theme.good(),
        "failed" | "quarantined" => canvas.theme.bad(),
        "cancelled" | "expired" => canvas.theme.warn(),
        _ => Style::new(),
    }
}

fn line(canvas: &Canvas<'_>, job: &Job) -> Line<'static> {
    let theme = canvas.theme;
    let word = match job.state.as_str() {
        _ if job.cancel_requested => "stopping",
        "claimed" => "running",
        other => other,
    };
    let mut spans = vec![Span::styled(left(word, STATE), style_of(canvas, job))];
    let mut end = progress(canvas, job);
    if canvas.width >= SUBMITTED_FROM {
        let at = parsed(job.submitted.as_str()).map(|at| moment(at, canvas.state.server_now_ms()));
        end.push(Span::styled(format!("  {}", left(&at.unwrap_or_default(), 16)), theme.dim()));
    }
    if canvas.width >= IDS_FROM {
        end.push(Span::styled(format!("  {}", left(job.id.as_str(), ID)), theme.dim()));
    }
    let end_width: usize = end.iter().map(Span::width).sum();
    let room = canvas.width.saturating_sub(STATE + end_width + 1);
    let what = format!("{} {}", job.method, job.circuit);
    let place = match job.priority {
        PRIORITY => job.image.to_string(),
        priority => format!("{}, priority {priority}", job.image),
    };
    let what = left(what.trim(), room.min(width_of(what.trim())));
    let place = left(&format!(" {place}"), room - width_of(&what));
    spans.push(Span::raw(what));
    spans.push(Span::styled(place + " ", theme.dim()));
    spans.extend(end);
    fit(spans, canvas.width)
}

/// How far a job is, in columns of a fixed width.
fn progress(canvas: &Canvas<'_>, job: &Job) -> Vec<Span<'static>> {
    let theme = canvas.theme;
    let now = canvas.state.server_now_ms();
    let time = |text: &Option<Clean>| parsed(text.as_ref()?.as_str());
    let words = |text: &str| vec![Span::styled(left(text, TIME), theme.dim())];
    match job.state.as_str() {
        "queued" => match job.place {
            Some(place) => words(&format!("{} before it", count(place))),
            None => words("waits"),
        },
        "claimed" => {
            let Some(begun) = time(&job.claimed) else { return words("") };
            let ran = now.saturating_sub(begun) as f64 / 1000.0;
            let Some(end) = time(&job.expected_end).filter(|end| *end > begun) else {
                return words(&format!("for {}", seconds(ran)));
            };
            // What takes longer than expected is nearly done.
            let share = (now.saturating_sub(begun) as f64 / (end - begun) as f64).min(0.99);
            let mut spans = gauge(BAR, share, &[], theme.accent(), theme);
            spans.push(Span::styled(
                left(&format!(" {} %", digits((100.0 * share).floor())), TIME - BAR),
                theme.dim(),
            ));
            spans
        }
        _ => match (time(&job.claimed), time(&job.finished)) {
            (Some(begun), Some(end)) => {
                words(&format!("took {}", seconds(end.saturating_sub(begun) as f64 / 1000.0)))
            }
            (None, Some(end)) => words(&format!("{} ago", age(now.saturating_sub(end) as f64 / 1000.0))),
            _ => words(""),
        },
    }
}
