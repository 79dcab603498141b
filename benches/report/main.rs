//! Writes pages of `docs` from the measurements of the benches: `benchmarks.md` with its plots, and `guest-builds.md`. With
//! the argument `flags` it writes the latter alone, with `alternatives` the figures of `alternatives.md`.

mod alternatives;
mod cold;
mod flags;
mod goals;
mod groth16;
mod jobs;
mod lines;
mod plot;
mod scaling;

use goals::Goal;
use std::{
    collections::BTreeMap,
    env,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

/// Measurements of the benches: medians of criterion in seconds, and further figures.
struct Measured {
    medians: BTreeMap<String, f64>,
    figures: BTreeMap<String, f64>,
}

fn main() -> ExitCode {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let (written, command) = match env::args().nth(1).as_deref() {
        Some("alternatives") => (alternatives::write(&root), "make alternatives"),
        Some("flags") => (guest_builds(&root).map(drop), "make flags"),
        _ => (report(&root), "make bench"),
    };
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("report: {error}; run the benches first (`{command}`)");
            ExitCode::FAILURE
        }
    }
}

fn report(root: &Path) -> Result<(), String> {
    let measured = match guest_builds(root) {
        // Its builds need a toolchain that not every machine has.
        Err(error) => {
            eprintln!("report: docs/guest-builds.md stays as it is: {error}");
            Measured::read(&root.join("target/criterion"))?
        }
        Ok(measured) => measured,
    };
    let mut goals = goals::goals(&measured)?;
    goals.extend(cold::goals(&measured));
    goals.extend(groth16::goals(&measured));
    goals.extend(jobs::goals(&measured));
    let docs = root.join("docs");
    fs::create_dir_all(&docs).map_err(|error| format!("{}: {error}", docs.display()))?;
    write(&docs.join("benchmarks.md"), &page(&measured, &goals))?;
    write(&docs.join("benchmarks.svg"), &plot::plot(&measured))?;
    write(&docs.join("scaling.svg"), &scaling::plot(&measured))?;
    write(&docs.join("groth16.svg"), &groth16::plot(&measured))
}

/// Writes the page about the builds of guests, and returns what was measured.
fn guest_builds(root: &Path) -> Result<Measured, String> {
    let measured = Measured::read(&root.join("target/criterion"))?;
    write(&root.join("docs/guest-builds.md"), &flags::page(&measured)?)?;
    Ok(measured)
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
            figures.insert(
                name,
                text.trim().parse().map_err(|_| format!("{} is not a number", file.display()))?,
            );
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

/// Collects the median in every `new/estimates.json`, by the id in the file beside it.
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
        "# Benchmarks\n\n`make bench` writes this page. The two sides of a ratio run interleaved in one process, so that other load on the\nmachine affects both alike. Absolute times depend on the machine.\n\n",
    );
    let _ = writeln!(page, "{}\n", environment());
    page.push_str("## Goals\n\n| figure | measured | goal | reached |\n|---|---|---|---|\n");
    for goal in goals {
        let verdict = if goal.reached() { "yes" } else { "**no**" };
        let _ = writeln!(page, "| {} | {} | {} | {verdict} |", goal.what, goal.measured(), goal.wanted());
    }
    page.push_str("\n![medians on a logarithmic scale](benchmarks.svg)\n\n## Medians\n\n`prove/*` counts the CPU time of one thread; all other times are wall time.\n\n| bench | median |\n|---|---|\n");
    for (id, seconds) in &measured.medians {
        let _ = writeln!(page, "| `{id}` | {} |", time(*seconds));
    }
    cold::tables(&mut page, measured);
    scaling::table(&mut page, measured);
    groth16::table(&mut page, measured);
    groth16::growth(&mut page, measured);
    side_by_side(&mut page, measured);
    page.push_str("\n## Further figures\n\n| figure | value |\n|---|---|\n");
    // Those of the tables above are not repeated.
    for (name, value) in measured.figures.iter().filter(|(name, _)| {
        let is_tabled = groth16::is_tabled(name) || cold::is_tabled(name) || flags::is_tabled(name);
        !name.starts_with("scaling_") && !is_tabled
    }) {
        let _ = writeln!(page, "| {name} | {value:.6} |");
    }
    page
}

/// Compares both policies, for a call that does nothing and for a proof.
fn side_by_side(page: &mut String, measured: &Measured) {
    page.push_str(
        "\n## Policies: every-call and threshold\n\nEach policy has a server of its own with one lane. The servers are called over HTTP in turns.\n\n\
         | | echo, `every-call` | echo, `threshold` | proof, `every-call` | proof, `threshold` |\n|---|---|---|---|---|\n",
    );
    type Show = fn(f64) -> String;
    let rows: [(&str, &str, Show); 4] = [
        ("time of a call", "seconds", time),
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

/// What the benches ran on.
fn environment() -> String {
    let wasmtime = snapback_snapshot::manifest::Tools::current().wasmtime;
    format!("Machine: {}. {}. Wasmtime and Wizer {wasmtime}.", machine(), rustc())
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
