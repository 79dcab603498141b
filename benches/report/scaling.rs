//! How the CPU time of keys and proofs grows with the number of rows, as a table and a plot.

use crate::{
    Measured,
    lines::{self, Line},
    ratio, time,
};
use std::fmt::Write as _;

/// Rows as powers of two, as the bench `scaling` has them.
const SIZES: [u32; 7] = [10, 11, 12, 13, 14, 15, 16];
/// What is compared: the name in figures, the label, and the colour of its line.
const SIDES: [(&str, &str, &str); 3] = [
    ("native", "native library, one thread", "#444444"),
    ("before", "guest with the library as it is", "#c2703d"),
    ("now", "guest", "#3b6ea5"),
];

/// The CPU seconds of `what` for each size, as far as they were measured.
fn seconds(measured: &Measured, what: &str, side: &str) -> Vec<(u32, f64)> {
    let figure = |k| Some((k, *measured.figures.get(&format!("scaling_{k}_{what}_{side}"))?));
    SIZES.into_iter().filter_map(figure).collect()
}

/// Appends the table of keys and proofs.
pub(crate) fn table(page: &mut String, measured: &Measured) {
    page.push_str(
        "\n## Growth with the number of rows\n\nCPU time on one thread, for a circuit of squarings that fills most of `2^k` rows. [arithmetic.md](arithmetic.md)\nsays what each step of the guests' arithmetic brings.\n\n![CPU time of a proof against the number of rows](scaling.svg)\n\n\
         | k | proof, native | in a guest with the library as it is | in a guest | guest over native | keys, native | in a guest | guest over native |\n|---|---|---|---|---|---|---|---|\n",
    );
    let last = SIZES[SIZES.len() - 1];
    let figure = |what: &str| measured.figures.get(&format!("scaling_{last}_{what}_native"));
    let cosets = figure("cosets").zip(figure("prove")).map(|(cosets, prove)| cosets / prove);
    for k in SIZES {
        let figure = |what, side| measured.figures.get(&format!("scaling_{k}_{what}_{side}")).copied();
        let show = |value: Option<f64>| value.map_or_else(|| "not measured".into(), time);
        let over = |what| match (figure(what, "now"), figure(what, "native")) {
            (Some(guest), Some(native)) => ratio(guest / native),
            _ => "not measured".into(),
        };
        let _ = writeln!(
            page,
            "| {k} | {} | {} | {} | {} | {} | {} | {} |",
            show(figure("prove", "native")),
            show(figure("prove", "before")),
            show(figure("prove", "now")),
            over("prove"),
            show(figure("keys", "native")),
            show(figure("keys", "now")),
            over("keys"),
        );
    }
    if let Some(share) = cosets {
        let _ = writeln!(
            page,
            "\nOf the 4.8 kB that a key has for each row, 3.3 kB are cosets, which can be made again from polynomials that the key has\ntoo. That would take {:.1} % of the time of a native proof with 2^{last} rows, on one thread, and the memory of each proof would\nhave them instead of the image, which all instances share. So they are kept.",
            100.0 * share
        );
    }
}

/// Draws a line for each side, from 100 ms to 100 s.
pub(crate) fn plot(measured: &Measured) -> String {
    let lines =
        SIDES.map(|(side, label, colour)| Line { label, colour, points: seconds(measured, "prove", side) });
    lines::draw(&SIZES, "rows", -1..=2, &lines)
}
