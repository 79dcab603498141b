//! What the stream does not emit: the last hour, jobs, circuits, changes of settings, and who this client is. Commands to the
//! server go the same way.
//!
//! Invariant: requests follow one another, and become rare while they fail. A refusal of one answer leaves the others alone.

use super::{
    channel::{Gone, Message, send_update},
    clean::Clean,
    job_list::Jobs,
    state::{Part, Update},
    target::{Target, is_unauthorised},
    wire::{ChangeList, CircuitList, Generations, History, JobPage, SettingChangeList, Status, Whoami},
};
use crate::cli::{
    client::{ApiRequest, Client, Unanswered},
    exit::describe,
};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use serde::de::DeserializeOwned;
use std::{collections::BTreeSet, time::Duration};

/// Time between two rounds of requests.
const PERIOD: Duration = Duration::from_secs(2);
/// Longest time between two rounds that fail. Once the stream is there again, a command ends the wait.
const PERIOD_MAX: Duration = Duration::from_secs(60);
/// One round of so many asks for what seldom changes.
const SELDOM: u32 = 5;
/// Jobs of one page.
const JOBS: &str = "100";

/// What the server is asked to do, or this client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Command {
    /// Replace the instance of one lane, or of all of them.
    Swap { image: Clean, lane: Option<u64> },
    /// Ask again for what seldom changes.
    Refresh,
}

/// Takes an update.
type Emit<'a> = dyn FnMut(Update) -> Result<(), Gone> + 'a;

/// Why a round ended early.
enum Cut {
    Unread,
    Unanswered(Unanswered),
}

impl From<Gone> for Cut {
    fn from(_: Gone) -> Self {
        Self::Unread
    }
}

impl From<Unanswered> for Cut {
    fn from(unanswered: Unanswered) -> Self {
        Self::Unanswered(unanswered)
    }
}

/// Asks until nobody reads the updates any more.
pub(super) fn run(target: &Target, updates: &Sender<Message>, commands: &Receiver<Command>) {
    let mut wait = PERIOD;
    let mut rounds = 0;
    let mut poll = None;
    loop {
        match round(target, &mut poll, rounds, &mut |update| send_update(updates, update)) {
            Err(Cut::Unread) => return,
            Ok(()) => {
                wait = PERIOD;
                rounds += 1;
            }
            Err(Cut::Unanswered(_)) => {
                // The stream says what is wrong. The next client reads the key again.
                poll = None;
                rounds = 0;
                wait = (wait * 2).min(PERIOD_MAX);
            }
        }
        match commands.recv_timeout(wait) {
            Ok(Command::Refresh) => rounds = 0,
            Ok(Command::Swap { image, lane }) => {
                if send_update(updates, Update::Notice(swap(target, &image, lane))).is_err() {
                    return;
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

fn round(target: &Target, poll: &mut Option<Poll>, rounds: u32, emit: &mut Emit<'_>) -> Result<(), Cut> {
    let poll = match poll {
        Some(poll) => poll,
        None => poll.insert(Poll::new(target.client().map_err(Unanswered::Failed)?)),
    };
    poll.often(emit)?;
    if rounds.is_multiple_of(SELDOM) || poll.is_baking {
        poll.seldom(emit)?;
    }
    Ok(())
}

/// Asks for everything once.
pub(super) fn everything(client: Client, emit: &mut dyn FnMut(Update)) -> anyhow::Result<()> {
    let mut emit = |update| {
        emit(update);
        Ok(())
    };
    let mut poll = Poll::new(client);
    let all = poll.often(&mut emit).and_then(|()| poll.seldom(&mut emit));
    all.or_else(|cut| match cut {
        Cut::Unread => Ok(()),
        Cut::Unanswered(unanswered) => Err(unanswered.into()),
    })
}

/// Returns what became of a swap.
fn swap(target: &Target, image: &Clean, lane: Option<u64>) -> Clean {
    let number = lane.map(|lane| lane.to_string());
    let mut query = vec![("image", image.as_str())];
    query.extend(number.as_deref().map(|number| ("lane", number)));
    let path = ["v1", "admin", "swap"];
    let request = ApiRequest { method: "POST", path: &path, query: &query, ..ApiRequest::default() };
    let sent = target.client().and_then(|client| client.send(&request));
    Clean::new(&match (sent, lane) {
        (Ok(_), Some(lane)) => format!("Lane {lane} of {image} swaps between two calls."),
        (Ok(_), None) => format!("Every lane of {image} swaps between two calls."),
        (Err(error), _) => format!("No swap: {}", describe(&error)),
    })
}

/// Requests to one server.
struct Poll {
    client: Client,
    /// Images that take no circuits: they are asked once.
    without_circuits: BTreeSet<Clean>,
    /// Whether a change of circuits waits or is being baked.
    is_baking: bool,
}

impl Poll {
    fn new(client: Client) -> Self {
        Self { client, without_circuits: BTreeSet::new(), is_baking: false }
    }

    fn get<T: DeserializeOwned>(&self, path: &[&str], query: &[(&str, &str)]) -> Result<T, Unanswered> {
        self.client.ask_json(&ApiRequest { method: "GET", path, query, ..ApiRequest::default() })
    }

    /// What changes with every call.
    fn often(&self, emit: &mut Emit<'_>) -> Result<(), Cut> {
        let history: History = self.get(&["v1", "history"], &[])?;
        emit(Update::History(Box::new(history)))?;
        emit(Update::Jobs(part(self.jobs())?))?;
        Ok(())
    }

    fn jobs(&self) -> Result<Box<Jobs>, Unanswered> {
        let page = |filter: &[(&str, &str)]| -> Result<JobPage, Unanswered> {
            self.get(&["v1", "jobs"], &[&[("limit", JOBS)], filter].concat())
        };
        let latest = page(&[])?;
        let queued = page(&[("state", "queued")])?;
        let running = page(&[("state", "claimed")])?;
        Ok(Box::new(Jobs { latest, queued, running }))
    }

    /// What seldom changes.
    fn seldom(&mut self, emit: &mut Emit<'_>) -> Result<(), Cut> {
        // A server without keys knows no callers.
        if let Part::Known(me) = part(self.get::<Whoami>(&["v1", "whoami"], &[]))? {
            emit(Update::Me(me))?;
        }
        let changes = part(self.get::<SettingChangeList>(&["v1", "history", "settings"], &[]))?;
        emit(Update::SettingChanges(changes.map(|list| list.changes)))?;
        let circuits = part(self.get::<CircuitList>(&["v1", "circuits"], &[]))?;
        emit(Update::Circuits(circuits.map(|list| list.circuits)))?;
        let status: Status = self.get(&["v1", "status"], &[])?;
        let (mut generations, mut changes) = (Vec::new(), Vec::new());
        for image in status.images {
            if self.without_circuits.contains(&image.name) {
                continue;
            }
            let query = [("image", image.name.as_str())];
            match self.get::<Generations>(&["v1", "generations"], &query) {
                Ok(answer) => generations.push(answer),
                Err(Unanswered::Refused { code, .. }) if code == "no_circuits_as_data" => {
                    self.without_circuits.insert(image.name);
                    continue;
                }
                Err(unanswered) => drop(part::<Generations>(Err(unanswered))?),
            }
            let list = part(self.get::<ChangeList>(&["v1", "changes"], &query))?;
            // The server lists them in the order in which they came.
            changes.extend(list.known().into_iter().flat_map(|list| list.changes.iter().rev().cloned()));
        }
        self.is_baking = changes.iter().any(|change| change.is_open());
        emit(Update::Generations(generations))?;
        emit(Update::Changes(changes))?;
        Ok(())
    }
}

/// Tells an answer that is refused from a server that cannot be asked.
fn part<T>(answer: Result<T, Unanswered>) -> Result<Part<T>, Unanswered> {
    match answer {
        Ok(known) => Ok(Part::Known(known)),
        Err(unanswered) if is_unauthorised(&unanswered) => Err(unanswered),
        Err(Unanswered::Refused { error, .. }) => Ok(Part::Refused(Clean::new(&describe(&error)))),
        Err(failed) => Err(failed),
    }
}
