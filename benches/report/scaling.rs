//! How the CPU time of keys and proofs grows with the number of rows, as a table and a plot.

use crate::{Measured, ratio, time};
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
}

/// Draws a line for each side, on a logarithmic scale from 100 ms to 100 s.
pub(crate) fn plot(measured: &Measured) -> String {
    const LEFT: f64 = 70.0;
    const TOP: f64 = 20.0;
    const STEP: f64 = 90.0;
    const DECADE: f64 = 110.0;
    const WIDTH: f64 = LEFT + STEP * 6.0 + 40.0;
    const HEIGHT: f64 = TOP + DECADE * 3.0 + 100.0;
    let x = |k: u32| LEFT + f64::from(k - SIZES[0]) * STEP;
    // What is below the scale is drawn at its end.
    let y = |seconds: f64| TOP + (2.0 - seconds.log10()).min(3.0) * DECADE;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{HEIGHT}\" font-family=\"sans-serif\" font-size=\"13\">\n<rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n"
    );
    for (seconds, label) in [(100.0, "100 s"), (10.0, "10 s"), (1.0, "1 s"), (0.1, "100 ms")] {
        let (y, right) = (y(seconds), x(SIZES[6]));
        let _ = writeln!(
            svg,
            "<line x1=\"{LEFT}\" x2=\"{right}\" y1=\"{y}\" y2=\"{y}\" stroke=\"#ddd\"/><text x=\"{}\" y=\"{}\" text-anchor=\"end\" fill=\"#666\">{label}</text>",
            LEFT - 8.0,
            y + 4.0
        );
    }
    for k in SIZES {
        let _ = writeln!(
            svg,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\" fill=\"#666\">2^{k} rows</text>",
            x(k),
            y(0.1) + 20.0
        );
    }
    for (row, (side, label, colour)) in SIDES.into_iter().enumerate() {
        let points: Vec<String> = seconds(measured, "prove", side)
            .into_iter()
            .map(|(k, seconds)| format!("{:.1},{:.1}", x(k), y(seconds)))
            .collect();
        let legend = y(0.1) + 42.0 + 18.0 * row as f64;
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/><line x1=\"{LEFT}\" x2=\"{}\" y1=\"{legend}\" y2=\"{legend}\" stroke=\"{colour}\" stroke-width=\"2\"/><text x=\"{}\" y=\"{}\">{label}</text>",
            points.join(" "),
            LEFT + 30.0,
            LEFT + 38.0,
            legend + 4.0
        );
    }
    svg.push_str("</svg>\n");
    svg
}
