//! Room for connections, shared so that no client can take all of it.
//!
//! ```text
//! a place         most connections                         http.connections_max of them
//! a probe place   when there is no place left: answers     PROBE_PLACES of them
//!                 probes, and refuses everything else
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
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    const ONE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    const OTHER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));

    fn room(places: usize, per_peer_max: usize) -> Arc<Room> {
        Room::new(&Arc::new(Semaphore::new(places)), Some(per_peer_max))
    }

    async fn admit(room: &Arc<Room>, peer: IpAddr) -> Option<Place> {
        let turn = room.accepted();
        room.admit(peer, turn).await
    }

    fn run<T>(test: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime").block_on(test)
    }

    #[test]
    fn the_connection_that_waited_longest_makes_room() {
        run(async {
            let room = room(2, 9);
            let first = admit(&room, ONE).await.expect("a place");
            let second = admit(&room, ONE).await.expect("a place");
            let closes = tokio::spawn(async move {
                first.must_close().await;
                assert_eq!(first.begin(), Begin::Closing);
            });
            let third = admit(&room, OTHER).await.expect("a place");
            closes.await.expect("the first is closed");
            assert_eq!((second.begin(), third.access()), (Begin::Yes, Access::Full));
        });
    }

    #[test]
    fn a_connection_with_a_request_keeps_its_place_and_others_are_probed() {
        run(async {
            let room = room(1, 9);
            let busy = admit(&room, ONE).await.expect("a place");
            assert_eq!(busy.begin(), Begin::Yes);
            assert_eq!(admit(&room, OTHER).await.expect("a place").access(), Access::Probes);
            busy.wait();
            drop(busy);
            assert_eq!(admit(&room, OTHER).await.expect("a place").access(), Access::Full);
        });
    }

    #[test]
    fn an_address_has_a_share_of_the_room() {
        run(async {
            let room = room(10, 2);
            let held = [admit(&room, ONE).await, admit(&room, ONE).await];
            assert_eq!(admit(&room, ONE).await.expect("a place").access(), Access::Probes);
            assert_eq!(admit(&room, OTHER).await.expect("a place").access(), Access::Full);
            drop(held);
            assert_eq!(admit(&room, ONE).await.expect("a place").access(), Access::Full);
            assert!(room.occupancy().is_empty());
        });
    }

    #[test]
    fn a_crowd_that_came_before_closes_itself_and_not_the_last_one() {
        run(async {
            let room = room(2, 99);
            let turns: Vec<Turn> = (0..9).map(|_| room.accepted()).collect();
            let last = admit(&room, OTHER).await.expect("a place");
            let crowd: Vec<_> = turns
                .into_iter()
                .map(|turn| {
                    let room = Arc::clone(&room);
                    tokio::spawn(async move {
                        let place = room.admit(ONE, turn).await.expect("a place");
                        assert_eq!(place.access(), Access::Full);
                        place.must_close().await;
                    })
                })
                .collect();
            // All but the one that holds the other place are closed, each by the next.
            while crowd.iter().filter(|place| place.is_finished()).count() < 8 {
                tokio::task::yield_now().await;
            }
            assert_eq!(last.begin(), Begin::Yes);
        });
    }
}
