//! Tests of the room for connections.

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
fn further_requests_count_for_their_address_and_are_bounded() {
    run(async {
        let room = room(2, 2);
        let one = admit(&room, ONE).await.expect("a place");
        let further = one.further().expect("as many as connections");
        assert_eq!(one.further().err(), Some(Limit::PeerConnections));
        assert_eq!(admit(&room, ONE).await.expect("a place").access(), Access::Probes);
        drop(further);
        let other = admit(&room, OTHER).await.expect("a place");
        let held = (one.further(), other.further());
        assert!(held.0.is_ok() && held.1.is_ok());
        drop(held);
        drop((one, other));
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
