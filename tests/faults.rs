//! What fails, fails well: standbys that cannot be made, guests that wear out, calls that stall, images that fail
//! every call.

mod harness;

use harness::{
    inside::{Host, policy},
    rig::{GATED, Rig},
    until,
};
use snapback_host::{
    breaker::BreakerState,
    dispatch::{Joined, Readiness, Rejected},
    events::What,
    instance::Fault,
    policy::{MethodPolicy, Percent, Policy, SwapPolicy},
    pressure::Pressure,
};
use std::time::Duration;

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
fn standbys_that_cannot_be_made_cost_no_call_and_are_tried_again_later() {
    let rig = Rig::new();
    let host = Host::start(1, threshold(), rig.seams());
    let mut ear = host.ear();
    rig.fail_standbys(true);
    // 73 % of the limit, the image's own 5 MiB included: past the warn threshold, and past it no more once that is raised to 75 %.
    host.call("leak", b"43500000");
    let error = ear.hear("standby-prepare-error").what;
    assert!(matches!(&error, What::StandbyPrepareError { error } if error.contains("injected")), "{error:?}");
    host.call("remember", b"kept");
    until("the threshold was raised", || {
        matches!(ear.hear("memory-check").what, What::MemoryCheck { pressure: Pressure::Calm, .. })
    });
    assert_eq!((rig.standbys_asked(), host.metric(FAILURES)), (1, 1.0));

    // Fuller still: the pause after the failure holds until the clock moves.
    host.call("leak", b"10000000");
    host.call("echo", b"");
    assert_eq!(rig.standbys_asked(), 1, "not before the pause is over");
    assert_eq!(host.call("remember", b"kept"), b"kept", "on with the active one");
    until("it is tried again", || {
        rig.clock.advance(Duration::from_secs(1));
        rig.standbys_asked() == 2
    });

    // It can be made again: all is as before.
    rig.fail_standbys(false);
    until("it can be made", || {
        rig.clock.advance(Duration::from_secs(1));
        ear.heard().contains(&"standby-prepare-complete")
    });
    host.call("claim", b"62000000");
    until("it swaps", || host.swaps("memory") == 1.0);
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
    assert_eq!(host.metric(r#"snapback_memory_growth_refused_total{image="fixtures"}"#), 0.0);
}

#[test]
fn after_standbys_failed_every_call_gets_them_again() {
    let rig = Rig::new();
    rig.fail_standbys(true);
    let host = Host::start(1, Policy { swap: SwapPolicy::EveryCall, ..policy() }, rig.seams());
    const MISSING: &str = r#"snapback_standby_missing_total{image="fixtures"}"#;
    until("all that were ordered together fail", || host.metric(FAILURES) >= 1.0);
    for _ in 0..20 {
        assert_eq!(host.call("remember", b"kept"), b"", "made on the spot");
    }
    assert!(host.metric(MISSING) >= 19.0);
    rig.fail_standbys(false);
    let is_there = |rig: &Rig| {
        rig.clock.advance(Duration::from_secs(1));
        let missing = host.metric(MISSING);
        host.call("echo", b"");
        host.call("echo", b"");
        host.metric(MISSING) == missing
    };
    until("standbys are there again", || is_there(&rig));
}

#[test]
fn a_guest_that_is_worn_out_is_replaced_before_the_client_hears_of_it() {
    let host = Host::start(1, policy(), Rig::new().seams());
    let counts: Vec<Vec<u8>> = (0..7).map(|_| host.call("wear", b"3")).collect();
    assert_eq!(counts, [b"1", b"2", b"3", b"1", b"2", b"3", b"1"]);
    assert_eq!((host.metric(RETRIED), host.swaps("trap")), (2.0, 2.0));
}

#[test]
fn a_fresh_instance_that_traps_is_the_answer() {
    let host = Host::start(1, policy(), Rig::new().seams());
    assert!(matches!(host.outcome("trap", b"").result, Err(Fault::Trap(_))));
    assert_eq!(host.metric(RETRIED), 0.0);
    // In a used instance once more, and no third time.
    host.call("echo", b"");
    assert!(matches!(host.outcome("trap", b"").result, Err(Fault::Trap(_))));
    assert_eq!(host.metric(RETRIED), 1.0);
}

#[test]
fn what_must_not_run_twice_does_not() {
    let host = Host::start(1, not_repeatable("wear"), Rig::new().seams());
    for _ in 0..3 {
        host.call("wear", b"3");
    }
    assert!(matches!(host.outcome("wear", b"3").result, Err(Fault::Trap(_))));
    assert_eq!(host.metric(RETRIED), 0.0);
    assert_eq!(host.call("wear", b"3"), b"1", "a fresh instance all the same");

    let host = Host::start(1, not_repeatable("leak"), Rig::new().seams());
    host.call("leak", b"40000000");
    let Err(Fault::OutOfMemory(refused)) = host.outcome("leak", b"40000000").result else {
        panic!("it fits?")
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
fn a_panic_of_the_host_costs_one_call() {
    let rig = Rig::new();
    let host = Host::start(1, policy(), rig.seams());
    rig.panic_once();
    assert!(matches!(host.outcome(GATED, b"").result, Err(Fault::Engine(_))));
    assert_eq!(host.call("echo", b"on"), b"on");
    assert_eq!(host.dispatcher.lanes_at_work(), 1);
}

#[test]
fn a_call_that_stalls_is_answered_and_its_lane_replaced() {
    let rig = Rig::new();
    let host = Host::start(1, Policy { stall_timeout: Duration::from_millis(20), ..policy() }, rig.seams());
    rig.close_the_gate();
    let stalled = host.ask(GATED, b"x").expect("room");
    let waiting = host.ask("echo", b"behind it").expect("room");
    rig.arrived();
    // Nobody opens the gate: the watch answers.
    assert!(matches!(stalled.blocking_recv().expect("an answer").result, Err(Fault::Stalled(_))));
    assert_eq!(waiting.blocking_recv().expect("an answer").result.expect("a reply").body, b"behind it");
    assert_eq!(host.metric(r#"snapback_calls_stalled_total{image="fixtures"}"#), 1.0);
    assert_eq!(host.dispatcher.readiness(), Readiness::Ready);

    // The stuck lane comes back, finds itself replaced, and ends without a second answer.
    rig.open_the_gate();
    assert_eq!(host.call("echo", b"on"), b"on");
    assert_eq!(host.dispatcher.join(Duration::from_secs(60)), Joined::Finished);
    assert_eq!(host.metric("snapback_calls_lost_total"), 0.0);
    assert_eq!(host.metric("snapback_calls_in_flight"), 0.0);
}

#[test]
fn when_every_thread_is_stuck_the_server_says_that_it_is_not_ready() {
    let rig = Rig::new();
    let host = Host::start(1, Policy { stall_timeout: Duration::from_millis(20), ..policy() }, rig.seams());
    rig.close_the_gate();
    for _ in 0..2 {
        let stalled = host.ask(GATED, b"x").expect("room");
        rig.arrived();
        assert!(matches!(stalled.blocking_recv().expect("an answer").result, Err(Fault::Stalled(_))));
    }
    until("it shows", || host.dispatcher.readiness() == Readiness::LanesMissing);
    // No lane is left to answer, and no thread for one: the watch does.
    let waiting = host.ask("echo", b"x").expect("room");
    assert!(matches!(waiting.blocking_recv().expect("an answer").result, Err(Fault::Stalled(_))));
    rig.open_the_gate();
    until("threads come back", || host.dispatcher.readiness() == Readiness::Ready);
    assert_eq!(host.call("echo", b"on"), b"on");
}

#[test]
fn an_image_that_fails_every_call_gets_none_until_one_succeeds() {
    let rig = Rig::new();
    let host = Host::start(1, Policy { breaker_failures: 3, ..policy() }, rig.seams());
    let mut ear = host.ear();
    for _ in 0..3 {
        assert!(matches!(host.outcome("trap", b"").result, Err(Fault::Trap(_))));
    }
    assert!(matches!(ear.hear("breaker").what, What::Breaker { to: BreakerState::Open }));
    let Err(Rejected::BreakerOpen { retry_after }) = host.ask("echo", b"") else { panic!("it is open") };
    assert_eq!(retry_after, Duration::from_secs(5));
    assert_eq!(host.dispatcher.readiness(), Readiness::BreakerOpen);
    assert_eq!(host.metric(r#"snapback_breaker_state{image="fixtures"}"#), 2.0);

    // Half open, a call that fails opens it again; one that succeeds closes it. A balancer that waits for
    // readiness has to send the probe.
    rig.clock.advance(Duration::from_secs(5));
    assert_eq!(host.dispatcher.readiness(), Readiness::Ready);
    assert!(host.outcome("trap", b"").result.is_err());
    assert!(matches!(host.ask("echo", b""), Err(Rejected::BreakerOpen { .. })));
    rig.clock.advance(Duration::from_secs(5));
    rig.close_the_gate();
    let probe = host.ask(GATED, b"").expect("let in");
    rig.arrived();
    assert!(matches!(host.ask("echo", b""), Err(Rejected::BreakerOpen { .. })), "one at a time");
    rig.open_the_gate();
    assert!(probe.blocking_recv().expect("an answer").result.is_ok());
    assert_eq!(host.call("echo", b"on"), b"on");
    assert_eq!(host.dispatcher.readiness(), Readiness::Ready);
}

#[test]
fn calls_that_ask_for_nothing_that_exists_are_not_held_against_the_image() {
    let host = Host::start(1, Policy { breaker_failures: 2, ..policy() }, Rig::new().seams());
    for _ in 0..5 {
        assert!(matches!(host.outcome("no_such", b"").result, Err(Fault::NoSuchMethod)));
        assert!(matches!(host.outcome("leak", b"100000000").result, Err(Fault::OutOfMemory(_))));
    }
    assert_eq!(host.call("echo", b"on"), b"on");
}
