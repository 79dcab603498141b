//! What the clients of a server know about its circuits while it is killed and started again.

use crate::harness::{
    Server,
    circuits::{BOUNDARY, done, multipart, put, squares::squares, verifies_natively},
    until,
};
use chacha20::ChaCha20Rng;
use rand_core::Rng;
use serde_json::Value;
use snapback_snapshot::Digest;
use std::{
    collections::{BTreeMap, BTreeSet},
    io::{Read, Write},
    net::TcpStream,
};

/// Number of squarings of the circuits that clients add, remove and replace.
pub(super) const SIZES: [u32; 2] = [4, 6];
const NAMES: [&str; 3] = ["a", "b", "c"];
/// The circuit that nobody changes, and its number of squarings.
pub(super) const BASE: (&str, u32) = ("base", 5);

/// Circuits by name, each as its number of squarings.
pub(super) type Circuits = BTreeMap<String, u32>;

/// A change of one circuit: what it is added with, or `None` if it is removed.
pub(super) type Wanted = (String, Option<u32>);

/// Sends a request to a server that may die meanwhile; returns `None` unless the whole answer arrived.
fn request(server: &Server, head: &str, body: &[u8]) -> Option<(u16, Value)> {
    let mut stream = TcpStream::connect(server.address).ok()?;
    let len = body.len();
    let head = format!(
        "{head} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: multipart/form-data; boundary={BOUNDARY}\r\nContent-Length: {len}\r\n\r\n"
    );
    stream.write_all(&[head.as_bytes(), body].concat()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    // Half an answer is not JSON, and acknowledges nothing.
    Some((head.split(' ').nth(1)?.parse().ok()?, serde_json::from_str(body).ok()?))
}

/// What the clients know about the server.
#[derive(Default)]
pub(super) struct Known {
    /// The circuits that were served when no change was open.
    settled: Circuits,
    /// Every change that was answered with 202.
    accepted: BTreeMap<u64, Wanted>,
    /// Changes without an answer: the server may have accepted them or not.
    unanswered: Vec<Wanted>,
    /// Generations of the changes that the server called done.
    done: BTreeMap<u64, u64>,
    /// Number of the last change when nothing was open.
    settled_at: Option<u64>,
    /// The digest of each circuit's key.
    keys: BTreeMap<u32, String>,
    /// Circuits of each generation, as they were served.
    generations: BTreeMap<u64, Circuits>,
    /// The generation that was activated, and whether that was answered.
    activated: Option<(u64, bool)>,
}

fn listed(server: &Server, path: &str, key: &str) -> Vec<Value> {
    server.get(path).json()[key].as_array().expect("a list").clone()
}

fn number(value: &Value) -> u64 {
    value.as_u64().expect("a number")
}

/// The change that a server lists. The squarings of a circuit are known from the files that name it.
fn wanted_of(change: &Value, sizes: &BTreeMap<Digest, u32>) -> Wanted {
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    if let Some(add) = change.get("add") {
        let file: Digest = text(&add["entry"]["files"]["r1cs"]).parse().expect("a digest");
        (text(&add["name"]), Some(sizes[&file]))
    } else {
        (text(&change["remove"]["name"]), None)
    }
}

impl Known {
    /// Compares a server that has just started with what the clients know.
    pub(super) fn compare(&mut self, server: &Server, sizes: &BTreeMap<Digest, u32>) {
        assert_eq!(server.get("/readyz").status, 200);
        // Changes go on meanwhile: the circuits belong to the changes that are done before and after.
        let (mut changes, mut served) = (Vec::new(), Vec::new());
        until("nothing changes for a moment", || {
            changes = listed(server, "/v1/changes", "changes");
            served = listed(server, "/v1/circuits", "circuits");
            let states =
                |changes: &[Value]| changes.iter().map(|change| change["state"].clone()).collect::<Vec<_>>();
            states(&changes) == states(&listed(server, "/v1/changes", "changes"))
        });
        let ids: BTreeSet<u64> = changes.iter().map(|change| number(&change["id"])).collect();
        for id in self.accepted.keys() {
            assert!(ids.contains(id), "change {id} was accepted, and is lost: {changes:?}");
        }
        for change in &changes {
            let id = number(&change["id"]);
            let wanted = wanted_of(&change["change"], sizes);
            match self.accepted.get(&id) {
                Some(accepted) => assert_eq!(wanted, *accepted, "change {id} has become another one"),
                None => {
                    let sent = self.unanswered.iter().position(|sent| *sent == wanted);
                    self.unanswered.swap_remove(sent.unwrap_or_else(|| panic!("nobody sent {change}")));
                    self.accepted.insert(id, wanted);
                }
            }
            self.see(change);
        }
        for (id, generation) in &self.done {
            let change = changes.iter().find(|change| number(&change["id"]) == *id).expect("it is listed");
            assert_eq!((&change["state"], number(&change["generation"])), (&"done".into(), *generation));
        }
        // A change whose answer did not arrive and that is not listed was never accepted.
        self.unanswered.clear();
        if let Some((generation, answered)) = self.activated.take() {
            let active = number(&server.get("/v1/generations").json()["active"]);
            assert!(active == generation || !answered, "{generation} was activated, {active} is served");
            if active == generation {
                self.settled = self.generations[&generation].clone();
            }
        }
        self.serves(&served, &self.expected());
    }

    /// The circuits once the changes that are done were applied to those that were settled.
    fn expected(&self) -> Circuits {
        let mut circuits = self.settled.clone();
        for (id, (name, size)) in &self.accepted {
            if self.done.contains_key(id) && self.settled_at.is_none_or(|settled| *id > settled) {
                match size {
                    Some(size) => drop(circuits.insert(name.clone(), *size)),
                    None => drop(circuits.remove(name)),
                }
            }
        }
        circuits
    }

    fn serves(&mut self, served: &[Value], expected: &Circuits) {
        let names: Vec<&str> =
            served.iter().map(|circuit| circuit["name"].as_str().expect("a name")).collect();
        assert!(names.iter().eq(expected.keys()), "{names:?} are served, not {expected:?}");
        for (circuit, size) in served.iter().zip(expected.values()) {
            let key = circuit["vk_digest"].as_str().expect("a digest");
            assert_eq!(self.keys.entry(*size).or_insert_with(|| key.to_owned()), key, "{circuit}");
        }
    }

    /// Notes a change that the server shows.
    fn see(&mut self, change: &Value) {
        assert_ne!(change["state"], "failed", "{change}");
        if change["state"] == "done" {
            self.done.insert(number(&change["id"]), number(&change["generation"]));
        }
    }

    /// Adds a circuit and waits until it is served.
    pub(super) fn add(&mut self, server: &Server, name: &str, size: u32) {
        let accepted = put(server, &format!("/v1/circuits/{name}"), &[("r1cs", &squares(size, 3).0)]);
        self.accepted.insert(number(&accepted.json()["id"]), (name.into(), Some(size)));
        done(server, &accepted);
        self.settle(server);
    }

    /// Waits until no change is open, and proves the circuit that nobody changes.
    pub(super) fn settle(&mut self, server: &Server) {
        let mut changes = Vec::new();
        until("every change is done", || {
            changes = listed(server, "/v1/changes", "changes");
            changes.iter().all(|change| change["state"] == "done")
        });
        changes.iter().for_each(|change| self.see(change));
        self.settled = self.expected();
        self.settled_at = self.accepted.keys().next_back().copied();
        let settled = self.settled.clone();
        self.serves(&listed(server, "/v1/circuits", "circuits"), &settled);
        let active = number(&server.get("/v1/generations").json()["active"]);
        self.generations.insert(active, settled);
        // The circuit that nobody changes is proven, whatever became of the others.
        let (r1cs, witness) = squares(BASE.1, 3);
        let prove = format!("/v1/circuits/{}/prove", BASE.0);
        verifies_natively(&r1cs, &server.post(&prove, &witness).ok());
    }

    /// Serves one of the earlier generations again. No change is open, so it is known what later ones are applied to.
    pub(super) fn activate(&mut self, server: &Server, rng: &mut ChaCha20Rng) {
        let active = number(&server.get("/v1/generations").json()["active"]);
        let others: Vec<u64> = self.generations.keys().copied().filter(|id| *id != active).collect();
        let id = others[rng.next_u32() as usize % others.len()];
        let answer = request(server, &format!("POST /v1/generations/{id}/activate"), b"");
        assert!(answer.as_ref().is_none_or(|(status, _)| *status == 200), "{answer:?}");
        self.activated = Some((id, answer.is_some()));
    }

    /// Changes circuits and looks on, step by step, until the server dies or everything is done.
    pub(super) fn change(&mut self, server: &Server, rng: &mut ChaCha20Rng, step: impl Fn()) {
        for _ in 0..1 + rng.next_u32() % 3 {
            let name = NAMES[rng.next_u32() as usize % NAMES.len()].to_owned();
            let size =
                (!rng.next_u32().is_multiple_of(3)).then(|| SIZES[rng.next_u32() as usize % SIZES.len()]);
            let answer = match size {
                Some(size) => {
                    let body = multipart(&[("r1cs", &squares(size, 3).0)]);
                    request(server, &format!("PUT /v1/circuits/{name}?replace=true"), &body)
                }
                None => request(server, &format!("DELETE /v1/circuits/{name}"), b""),
            };
            match answer {
                Some((202, change)) => {
                    // Another change of the same kind may have been accepted before, and is answered again.
                    self.accepted.insert(number(&change["id"]), (name, size));
                }
                // Nothing has to change.
                Some((200 | 404, _)) => {}
                Some((status, answer)) => panic!("{status}: {answer}"),
                None => self.unanswered.push((name, size)),
            }
            step();
        }
        while let Some((200, list)) = request(server, "GET /v1/changes", b"") {
            let changes = list["changes"].as_array().expect("a list");
            changes.iter().for_each(|change| self.see(change));
            step();
            if changes.iter().all(|change| change["state"] == "done") {
                return;
            }
        }
    }
}
