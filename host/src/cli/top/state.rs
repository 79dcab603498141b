//! What `snapback top` knows of a server: a fold of updates.
//!
//! Invariant: the state depends on the updates and their times alone. What it keeps is bounded: the last status and answers,
//! [`EVENTS_MAX`] events, and [`SAMPLES_MAX`] samples for each lane of the last status.

use super::{
    alerts::{self, Alert, Facts, Holds},
    clean::Clean,
    job_list::Jobs,
    wire::{Change, Circuit, Event, Generations, History, Image, Lane, SettingChange, Status, Whoami},
};
use std::collections::{BTreeMap, VecDeque};

/// Events that are kept.
const EVENTS_MAX: usize = 100;
/// Samples of memory that are kept for each lane, one a second.
const SAMPLES_MAX: usize = 60;
/// How long a notice is shown, in milliseconds.
const NOTICE_MS: u64 = 6_000;

/// One thing that was learned.
pub(super) enum Update {
    Status(Box<Status>),
    Event(Box<Event>),
    /// The connection is gone; the next attempt follows in `retry_ms`.
    Lost {
        why: Loss,
        retry_ms: u64,
    },
    History(Box<History>),
    Jobs(Part<Box<Jobs>>),
    Circuits(Part<Vec<Circuit>>),
    Changes(Vec<Change>),
    Generations(Vec<Generations>),
    SettingChanges(Part<Vec<SettingChange>>),
    Me(Whoami),
    /// What became of a command.
    Notice(Clean),
}

/// Why the connection is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Loss {
    /// Nobody answers, or the connection broke: what the network said.
    Unreachable(Clean),
    /// The server does not accept the key, or wants one.
    Key(Clean),
    /// The server ended the stream, as it does when it stops.
    Ended,
    /// The server answers, and sends no events: what it said.
    Refused(Clean),
}

/// Where the connection stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Link {
    /// It has never been up.
    Connecting,
    Up,
    Lost {
        since_ms: u64,
        retry_at_ms: u64,
        why: Loss,
    },
}

/// An answer that is wanted.
#[derive(Clone, Debug, Default)]
pub(super) enum Part<T> {
    /// It is not there yet.
    #[default]
    Awaited,
    Known(T),
    /// The server refused it: what it said.
    Refused(Clean),
}

impl<T> Part<T> {
    pub(super) fn known(&self) -> Option<&T> {
        match self {
            Self::Known(known) => Some(known),
            _ => None,
        }
    }

    pub(super) fn map<U>(self, of: impl FnOnce(T) -> U) -> Part<U> {
        match self {
            Self::Awaited => Part::Awaited,
            Self::Known(known) => Part::Known(of(known)),
            Self::Refused(reason) => Part::Refused(reason),
        }
    }
}

/// A lane: the name of its image, and its number.
pub(super) type LaneKey = (Clean, u64);

/// What is known.
#[derive(Clone)]
pub(super) struct State {
    pub(super) server: Clean,
    /// This machine's clock, in milliseconds since 1970.
    pub(super) now_ms: u64,
    pub(super) link: Link,
    /// When the server was last heard.
    pub(super) heard_ms: u64,
    pub(super) status: Option<Status>,
    pub(super) history: Option<History>,
    pub(super) alerts: Vec<Alert>,
    pub(super) jobs: Part<Box<Jobs>>,
    pub(super) circuits: Part<Vec<Circuit>>,
    pub(super) changes: Vec<Change>,
    pub(super) generations: Vec<Generations>,
    pub(super) setting_changes: Part<Vec<SettingChange>>,
    pub(super) me: Option<Whoami>,
    /// Newest first.
    pub(super) events: VecDeque<Event>,
    /// Events that the server has left out.
    pub(super) events_left_out: u64,
    swaps: BTreeMap<LaneKey, Event>,
    memory: BTreeMap<LaneKey, VecDeque<u64>>,
    holds: Holds,
    notice: Option<(Clean, u64)>,
}

impl State {
    pub(super) fn new(server: &str, now_ms: u64) -> Self {
        Self {
            server: Clean::new(server),
            now_ms,
            link: Link::Connecting,
            heard_ms: 0,
            status: None,
            history: None,
            alerts: Vec::new(),
            jobs: Part::Awaited,
            circuits: Part::Awaited,
            changes: Vec::new(),
            generations: Vec::new(),
            setting_changes: Part::Awaited,
            me: None,
            events: VecDeque::new(),
            events_left_out: 0,
            swaps: BTreeMap::new(),
            memory: BTreeMap::new(),
            holds: Holds::default(),
            notice: None,
        }
    }

    /// Takes an update that arrived at that time.
    pub(super) fn apply(&mut self, update: Update, now_ms: u64) {
        self.now_ms = now_ms;
        match update {
            Update::Status(status) => {
                self.hear();
                self.events_left_out = self.events_left_out.saturating_add(status.events_left_out);
                self.remember(&status);
                self.status = Some(*status);
                self.evaluate();
            }
            Update::Event(event) => {
                self.hear();
                if let (true, Some(lane)) = (event.event.as_str() == "swap-complete", event.lane) {
                    self.swap((event.image.clone(), lane), &event);
                }
                self.events.truncate(EVENTS_MAX - 1);
                self.events.push_front(*event);
            }
            Update::Lost { why, retry_ms } => {
                let since_ms = match self.link {
                    Link::Lost { since_ms, .. } => since_ms,
                    _ => now_ms,
                };
                self.link = Link::Lost { since_ms, retry_at_ms: now_ms.saturating_add(retry_ms), why };
            }
            Update::History(history) => {
                self.history = Some(*history);
                self.evaluate();
            }
            Update::Jobs(jobs) => self.jobs = jobs,
            Update::Circuits(circuits) => self.circuits = circuits,
            Update::Changes(changes) => self.changes = changes,
            Update::Generations(generations) => self.generations = generations,
            Update::SettingChanges(changes) => self.setting_changes = changes,
            Update::Me(me) => self.me = Some(me),
            Update::Notice(text) => self.notice = Some((text, now_ms)),
        }
    }

    /// The server's clock, as far as it is known, in milliseconds since 1970.
    pub(super) fn server_now_ms(&self) -> u64 {
        match &self.status {
            Some(status) => status.at_ms.saturating_add(self.now_ms.saturating_sub(self.heard_ms)),
            None => self.now_ms,
        }
    }

    /// The last swap of a lane that was seen.
    pub(super) fn swap_of(&self, image: &Clean, lane: u64) -> Option<&Event> {
        self.swaps.get(&(image.clone(), lane))
    }

    /// Samples of the memory of a lane, oldest first.
    pub(super) fn memory_of(&self, image: &Clean, lane: u64) -> impl Iterator<Item = u64> {
        self.memory.get(&(image.clone(), lane)).into_iter().flatten().copied()
    }

    /// The lanes of an image.
    pub(super) fn lanes_of(&self, image: &Image) -> &[Lane] {
        let lanes = self.status.as_ref().and_then(|status| status.instances.get(&image.name));
        lanes.map_or(&[], Vec::as_slice)
    }

    /// What became of the last command, for a while.
    pub(super) fn notice(&self) -> Option<&Clean> {
        let (text, at_ms) = self.notice.as_ref()?;
        (self.now_ms.saturating_sub(*at_ms) < NOTICE_MS).then_some(text)
    }

    fn hear(&mut self) {
        self.heard_ms = self.now_ms;
        self.link = Link::Up;
    }

    fn swap(&mut self, lane: LaneKey, event: &Event) {
        // Only lanes that the status names are kept.
        if self.memory.contains_key(&lane) {
            self.swaps.insert(lane, event.clone());
        }
    }

    fn remember(&mut self, status: &Status) {
        let lanes = status.instances.iter();
        let lanes =
            lanes.flat_map(|(image, lanes)| lanes.iter().map(move |lane| ((image.clone(), lane.lane), lane)));
        let lanes: BTreeMap<LaneKey, &Lane> = lanes.collect();
        self.memory.retain(|key, _| lanes.contains_key(key));
        self.swaps.retain(|key, _| lanes.contains_key(key));
        for (key, lane) in lanes {
            let samples = self.memory.entry(key).or_default();
            if samples.len() == SAMPLES_MAX {
                samples.pop_front();
            }
            samples.push_back(lane.used_bytes.unwrap_or(0));
        }
    }

    fn evaluate(&mut self) {
        let (Some(status), Some(history)) = (&self.status, &self.history) else { return };
        let grows = |image: &Image| {
            let lanes = self.memory.iter().filter(|((name, _), _)| *name == image.name);
            lanes.into_iter().any(|(_, samples)| samples.back() > samples.front())
        };
        self.alerts =
            alerts::evaluate(&Facts { status, history, grows: &grows }, &mut self.holds, self.now_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::de::DeserializeOwned;

    fn of<T: DeserializeOwned>(json: &str) -> T {
        serde_json::from_str(json).expect("JSON")
    }

    fn status(used: u64) -> Update {
        let text = format!(
            r#"{{"at_ms": 5000, "version": "1", "images": [{{"name": "toy", "policy": {{"memory.limit": 100}}}}],
            "instances": {{"toy": [{{"lane": 0, "used_bytes": {used}}}]}}, "events_left_out": 2}}"#
        );
        Update::Status(of(&text))
    }

    fn swap(lane: u64, at_ms: u64) -> Update {
        Update::Event(of(&format!(
            r#"{{"event": "swap-complete", "image": "toy", "lane": {lane}, "at_ms": {at_ms}, "reason": "idle"}}"#
        )))
    }

    #[test]
    fn a_connection_is_lost_since_its_first_failure_and_up_with_the_first_word() {
        let mut state = State::new("http://localhost", 0);
        assert_eq!(state.link, Link::Connecting);
        let why = Loss::Unreachable(Clean::new("refused"));
        for now_ms in [1_000, 2_000] {
            state.apply(Update::Lost { why: why.clone(), retry_ms: 500 }, now_ms);
        }
        assert_eq!(state.link, Link::Lost { since_ms: 1_000, retry_at_ms: 2_500, why });
        state.apply(status(1), 3_000);
        assert_eq!((&state.link, state.heard_ms), (&Link::Up, 3_000));
        state.now_ms = 4_000;
        assert_eq!(state.server_now_ms(), 6_000, "the clock of the server goes on");
    }

    #[test]
    fn events_swaps_and_samples_are_bounded() {
        let mut state = State::new("", 0);
        for now_ms in 0..200 {
            state.apply(status(now_ms), now_ms);
            state.apply(swap(0, now_ms), now_ms);
            state.apply(swap(now_ms + 1, now_ms), now_ms);
        }
        let toy = Clean::new("toy");
        assert_eq!(state.events.len(), EVENTS_MAX);
        assert_eq!(state.memory_of(&toy, 0).count(), SAMPLES_MAX);
        assert_eq!(state.memory_of(&toy, 0).last(), Some(199));
        assert_eq!(state.swap_of(&toy, 0).map(|event| event.at_ms), Some(199));
        assert!(state.swap_of(&toy, 7).is_none(), "the status knows no such lane");
        assert_eq!(state.events_left_out, 400);
        state.apply(Update::Status(of("{}")), 300);
        assert_eq!((state.memory_of(&toy, 0).count(), state.swaps.len()), (0, 0));
    }

    #[test]
    fn alerts_follow_from_the_status_and_the_history_and_notices_pass() {
        let mut state = State::new("", 0);
        state.apply(status(1), 0);
        state.apply(Update::Notice(Clean::new("done")), 0);
        assert!(state.alerts.is_empty() && state.notice().is_some());
        state.apply(Update::History(of(r#"{"bucket_seconds": 10, "lost": [1]}"#)), NOTICE_MS);
        assert_eq!(state.alerts.len(), 1);
        assert!(state.notice().is_none());
        // Memory that grows is not forgotten while a lane lives.
        state.apply(status(99), 7_000);
        assert!(state.alerts.iter().any(|alert| alert.name == "SnapbackGrowthWithoutSwaps"));
    }
}
