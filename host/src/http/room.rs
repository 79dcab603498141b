//! Room for connections, shared so that no client can take all of it.
//!
//! ```text
//! a place         most connections                         http.connections_max of them
//! a probe place   when there is no place left: answers     PROBE_PLACES of them
//!                 probes, and refuses everything else
//! further room    each request on a connection that has    http.connections_max again, and each counts as a
//!                 others under way (HTTP/2)                connection of its address
//! ```
//!
//! A connection that waits for a request, between two or before the first, can lose its place: when there is no other,
//! the one that has waited longest is closed to make room for one that was accepted later. So slow heads cost their
//! senders, not others.
//!
//! Invariant: a connection whose request has begun is never closed to make room.

use super::occupancy::{Access, Closed, Occupancy, Turn};
use crate::telemetry::metrics::Limit;
use std::{
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// Places for connections beyond the limit, on which probes are answered.
const PROBE_PLACES: usize = 64;
/// How long a connection that was asked to close may take until its place is free. It takes microseconds, and longer only
/// on a machine whose processors are overloaded or if its request began meanwhile and is being refused.
const CLOSING: Duration = Duration::from_secs(5);

/// Room for the connections of one listener.
pub(super) struct Room {
    places: Arc<Semaphore>,
    probe_places: Arc<Semaphore>,
    further: Arc<Semaphore>,
    per_peer_max: usize,
    occupancy: Mutex<Occupancy>,
    /// Notified when a connection begins to wait for a request, or one that was to be closed has ended.
    changed: Notify,
}

/// A connection that counts for its address, from the moment that it looks for a place.
struct Counted {
    room: Arc<Room>,
    peer: IpAddr,
}

impl Counted {
    /// Returns the number of connections of the address too, this one included.
    fn new(room: &Arc<Room>, peer: IpAddr) -> (Self, usize) {
        let count = room.occupancy().count(peer);
        (Self { room: Arc::clone(room), peer }, count)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.room.occupancy().uncount(self.peer);
    }
}

/// What a connection does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// It waits for a request, since this turn.
    Waits(Turn),
    /// A request is under way.
    Serves,
    /// It was asked to close, and a request came meanwhile.
    Closes,
}

/// The place of one connection.
pub(super) struct Place {
    counted: Counted,
    access: Access,
    limit: Limit,
    close: Arc<Notify>,
    state: Mutex<State>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Room {
    pub(super) fn new(places: &Arc<Semaphore>, per_peer_max: Option<usize>) -> Arc<Self> {
        Arc::new(Self {
            places: Arc::clone(places),
            probe_places: Arc::new(Semaphore::new(PROBE_PLACES)),
            further: Arc::new(Semaphore::new(places.available_permits())),
            per_peer_max: per_peer_max.unwrap_or(usize::MAX),
            occupancy: Mutex::default(),
            changed: Notify::new(),
        })
    }

    /// Records that a connection is accepted. Tasks of connections run in any order; this keeps the one in which they
    /// came, so that a crowd of old connections never closes a new one.
    pub(super) fn accepted(&self) -> Turn {
        self.occupancy().turn()
    }

    /// Finds a place for a connection; `None` if even those for probes are taken.
    pub(super) async fn admit(self: &Arc<Self>, peer: IpAddr, turn: Turn) -> Option<Place> {
        let (counted, connections) = Counted::new(self, peer);
        let mut limit = Limit::PeerConnections;
        if connections <= self.per_peer_max {
            limit = Limit::Connections;
            if let Some(permit) = self.take(&self.places, Access::Full, turn).await {
                return Some(Place::new(Access::Full, limit, counted, permit, turn));
            }
        }
        let permit = self.take(&self.probe_places, Access::Probes, turn).await?;
        Some(Place::new(Access::Probes, limit, counted, permit, turn))
    }

    /// Takes a permit, and closes the connection of this kind that has waited longest for a request if there is none.
    async fn take(
        &self,
        permits: &Arc<Semaphore>,
        access: Access,
        turn: Turn,
    ) -> Option<OwnedSemaphorePermit> {
        let taken = async {
            loop {
                if let Ok(permit) = Arc::clone(permits).try_acquire_owned() {
                    return Some(permit);
                }
                let changed = self.changed.notified();
                let closed = self.occupancy().close_oldest(turn, access);
                match closed {
                    Closed::One => return Arc::clone(permits).acquire_owned().await.ok(),
                    // Each that closes has one that waits for its place, which may then be closed in turn.
                    Closed::NoneYet => changed.await,
                    Closed::None => return None,
                }
            }
        };
        tokio::time::timeout(CLOSING, taken).await.ok()?
    }

    fn occupancy(&self) -> MutexGuard<'_, Occupancy> {
        self.occupancy.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a request may begin on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Begin {
    /// It may.
    Yes,
    /// The connection is being closed to make room.
    Closing,
    /// There is no room for another request on this connection, because of this limit.
    NoRoom(Limit),
}

/// Room for a request on a connection that has others under way.
pub(super) struct Further {
    _counted: Counted,
    _permit: OwnedSemaphorePermit,
}

impl Place {
    fn new(access: Access, limit: Limit, counted: Counted, permit: OwnedSemaphorePermit, turn: Turn) -> Self {
        let close = Arc::default();
        let state = Mutex::new(State::Serves);
        let place = Self { counted, access, limit, close, state, permit: Some(permit) };
        place.wait_since(turn, &mut place.state());
        place
    }

    pub(super) fn access(&self) -> Access {
        self.access
    }

    /// The limit because of which there is no room for more than probes.
    pub(super) fn limit(&self) -> Limit {
        self.limit
    }

    /// Waits until the connection has to be closed to make room.
    pub(super) async fn must_close(&self) {
        self.close.notified().await;
    }

    /// Records that a request begins.
    pub(super) fn begin(&self) -> Begin {
        let mut state = self.state();
        let turn = match *state {
            State::Waits(turn) => turn,
            State::Serves => return Begin::Yes,
            State::Closes => return Begin::Closing,
        };
        if self.counted.room.occupancy().waits_no_longer(turn) {
            *state = State::Serves;
            return Begin::Yes;
        }
        *state = State::Closes;
        Begin::Closing
    }

    /// Takes room for another request while one is under way.
    ///
    /// # Errors
    /// Returns the limit because of which there is none.
    pub(super) fn further(&self) -> Result<Further, Limit> {
        let room = &self.counted.room;
        let (counted, connections) = Counted::new(room, self.counted.peer);
        if connections > room.per_peer_max {
            return Err(Limit::PeerConnections);
        }
        let permit = Arc::clone(&room.further).try_acquire_owned().map_err(|_| Limit::Connections)?;
        Ok(Further { _counted: counted, _permit: permit })
    }

    /// Records that the connection waits for a request.
    pub(super) fn wait(&self) {
        let mut state = self.state();
        if *state == State::Serves {
            let turn = self.counted.room.occupancy().turn();
            self.wait_since(turn, &mut state);
        }
    }

    fn wait_since(&self, turn: Turn, state: &mut State) {
        let room = &self.counted.room;
        room.occupancy().waits(turn, self.access, &self.close);
        *state = State::Waits(turn);
        room.changed.notify_waiters();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let state = *self.state();
        // Released first, so that nobody who is woken finds neither a place nor one that closes.
        drop(self.permit.take());
        let room = &self.counted.room;
        let mut occupancy = room.occupancy();
        let was_asked = match state {
            State::Waits(turn) => !occupancy.waits_no_longer(turn),
            State::Serves => false,
            State::Closes => true,
        };
        if was_asked {
            occupancy.closed(self.access);
        }
        drop(occupancy);
        room.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests;
