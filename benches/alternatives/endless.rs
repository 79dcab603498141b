//! Before and after: a plain host makes proofs that leak until it dies of the largest memory that an instance can have,
//! and Snapback makes 10,000 under 256 MiB.
//!
//! Invariant: every proof is verified natively before the next one is asked for.

use crate::{
    load::Load,
    service::{Scenario, Service},
    setup::Alternative,
    usage::{self, Memory},
};
use serde_json::{Value, json};
use std::{
    thread,
    time::{Duration, Instant},
};

/// Linear memory that an instance of Snapback may have.
const LIMIT: u64 = 256 << 20;
const PROOFS: usize = 10_000;
/// How long an instance is idle until it is replaced, and how long it takes until that has certainly happened.
const IDLE: [&str; 4] = ["--swap-idle-max", "1s", "--memory-sample-interval", "1s"];
const SETTLED: Duration = Duration::from_secs(5);

pub(crate) fn measure() -> Value {
    let scenario = Scenario::new(Load::Proofs, LIMIT);
    json!({ "plain": plain(&scenario), "snapback": snapback(&scenario) })
}

fn plain(scenario: &Scenario) -> Value {
    let limit = snapback_snapshot::MEMORY_BYTES_MAX;
    let mut host = scenario.start_with(Alternative::Plain, limit);
    let (mut proofs, mut memory) = (0, Memory::default());
    let reason = loop {
        match host.call(scenario.calls.body(proofs)) {
            Ok(proof) => scenario.calls.check(proofs, &proof),
            Err(reason) => break reason,
        }
        proofs += 1;
        if proofs % 20 == 0 {
            memory = memory.max(usage::memory(host.pid()));
        }
    };
    eprintln!("plain host: {proofs} proofs, then {reason}");
    json!({ "limit_bytes": limit, "proofs": proofs, "reason": reason, "private_bytes_max": memory.private_bytes })
}

fn snapback(scenario: &Scenario) -> Value {
    let mut server = scenario.snapback(Alternative::Threshold, LIMIT, &IDLE);
    let prove = |server: &mut dyn Service, number| {
        let proof = server.call(scenario.calls.body(number)).expect("no proof is lost");
        scenario.calls.check(number, &proof);
    };
    let settled = |server: &dyn Service| {
        thread::sleep(SETTLED);
        usage::memory(server.pid()).private_bytes
    };
    prove(&mut server, 0);
    let before = settled(&server);
    let begun = Instant::now();
    let mut memory = Memory::default();
    for number in 1..=PROOFS {
        prove(&mut server, number);
        if number % 7 == 0 {
            memory = memory.max(usage::memory(server.pid()));
        }
    }
    let seconds = begun.elapsed().as_secs_f64();
    let after = settled(&server);
    eprintln!("Snapback: {PROOFS} proofs in {seconds:.0} s, {before} bytes before, {after} after");
    json!({
        "limit_bytes": LIMIT,
        "proofs": PROOFS,
        "seconds": seconds,
        "private_bytes_before": before,
        "private_bytes_max": memory.private_bytes,
        "private_bytes_after": after,
    })
}
