//! A new generation: published at once, taken up by each lane at its next call, never in the middle of one.

mod harness;

use harness::{
    inside::{Host, QUEUE_DEPTH, generation, policy},
    until,
};
use snapback_host::{
    dispatch::{Joined, Readiness, Rejected},
    instance::Fault,
    job::Outcome,
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

    // Both lanes keep what a call left in their instance; a call is running when the new generation comes.
    let running = host.ask("spin", b"").expect("room");
    until("it runs", || host.dispatcher.queue_len() == 0);
    host.dispatcher.publish(0, new);
    let fresh: Vec<Vec<u8>> = (0..20).map(|_| host.call("table", b"7")).collect();
    assert!(fresh.iter().all(|entry| *entry == fresh[0] && *entry != old), "an old answer after publication");
    assert!(matches!(running.blocking_recv().expect("an answer").result, Err(Fault::Deadline(_))));
    assert_eq!(host.dispatcher.services()[0].current().id(), id);
    assert_eq!(host.dispatcher.readiness(), Readiness::Ready);
}

#[test]
fn publishing_under_load_loses_nothing() {
    let host = Host::start(2, policy(), Seams::default());
    let (old, new) = (host.call("table", b"0"), generation(&host.engine, b"new"));
    let mut waiting = Vec::new();
    let mut answers = Vec::new();
    let mut new = Some(new);
    for round in 0..2_000 {
        if round == 1_000 {
            host.dispatcher.publish(0, new.take().expect("published once"));
        }
        loop {
            match host.ask("table", b"0") {
                Ok(answer) => break waiting.push(answer),
                Err(Rejected::QueueFull { .. }) => {
                    let first: Receiver<Outcome> = waiting.remove(0);
                    answers.push(first.blocking_recv().expect("an answer").result.expect("a reply").body);
                }
                Err(other) => panic!("nobody drains and nothing fails: {other}"),
            }
        }
    }
    answers.extend(
        waiting
            .into_iter()
            .map(|answer| answer.blocking_recv().expect("an answer").result.expect("a reply").body),
    );
    assert_eq!(answers.len(), 2_000);
    // Admitted in order, answered by two lanes: the change-over is one point, give or take what was queued.
    let first_new = answers.iter().position(|answer| *answer != old).expect("the new one serves");
    assert!((1_000 - QUEUE_DEPTH - 2..=1_000).contains(&first_new), "{first_new}");
    assert!(answers[1_000..].iter().all(|answer| *answer != old), "an old answer after publication");
}

#[test]
fn draining_answers_what_was_admitted_and_admits_no_more() {
    let host = Host::start(2, policy(), Seams::default());
    let admitted: Vec<_> = (0..QUEUE_DEPTH).filter_map(|_| host.ask("echo", b"in").ok()).collect();
    assert!(!admitted.is_empty());
    host.dispatcher.drain();
    assert!(matches!(host.ask("echo", b"late"), Err(Rejected::Draining)));
    assert_eq!(host.dispatcher.readiness(), Readiness::Draining);
    assert_eq!(host.dispatcher.join(Duration::from_secs(60)), Joined::Finished);
    for answer in admitted {
        assert_eq!(answer.blocking_recv().expect("an answer").result.expect("a reply").body, b"in");
    }
}
