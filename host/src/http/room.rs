//! Room for connections, shared so that no client can take all of it.
//!
//! ```text
//! a place         most connections                         http.connections_max of them
//! a probe place   when there is no place left: answers     PROBE_PLACES of them
//!                 probes, and refuses everything else
//! ```
//!
//! A connection that waits for a request, between two or before the first, can lose its place: when there is no other,
//! the one that has waited longest is closed to make room. So slow heads cost their senders, not others.
//!
//! Invariant: a connection whose request has begun is never closed to make room.

use crate::telemetry::metrics::Limit;
use std::{
    collections::{BTreeMap, HashMap},
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
}

#[derive(Default)]
struct Occupancy {
    /// Number of connections of each address.
    peers: HashMap<IpAddr, usize>,
    /// Connections that wait for a request, in the order in which they began to wait.
    waiting: BTreeMap<u64, (Access, Arc<Notify>)>,
    next: u64,
}

/// What a connection may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Everything.
    Full,
    /// Probes: there is no room for more.
    Probes,
}

/// A connection that counts for its address, from the moment that it looks for a place.
struct Counted {
    room: Arc<Room>,
    peer: IpAddr,
}

impl Counted {
    /// Returns the number of connections of the address too, this one included.
    fn new(room: &Arc<Room>, peer: IpAddr) -> (Self, usize) {
        let mut occupancy = room.occupancy();
        let count = occupancy.peers.entry(peer).or_default();
        *count += 1;
        (Self { room: Arc::clone(room), peer }, *count)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut occupancy = self.room.occupancy();
        if let Some(count) = occupancy.peers.get_mut(&self.peer) {
            *count -= 1;
            if *count == 0 {
                occupancy.peers.remove(&self.peer);
            }
        }
    }
}

/// The place of one connection.
pub(super) struct Place {
    counted: Counted,
    access: Access,
    limit: Limit,
    close: Arc<Notify>,
    /// Key among the connections that wait for a request; `None` while a request is under way.
    waits_as: Mutex<Option<u64>>,
    _permit: OwnedSemaphorePermit,
}

impl Room {
    pub(super) fn new(places: &Arc<Semaphore>, per_peer_max: Option<usize>) -> Arc<Self> {
        Arc::new(Self {
            places: Arc::clone(places),
            probe_places: Arc::new(Semaphore::new(PROBE_PLACES)),
            per_peer_max: per_peer_max.unwrap_or(usize::MAX),
            occupancy: Mutex::default(),
        })
    }

    /// Finds a place for a connection; `None` if even those for probes are taken.
    pub(super) async fn admit(self: &Arc<Self>, peer: IpAddr) -> Option<Place> {
        let (counted, connections) = Counted::new(self, peer);
        let mut limit = Limit::PeerConnections;
        if connections <= self.per_peer_max {
            limit = Limit::Connections;
            if let Some(permit) = self.take(&self.places, Access::Full).await {
                return Some(Place::new(Access::Full, limit, counted, permit));
            }
        }
        let permit = self.take(&self.probe_places, Access::Probes).await?;
        Some(Place::new(Access::Probes, limit, counted, permit))
    }

    /// Takes a permit, and closes the connection of this kind that has waited longest for a request if there is none.
    async fn take(&self, permits: &Arc<Semaphore>, access: Access) -> Option<OwnedSemaphorePermit> {
        if let Ok(permit) = Arc::clone(permits).try_acquire_owned() {
            return Some(permit);
        }
        let close = {
            let mut occupancy = self.occupancy();
            let oldest =
                occupancy.waiting.iter().find(|(_, (kind, _))| *kind == access).map(|(key, _)| *key)?;
            occupancy.waiting.remove(&oldest)?.1
        };
        close.notify_one();
        tokio::time::timeout(CLOSING, Arc::clone(permits).acquire_owned()).await.ok()?.ok()
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
    fn new(access: Access, limit: Limit, counted: Counted, permit: OwnedSemaphorePermit) -> Self {
        let place = Self {
            counted,
            access,
            limit,
            close: Arc::default(),
            waits_as: Mutex::default(),
            _permit: permit,
        };
        place.wait();
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
        let Some(key) = self.key().take() else { return Begin::Yes };
        match self.counted.room.occupancy().waiting.remove(&key) {
            Some(_) => Begin::Yes,
            None => Begin::Closing,
        }
    }

    /// Records that the connection waits for a request.
    pub(super) fn wait(&self) {
        let mut key = self.key();
        if key.is_some() {
            return;
        }
        let mut occupancy = self.counted.room.occupancy();
        let next = occupancy.next;
        occupancy.next += 1;
        occupancy.waiting.insert(next, (self.access, Arc::clone(&self.close)));
        *key = Some(next);
    }

    fn key(&self) -> MutexGuard<'_, Option<u64>> {
        self.waits_as.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(key) = self.key().take() {
            self.counted.room.occupancy().waiting.remove(&key);
        }
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

    fn run<T>(test: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime").block_on(test)
    }

    #[test]
    fn the_connection_that_waited_longest_makes_room() {
        run(async {
            let room = room(2, 9);
            let first = room.admit(ONE).await.expect("a place");
            let second = room.admit(ONE).await.expect("a place");
            let closes = tokio::spawn(async move {
                first.must_close().await;
                assert_eq!(first.begin(), Begin::Closing);
            });
            let third = room.admit(OTHER).await.expect("a place");
            closes.await.expect("the first is closed");
            assert_eq!((second.begin(), third.access()), (Begin::Yes, Access::Full));
        });
    }

    #[test]
    fn a_connection_with_a_request_keeps_its_place_and_others_are_probed() {
        run(async {
            let room = room(1, 9);
            let busy = room.admit(ONE).await.expect("a place");
            assert_eq!(busy.begin(), Begin::Yes);
            assert_eq!(room.admit(OTHER).await.expect("a place").access(), Access::Probes);
            busy.wait();
            drop(busy);
            assert_eq!(room.admit(OTHER).await.expect("a place").access(), Access::Full);
        });
    }

    #[test]
    fn an_address_has_a_share_of_the_room() {
        run(async {
            let room = room(10, 2);
            let held = [room.admit(ONE).await, room.admit(ONE).await];
            assert_eq!(room.admit(ONE).await.expect("a place").access(), Access::Probes);
            assert_eq!(room.admit(OTHER).await.expect("a place").access(), Access::Full);
            drop(held);
            assert_eq!(room.admit(ONE).await.expect("a place").access(), Access::Full);
            assert!(room.occupancy().peers.is_empty() && room.occupancy().waiting.is_empty());
        });
    }
}
