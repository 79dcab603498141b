//! The short form, a test: every alternative answers correctly, and those die that have to.
//!
//! Invariant: nothing depends on how fast the machine is.

use crate::{load::Load, round, service::Scenario, setup::Alternative};

const MIB: u64 = 1 << 20;
/// Proofs that leak more than the limit, and documents that do not.
const SHORT: [(Load, u64, usize); 2] = [(Load::Documents, 64 * MIB, 3), (Load::Proofs, 128 * MIB, 20)];

pub(crate) fn all() {
    for (load, limit_bytes, count) in SHORT {
        let scenario = Scenario::new(load, limit_bytes);
        assert!(scenario.leak_bytes > 50_000.0, "{load:?} leaks {} bytes", scenario.leak_bytes);
        let is_too_much = scenario.leak_bytes * count as f64 > limit_bytes as f64;
        for alternative in Alternative::ALL {
            let round = round::run(&scenario, alternative, count);
            let dies = alternative.dies() && is_too_much;
            assert_eq!(round.death.is_some(), dies, "{load:?}, {alternative:?}: {:?}", round.death);
            assert_eq!(round.lost > 0, dies, "{load:?}, {alternative:?}");
            eprintln!("{load:?}, {alternative:?}: {} calls, {:?}", round.latencies.len(), round.death);
        }
    }
}
