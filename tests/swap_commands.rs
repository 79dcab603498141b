//! Commands, new generations and shutdown while instances are swapped.

mod harness;

use harness::{
    inside::{Host, generation},
    rig::{GATED, Rig},
    threshold::{MIB, leak, swapped, threshold},
};
use snapback_host::{dispatch::Joined, lanes::LaneCommand, policy::Policy};
use std::time::Duration;

#[test]
fn a_command_that_is_given_twice_is_carried_out_once() {
    let rig = Rig::new();
    let host = Host::start(1, threshold(), rig.seams());
    rig.close_the_gate();
    let running = host.submit(GATED, b"x").expect("room in the queue");
    rig.arrived();
    // Two operators give the commands while a call runs.
    for _ in 0..2 {
        host.command(LaneCommand::Prepare, None);
        host.command(LaneCommand::Swap, Some(0));
    }
    rig.open_the_gate();
    assert_eq!(running.blocking_recv().expect("an answer").result.expect("a reply").body.as_slice(), b"");
    swapped(&host, "operator", 1.0);
    // A second swap would have happened by now: the lane has served a call since and has read its commands.
    host.call("echo", b"");
    assert_eq!(host.call("remember", b""), b"");
    assert_eq!(host.swaps("operator"), 1.0);
    assert_eq!(rig.standbys_asked(), 1);
}

#[test]
fn a_command_swaps_one_lane_or_all() {
    let host = Host::start(2, threshold(), Rig::new().seams());
    host.command(LaneCommand::Swap, Some(1));
    swapped(&host, "operator", 1.0);
    host.command(LaneCommand::Swap, None);
    swapped(&host, "operator", 3.0);
}

#[test]
fn swapping_while_calls_arrive_loses_no_call_and_changes_no_reply() {
    let host = Host::start(2, threshold(), Rig::new().seams());
    let mut waiting = std::collections::VecDeque::new();
    let answered = |(sent, answer): (Vec<u8>, tokio::sync::oneshot::Receiver<_>)| {
        let outcome: snapback_host::lanes::Outcome = answer.blocking_recv().expect("an answer");
        assert_eq!(*outcome.result.expect("a reply").body, sent);
    };
    for round in 0u32..5_000 {
        if round % 50 == 0 {
            host.command(LaneCommand::Swap, None);
        }
        let body = round.to_le_bytes().to_vec();
        loop {
            match host.submit("echo", &body) {
                Ok(answer) => break waiting.push_back((body.clone(), answer)),
                Err(_) => answered(waiting.pop_front().expect("a full queue holds calls")),
            }
        }
    }
    waiting.into_iter().for_each(answered);
    assert!(host.swaps("operator") >= 2.0, "{}", host.swaps("operator"));
    assert_eq!(host.metric("snapback_calls_lost_total"), 0.0);
}

#[test]
fn a_swap_that_is_due_while_the_server_stops_delays_nothing() {
    let rig = Rig::new();
    let host = Host::start(1, threshold(), rig.seams());
    rig.close_the_gate();
    let running = host.submit(GATED, b"x").expect("room in the queue");
    rig.arrived();
    let queued: Vec<_> = (0..4).map(|_| host.submit("echo", b"in").expect("room in the queue")).collect();
    host.command(LaneCommand::Swap, None);
    host.dispatcher.drain();
    rig.open_the_gate();
    assert_eq!(host.dispatcher.join(Duration::from_mins(20)), Joined::Finished);
    assert!(running.blocking_recv().expect("an answer").result.is_ok());
    for answer in queued {
        assert_eq!(
            answer.blocking_recv().expect("an answer").result.expect("a reply").body.as_slice(),
            b"in"
        );
    }
    assert_eq!(host.metric("snapback_calls_lost_total"), 0.0);
}

#[test]
fn a_standby_of_an_old_generation_is_never_used() {
    let rig = Rig::new();
    let host = Host::start(1, threshold(), rig.seams());
    let mut events = host.listen();
    let old = host.call("table", b"3");
    host.command(LaneCommand::Prepare, None);
    events.wait_for("standby-prepare-complete");

    // During one call, a standby is ready, a swap becomes due, and a new generation is published.
    rig.close_the_gate();
    let running = host.submit(GATED, b"x").expect("room in the queue");
    rig.arrived();
    host.command(LaneCommand::Swap, None);
    host.publish(generation(&host.engine, b"new"));
    rig.open_the_gate();
    running.blocking_recv().expect("an answer").result.expect("the call ends in the old generation");

    let new = host.call("table", b"3");
    assert_ne!(new, old);
    swapped(&host, "operator", 1.0);
    assert_eq!(host.call("table", b"3"), new);
    swapped(&host, "generation", 1.0);
}

#[test]
fn a_lower_limit_replaces_instances_that_were_made_under_the_higher_one() {
    let host = Host::start(1, threshold(), Rig::new().seams());
    let mut events = host.listen();
    leak(&host, 30 * MIB);
    host.set_policy(Policy { memory_limit_bytes: 32 << 20, ..threshold() });
    events.wait_for("swap-complete");
    assert_eq!(host.call("remember", b"x"), b"", "a fresh instance");
    assert!(host.outcome("leak", b"40000000").result.is_err());
}
