//! Writes `docs/benchmarks.md` and its plot from what the benches measured.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

/// What the benches left: medians of criterion in seconds, and further figures.
struct Measured {
    medians: BTreeMap<String, f64>,
    figures: BTreeMap<String, f64>,
}

/// A line of the report: what was to be reached, and what was.
struct Goal {
    what: &'static str,
    measured: f64,
    shown: String,
    wanted: &'static str,
    reached: bool,
}

fn main() -> ExitCode {
    match report() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("report: {error}; run the benches first (`make bench`)");
            ExitCode::FAILURE
        }
    }
}

fn report() -> Result<(), String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let measured = Measured::read(&root.join("target/criterion"))?;
    let goals = goals(&measured)?;
    let docs = root.join("docs");
    fs::create_dir_all(&docs).map_err(|error| format!("{}: {error}", docs.display()))?;
    write(&docs.join("benchmarks.md"), &page(&measured, &goals))?;
    write(&docs.join("benchmarks.svg"), &plot(&measured))
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}

impl Measured {
    fn read(dir: &Path) -> Result<Self, String> {
        let mut medians = BTreeMap::new();
        collect(dir, &mut medians)?;
        let mut figures = BTreeMap::new();
        for file in entries(&dir.join("figures"))? {
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let text = fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
            figures
                .insert(name, text.trim().parse().map_err(|_| format!("{} is no number", file.display()))?);
        }
        Ok(Self { medians, figures })
    }

    fn median(&self, id: &str) -> Result<f64, String> {
        self.medians.get(id).copied().ok_or_else(|| format!("`{id}` was not measured"))
    }

    fn figure(&self, name: &str) -> Result<f64, String> {
        self.figures.get(name).copied().ok_or_else(|| format!("`{name}` was not measured"))
    }
}

fn entries(dir: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = fs::read_dir(dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    Ok(entries.flatten().map(|entry| entry.path()).collect())
}

/// Every `new/estimates.json` with the id that stands beside it.
fn collect(dir: &Path, medians: &mut BTreeMap<String, f64>) -> Result<(), String> {
    for path in entries(dir)?.into_iter().filter(|path| path.is_dir()) {
        let estimates = path.join("estimates.json");
        if path.ends_with("new") && estimates.exists() {
            let json = |path: &Path| -> Result<serde_json::Value, String> {
                let text =
                    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
                serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))
            };
            let id = json(&path.join("benchmark.json"))?["full_id"].as_str().unwrap_or_default().to_owned();
            let nanoseconds = json(&estimates)?["median"]["point_estimate"].as_f64().unwrap_or(f64::NAN);
            medians.insert(id, nanoseconds * 1e-9);
        } else {
            collect(&path, medians)?;
        }
    }
    Ok(())
}

fn goals(measured: &Measured) -> Result<Vec<Goal>, String> {
    let at_most = |what, measured: f64, limit: f64, wanted, shown| Goal {
        what,
        measured,
        shown,
        wanted,
        reached: measured <= limit,
    };
    let at_least = |what, measured: f64, limit: f64, wanted, shown| Goal {
        what,
        measured,
        shown,
        wanted,
        reached: measured >= limit,
    };
    let instantiate =
        measured.median("instantiate/orchard")?.max(measured.median("instantiate/orchard+sapling")?);
    let over = measured.figure("instantiate_sapling_over_orchard")?;
    let standby = measured.figure("standby_private_bytes")?;
    let cold = measured.median("cold_start/process")?;
    let pause = measured.figure("swap_pause_seconds_idle_p99")?;
    let prove = measured.figure("prove_wasm_over_native")?;
    let lanes = measured.figure("lanes_two_over_one")?;
    let http = measured.figure("http_adds_seconds")?;
    let latency = measured.figure("latency_p99_with_swaps_over_without")?;
    let drift = measured.figure("leak_resident_drift_share")?;
    let leak = measured.figure("leak_throughput_over_clean_100_ms")?;
    let storm = measured.figure("storm_swaps_per_second")?;
    let lost = measured.figure("storm_calls_lost")? + measured.figure("leak_calls_lost")?;
    let replay = measured.median("reset_vs_replay/orchard/replay")?
        / measured.median("reset_vs_replay/orchard/reset")?;
    Ok(vec![
        at_most(
            "instantiate and drop, the slower of both prover images",
            instantiate,
            10e-6,
            "< 10 us",
            time(instantiate),
        ),
        at_most("the same, Orchard with Sapling over Orchard alone", over, 1.5, "<= 1.5", ratio(over)),
        at_most(
            "private memory of an idle standby",
            standby,
            64e3,
            "< 64 kB",
            format!("{:.1} kB", standby / 1e3),
        ),
        at_most("exec to first answered call, cached native code", cold, 25e-3, "< 25 ms", time(cold)),
        at_most(
            "what a request waits for a swap, the other core idle, p99 (upper edge of its bucket)",
            pause,
            10e-6,
            "< 10 us",
            time(pause),
        ),
        at_most("latency with swaps over latency without, p99", latency, 1.05, "<= 1.05", ratio(latency)),
        at_least("swaps a second of an echo guest", storm, 1e3, ">= 1000", format!("{storm:.0}")),
        at_most("calls lost, of all in these benches", lost, 0.0, "0", format!("{lost:.0}")),
        at_most(
            "a leak of 10 MB a call under 256 MiB: what resident memory drifts after the first minute",
            drift,
            0.05,
            "<= 5 %",
            format!("{:.1} %", drift * 100.0),
        ),
        at_least(
            "throughput of calls of 100 ms that leak 10 MB each over those that do not",
            leak,
            0.9,
            ">= 0.90",
            ratio(leak),
        ),
        at_most(
            "Orchard proof, CPU time, wasm over native on one thread",
            prove,
            1.15,
            "<= 1.15",
            ratio(prove),
        ),
        at_least("throughput of two lanes over one", lanes, 1.8, ">= 1.8", ratio(lanes)),
        at_most("what HTTP adds to an empty call", http, 300e-6, "< 300 us", time(http)),
        at_least(
            "running the initialiser again over a fresh instance",
            replay,
            1.0,
            "",
            format!("{replay:.0}"),
        ),
    ])
}

fn time(seconds: f64) -> String {
    match seconds {
        s if s < 1e-3 => format!("{:.1} us", s * 1e6),
        s if s < 1.0 => format!("{:.1} ms", s * 1e3),
        s => format!("{s:.2} s"),
    }
}

fn ratio(ratio: f64) -> String {
    format!("{ratio:.2}")
}

fn page(measured: &Measured, goals: &[Goal]) -> String {
    let mut page = String::from(
        "# Benchmarks\n\nWritten by `make bench`. Ratios come from one process, interleaved: what else the machine did met both sides\nalike. Absolute times depend on the machine.\n\n",
    );
    let _ = writeln!(
        page,
        "Machine: {}. {}. Wasmtime and Wizer {}.\n",
        machine(),
        rustc(),
        snapback_snapshot::manifest::Tools::current().wasmtime
    );
    page.push_str("## What was to be reached\n\n| what | measured | wanted | reached |\n|---|---|---|---|\n");
    for Goal { what, shown, wanted, reached, measured } in goals {
        let verdict = match (wanted.is_empty(), reached, measured.is_finite()) {
            (true, _, true) => "",
            (false, true, true) => "yes",
            _ => "**no**",
        };
        let _ = writeln!(page, "| {what} | {shown} | {wanted} | {verdict} |");
    }
    page.push_str("\n![medians on a logarithmic scale](benchmarks.svg)\n\n## Medians\n\n`prove/orchard2/*` count CPU time of one thread, everything else is wall time.\n\n| bench | median |\n|---|---|\n");
    for (id, seconds) in &measured.medians {
        let _ = writeln!(page, "| `{id}` | {} |", time(*seconds));
    }
    side_by_side(&mut page, measured);
    page.push_str("\n## Further figures\n\n| figure | value |\n|---|---|\n");
    for (name, value) in &measured.figures {
        let _ = writeln!(page, "| {name} | {value:.6} |");
    }
    page
}

/// Both policies beside each other, for a call that does nothing and for a proof.
fn side_by_side(page: &mut String, measured: &Measured) {
    page.push_str(
        "\n## every-call and threshold\n\nOne server each, one lane, called over HTTP in turns.\n\n\
         | | echo, `every-call` | echo, `threshold` | proof, `every-call` | proof, `threshold` |\n|---|---|---|---|---|\n",
    );
    type Show = fn(f64) -> String;
    let rows: [(&str, &str, Show); 4] = [
        ("a call takes", "seconds", time),
        ("processor time of a call", "cpu_seconds", time),
        ("page faults of a call", "page_faults", |count| format!("{count:.0}")),
        ("private memory of the server", "private_bytes", |bytes| format!("{:.1} MB", bytes / 1e6)),
    ];
    for (what, figure, show) in rows {
        let cells =
            ["echo_every-call", "echo_threshold", "prove_every-call", "prove_threshold"].map(|side| {
                let value = measured.figures.get(&format!("policy_{side}_{figure}"));
                value.map_or_else(|| "not measured".into(), |value| show(*value))
            });
        let _ = writeln!(page, "| {what} | {} |", cells.join(" | "));
    }
}

fn machine() -> String {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("unknown", |(_, model)| model);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!("{cores} cores of {model}, Linux {}", kernel.split('-').next().unwrap_or_default().trim())
}

fn rustc() -> String {
    let output = Command::new("rustc").arg("--version").output();
    output.map_or_else(
        |_| "rustc".into(),
        |output| String::from_utf8_lossy(&output.stdout).split(" (").next().unwrap_or_default().to_owned(),
    )
}

/// Bars on a logarithmic scale from 100 ns to 100 s.
fn plot(measured: &Measured) -> String {
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
