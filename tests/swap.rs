//! The threshold policy: when an instance is replaced, and that nobody notices.

mod harness;

use harness::{
    inside::{Host, generation, policy},
    rig::{GATED, Rig},
    until,
};
use snapback_host::{
    dispatch::{Joined, Readiness, Wish},
    events::What,
    policy::{Percent, Policy, SwapPolicy},
    pressure::Pressure,
    process::ProcessMemory,
};
use std::time::Duration;

/// The limit is 64 MiB; the fixtures start with a little over 5.
const MIB: usize = 1 << 20;

fn threshold() -> Policy {
    Policy { swap: SwapPolicy::Threshold, jitter: Percent::new(0), ..policy() }
}

fn leak(host: &Host, bytes: usize) {
    assert!(host.call("leak", bytes.to_string().as_bytes()).is_empty());
}

/// Swaps happen after the reply: waits for the count, which then has to stay what it is.
fn swapped(host: &Host, reason: &str, count: f64) {
    until(reason, || host.swaps(reason) >= count);
    assert_eq!(host.swaps(reason), count, "{reason}");
}

#[test]
fn memory_warns_then_a_standby_is_made_then_the_instance_is_replaced() {
    let host = Host::start(1, threshold(), Rig::new().seams());
    let mut ear = host.ear();
    let claim = |mib: usize| host.call("claim", (mib * MIB).to_string().as_bytes());
    host.call("remember", b"kept");
    claim(44);
    let checked = ear.hear("memory-check").what;
    assert!(matches!(checked, What::MemoryCheck { pressure: Pressure::Calm, .. }), "{checked:?}");

    claim(45);
    let warned = ear.hear("pressure").what;
    assert!(matches!(warned, What::Pressure { from: Pressure::Calm, to: Pressure::Warn }), "{warned:?}");
    ear.hear("standby-prepare-complete");
    assert_eq!(host.call("remember", b"kept"), b"kept", "a warning is no swap");
    assert_eq!(host.swaps("memory"), 0.0);

    claim(58);
    swapped(&host, "memory", 1.0);
    assert_eq!(host.call("remember", b""), b"", "a fresh instance");
    assert_eq!(host.metric(r#"snapback_standby_missing_total{image="fixtures"}"#), 0.0);
}

#[test]
fn a_leak_is_outrun() {
    let host = Host::start(1, threshold(), Rig::new().seams());
    for _ in 0..100 {
        leak(&host, 4 * MIB);
    }
    until("it swaps", || host.swaps("memory") >= 6.0);
    assert_eq!(host.metric(r#"snapback_memory_growth_refused_total{image="fixtures"}"#), 0.0);
    assert!(
        host.metric(r#"snapback_memory_linear_peak_bytes{image="fixtures",lane="0"}"#) <= (64 * MIB) as f64
    );
}

#[test]
fn growth_in_the_middle_of_a_call_orders_the_standby() {
    let rig = Rig::new();
    let host = Host::start(1, threshold(), rig.seams());
    // Past warn in one call of a fresh instance: by the reply, the standby was asked for.
    leak(&host, 45 * MIB);
    until("the standby is asked for", || rig.standbys_asked() == 1);
    leak(&host, 9 * MIB);
    swapped(&host, "memory", 1.0);
}

#[test]
fn a_call_that_would_not_fit_starts_in_a_fresh_instance() {
    let host = Host::start(1, threshold(), Rig::new().seams());
    let mut ear = host.ear();
    // The first call in an instance teaches nothing, the second that a leak adds 25 MiB: a third has no room.
    for _ in 0..2 {
        leak(&host, 25 * MIB);
    }
    ear.hear("standby-prepare-complete");
    leak(&host, 25 * MIB);
    swapped(&host, "predicted", 1.0);
    assert_eq!(
        host.metric(r#"snapback_calls_retried_total{image="fixtures"}"#),
        0.0,
        "foreseen, not suffered"
    );
    assert_eq!(host.metric(r#"snapback_memory_growth_refused_total{image="fixtures"}"#), 0.0);
}

#[test]
fn one_large_call_is_not_foreseen_for_ever() {
    let host = Host::start(1, threshold(), Rig::new().seams());
    let mut ear = host.ear();
    host.call("echo", b"");
    leak(&host, 35 * MIB);
    let mut kept = 0;
    until("instances are kept again", || {
        host.dispatcher.wish(Wish::Prepare, 0, None);
        ear.hear("memory-check");
        leak(&host, 25 * MIB);
        let before = host.swaps("predicted");
        leak(&host, MIB);
        kept += u32::from(host.swaps("predicted") == before);
        kept > 2
    });
}

#[test]
fn what_the_guest_says_of_its_allocator_counts() {
    let host = Host::start(1, threshold(), Rig::new().seams());
    host.call("claim", (60 * MIB).to_string().as_bytes());
    swapped(&host, "memory", 1.0);
    assert_eq!(
        host.metric(r#"snapback_memory_linear_peak_bytes{image="fixtures",lane="0"}"#).max(60e6),
        60e6,
        "it holds little: it only says so"
    );
}

#[test]
fn a_guest_that_asks_for_its_replacement_gets_it() {
    let host = Host::start(1, threshold(), Rig::new().seams());
    host.call("remember", b"kept");
    host.call("retire", b"");
    swapped(&host, "retire", 1.0);
    assert_eq!(host.call("remember", b""), b"");
}

#[test]
fn so_many_calls_are_served_and_no_more() {
    let host = Host::start(1, Policy { calls_max: Some(5), ..threshold() }, Rig::new().seams());
    let mut ear = host.ear();
    for life in 0..3 {
        assert_eq!(host.call("remember", b"kept"), b"", "life {life}");
        host.call("echo", b"");
        // Three calls before its time, the next one is made.
        ear.hear("standby-prepare-complete");
        for _ in 0..2 {
            assert_eq!(host.call("remember", b"kept"), b"kept", "life {life}");
        }
        assert_eq!(host.swaps("calls"), f64::from(life));
        host.call("echo", b"");
        ear.hear("swap-complete");
    }
}

#[test]
fn jitter_shortens_lives_and_never_lengthens_them() {
    let lives = Policy { calls_max: Some(20), jitter: Percent::new(50), ..threshold() };
    let host = Host::start(1, lives, Rig::new().seams());
    let mut ear = host.ear();
    let mut served = 0;
    for _ in 0..8 {
        // No swap is put off: the standby is there from the beginning of each life.
        host.dispatcher.wish(Wish::Prepare, 0, None);
        ear.hear("standby-prepare-complete");
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
fn age_and_idleness_replace_what_was_used_and_leave_alone_what_was_not() {
    for (key, reason) in [("age", "age"), ("idle", "idle")] {
        let time = Some(Duration::from_secs(100));
        let policy = match key {
            "age" => Policy { age_max: time, ..threshold() },
            _ => Policy { idle_max: time, ..threshold() },
        };
        let rig = Rig::new();
        let host = Host::start(1, policy, rig.seams());
        let mut ear = host.ear();
        rig.clock.advance(Duration::from_secs(1000));
        ear.hear("memory-check");
        ear.hear("memory-check");
        assert_eq!(host.swaps(reason), 0.0, "nobody has used it");
        host.call("remember", b"kept");
        rig.clock.advance(Duration::from_secs(101));
        swapped(&host, reason, 1.0);
        assert_eq!(host.call("remember", b""), b"");
    }
}

#[test]
fn a_process_with_little_memory_left_replaces_what_grew() {
    // Any process is larger than a byte.
    let process = ProcessMemory::new(Some(1), Percent::new(70), Percent::new(90));
    let host = Host::within(1, threshold(), Rig::new().seams(), process);
    until("it was looked at", || host.dispatcher.process().resident_bytes() > 0);
    host.call("echo", b"");
    swapped(&host, "process-memory", 1.0);
}

#[test]
fn young_instances_are_left_alone() {
    let rig = Rig::new();
    let lives = Policy { calls_max: Some(1), life_min: Duration::from_secs(10), ..threshold() };
    let host = Host::start(1, lives, rig.seams());
    let mut ear = host.ear();
    host.call("echo", b"");
    ear.hear("standby-prepare-complete");
    let mut put_off = String::new();
    until("it is told why not", || {
        put_off = ear.hear("swap-error").to_string();
        put_off.contains("swap.life_min")
    });
    host.call("echo", b"");
    assert_eq!(host.swaps("calls"), 0.0);
    rig.clock.advance(Duration::from_secs(10));
    swapped(&host, "calls", 1.0);
}

#[test]
fn a_storm_of_swaps_makes_the_image_unhealthy_and_goes_on_serving() {
    let rig = Rig::new();
    let lives = Policy { calls_max: Some(1), swaps_per_minute_max: 3, ..threshold() };
    let host = Host::start(1, lives, rig.seams());
    until("the minute's swaps are used up", || {
        host.call("echo", b"");
        host.dispatcher.is_storming(0)
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
fn asked_twice_it_is_done_once() {
    let rig = Rig::new();
    let host = Host::start(1, threshold(), rig.seams());
    rig.close_the_gate();
    let running = host.ask(GATED, b"x").expect("room");
    rig.arrived();
    // Two people ask while a call runs; and its end brings a reason of its own.
    for _ in 0..2 {
        host.dispatcher.wish(Wish::Prepare, 0, None);
        host.dispatcher.wish(Wish::Swap, 0, Some(0));
    }
    rig.open_the_gate();
    assert_eq!(running.blocking_recv().expect("an answer").result.expect("a reply").body, b"");
    swapped(&host, "operator", 1.0);
    // It would show by now: the lane has served a call since, and looked around.
    host.call("echo", b"");
    assert_eq!(host.call("remember", b""), b"");
    assert_eq!(host.swaps("operator"), 1.0);
    assert_eq!(rig.standbys_asked(), 1);
}

#[test]
fn one_lane_or_all_are_swapped() {
    let host = Host::start(2, threshold(), Rig::new().seams());
    host.dispatcher.wish(Wish::Swap, 0, Some(1));
    swapped(&host, "operator", 1.0);
    host.dispatcher.wish(Wish::Swap, 0, None);
    swapped(&host, "operator", 3.0);
}

#[test]
fn swapping_while_calls_arrive_loses_and_changes_nothing() {
    let host = Host::start(2, threshold(), Rig::new().seams());
    let mut waiting = std::collections::VecDeque::new();
    let answered = |(sent, answer): (Vec<u8>, tokio::sync::oneshot::Receiver<_>)| {
        let outcome: snapback_host::job::Outcome = answer.blocking_recv().expect("an answer");
        assert_eq!(outcome.result.expect("a reply").body, sent);
    };
    for round in 0u32..5_000 {
        if round % 50 == 0 {
            host.dispatcher.wish(Wish::Swap, 0, None);
        }
        let body = round.to_le_bytes().to_vec();
        loop {
            match host.ask("echo", &body) {
                Ok(answer) => break waiting.push_back((body.clone(), answer)),
                Err(_) => answered(waiting.pop_front().expect("the queue is full of them")),
            }
        }
    }
    waiting.into_iter().for_each(answered);
    assert!(host.swaps("operator") >= 2.0, "{}", host.swaps("operator"));
    assert_eq!(host.metric("snapback_calls_lost_total"), 0.0);
}

#[test]
fn a_swap_that_is_due_while_the_server_stops_holds_nothing_up() {
    let rig = Rig::new();
    let host = Host::start(1, threshold(), rig.seams());
    rig.close_the_gate();
    let running = host.ask(GATED, b"x").expect("room");
    rig.arrived();
    let queued: Vec<_> = (0..4).map(|_| host.ask("echo", b"in").expect("room")).collect();
    host.dispatcher.wish(Wish::Swap, 0, None);
    host.dispatcher.drain();
    rig.open_the_gate();
    assert_eq!(host.dispatcher.join(Duration::from_secs(60)), Joined::Finished);
    assert!(running.blocking_recv().expect("an answer").result.is_ok());
    for answer in queued {
        assert_eq!(answer.blocking_recv().expect("an answer").result.expect("a reply").body, b"in");
    }
    assert_eq!(host.metric("snapback_calls_lost_total"), 0.0);
}

#[test]
fn a_standby_of_an_old_generation_is_never_used() {
    let rig = Rig::new();
    let host = Host::start(1, threshold(), rig.seams());
    let mut ear = host.ear();
    let old = host.call("table", b"3");
    host.dispatcher.wish(Wish::Prepare, 0, None);
    ear.hear("standby-prepare-complete");

    // A swap is due and a standby is ready when the new generation comes, all during one call.
    rig.close_the_gate();
    let running = host.ask(GATED, b"x").expect("room");
    rig.arrived();
    host.dispatcher.wish(Wish::Swap, 0, None);
    host.dispatcher.publish(0, generation(&host.engine, b"new"));
    rig.open_the_gate();
    running.blocking_recv().expect("an answer").result.expect("it finishes where it began");

    let new = host.call("table", b"3");
    assert_ne!(new, old);
    swapped(&host, "operator", 1.0);
    assert_eq!(host.call("table", b"3"), new);
    swapped(&host, "generation", 1.0);
}

#[test]
fn a_lower_limit_replaces_what_was_made_under_the_higher_one() {
    let host = Host::start(1, threshold(), Rig::new().seams());
    let mut ear = host.ear();
    leak(&host, 30 * MIB);
    host.dispatcher.serve_by(0, Policy { memory_limit_bytes: 32 << 20, ..threshold() });
    ear.hear("swap-complete");
    assert_eq!(host.call("remember", b"x"), b"", "a fresh instance");
    assert!(host.outcome("leak", b"40000000").result.is_err());
}

#[test]
fn off_keeps_the_instance_whatever_happens() {
    let host = Host::start(1, Policy { calls_max: Some(1), ..policy() }, Rig::new().seams());
    host.call("remember", b"kept");
    host.call("retire", b"");
    leak(&host, 58 * MIB);
    assert_eq!(host.call("remember", b""), b"kept");
    assert!(!String::from_utf8(host.dispatcher.render_metrics()).expect("text").contains("swaps_total{"));
}
