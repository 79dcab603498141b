//! The tables of `docs/alternatives.md` and their plot, from what `make alternatives` has measured. The rest of that page
//! is written by hand.

use crate::{environment, time};
use serde_json::Value;
use std::{fmt::Write as _, fs, path::Path};

const BEGIN: &str = "<!-- measured -->\n";
const END: &str = "<!-- end of what was measured -->\n";

/// The alternatives: the name in figures and the one in tables.
const ROWS: [(&str, &str); 9] = [
    ("plain", "nothing"),
    ("threads", "recycled threads"),
    ("replay", "initialiser run again at 90 %"),
    ("rotated", "rotated workers"),
    ("per-call", "a process for each call"),
    ("per-call-image", "the same, from the image"),
    ("forked", "a fork for each call"),
    ("every-call", "Snapback, `every-call`"),
    ("threshold", "Snapback, `threshold`"),
];
/// The loads: the name in figures, and the title.
const LOADS: [(&str, &str); 2] = [("documents", "Documents"), ("proofs", "Proofs")];

/// Writes the tables into the page, and the plot beside it.
pub(crate) fn write(root: &Path) -> Result<(), String> {
    let figures = root.join("target/alternatives.json");
    let text = fs::read_to_string(&figures).map_err(|error| format!("{}: {error}", figures.display()))?;
    let figures: Value =
        serde_json::from_str(&text).map_err(|error| format!("{}: {error}", figures.display()))?;
    let path = root.join("docs/alternatives.md");
    let page = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let parts = page.split_once(BEGIN).and_then(|(head, rest)| Some((head, rest.split_once(END)?.1)));
    let (head, tail) = parts.ok_or_else(|| format!("{} has no place for figures", path.display()))?;
    crate::write(&path, &[head, BEGIN, &tables(&figures), END, tail].concat())?;
    crate::write(&root.join("docs/alternatives.svg"), &plot(&figures))
}

fn of<'a>(figures: &'a Value, load: &str, key: &str) -> &'a Value {
    &figures["loads"][load]["alternatives"][key]
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or(f64::NAN)
}

fn seconds(value: &Value) -> String {
    time(number(value))
}

fn megabytes(value: &Value) -> String {
    format!("{:.1} MB", number(value) / 1e6)
}

/// Returns what a call leaks, which is little or much.
fn leak(value: &Value) -> String {
    if number(value) < 1e6 { format!("{:.0} kB", number(value) / 1e3) } else { megabytes(value) }
}

fn tables(figures: &Value) -> String {
    let mut text = String::new();
    let mebibytes = |bytes: &Value| format!("{:.0} MiB", number(bytes) / f64::from(1 << 20));
    let _ = writeln!(text, "{}\n", environment());
    for (load, title) in LOADS {
        let this = &figures["loads"][load];
        let _ = writeln!(
            text,
            "### {title}\n\n{} rounds of {} calls, each of which leaks {}, under {}. Workers are rotated after {} calls.\n",
            figures["rounds"],
            this["calls"],
            leak(&this["leak_bytes"]),
            mebibytes(&this["limit_bytes"]),
            this["calls_max"]
        );
        text.push_str("| | calls until death | lost calls | p50 | p99 | p99.9 | calls a second | CPU of a call | resident | private | cold start | lines |\n|---|---|---|---|---|---|---|---|---|---|---|---|\n");
        for (key, name) in ROWS {
            let row = of(figures, load, key);
            let deaths = row["calls_until_death"].as_u64();
            let cells = [
                deaths.map_or_else(|| "none".into(), |calls| format!("**{calls}**")),
                row["lost"].to_string(),
                seconds(&row["p50_seconds"]),
                seconds(&row["p99_seconds"]),
                seconds(&row["p999_seconds"]),
                format!("{:.1}", number(&row["calls_per_second"])),
                seconds(&row["cpu_seconds"]),
                megabytes(&row["resident_bytes"]),
                megabytes(&row["private_bytes"]),
                seconds(&row["cold_start_seconds"]),
                figures["lines"][key].as_u64().map_or_else(|| "settings".into(), |lines| lines.to_string()),
            ];
            let _ = writeln!(text, "| {name} | {} |", cells.join(" | "));
        }
        let plain = of(figures, load, "plain");
        let _ = writeln!(text, "\n`nothing` dies with: {}.\n", plain["reason"].as_str().unwrap_or("nothing"));
    }
    let (plain, snapback) = (&figures["endless"]["plain"], &figures["endless"]["snapback"]);
    let _ = writeln!(
        text,
        "### Before and after\n\nEach proof leaks 10 MB, and is verified natively before the next one is asked for.\n\n\
         | | memory limit | proofs | private memory before | most | after |\n|---|---|---|---|---|---|\n\
         | plain host | {}, all that an instance can have | dies after **{}** | | {} | |\n\
         | Snapback, `threshold` | {} | **{}** in a row, none lost, in {} | {} | {} | {} |\n",
        mebibytes(&plain["limit_bytes"]),
        plain["proofs"],
        megabytes(&plain["private_bytes_max"]),
        mebibytes(&snapback["limit_bytes"]),
        snapback["proofs"],
        seconds(&snapback["seconds"]),
        megabytes(&snapback["private_bytes_before"]),
        megabytes(&snapback["private_bytes_max"]),
        megabytes(&snapback["private_bytes_after"]),
    );
    text
}

/// Draws processor time of a call for each alternative, one panel for each load.
fn plot(figures: &Value) -> String {
    const ROW: f64 = 24.0;
    const LEFT: f64 = 210.0;
    const WIDTH: f64 = 340.0;
    let panel = ROW * (ROWS.len() as f64 + 2.0);
    let height = panel * LOADS.len() as f64 + 8.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"760\" height=\"{height}\" font-family=\"sans-serif\" font-size=\"13\">\n<rect width=\"760\" height=\"{height}\" fill=\"white\"/>\n"
    );
    for (index, (load, title)) in LOADS.iter().enumerate() {
        let top = panel * index as f64;
        let cpu = |key| number(&of(figures, load, key)["cpu_seconds"]);
        let longest = ROWS.iter().map(|(key, _)| cpu(key)).fold(0.0, f64::max);
        let _ = writeln!(
            svg,
            "<text x=\"{LEFT}\" y=\"{}\" font-weight=\"bold\">{title}: CPU time of a call</text>",
            top + 22.0
        );
        for (row, (key, name)) in ROWS.iter().enumerate() {
            let y = top + ROW * (row as f64 + 1.5);
            let death = of(figures, load, key)["calls_until_death"].as_u64();
            let colour = match (death, *key) {
                (Some(_), _) => "#b8b8b8",
                (None, "every-call" | "threshold") => "#3b6ea5",
                (None, _) => "#c2703d",
            };
            let width = (cpu(key) / longest * WIDTH).max(1.0);
            let death = death.map_or_else(String::new, |calls| format!(", dies after {calls} calls"));
            let _ = writeln!(
                svg,
                "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text><rect x=\"{LEFT}\" y=\"{y}\" width=\"{width:.1}\" height=\"16\" fill=\"{colour}\"/><text x=\"{:.1}\" y=\"{}\">{}{death}</text>",
                LEFT - 8.0,
                y + 13.0,
                name.replace('`', ""),
                LEFT + width + 6.0,
                y + 13.0,
                time(cpu(key)),
            );
        }
    }
    svg.push_str("</svg>\n");
    svg
}
