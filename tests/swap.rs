//! The threshold policy: when an instance is replaced, and that no client notices.

mod harness;

use harness::{
    inside::{Host, policy},
    rig::Rig,
    threshold::{MIB, leak, swapped, threshold},
    until,
};
use snapback_host::{
    dispatch::Readiness,
    lanes::LaneCommand,
    memory::process::ProcessMemory,
    policy::{Percent, Policy, Pressure},
    telemetry::events::EventKind,
};
use std::time::Duration;

#[test]
fn a_standby_is_made_at_memory_warn_and_the_instance_is_replaced_at_memory_critical() {
    let host = Host::start(1, threshold(), Rig::new().seams());
    let mut events = host.listen();
    let claim = |mib: usize| host.call("claim", (mib * MIB).to_string().as_bytes());
    host.call("remember", b"kept");
    claim(44);
    let checked = events.wait_for("memory-check").kind;
    assert!(matches!(checked, EventKind::MemoryCheck { pressure: Pressure::Calm, .. }), "{checked:?}");

    claim(45);
    let warned = events.wait_for("pressure").kind;
    assert!(matches!(warned, EventKind::Pressure { from: Pressure::Calm, to: Pressure::Warn }), "{warned:?}");
    events.wait_for("standby-prepare-complete");
    assert_eq!(host.call("remember", b"kept"), b"kept", "a warning causes no swap");
    assert_eq!(host.swaps("memory"), 0.0);

    claim(58);
    swapped(&host, "memory", 1.0);
    assert_eq!(host.call("remember", b""), b"", "a fresh instance");
    assert_eq!(host.metric(r#"snapback_standby_missing_total{image="fixtures"}"#), 0.0);
}

#[test]
fn a_leaking_instance_is_replaced_before_it_is_full() {
    let host = Host::start(1, threshold(), Rig::new().seams());
    for _ in 0..100 {
        leak(&host, 4 * MIB);
    }
    until("the instance is replaced", || host.swaps("memory") >= 6.0);
    assert_eq!(
        host.metric(r#"snapback_memory_growth_refused_total{image="fixtures",outcome="failed"}"#),
        0.0
    );
    assert!(
        host.metric(r#"snapback_memory_linear_peak_bytes{image="fixtures",lane="0"}"#) <= (64 * MIB) as f64
    );
}

#[test]
fn growth_in_the_middle_of_a_call_orders_the_standby() {
    let rig = Rig::new();
    let host = Host::start(1, threshold(), rig.seams());
    // One call takes a fresh instance above the warn threshold, and the growth orders the standby before the reply.
    leak(&host, 45 * MIB);
    until("the standby is requested", || rig.standbys_asked() == 1);
    leak(&host, 9 * MIB);
    swapped(&host, "memory", 1.0);
}

#[test]
fn a_call_that_would_not_fit_starts_in_a_fresh_instance() {
    let host = Host::start(1, threshold(), Rig::new().seams());
    let mut events = host.listen();
    // The first call in an instance is not recorded. The second shows that a leak adds 25 MiB, and a third does not
    // fit.
    for _ in 0..2 {
        leak(&host, 25 * MIB);
    }
    events.wait_for("standby-prepare-complete");
    leak(&host, 25 * MIB);
    swapped(&host, "predicted", 1.0);
    assert_eq!(
        host.metric(r#"snapback_calls_retried_total{image="fixtures"}"#),
        0.0,
        "the growth was predicted, and no call failed"
    );
    assert_eq!(
        host.metric(r#"snapback_memory_growth_refused_total{image="fixtures",outcome="failed"}"#),
        0.0
    );
}

#[test]
fn one_large_call_is_not_predicted_for_ever() {
    let host = Host::start(1, threshold(), Rig::new().seams());
    let mut events = host.listen();
    host.call("echo", b"");
    leak(&host, 35 * MIB);
    let mut kept = 0;
    until("instances are kept again", || {
        host.command(LaneCommand::Prepare, None);
        events.wait_for("memory-check");
        leak(&host, 25 * MIB);
        let before = host.swaps("predicted");
        leak(&host, MIB);
        kept += u32::from(host.swaps("predicted") == before);
        kept > 2
    });
}

#[test]
fn memory_that_the_guest_reports_counts() {
    let host = Host::start(1, threshold(), Rig::new().seams());
    host.call("claim", (60 * MIB).to_string().as_bytes());
    swapped(&host, "memory", 1.0);
    assert_eq!(
        host.metric(r#"snapback_memory_linear_peak_bytes{image="fixtures",lane="0"}"#).max(60e6),
        60e6,
        "the guest reports memory that it does not use"
    );
}

#[test]
fn a_guest_that_asks_to_be_replaced_is_replaced() {
    let host = Host::start(1, threshold(), Rig::new().seams());
    host.call("remember", b"kept");
    host.call("retire", b"");
    swapped(&host, "retire", 1.0);
    assert_eq!(host.call("remember", b""), b"");
}

#[test]
fn an_instance_serves_calls_max_calls_and_no_more() {
    let host = Host::start(1, Policy { calls_max: Some(5), ..threshold() }, Rig::new().seams());
    let mut events = host.listen();
    for life in 0..3 {
        assert_eq!(host.call("remember", b"kept"), b"", "life {life}");
        host.call("echo", b"");
        // The standby is made three calls before the limit.
        events.wait_for("standby-prepare-complete");
        for _ in 0..2 {
            assert_eq!(host.call("remember", b"kept"), b"kept", "life {life}");
        }
        assert_eq!(host.swaps("calls"), f64::from(life));
        host.call("echo", b"");
        events.wait_for("swap-complete");
    }
}

#[test]
fn jitter_shortens_lives_and_never_lengthens_them() {
    let lives = Policy { calls_max: Some(20), jitter: Percent::new(50), ..threshold() };
    let host = Host::start(1, lives, Rig::new().seams());
    let mut events = host.listen();
    let mut served = 0;
    for _ in 0..8 {
        // A standby is ready from the beginning of each life, so that no swap is deferred.
        host.command(LaneCommand::Prepare, None);
        events.wait_for("standby-prepare-complete");
        let mut last = served;
        loop {
            served = str::from_utf8(&host.call("wear", b"1000")).expect("text").parse().expect("a number");
            if served == 1 && last > 1 {
                break;
            }
            last = served;
        }
        assert!((10..=20).contains(&last), "{last}");
    }
}

#[test]
fn age_and_idleness_replace_used_instances_only() {
    for (key, reason) in [("age", "age"), ("idle", "idle")] {
        let time = Some(Duration::from_secs(100));
        let policy = match key {
            "age" => Policy { age_max: time, ..threshold() },
            _ => Policy { idle_max: time, ..threshold() },
        };
        let rig = Rig::new();
        let host = Host::start(1, policy, rig.seams());
        let mut events = host.listen();
        rig.clock.advance(Duration::from_secs(1000));
        events.wait_for("memory-check");
        events.wait_for("memory-check");
        assert_eq!(host.swaps(reason), 0.0, "it served no call");
        host.call("remember", b"kept");
        rig.clock.advance(Duration::from_secs(101));
        swapped(&host, reason, 1.0);
        assert_eq!(host.call("remember", b""), b"");
    }
}

#[test]
fn a_process_with_little_memory_left_replaces_used_instances() {
    let (warn, critical) = (Percent::new(70), Percent::new(90));
    let now = ProcessMemory::new(None, warn, critical);
    now.sample();
    let limit_bytes = now.resident_bytes() + (400 << 20);
    let process = ProcessMemory::new(Some(limit_bytes), warn, critical);
    let policy = Policy { memory_limit_bytes: 1 << 30, ..threshold() };
    let host = Host::within(1, policy, Rig::new().seams(), process);
    host.call("leak", b"800000000");
    swapped(&host, "process-memory", 1.0);
}

#[test]
fn a_process_that_something_else_fills_keeps_its_instances() {
    // Every process is larger than this limit of one byte, without any instance.
    let process = ProcessMemory::new(Some(1), Percent::new(70), Percent::new(90));
    let host = Host::within(1, threshold(), Rig::new().seams(), process);
    until("the process is sampled", || host.dispatcher.process().pressure() == Pressure::Critical);
    for _ in 0..10 {
        host.call("echo", b"");
    }
    assert_eq!(host.swaps("process-memory"), 0.0);
}

#[test]
fn instances_younger_than_life_min_are_kept() {
    let rig = Rig::new();
    let lives = Policy { calls_max: Some(1), life_min: Duration::from_secs(10), ..threshold() };
    let host = Host::start(1, lives, rig.seams());
    let mut events = host.listen();
    host.call("echo", b"");
    events.wait_for("standby-prepare-complete");
    until("the reason is reported", || events.wait_for("swap-error").to_string().contains("swap.life_min"));
    host.call("echo", b"");
    assert_eq!(host.swaps("calls"), 0.0);
    rig.clock.advance(Duration::from_secs(10));
    swapped(&host, "calls", 1.0);
}

#[test]
fn an_image_with_too_many_swaps_is_not_ready_and_is_still_served() {
    let rig = Rig::new();
    let lives = Policy { calls_max: Some(1), swaps_per_minute_max: 3, ..threshold() };
    let host = Host::start(1, lives, rig.seams());
    until("the minute's swaps are used up", || {
        host.call("echo", b"");
        host.is_swap_limited()
    });
    assert_eq!(host.swaps("calls"), 3.0);
    assert_eq!(host.dispatcher.readiness(), Readiness::SwapStorm);
    assert!(host.metric(r#"snapback_swaps_refused_total{image="fixtures"}"#) >= 1.0);
    assert_eq!(host.call("echo", b"on"), b"on");
    rig.clock.advance(Duration::from_mins(1));
    assert_eq!(host.dispatcher.readiness(), Readiness::Ready);
    swapped(&host, "calls", 4.0);
}

#[test]
fn off_never_replaces_an_instance_that_works() {
    let host = Host::start(1, Policy { calls_max: Some(1), ..policy() }, Rig::new().seams());
    host.call("remember", b"kept");
    host.call("retire", b"");
    leak(&host, 58 * MIB);
    assert_eq!(host.call("remember", b""), b"kept");
    assert!(!String::from_utf8(host.dispatcher.render_metrics()).expect("text").contains("swaps_total{"));
}
