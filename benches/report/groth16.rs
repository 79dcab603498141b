//! Proofs for Groth16 beside those of the other provers, circuit by circuit.

use crate::{
    Measured,
    goals::{Bound, Goal},
    lines::{self, Line},
    ratio, time,
};
use std::fmt::Write as _;

const PREFIX: &str = "groth16_";
const GROWTH: &str = "growth16_";
/// Constraints as powers of two, as the bench `groth16_growth` has them.
const SIZES: [u32; 6] = [10, 12, 14, 16, 18, 20];
/// What is compared: the name in figures, the label, and the colour of its line.
const SIDES: [(&str, &str, &str); 4] = [
    ("snarkjs_cpu", "snarkjs, CPU time", "#c2703d"),
    ("snarkjs_wall", "snarkjs on two cores, wall time", "#e0b090"),
    ("native", "the same code natively, one thread", "#444444"),
    ("wasm", "in a guest, one thread", "#3b6ea5"),
];

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
    name.starts_with(PREFIX) || name.starts_with(GROWTH)
}

/// Appends the table.
pub(crate) fn table(page: &mut String, measured: &Measured) {
    page.push_str(
        "\n## Groth16\n\nCircuits with keys of snarkjs, most of them built by `tests/fixtures/groth16/make.sh`. In a guest, natively and for\n`ark-groth16`: CPU time of one thread, the verification of the proof included. Snarkjs is warm in Node and uses every\ncore; its CPU time is that of its process, and its wall time is compared with that of one lane. Ratios are medians of the\nratios of pairs, not quotients of medians.\n\n\
         | circuit | constraints | key | fresh instance | private memory of a proof | in a guest | the same code natively | guest over native | ark-groth16 | guest over it | snarkjs, CPU | guest over it | snarkjs, wall | guest over it |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for circuit in circuits(measured) {
        let figure = |what: &str| measured.figures.get(&format!("{PREFIX}{circuit}_{what}")).copied();
        let shown =
            |what: &str, show: fn(f64) -> String| figure(what).map_or_else(|| "not measured".into(), show);
        let _ = writeln!(
            page,
            "| {circuit} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
            shown("constraints", |count| format!("{count:.0}")),
            shown("key_bytes", |bytes| format!("{:.1} MB", bytes / 1e6)),
            shown("instantiate_seconds", time),
            shown("private_bytes", |bytes| format!("{:.1} MB", bytes / 1e6)),
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
    let lane = |name: &str| measured.figures.get(&format!("{PREFIX}{name}_private_bytes"));
    if let (Some(one), Some(two)) = (lane("one_lane"), lane("two_lanes")) {
        let _ = writeln!(
            page,
            "\nA host of the smallest of these keys with one lane has {:.1} MB of private memory after its first proofs, and another host\nwith two lanes {:.1} MB: the key is in the pages of the image, which lanes share.",
            one / 1e6,
            two / 1e6
        );
    }
}

/// Appends the table of growth.
pub(crate) fn growth(page: &mut String, measured: &Measured) {
    page.push_str(
        "\n## Growth of Groth16 with the number of constraints\n\nCircuits of squarings whose values are of full size, which is the worst case: most values of a hash's circuit are bits. The\nkeys are made by the example `ceremony`. Reading checks that each point is in its group; all checks are these and that the\npoints belong to each other, one after the other on one thread. A bake makes all checks natively, reads the key twice in\nguests, both beside each other, tries a proof, and writes the image; its CPU time is that of all threads, the other times\nare wall time. At 2^20 constraints the key has 0.5 GB.\n\n![time of a proof against the number of constraints](groth16.svg)\n\n\
         | constraints | key | proof in a guest | natively | guest over native | snarkjs, CPU | guest over it | snarkjs, wall | guest over it | fresh instance | reading the key natively | with all checks | bake | bake, CPU | bake over reading | bake over all checks |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for k in SIZES {
        let figure = |what: &str| measured.figures.get(&format!("{GROWTH}{k}_{what}")).copied();
        let show =
            |value: Option<f64>, show: fn(f64) -> String| value.map_or_else(|| "not measured".into(), show);
        let over = |over: &str, under: &str| Some(figure(over)? / figure(under)?);
        let checked = figure("read_seconds").zip(figure("check_seconds")).map(|(read, check)| read + check);
        let cells = [
            show(figure("key_bytes"), |bytes| format!("{:.1} MB", bytes / 1e6)),
            show(figure("wasm_seconds"), time),
            show(figure("native_seconds"), time),
            show(over("wasm_seconds", "native_seconds"), ratio),
            show(figure("snarkjs_cpu_seconds"), time),
            show(over("wasm_seconds", "snarkjs_cpu_seconds"), |value| format!("{value:.3}")),
            show(figure("snarkjs_wall_seconds"), time),
            show(over("wasm_seconds", "snarkjs_wall_seconds"), |value| format!("{value:.3}")),
            show(figure("instantiate_seconds"), time),
            show(figure("read_seconds"), time),
            show(checked, time),
            show(figure("bake_seconds"), time),
            show(figure("bake_cpu_seconds"), time),
            show(over("bake_seconds", "read_seconds"), ratio),
            show(figure("bake_seconds").zip(checked).map(|(bake, checked)| bake / checked), ratio),
        ];
        let _ = writeln!(page, "| 2^{k} | {} |", cells.join(" | "));
    }
}

/// Draws a line for each side, from 10 ms to 1,000 s.
pub(crate) fn plot(measured: &Measured) -> String {
    let lines = SIDES.map(|(side, label, colour)| {
        let point = |k| Some((k, *measured.figures.get(&format!("{GROWTH}{k}_{side}_seconds"))?));
        Line { label, colour, points: SIZES.into_iter().filter_map(point).collect() }
    });
    lines::draw(&SIZES, "constraints", -2..=3, &lines)
}

/// What a goal is about, the figure if it was measured, the bound, and how both are shown.
type Row = (&'static str, Option<f64>, Bound, fn(f64) -> String);

/// The goals of this proof system. What needs Node, or circuits that are not in this repository, may be missing.
pub(crate) fn goals(measured: &Measured) -> Vec<Goal> {
    let figure = |name: &str| measured.figures.get(&format!("{PREFIX}{name}")).copied();
    let growth = |name: &str| measured.figures.get(&format!("{GROWTH}{name}")).copied();
    let ratio3 = |value: f64| format!("{value:.3}");
    let rows: [Row; 10] = [
        (
            "CPU time of a Groth16 proof relative to snarkjs in Node, merkle20",
            figure("merkle20_cpu_over_snarkjs"),
            Bound::AtMost(0.143),
            ratio3,
        ),
        (
            "CPU time of a Groth16 proof relative to snarkjs in Node, SHA-256",
            figure("sha256_cpu_over_snarkjs"),
            Bound::AtMost(0.143),
            ratio3,
        ),
        (
            "time of a Groth16 proof on one core relative to snarkjs on all, merkle20",
            figure("merkle20_wall_over_snarkjs"),
            Bound::AtMost(0.25),
            ratio3,
        ),
        (
            "time of a Groth16 proof on one core relative to snarkjs on all, SHA-256",
            figure("sha256_wall_over_snarkjs"),
            Bound::AtMost(0.25),
            ratio3,
        ),
        (
            "CPU time of a Groth16 proof, wasm relative to the same code natively, EdDSA",
            figure("eddsa_wasm_over_native"),
            Bound::AtMost(1.15),
            ratio,
        ),
        (
            "proofs a second on two lanes relative to one, Groth16",
            figure("lanes_two_over_one"),
            Bound::AtLeast(1.85),
            ratio,
        ),
        (
            "private memory after 5,000 Groth16 proofs relative to before",
            figure("private_after_5000_over_before"),
            Bound::AtMost(1.05),
            ratio,
        ),
        (
            "fresh instance of a Groth16 key of 2^20 constraints",
            growth("20_instantiate_seconds"),
            Bound::AtMost(10e-6),
            time,
        ),
        (
            "bake of a Groth16 key of 2^20 constraints relative to reading it natively",
            growth("20_bake_seconds").zip(growth("20_read_seconds")).map(|(bake, read)| bake / read),
            Bound::AtMost(1.5),
            ratio,
        ),
        (
            "bake of a Groth16 key of 2^20 constraints relative to reading it natively with all checks",
            growth("20_bake_seconds")
                .zip(growth("20_read_seconds").zip(growth("20_check_seconds")))
                .map(|(bake, (read, check))| bake / (read + check)),
            Bound::AtMost(1.5),
            ratio,
        ),
    ];
    let measured =
        rows.into_iter().filter_map(|(what, value, bound, show)| Some(Goal::new(what, value?, bound, show)));
    measured.collect()
}
