//! Proofs for Groth16 beside those of the other provers, circuit by circuit.

use crate::{Measured, ratio, time};
use std::fmt::Write as _;

const PREFIX: &str = "groth16_";

/// The circuits that were measured, in the order of their sizes.
fn circuits(measured: &Measured) -> Vec<&str> {
    let sizes = measured
        .figures
        .iter()
        .filter_map(|(name, size)| Some((name.strip_prefix(PREFIX)?.strip_suffix("_constraints")?, *size)));
    let mut sizes: Vec<(&str, f64)> = sizes.collect();
    sizes.sort_by(|a, b| a.1.total_cmp(&b.1));
    sizes.into_iter().map(|(name, _)| name).collect()
}

/// Returns whether a figure is in the table.
pub(crate) fn is_tabled(name: &str) -> bool {
    name.starts_with(PREFIX)
}

/// Appends the table.
pub(crate) fn table(page: &mut String, measured: &Measured) {
    page.push_str(
        "\n## Groth16\n\nCircuits with keys of snarkjs, most of them built by `tests/fixtures/groth16/make.sh`. In a guest, natively and for\n`ark-groth16`: CPU time of one thread, the verification of the proof included. Snarkjs is warm in Node and uses every\ncore; its CPU time is that of its process, and its wall time is compared with that of one lane.\n\n\
         | circuit | constraints | key | fresh instance | in a guest | the same code natively | guest over native | ark-groth16 | guest over it | snarkjs, CPU | guest over it | snarkjs, wall | guest over it |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for circuit in circuits(measured) {
        let figure = |what: &str| measured.figures.get(&format!("{PREFIX}{circuit}_{what}")).copied();
        let shown =
            |what: &str, show: fn(f64) -> String| figure(what).map_or_else(|| "not measured".into(), show);
        let _ = writeln!(
            page,
            "| {circuit} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
            shown("constraints", |count| format!("{count:.0}")),
            shown("key_bytes", |bytes| format!("{:.1} MB", bytes / 1e6)),
            shown("instantiate_seconds", time),
            shown("wasm_seconds", time),
            shown("native_seconds", time),
            shown("wasm_over_native", ratio),
            shown("ark_seconds", time),
            shown("wasm_over_ark", ratio),
            shown("snarkjs_cpu_seconds", time),
            shown("cpu_over_snarkjs", |value| format!("{value:.3}")),
            shown("snarkjs_wall_seconds", time),
            shown("wall_over_snarkjs", |value| format!("{value:.3}")),
        );
    }
}
