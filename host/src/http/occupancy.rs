//! Who holds the room of a listener, and who waits for a request.
//!
//! Invariant: a connection makes room only for one that was accepted later.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    sync::Arc,
};
use tokio::sync::Notify;

/// The connections of a listener.
#[derive(Default)]
pub(super) struct Occupancy {
    /// Number of connections of each address.
    peers: HashMap<IpAddr, usize>,
    /// Connections that wait for a request, in the order in which they were accepted or answered.
    waiting: BTreeMap<Turn, (Access, Arc<Notify>)>,
    /// Number of connections of each kind that were asked to close and are still open.
    closing: BTreeMap<Access, usize>,
    next: u64,
}

/// What a connection may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Access {
    /// Everything.
    Full,
    /// Probes: there is no room for more.
    Probes,
}

/// When a connection was accepted, or answered last, among all of its listener.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Turn(u64);

/// Whether a connection was asked to close, to make room.
pub(super) enum Closed {
    One,
    /// None that came before waits for a request, but some that were asked earlier are still closing.
    NoneYet,
    /// None that came before waits for a request.
    None,
}

impl Occupancy {
    /// Returns the next turn.
    pub(super) fn turn(&mut self) -> Turn {
        let turn = Turn(self.next);
        self.next += 1;
        turn
    }

    /// Counts a connection for its address, and returns the number of those.
    pub(super) fn count(&mut self, peer: IpAddr) -> usize {
        let count = self.peers.entry(peer).or_default();
        *count += 1;
        *count
    }

    /// Takes a connection of the address off its count.
    pub(super) fn uncount(&mut self, peer: IpAddr) {
        if let Some(count) = self.peers.get_mut(&peer) {
            *count -= 1;
            if *count == 0 {
                self.peers.remove(&peer);
            }
        }
    }

    /// Records that a connection waits for a request since a turn; `close` is notified when it has to make room.
    pub(super) fn waits(&mut self, since: Turn, access: Access, close: &Arc<Notify>) {
        self.waiting.insert(since, (access, Arc::clone(close)));
    }

    /// Records that a connection waits no longer. Returns false if it was asked to close.
    pub(super) fn waits_no_longer(&mut self, since: Turn) -> bool {
        self.waiting.remove(&since).is_some()
    }

    /// Records that a connection that was asked to close has ended.
    pub(super) fn closed(&mut self, access: Access) {
        if let Some(closing) = self.closing.get_mut(&access) {
            *closing -= 1;
        }
    }

    /// Asks the connection that has waited longest for a request to close, if it has waited since before this turn.
    pub(super) fn close_oldest(&mut self, before: Turn, access: Access) -> Closed {
        let mut older = self.waiting.range(..before);
        let oldest = older.find(|(_, (kind, _))| *kind == access).map(|(turn, _)| *turn);
        match oldest.and_then(|turn| self.waiting.remove(&turn)) {
            Some((_, close)) => {
                *self.closing.entry(access).or_default() += 1;
                close.notify_one();
                Closed::One
            }
            None if self.closing.get(&access).is_some_and(|closing| *closing > 0) => Closed::NoneYet,
            None => Closed::None,
        }
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.peers.is_empty() && self.waiting.is_empty() && self.closing.values().all(|closing| *closing == 0)
    }
}
