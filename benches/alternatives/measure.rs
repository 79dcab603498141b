//! `make alternatives`: rounds of all alternatives in turns, and the figures of the report.
//!
//! Invariant: in each round every alternative starts afresh, in an order that rotates, so that other load on the machine
//! meets all of them.

use crate::{
    endless,
    load::Load,
    round::{self, Round},
    service::Scenario,
    setup::Alternative,
    support::{median, quantile, target_dir},
};
use serde_json::{Map, Value, json};
use std::fs;

const MIB: u64 = 1 << 20;
const ROUNDS: usize = 3;
/// Linear memory that an instance may have, and calls of a round after the first one: enough to fill it.
const ROUND: [(Load, u64, usize); 2] = [(Load::Documents, 64 * MIB, 800), (Load::Proofs, 256 * MIB, 300)];

pub(crate) fn all() {
    let loads: Map<String, Value> = ROUND
        .map(|(load, limit_bytes, count)| (load.key().to_owned(), compare(load, limit_bytes, count)))
        .into_iter()
        .collect();
    let lines =
        Alternative::ALL.map(|alternative| (alternative.key().to_owned(), alternative.lines().into()));
    let figures = json!({
        "rounds": ROUNDS,
        "lines": Map::from_iter(lines),
        "loads": loads,
        "endless": endless::measure(),
    });
    let text = serde_json::to_string_pretty(&figures).expect("JSON");
    fs::write(target_dir().join("alternatives.json"), text + "\n").expect("the file is written");
}

fn compare(load: Load, limit_bytes: u64, count: usize) -> Value {
    let scenario = Scenario::new(load, limit_bytes);
    let mut rounds = Alternative::ALL.map(|_| Vec::new());
    for turn in 0..ROUNDS {
        for place in 0..rounds.len() {
            let index = (turn + place) % rounds.len();
            let alternative = Alternative::ALL[index];
            let round = round::run(&scenario, alternative, count);
            let milliseconds = 1e3 * round.cpu_seconds;
            eprintln!(
                "{load:?}, round {turn}, {alternative:?}: {milliseconds:.2} ms CPU, {} lost",
                round.lost
            );
            rounds[index].push(round);
        }
    }
    let figures = Alternative::ALL.iter().zip(&rounds);
    let figures: Map<String, Value> =
        figures.map(|(alternative, rounds)| (alternative.key().to_owned(), figures_of(rounds))).collect();
    json!({
        "limit_bytes": limit_bytes,
        "calls": count + 1,
        "leak_bytes": scenario.leak_bytes,
        "calls_max": scenario.calls_max,
        "alternatives": figures,
    })
}

/// Returns medians of rounds, and quantiles of the calls of all rounds together.
fn figures_of(rounds: &[Round]) -> Value {
    let of = |figure: fn(&Round) -> f64| median(rounds.iter().map(figure).collect());
    let mut latencies: Vec<f64> = rounds.iter().flat_map(|round| round.latencies.iter().copied()).collect();
    let mut at = |share| quantile(&mut latencies, share);
    let deaths = rounds.iter().filter_map(|round| round.death.as_ref());
    json!({
        "p50_seconds": at(0.5),
        "p99_seconds": at(0.99),
        "p999_seconds": at(0.999),
        "calls_per_second": of(|round| round.latencies.len() as f64 / round.latencies.iter().sum::<f64>()),
        "cpu_seconds": of(|round| round.cpu_seconds),
        "cold_start_seconds": of(|round| round.cold_start_seconds),
        "resident_bytes": of(|round| round.memory.resident_bytes),
        "private_bytes": of(|round| round.memory.private_bytes),
        "lost": rounds.iter().map(|round| round.lost).sum::<usize>(),
        "calls_until_death": deaths.clone().map(|(calls, _)| *calls).min(),
        "reason": deaths.map(|(_, reason)| reason.as_str()).next(),
    })
}
