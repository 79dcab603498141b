//! Publication of a generation: each lane moves over at its next call, and a running call ends in the generation that
//! it began in.

mod harness;

use harness::{
    inside::{Host, QUEUE_DEPTH, generation, policy},
    until,
};
use snapback_host::{
    dispatch::{Joined, Readiness, Rejected},
    instance::Fault,
    lanes::Outcome,
    seams::Seams,
};
use std::time::Duration;
use tokio::sync::oneshot::Receiver;

#[test]
fn lanes_move_over_at_their_next_call_and_running_calls_finish_where_they_began() {
    let host = Host::start(2, policy(), Seams::default());
    let old = host.call("table", b"7");
    let new = generation(&host.engine, b"new");
    let id = new.id();

    // Both lanes keep their instances after a call. A call is running when the new generation is published.
    let running = host.submit("spin", b"").expect("room in the queue");
    until("the call runs", || host.dispatcher.queue_len() == 0);
    host.publish(new);
    let fresh: Vec<Vec<u8>> = (0..20).map(|_| host.call("table", b"7")).collect();
    assert!(fresh.iter().all(|entry| *entry == fresh[0] && *entry != old), "an old answer after publication");
    assert!(matches!(running.blocking_recv().expect("an answer").result, Err(Fault::Deadline(_))));
    assert_eq!(host.dispatcher.services()[0].current().id(), id);
    assert_eq!(host.dispatcher.readiness(), Readiness::Ready);
}

#[test]
fn publishing_under_load_loses_no_call() {
    let host = Host::start(2, policy(), Seams::default());
    let (old, new) = (host.call("table", b"0"), generation(&host.engine, b"new"));
    let mut waiting = Vec::new();
    let mut answers = Vec::new();
    let mut new = Some(new);
    for round in 0..2_000 {
        if round == 1_000 {
            host.publish(new.take().expect("published once"));
        }
        loop {
            match host.submit("table", b"0") {
                Ok(answer) => break waiting.push(answer),
                Err(Rejected::QueueFull { .. }) => {
                    let first: Receiver<Outcome> = waiting.remove(0);
                    answers.push(first.blocking_recv().expect("an answer").result.expect("a reply").body);
                }
                Err(other) => panic!("a full queue is the only reason to reject a call here: {other}"),
            }
        }
    }
    answers.extend(
        waiting
            .into_iter()
            .map(|answer| answer.blocking_recv().expect("an answer").result.expect("a reply").body),
    );
    assert_eq!(answers.len(), 2_000);
    // Calls are admitted in order and answered by two lanes, so the answers change at one point, give or take the calls
    // in the queue.
    let first_new = answers.iter().position(|answer| **answer != old).expect("the new generation answers");
    assert!((1_000 - QUEUE_DEPTH - 2..=1_000).contains(&first_new), "{first_new}");
    assert!(answers[1_000..].iter().all(|answer| **answer != old), "an old answer after publication");
}

#[test]
fn draining_answers_every_admitted_call_and_admits_no_more() {
    let host = Host::start(2, policy(), Seams::default());
    let admitted: Vec<_> = (0..QUEUE_DEPTH).filter_map(|_| host.submit("echo", b"in").ok()).collect();
    assert!(!admitted.is_empty());
    host.dispatcher.drain();
    assert!(matches!(host.submit("echo", b"late"), Err(Rejected::Draining)));
    assert_eq!(host.dispatcher.readiness(), Readiness::Draining);
    assert_eq!(host.dispatcher.join(Duration::from_mins(20)), Joined::Finished);
    for answer in admitted {
        assert_eq!(
            answer.blocking_recv().expect("an answer").result.expect("a reply").body.as_slice(),
            b"in"
        );
    }
}
