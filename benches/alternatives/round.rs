//! One round: an alternative is started, called by one client that waits for each reply, and stopped.
//!
//! Invariant: processor time, latency and memory are those of the time in which calls are answered; what happens after
//! the first lost call is counted and not timed.

use crate::{
    service::Scenario,
    setup::Alternative,
    usage::{self, Memory},
};
use std::time::Instant;

/// How often memory is read in a round.
const SAMPLES: usize = 32;

/// What was measured in a round.
pub(crate) struct Round {
    /// From the start of the process to the first reply.
    pub(crate) cold_start_seconds: f64,
    /// Latencies of the calls that were answered before the first one that was lost, without the first call.
    pub(crate) latencies: Vec<f64>,
    /// Number of calls that were answered before one was lost, and why it was.
    pub(crate) death: Option<(usize, String)>,
    pub(crate) lost: usize,
    /// Processor time of a call.
    pub(crate) cpu_seconds: f64,
    /// The most that was seen.
    pub(crate) memory: Memory,
}

/// Runs a round of so many calls after the first one.
pub(crate) fn run(scenario: &Scenario, alternative: Alternative, count: usize) -> Round {
    let begun = Instant::now();
    let mut service = scenario.start(alternative);
    let first = service.call(scenario.calls.body(0)).expect("the first call is answered");
    let cold_start_seconds = begun.elapsed().as_secs_f64();
    scenario.calls.check(0, &first);

    let cpu_before = usage::cpu(service.pid());
    let mut cpu_after = None;
    let (mut latencies, mut replies, mut death, mut lost) = (Vec::new(), Vec::new(), None, 0);
    let mut memory = usage::memory(service.pid());
    for number in 1..=count {
        let begun = Instant::now();
        let answer = service.call(scenario.calls.body(number));
        let latency = begun.elapsed().as_secs_f64();
        match answer {
            Ok(reply) => {
                if death.is_none() {
                    latencies.push(latency);
                }
                replies.push((number, reply));
            }
            Err(reason) => {
                lost += 1;
                cpu_after.get_or_insert_with(|| usage::cpu(service.pid()));
                death.get_or_insert((number, reason));
            }
        }
        if death.is_none() && number % count.div_ceil(SAMPLES) == 0 {
            memory = memory.max(usage::memory(service.pid()));
        }
    }
    let cpu = cpu_after.unwrap_or_else(|| usage::cpu(service.pid())) - cpu_before;
    drop(service);
    // A client that checks proofs between calls would give the service time to prepare the next one.
    replies.iter().for_each(|(number, reply)| scenario.calls.check(*number, reply));
    let cpu_seconds = cpu.as_secs_f64() / latencies.len().max(1) as f64;
    Round { cold_start_seconds, latencies, death, lost, cpu_seconds, memory }
}
