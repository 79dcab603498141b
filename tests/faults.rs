//! Recovery from faults: standbys that cannot be made, guests that wear out, calls that stall, images that fail every
//! call.

mod harness;

use harness::{
    inside::{Host, policy},
    rig::{GATED, Rig},
    until,
};
use snapback_host::{
    dispatch::{Joined, Readiness, Rejected},
    instance::{Fault, StopFlag, StoppedWhen},
    policy::{BreakerState, MethodPolicy, Percent, Policy, Pressure, SwapPolicy},
    telemetry::events::EventKind,
};
use std::{collections::BTreeMap, time::Duration};

const RETRIED: &str = r#"snapback_calls_retried_total{image="fixtures"}"#;
const FAILURES: &str = r#"snapback_standby_failures_total{image="fixtures"}"#;

fn threshold() -> Policy {
    Policy { swap: SwapPolicy::Threshold, jitter: Percent::new(0), ..policy() }
}

fn not_repeatable(method: &str) -> Policy {
    let method_policy = MethodPolicy { repeatable: Some(false), ..MethodPolicy::default() };
    Policy { methods: [(method.to_owned(), method_policy)].into(), ..policy() }
}

#[test]
fn standbys_that_cannot_be_made_fail_no_call_and_are_tried_again_later() {
    let rig = Rig::new();
    let host = Host::start(1, threshold(), rig.seams());
    let mut events = host.listen();
    rig.fail_standbys(true);
    // The memory is at 73 % of the limit, including the image's own 5 MiB: above the warn threshold, and below it again
    // once the threshold is raised to 75 %.
    host.call("leak", b"43500000");
    let error = events.wait_for("standby-prepare-error").kind;
    assert!(
        matches!(&error, EventKind::StandbyPrepareError { error } if error.contains("injected")),
        "{error:?}"
    );
    host.call("remember", b"kept");
    until("the threshold was raised", || {
        matches!(
            events.wait_for("memory-check").kind,
            EventKind::MemoryCheck { pressure: Pressure::Calm, .. }
        )
    });
    assert_eq!((rig.standbys_asked(), host.metric(FAILURES)), (1, 1.0));

    // The memory is above the raised threshold too, but the pause after the failure lasts until the clock advances.
    host.call("leak", b"10000000");
    host.call("echo", b"");
    assert_eq!(rig.standbys_asked(), 1, "not before the pause is over");
    assert_eq!(host.call("remember", b"kept"), b"kept", "the active instance goes on");
    until("a standby is tried again", || {
        rig.clock.advance(Duration::from_secs(1));
        rig.standbys_asked() == 2
    });

    // Once standbys can be made again, swaps happen as before.
    rig.fail_standbys(false);
    until("a standby is made", || {
        rig.clock.advance(Duration::from_secs(1));
        events.received().contains(&"standby-prepare-complete")
    });
    host.call("claim", b"62000000");
    until("the instance is replaced", || host.swaps("memory") == 1.0);
    assert_eq!(host.call("remember", b""), b"");
    assert_eq!(host.metric("snapback_calls_lost_total"), 0.0);
}

#[test]
fn without_any_standby_a_full_instance_is_replaced_when_a_call_needs_it() {
    let rig = Rig::new();
    rig.fail_standbys(true);
    let host = Host::start(1, threshold(), rig.seams());
    for _ in 0..10 {
        host.call("leak", b"20000000");
    }
    assert!(host.metric(RETRIED) >= 3.0, "{}", host.metric(RETRIED));
    let refused = |outcome: &str| {
        host.metric(&format!(
            r#"snapback_memory_growth_refused_total{{image="fixtures",outcome="{outcome}"}}"#
        ))
    };
    assert_eq!((refused("failed"), refused("retried")), (0.0, host.metric(RETRIED)));
}

#[test]
fn every_call_gets_standbys_again_after_they_failed() {
    let rig = Rig::new();
    rig.fail_standbys(true);
    let host = Host::start(1, Policy { swap: SwapPolicy::EveryCall, ..policy() }, rig.seams());
    const MISSING: &str = r#"snapback_standby_missing_total{image="fixtures"}"#;
    until("the standbys that were ordered together fail", || host.metric(FAILURES) >= 1.0);
    for _ in 0..20 {
        assert_eq!(host.call("remember", b"kept"), b"", "the lane makes the instance itself");
    }
    assert!(host.metric(MISSING) >= 19.0);
    rig.fail_standbys(false);
    let is_ready = |rig: &Rig| {
        rig.clock.advance(Duration::from_secs(1));
        let missing = host.metric(MISSING);
        host.call("echo", b"");
        host.call("echo", b"");
        host.metric(MISSING) == missing
    };
    until("standbys are ready again", || is_ready(&rig));
}

#[test]
fn a_guest_that_is_worn_out_is_replaced_and_its_client_gets_a_reply() {
    let host = Host::start(1, policy(), Rig::new().seams());
    let counts: Vec<Vec<u8>> = (0..7).map(|_| host.call("wear", b"3")).collect();
    assert_eq!(counts, [b"1", b"2", b"3", b"1", b"2", b"3", b"1"]);
    assert_eq!((host.metric(RETRIED), host.swaps("trap")), (2.0, 2.0));
}

#[test]
fn a_trap_in_a_fresh_instance_is_not_retried() {
    let host = Host::start(1, policy(), Rig::new().seams());
    assert!(matches!(host.outcome("trap", b"").result, Err(Fault::Trap(_))));
    assert_eq!(host.metric(RETRIED), 0.0);
    // After a trap in a used instance the call runs once more, but not a third time.
    host.call("echo", b"");
    assert!(matches!(host.outcome("trap", b"").result, Err(Fault::Trap(_))));
    assert_eq!(host.metric(RETRIED), 1.0);
}

#[test]
fn a_call_that_is_not_repeatable_runs_once() {
    let host = Host::start(1, not_repeatable("wear"), Rig::new().seams());
    for _ in 0..3 {
        host.call("wear", b"3");
    }
    assert!(matches!(host.outcome("wear", b"3").result, Err(Fault::Trap(_))));
    assert_eq!(host.metric(RETRIED), 0.0);
    assert_eq!(host.call("wear", b"3"), b"1", "the instance is replaced nevertheless");

    let host = Host::start(1, not_repeatable("leak"), Rig::new().seams());
    host.call("leak", b"40000000");
    let Err(Fault::OutOfMemory(refused)) = host.outcome("leak", b"40000000").result else {
        panic!("the second leak does not fit the limit")
    };
    assert_eq!(refused.limit_bytes, 64 << 20);
    assert!(refused.peak_bytes > 40_000_000 && refused.wanted_bytes > refused.limit_bytes);
}

#[test]
fn a_method_has_a_deadline_of_its_own() {
    let spin = MethodPolicy { deadline: Some(Duration::from_millis(30)), ..MethodPolicy::default() };
    let methods = [("spin".to_owned(), spin)].into();
    let host =
        Host::start(1, Policy { deadline: Duration::from_mins(10), methods, ..policy() }, Rig::new().seams());
    assert!(matches!(
        host.outcome("spin", b"").result,
        Err(Fault::Deadline(deadline)) if deadline == Duration::from_millis(30)
    ));
}

#[test]
fn a_call_is_stopped_while_it_runs() {
    let rig = Rig::new();
    let patient = Policy { deadline: Duration::from_mins(10), methods: BTreeMap::new(), ..policy() };
    let host = Host::start(1, patient, rig.seams());
    let [ends, spins, never] = [(); 3].map(|()| StopFlag::default());
    rig.close_the_gate();
    let gated = host.submit_stoppable(GATED, b"x", Some(ends)).expect("room in the queue");
    rig.arrived();
    let spinning = host.submit_stoppable("spin", b"", Some(spins.clone())).expect("room in the queue");
    let waiting = host.submit_stoppable("spin", b"", Some(never.clone())).expect("room in the queue");
    assert_eq!(never.set(), StoppedWhen::Waiting);
    rig.open_the_gate();
    assert!(gated.blocking_recv().expect("an answer").result.is_ok(), "nobody set its flag");
    until("the next call runs", || host.metric("snapback_calls_in_flight") == 1.0);
    assert_eq!(spins.set(), StoppedWhen::Begun);
    assert!(matches!(spinning.blocking_recv().expect("an answer").result, Err(Fault::Cancelled)));
    assert!(waiting.blocking_recv().is_err(), "it does not begin");
    assert_eq!(host.call("echo", b"on"), b"on", "the lane works on, in another instance");

    let host = Host::start(1, policy(), Rig::new().seams());
    let unset = host.submit_stoppable("spin", b"", Some(StopFlag::default())).expect("room in the queue");
    let unset = unset.blocking_recv().expect("an answer");
    assert!(matches!(unset.result, Err(Fault::Deadline(_))), "a flag that nobody sets leaves the deadline");
}

#[test]
fn a_panic_of_the_host_costs_one_call() {
    let rig = Rig::new();
    let host = Host::start(1, policy(), rig.seams());
    rig.panic_once();
    assert!(matches!(host.outcome(GATED, b"").result, Err(Fault::Engine(_))));
    assert_eq!(host.call("echo", b"on"), b"on");
    assert_eq!(host.dispatcher.lanes_at_work(), 1);
}

#[test]
fn a_call_that_stalls_is_answered_and_its_lane_is_replaced() {
    let rig = Rig::new();
    let host = Host::start(1, Policy { stall_timeout: Duration::from_millis(20), ..policy() }, rig.seams());
    rig.close_the_gate();
    let stalled = host.submit(GATED, b"x").expect("room in the queue");
    let waiting = host.submit("echo", b"behind it").expect("room in the queue");
    rig.arrived();
    // The gate stays closed, so the watchdog answers.
    assert!(matches!(stalled.blocking_recv().expect("an answer").result, Err(Fault::Stalled(_))));
    assert_eq!(
        waiting.blocking_recv().expect("an answer").result.expect("a reply").body.as_slice(),
        b"behind it"
    );
    assert_eq!(host.metric(r#"snapback_calls_stalled_total{image="fixtures"}"#), 1.0);
    assert_eq!(host.dispatcher.readiness(), Readiness::Ready);

    // The stalled lane goes on, finds that it was replaced, and ends without a second answer.
    rig.open_the_gate();
    assert_eq!(host.call("echo", b"on"), b"on");
    assert_eq!(host.dispatcher.join(Duration::from_mins(20)), Joined::Finished);
    assert_eq!(host.metric("snapback_calls_lost_total"), 0.0);
    assert_eq!(host.metric("snapback_calls_in_flight"), 0.0);
}

#[test]
fn a_server_is_not_ready_while_every_thread_is_stalled() {
    let rig = Rig::new();
    let host = Host::start(1, Policy { stall_timeout: Duration::from_millis(20), ..policy() }, rig.seams());
    rig.close_the_gate();
    for _ in 0..2 {
        let stalled = host.submit(GATED, b"x").expect("room in the queue");
        rig.arrived();
        assert!(matches!(stalled.blocking_recv().expect("an answer").result, Err(Fault::Stalled(_))));
    }
    until("the lane is missing", || host.dispatcher.readiness() == Readiness::LanesMissing);
    // No lane works and no thread is left for one, so the watchdog answers.
    let waiting = host.submit("echo", b"x").expect("room in the queue");
    assert!(matches!(waiting.blocking_recv().expect("an answer").result, Err(Fault::Stalled(_))));
    rig.open_the_gate();
    until("a lane works again", || host.dispatcher.readiness() == Readiness::Ready);
    assert_eq!(host.call("echo", b"on"), b"on");
}

#[test]
fn an_image_that_fails_every_call_gets_no_calls_until_a_probe_succeeds() {
    let rig = Rig::new();
    let host = Host::start(1, Policy { breaker_failures: 3, ..policy() }, rig.seams());
    let mut events = host.listen();
    for _ in 0..3 {
        assert!(matches!(host.outcome("trap", b"").result, Err(Fault::Trap(_))));
    }
    assert!(matches!(events.wait_for("breaker").kind, EventKind::Breaker { to: BreakerState::Open }));
    let Err(Rejected::BreakerOpen { retry_after }) = host.submit("echo", b"") else {
        panic!("the breaker is closed")
    };
    assert_eq!(retry_after, Duration::from_secs(5));
    assert_eq!(host.dispatcher.readiness(), Readiness::BreakerOpen);
    assert_eq!(host.metric(r#"snapback_breaker_state{image="fixtures"}"#), 2.0);

    // While the breaker is half open, a call that fails opens it again, and one that succeeds closes it. The server is
    // ready meanwhile, since a load balancer that waits for readiness has to send the probe.
    rig.clock.advance(Duration::from_secs(5));
    assert_eq!(host.dispatcher.readiness(), Readiness::Ready);
    assert!(host.outcome("trap", b"").result.is_err());
    assert!(matches!(host.submit("echo", b""), Err(Rejected::BreakerOpen { .. })));
    rig.clock.advance(Duration::from_secs(5));
    // A call that does not reach the guest says nothing about it, and the next call is the probe.
    assert!(matches!(host.outcome("no_such", b"").result, Err(Fault::NoSuchMethod)));
    assert_eq!(host.metric(r#"snapback_breaker_state{image="fixtures"}"#), 1.0, "still not closed");
    rig.close_the_gate();
    let probe = host.submit(GATED, b"").expect("an admitted probe");
    rig.arrived();
    assert!(matches!(host.submit("echo", b""), Err(Rejected::BreakerOpen { .. })), "one probe at a time");
    rig.open_the_gate();
    assert!(probe.blocking_recv().expect("an answer").result.is_ok());
    assert_eq!(host.call("echo", b"on"), b"on");
    assert_eq!(host.dispatcher.readiness(), Readiness::Ready);
}

#[test]
fn the_breaker_does_not_count_faults_of_the_request() {
    let host = Host::start(1, Policy { breaker_failures: 2, ..policy() }, Rig::new().seams());
    for _ in 0..5 {
        assert!(matches!(host.outcome("no_such", b"").result, Err(Fault::NoSuchMethod)));
        assert!(matches!(host.outcome("leak", b"100000000").result, Err(Fault::OutOfMemory(_))));
    }
    assert_eq!(host.call("echo", b"on"), b"on");
}
