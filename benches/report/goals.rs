//! The goals, and whether they are reached.

use crate::{Measured, ratio, time};

/// One line of the table of goals.
pub(crate) struct Goal {
    pub(crate) what: &'static str,
    measured: f64,
    bound: Bound,
    show: fn(f64) -> String,
}

pub(crate) enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

/// What is shown, the figure, what it may be at most, and how both are written.
pub(crate) type AtMost = (&'static str, &'static str, f64, fn(f64) -> String);

impl Goal {
    /// Returns the goals of those figures that were measured.
    pub(crate) fn of_measured(measured: &Measured, rows: impl IntoIterator<Item = AtMost>) -> Vec<Self> {
        rows.into_iter()
            .filter_map(|(what, figure, most, show)| {
                Some(Self::new(what, *measured.figures.get(figure)?, Bound::AtMost(most), show))
            })
            .collect()
    }

    pub(crate) fn new(what: &'static str, measured: f64, bound: Bound, show: fn(f64) -> String) -> Self {
        Self { what, measured, bound, show }
    }

    pub(crate) fn measured(&self) -> String {
        (self.show)(self.measured)
    }

    pub(crate) fn wanted(&self) -> String {
        match self.bound {
            Bound::AtMost(limit) => format!("<= {}", (self.show)(limit)),
            Bound::AtLeast(limit) => format!(">= {}", (self.show)(limit)),
        }
    }

    /// Whether the goal is reached. A figure that is not a number does not reach its goal.
    pub(crate) fn reached(&self) -> bool {
        match self.bound {
            Bound::AtMost(limit) => self.measured <= limit,
            Bound::AtLeast(limit) => self.measured >= limit,
        }
    }
}

fn kilobytes(bytes: f64) -> String {
    format!("{:.1} kB", bytes / 1e3)
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

fn whole(number: f64) -> String {
    format!("{number:.0}")
}

pub(crate) fn goals(measured: &Measured) -> Result<Vec<Goal>, String> {
    use Bound::{AtLeast, AtMost};
    let figure = |name| measured.figure(name);
    let median = |id| measured.median(id);
    let goal = Goal::new;
    let lost = figure("storm_calls_lost")? + figure("leak_calls_lost")?;
    Ok(vec![
        goal(
            "time to instantiate and drop, the slower one of both Zcash images",
            median("instantiate/orchard")?.max(median("instantiate/orchard+sapling")?),
            AtMost(10e-6),
            time,
        ),
        goal(
            "time to instantiate and drop, Orchard with Sapling relative to Orchard alone",
            figure("instantiate_sapling_over_orchard")?,
            AtMost(1.5),
            ratio,
        ),
        goal(
            "time to instantiate and drop, an image of ten circuits relative to an image of one",
            figure("instantiate_ten_over_one")?,
            AtMost(1.5),
            ratio,
        ),
        goal(
            "private memory of an idle standby, Orchard",
            figure("standby_private_bytes")?,
            AtMost(64e3),
            kilobytes,
        ),
        goal(
            "private memory of an idle standby, ten circuits",
            figure("standby_ten_circuits_bytes")?,
            AtMost(128e3),
            kilobytes,
        ),
        goal(
            "time from exec to the first answered call, with cached native code",
            median("cold_start/process")?,
            AtMost(25e-3),
            time,
        ),
        goal(
            "wait of a request for a swap while the other core is idle, p99 (upper edge of its bucket)",
            figure("swap_pause_seconds_idle_p99")?,
            AtMost(10e-6),
            time,
        ),
        goal(
            "latency of calls with swaps relative to calls without, p99",
            figure("latency_p99_with_swaps_over_without")?,
            AtMost(1.05),
            ratio,
        ),
        goal("swaps per second of an echo guest", figure("storm_swaps_per_second")?, AtLeast(1e3), whole),
        goal("calls lost in these benches", lost, AtMost(0.0), whole),
        goal(
            "drift of resident memory after the first minute of a leak of 10 MB per call under 256 MiB",
            figure("leak_resident_drift_share")?,
            AtMost(0.05),
            percent,
        ),
        goal(
            "throughput of calls of 100 ms that leak 10 MB each, relative to calls that do not leak",
            figure("leak_throughput_over_clean_100_ms")?,
            AtLeast(0.9),
            ratio,
        ),
        goal("throughput of two lanes relative to one", figure("lanes_two_over_one")?, AtLeast(1.8), ratio),
        goal("time that HTTP adds to an empty call", figure("http_adds_seconds")?, AtMost(300e-6), time),
        goal(
            "CPU time of an Orchard proof, wasm relative to native on one thread",
            figure("prove_wasm_over_native")?,
            AtMost(0.5),
            ratio,
        ),
        goal(
            "CPU time of an addition in the field of a Pasta curve, wasm relative to native",
            figure("addition_wasm_over_native")?,
            AtMost(1.25),
            ratio,
        ),
        goal(
            "CPU time of a proof of x5chain, wasm relative to native on one thread",
            figure("prove_x5chain_wasm_over_native")?,
            AtMost(0.6),
            ratio,
        ),
        goal(
            "CPU time of the keys of x5chain, wasm relative to native on one thread",
            figure("keygen_wasm_over_native")?,
            AtMost(0.8),
            ratio,
        ),
        goal(
            "CPU time of reading x5chain's reference string and making its keys in wasm, relative to the native keys alone",
            figure("bake_over_native_keygen")?,
            AtMost(0.9),
            ratio,
        ),
        goal(
            "time to generate x5chain's reference string natively and its keys in wasm, relative to a fresh instance",
            figure("replay_seconds")? / figure("instantiate_circuit_seconds")?,
            AtLeast(1e6),
            whole,
        ),
        goal(
            "proofs in a row on two lanes, a generation published after every 100, all verified natively",
            figure("publish_every_100_proofs")?,
            AtLeast(1e3),
            whole,
        ),
        goal(
            "proofs in a row on two lanes while generations are baked and published, all verified natively",
            figure("publish_baked_proofs")?,
            AtLeast(1e3),
            whole,
        ),
        goal(
            "throughput of these proofs during a bake, relative to the time without one",
            figure("publish_throughput_over_idle")?,
            AtLeast(0.8),
            ratio,
        ),
        goal(
            "private memory of the server after these proofs, relative to before",
            figure("publish_private_over_before")?,
            AtMost(1.05),
            ratio,
        ),
        goal(
            "resident memory of the server after these proofs, relative to before",
            figure("publish_resident_over_before")?,
            AtMost(1.05),
            ratio,
        ),
    ])
}
