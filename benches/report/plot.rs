//! Plots the medians.

use crate::{Measured, time};
use std::fmt::Write as _;

/// Draws a bar for each median, on a logarithmic scale from 100 ns to 100 s.
pub(crate) fn plot(measured: &Measured) -> String {
    const ROW: f64 = 26.0;
    const LEFT: f64 = 260.0;
    const DECADE: f64 = 60.0;
    let height = ROW * (measured.medians.len() as f64 + 1.5);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"880\" height=\"{height}\" font-family=\"sans-serif\" font-size=\"13\">\n<rect width=\"880\" height=\"{height}\" fill=\"white\"/>\n"
    );
    for (decade, label) in
        ["100 ns", "1 us", "10 us", "100 us", "1 ms", "10 ms", "100 ms", "1 s", "10 s"].iter().enumerate()
    {
        let x = LEFT + decade as f64 * DECADE;
        let _ = writeln!(
            svg,
            "<line x1=\"{x}\" x2=\"{x}\" y1=\"0\" y2=\"{}\" stroke=\"#ddd\"/><text x=\"{x}\" y=\"{}\" text-anchor=\"middle\" fill=\"#666\">{label}</text>",
            height - ROW,
            height - 8.0
        );
    }
    for (row, (id, seconds)) in measured.medians.iter().enumerate() {
        let (y, width) = (row as f64 * ROW + 6.0, (seconds.log10() + 7.0).max(0.0) * DECADE);
        let _ = writeln!(
            svg,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{id}</text><rect x=\"{LEFT}\" y=\"{y}\" width=\"{width:.1}\" height=\"16\" fill=\"#3b6ea5\"/><text x=\"{:.1}\" y=\"{}\">{}</text>",
            LEFT - 8.0,
            y + 13.0,
            LEFT + width + 6.0,
            y + 13.0,
            time(*seconds)
        );
    }
    svg.push_str("</svg>\n");
    svg
}
