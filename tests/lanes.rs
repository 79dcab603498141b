//! What lanes keep ready, report, and give back: standbys, gradual rollouts, status, memory.

mod harness;

use harness::{
    Server,
    inside::{Host, policy},
    operated::Operated,
    rig::Rig,
    snapback,
    threshold::{leak, swapped, threshold},
    until,
};
use snapback_host::{
    lanes::StandbyStatus,
    policy::{Percent, Policy, SwapPolicy},
};
use std::fs;

const MIB: u64 = 1 << 20;

#[test]
fn a_rollout_applies_the_policy_to_its_share_of_calls() {
    let rollout = Policy { swap: SwapPolicy::EveryCall, share: Percent::new(25), ..policy() };
    let host = Host::start(1, rollout, Rig::new().seams());
    for _ in 0..100 {
        host.call("remember", b"x");
    }
    let calls = |policy: &str| {
        host.metric(&format!(
            r#"snapback_policy_calls_total{{image="fixtures",outcome="ok",policy="{policy}"}}"#
        ))
    };
    until("the last call is counted", || calls("every-call") + calls("off") >= 100.0);
    assert_eq!((calls("every-call"), calls("off")), (25.0, 75.0));
    // A call under `every-call` gets a fresh instance, whatever ran before it, and leaves none behind.
    until("it swaps", || host.swaps("every-call") >= 25.0);
    host.set_policy(Policy { swap: SwapPolicy::EveryCall, ..policy() });
    assert_eq!(host.call("remember", b"x"), b"");
    assert_eq!(host.call("remember", b"x"), b"");
}

#[test]
fn a_new_policy_applies_to_an_idle_instance() {
    let host = Host::start(1, Policy { swap: SwapPolicy::Off, ..threshold() }, Rig::new().seams());
    // Full enough for a swap, which `off` does not make.
    leak(&host, 55 << 20);
    assert_eq!(host.swaps("memory"), 0.0);
    host.set_policy(threshold());
    swapped(&host, "memory", 1.0);
}

#[test]
fn standbys_are_kept_ready_within_their_bounds() {
    let host = Host::start(1, Policy { standby_min: 3, ..policy() }, Rig::new().seams());
    let ready = || host.dispatcher.executors(host.service())[0].standbys_ready;
    until("standbys are ready", || ready() == 3);
    host.set_policy(Policy { standby_min: 5, ..policy() });
    until("more standbys are ready", || ready() == 5);
    assert_eq!(host.dispatcher.executors(host.service())[0].standby, StandbyStatus::Ready);
    // Without standbys nothing is made ahead.
    let host = Host::start(1, policy(), Rig::new().seams());
    host.call("echo", b"x");
    assert_eq!(host.dispatcher.executors(host.service())[0].standby, StandbyStatus::None);
}

#[test]
fn contradictory_numbers_of_standbys_are_refused() {
    let mut serve = snapback();
    serve.args(["serve", "fixtures", "--standby-min", "5", "--standby-max", "4"]);
    let message = harness::run_err(&mut serve, 2);
    assert!(message.contains("standby.min") && message.contains("standby.max"), "{message}");
}

#[test]
fn operators_see_every_instance() {
    let operated = Operated::start(1, &["--swap-policy", "off", "--memory-limit", "64MiB"]);
    let server = &operated.server;
    let status = || operated.get("/status").json();
    for _ in 0..3 {
        server.post("/v1/methods/leak", b"1000000").ok();
    }
    server.post("/v1/methods/echo", b"x").ok();
    let instance = || status()["instances"]["fixtures"][0].clone();
    until("the lane has reported", || instance()["calls"] == 4);
    let instance = instance();
    assert!(instance["used_bytes"].as_u64().expect("a size") > 3_000_000, "{instance}");
    assert!(instance["age_seconds"].as_f64().is_some_and(|age| age > 0.0), "{instance}");
    assert_eq!((&instance["pressure"], &instance["standby"]), (&"calm".into(), &"none".into()));
    let samples = instance["samples"].as_array().expect("a list");
    assert!(samples.len() >= 4 && samples.len() <= 100, "{}", samples.len());
    let shown = status();
    assert_eq!(shown["calls"]["fixtures"]["leak"]["ok"], 3);
    assert_eq!(shown["images"][0]["generation"], 1);
    // No more than a hundred samples are kept.
    for _ in 0..150 {
        server.post("/v1/methods/echo", b"x").ok();
    }
    let len = || status()["instances"]["fixtures"][0]["samples"].as_array().map_or(0, Vec::len);
    until("a hundred samples are there", || len() == 100);
}

#[test]
fn health_has_the_memory_of_the_process() {
    let server = Server::start("fixtures", &["--memory-process-limit", "1TiB"]);
    until("memory was sampled", || {
        server.get("/healthz").json()["memory"]["private_resident_bytes"]
            .as_u64()
            .is_some_and(|bytes| bytes > 0)
    });
    let health = server.get("/healthz").json();
    assert_eq!((&health["status"], &health["memory"]["pressure"]), (&"ok".into(), &"calm".into()));
    assert_eq!(health["memory"]["limit_bytes"], 1u64 << 40);
}

#[test]
fn after_a_leak_and_a_swap_the_memory_of_the_process_is_back_at_its_baseline() {
    let args = ["--swap-policy", "threshold", "--standby-min", "1", "--memory-limit", "4GiB"];
    let operated = Operated::start(1, &args);
    let server = &operated.server;
    let private = || {
        let memory = &server.get("/v1/status").json()["memory"];
        memory["private_resident_bytes"].as_u64().expect("a size")
    };
    server.post("/v1/methods/echo", b"x").ok();
    until("memory was sampled", || private() > 0);
    let baseline = private();
    // 400 MB: too little for a swap because of memory, now or predicted.
    server.post("/v1/methods/leak", b"400000000").ok();
    until("the leak is seen", || private() > baseline + 300 * MIB);
    assert_eq!(operated.post("/swap").status, 202);
    until("it swaps", || operated.swaps("operator") >= 1.0);
    until("the memory is given back", || private() < baseline + 16 * MIB);
}

#[test]
fn native_code_is_not_kept_where_the_cache_is_off() {
    let state = tempfile::tempdir().expect("a directory");
    let mut serve = snapback();
    serve.args(["serve", "fixtures", "--native-cache", "off", "--state-dir"]).arg(state.path());
    let server = Server::of(&mut serve);
    assert_eq!(server.native_origin(), "memory");
    server.post("/v1/methods/echo", b"x").ok();
    assert!(fs::read_dir(state.path().join("native")).map_or(0, Iterator::count) == 0);
}

#[test]
fn the_target_for_cold_starts_is_exported() {
    let server = Server::start("fixtures", &["--cold-start-target", "25ms"]);
    assert_eq!(server.metric("snapback_cold_start_target_seconds"), 0.025);
    let metrics = server.get("/metrics").text();
    assert!(metrics.contains(r#"snapback_cold_start_seconds_bucket{le="0.015"}"#), "{metrics}");
}
