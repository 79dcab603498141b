//! Memory, processor time and latency of the swap policies: a fresh instance for every call against one that stays
//! warm, and calls that leak against calls that do not. Each side is a host or a server of its own; rounds are
//! interleaved.

mod support;

use snapback_host::{
    instance::Instance,
    policy::{Percent, Policy, SwapPolicy},
};
use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};
use support::{Host, Image, MEMORY, median, pczt, private_bytes, quantile, record, served::Served};

const MIB: u64 = 1 << 20;
const LEAK: &[u8] = b"10000000";

fn threshold(memory_limit_bytes: u64) -> Policy {
    Policy {
        swap: SwapPolicy::Threshold,
        memory_limit_bytes,
        deadline: Duration::from_mins(5),
        swaps_per_minute_max: u32::MAX,
        jitter: Percent::new(0),
        ..Policy::default()
    }
}

/// Measures a thousand standbys that were never called, in a process that has not made an instance yet. There are so
/// many that the free memory which loading the image leaves on the heap does not matter: the first standbys use it up.
fn standby() {
    let engine = snapback_snapshot::engine(1_000).expect("an engine");
    let generation = &Arc::new(Image::Orchard.load(&engine));
    let before = private_bytes();
    let standbys: Vec<_> =
        (0..1_000).map(|_| Instance::instantiate(generation, MEMORY).expect("an instance")).collect();
    record("standby_private_bytes", (private_bytes() - before) / standbys.len() as f64);
}

/// Keeps four calls in flight until `calls` were answered, and returns the calls per second. Panics if a call fails.
fn load(host: &Host, method: &str, body: &[u8], calls: usize, mut between: impl FnMut()) -> f64 {
    let begun = Instant::now();
    let mut waiting = VecDeque::new();
    for done in 0..calls {
        waiting.push_back(host.submit(method, "", body));
        if waiting.len() > 4 {
            let call = waiting.pop_front().expect("a fifth call");
            call.blocking_recv().expect("an answer").result.expect("a reply");
        }
        if done % 25 == 0 {
            between();
        }
    }
    for call in waiting {
        call.blocking_recv().expect("an answer").result.expect("a reply");
    }
    calls as f64 / begun.elapsed().as_secs_f64()
}

/// Measures a leak of 10 MB per call under a limit of 256 MiB on two lanes, for at least 20,000 calls and two minutes.
fn leak() {
    let host = Host::by(Image::Fixtures, 2, threshold(256 * MIB));
    let begun = Instant::now();
    let (mut calls, mut resident) = (0, Vec::new());
    while calls < 20_000 || begun.elapsed() < Duration::from_mins(2) {
        load(&host, "leak", LEAK, 500, || resident.push((begun.elapsed().as_secs_f64(), private_bytes())));
        calls += 500;
    }
    let after_a_minute: Vec<(f64, f64)> = resident.into_iter().filter(|(at, _)| *at > 60.0).collect();
    let (drift, mean) = drift(&after_a_minute);
    record("leak_calls", calls as f64);
    record("leak_resident_drift_share", drift.abs());
    record("leak_resident_mean_bytes", mean);
    for family in ["swaps", "calls_lost", "calls_retried", "memory_growth_refused"] {
        record(&format!("leak_{family}"), host.metric(&format!("snapback_{family}_total")));
    }
}

/// Measures the throughput that the leak costs, for calls that do nothing else and for calls that work for some time.
fn leak_cost() {
    let leaking = Host::by(Image::Fixtures, 2, threshold(256 * MIB));
    let clean = Host::by(Image::Fixtures, 2, threshold(256 * MIB));
    let pass = {
        let time = |body: &[u8]| {
            let begun = Instant::now();
            clean.call("churn", "", body);
            begun.elapsed().as_secs_f64()
        };
        (time(b"10000000 100") - time(b"10000000 0")) / 100.0
    };
    for milliseconds in [0, 10, 100] {
        let body = format!("10000000 {:.0}", f64::from(milliseconds) * 1e-3 / pass);
        let calls = if milliseconds == 0 { 500 } else { 100 };
        let throughput = |host, method| load(host, method, body.as_bytes(), calls, || {});
        let ratios = (0..9).map(|_| throughput(&leaking, "leak") / throughput(&clean, "churn"));
        record(&format!("leak_throughput_over_clean_{milliseconds}_ms"), median(ratios.collect()));
    }
}

/// Returns how far the best-fitting straight line rises from the first sample to the last, as a share of the mean; and
/// the mean.
fn drift(samples: &[(f64, f64)]) -> (f64, f64) {
    let count = samples.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| samples.iter().map(of).sum::<f64>() / count;
    let (at, bytes) = (mean(|sample| sample.0), mean(|sample| sample.1));
    let covariance: f64 = samples.iter().map(|(x, y)| (x - at) * (y - bytes)).sum();
    let variance: f64 = samples.iter().map(|(x, _)| (x - at).powi(2)).sum();
    let span = samples.last().expect("samples").0 - samples[0].0;
    (covariance / variance * span / bytes, bytes)
}

/// Measures the latency of the same leaking calls with swaps and without: one host has a limit that a round of them
/// exceeds, and one has a limit that holds the round.
fn latency() {
    const ROUND: usize = 250;
    let swapping = Host::by(Image::Fixtures, 1, threshold(256 * MIB));
    let roomy = Host::by(Image::Fixtures, 1, threshold(4 << 30));
    let time = |host: &Host, samples: &mut Vec<f64>| {
        let begun = Instant::now();
        host.call("leak", "", LEAK);
        samples.push(begun.elapsed().as_secs_f64());
    };
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for _ in 0..20 {
        for _ in 0..ROUND {
            time(&swapping, &mut with);
            time(&roomy, &mut without);
        }
        roomy.swap();
    }
    record("latency_swaps_with", swapping.metric("snapback_swaps_total"));
    for share in [0.5, 0.99] {
        let name = format!("latency_p{:.0}_with_swaps_over_without", share * 100.0);
        record(&name, quantile(&mut with, share) / quantile(&mut without, share));
    }
}

/// Measures the swaps per second of an echo guest that gets a fresh instance for every call, and the calls that were
/// lost.
fn storm() {
    let host = Host::start(Image::Fixtures, 2);
    let rate = load(&host, "echo", b"x", 50_000, || {});
    record("storm_swaps_per_second", rate);
    record("storm_calls_lost", host.metric("snapback_calls_lost_total"));
}

/// Measures both policies, each in a server of its own, by calls over HTTP in turns.
fn side_by_side(name: &str, image: &str, path: &str, body: &[u8], rounds: usize, calls: usize) {
    let policies = ["every-call", "threshold"];
    let mut servers = policies.map(|policy| Served::start(image, &["--lanes", "1", "--swap-policy", policy]));
    let mut figures = [const { Vec::new() }; 2];
    for _ in 0..rounds {
        for (server, figures) in servers.iter_mut().zip(&mut figures) {
            let before = server.used();
            let begun = Instant::now();
            for _ in 0..calls {
                server.post(path, body);
            }
            let wall = begun.elapsed();
            let after = server.used();
            let each = |total: f64| total / calls as f64;
            figures.push([
                each(wall.as_secs_f64()),
                each((after.cpu - before.cpu).as_secs_f64()),
                each((after.page_faults - before.page_faults) as f64),
                server.private_bytes(),
            ]);
        }
    }
    for (policy, rounds) in policies.iter().zip(figures) {
        for (index, what) in ["seconds", "cpu_seconds", "page_faults", "private_bytes"].iter().enumerate() {
            // The first round only warms the servers up.
            let rounds = rounds.iter().skip(1).map(|round: &[f64; 4]| round[index]);
            record(&format!("policy_{name}_{policy}_{what}"), median(rounds.collect()));
        }
    }
}

fn main() {
    // `cargo bench` and `cargo test --benches` pass flags of criterion, which this program ignores.
    standby();
    storm();
    latency();
    side_by_side("echo", "fixtures", "/v1/methods/echo", b"x", 11, 5_000);
    side_by_side("prove", "zcash", "/v1/circuits/orchard/prove", &pczt(), 4, 2);
    leak_cost();
    leak();
}
