//! What is shown, once: as text, or as one object of JSON. Neither needs a terminal.
//!
//! Invariant: text has no escape sequences and no line that is wider than asked for.

use super::{
    alerts::Alert,
    clean::Clean,
    live::now_ms,
    poll,
    state::{Part, State, Update},
    stream,
    tab::Tab,
    target::Target,
    view::{self, Canvas, Theme},
    wire::{Change, Circuit, Generations, History, Job, SettingChange, Status, Whoami},
};
use crate::cli::output::outln;
use serde::Serialize;
use std::collections::BTreeMap;

/// The width of text where the variable COLUMNS says nothing.
const WIDTH: usize = 100;
/// Narrowest and widest text.
const WIDTHS: std::ops::RangeInclusive<usize> = 20..=1000;

/// Everything that is shown.
#[derive(Serialize)]
struct Object<'a> {
    server: &'a Clean,
    status: &'a Option<Status>,
    history: &'a Option<History>,
    alerts: &'a [Alert],
    jobs: Option<JobList<'a>>,
    circuits: Option<&'a Vec<Circuit>>,
    changes: &'a [Change],
    generations: &'a [Generations],
    setting_changes: Option<&'a Vec<SettingChange>>,
    whoami: &'a Option<Whoami>,
    /// Parts that the server refused, and what it said.
    refused: BTreeMap<&'static str, &'a Clean>,
}

#[derive(Serialize)]
struct JobList<'a> {
    counts: BTreeMap<&'static str, usize>,
    /// Those that run, those that wait in their order, and those that have ended, newest first.
    jobs: Vec<&'a Job>,
}

/// Asks the server for everything that is shown.
fn ask(target: &Target) -> anyhow::Result<State> {
    let client = target.client()?;
    let mut state = State::new(target.server(), now_ms());
    let status = stream::first_status(&client)?;
    state.apply(Update::Status(Box::new(status)), now_ms());
    poll::everything(client, &mut |update| state.apply(update, now_ms()))?;
    Ok(state)
}

/// Prints one object of JSON.
pub(super) fn json(target: &Target) -> anyhow::Result<()> {
    let state = ask(target)?;
    let object = serde_json::to_string(&object(&state))?;
    outln!("{object}");
    Ok(())
}

fn object(state: &State) -> Object<'_> {
    fn refusal<'a, T>(name: &'static str, part: &'a Part<T>) -> Option<(&'static str, &'a Clean)> {
        if let Part::Refused(reason) = part { Some((name, reason)) } else { None }
    }
    let State { server, status, history, alerts, jobs, circuits, changes, generations, .. } = state;
    let State { setting_changes, me, .. } = state;
    let refused =
        [refusal("jobs", jobs), refusal("circuits", circuits), refusal("setting_changes", setting_changes)];
    Object {
        server,
        status,
        history,
        alerts,
        jobs: jobs.known().map(|jobs| JobList {
            counts: jobs.counts().into_iter().map(|(state, count, _)| (state, count)).collect(),
            jobs: jobs.list(),
        }),
        circuits: circuits.known(),
        changes,
        generations,
        setting_changes: setting_changes.known(),
        whoami: me,
        refused: refused.into_iter().flatten().collect(),
    }
}

/// Prints text: one view, or all of them one after another.
pub(super) fn text(target: &Target, tab: Option<Tab>) -> anyhow::Result<()> {
    let columns = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    let width = columns.unwrap_or(WIDTH).clamp(*WIDTHS.start(), *WIDTHS.end());
    let state = ask(target)?;
    outln!("{}", page(&state, tab, width).join("\n"));
    Ok(())
}

/// The lines of a page.
fn page(state: &State, tab: Option<Tab>, width: usize) -> Vec<String> {
    let canvas = Canvas { state, width, theme: Theme::Plain, choice: None };
    let tabs = tab.map_or_else(|| Tab::ALL.to_vec(), |tab| vec![tab]);
    let views = tabs.into_iter().flat_map(|tab| {
        let lines = view::lines(tab, &canvas);
        std::iter::once(ratatui::text::Line::default()).chain(lines)
    });
    let head = std::iter::once(super::frame::title(state, state, width, Theme::Plain));
    head.chain(views).map(|line| line.to_string().trim_end().to_owned()).collect()
}
