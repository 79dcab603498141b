//! Plots of times against sizes, both on logarithmic scales.

use crate::time;
use std::{fmt::Write as _, ops::RangeInclusive};

/// Space on the left for the labels of times, in pixels.
const LEFT: f64 = 70.0;
const TOP: f64 = 20.0;
/// Width of the plot without margins, and height of a decade.
const WIDTH: f64 = 540.0;
const DECADE: f64 = 110.0;

/// The times of one side.
pub(crate) struct Line {
    pub(crate) label: &'static str,
    pub(crate) colour: &'static str,
    /// Logarithms of sizes, and seconds.
    pub(crate) points: Vec<(u32, f64)>,
}

/// Draws lines over sizes, of which the logarithms are given. `decades` are the powers of ten at which the scale of seconds
/// begins and ends.
pub(crate) fn draw(sizes: &[u32], unit: &str, decades: RangeInclusive<i32>, lines: &[Line]) -> String {
    let (Some(first), Some(last)) = (sizes.first(), sizes.last()) else { return String::new() };
    let (low, high) = (f64::from(*decades.start()), f64::from(*decades.end()));
    let x = |size: u32| LEFT + WIDTH * f64::from(size - first) / f64::from((last - first).max(1));
    // What is outside of the scale is drawn at its ends.
    let y = |seconds: f64| TOP + (high - seconds.log10().clamp(low, high)) * DECADE;
    let bottom = TOP + (high - low) * DECADE;
    let (width, height) = (LEFT + WIDTH + 40.0, bottom + 46.0 + 18.0 * lines.len() as f64);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" font-family=\"sans-serif\" font-size=\"13\">\n<rect width=\"{width}\" height=\"{height}\" fill=\"white\"/>\n"
    );
    for decade in decades.rev() {
        let seconds = 10_f64.powi(decade);
        let (y, right) = (y(seconds), x(*last));
        let label = time(seconds).replace(".00 ", " ").replace(".0 ", " ");
        let _ = writeln!(
            svg,
            "<line x1=\"{LEFT}\" x2=\"{right}\" y1=\"{y}\" y2=\"{y}\" stroke=\"#ddd\"/><text x=\"{}\" y=\"{}\" text-anchor=\"end\" fill=\"#666\">{label}</text>",
            LEFT - 8.0,
            y + 4.0
        );
    }
    for size in sizes {
        let _ = writeln!(
            svg,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\" fill=\"#666\">2^{size} {unit}</text>",
            x(*size),
            bottom + 20.0
        );
    }
    for (row, Line { label, colour, points }) in lines.iter().enumerate() {
        let points: Vec<String> =
            points.iter().map(|(size, seconds)| format!("{:.1},{:.1}", x(*size), y(*seconds))).collect();
        let legend = bottom + 42.0 + 18.0 * row as f64;
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
