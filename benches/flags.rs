//! What the compiler's settings do to guests: size, bake, instantiation, and the processor time of calls.
//!
//! `benches/flags.sh` makes the builds, in `target/flags`; without it, nothing is measured. The calls of all builds are
//! interleaved: each sample calls one after the other, and counts its own.

mod support;

use snapback_host::instance::{Generation, Instance};
use snapback_snapshot::{Guest, Ticker};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};
use support::{MEMORY, bake_in, call, counted, load_from, median, pczt, record};

/// Pages of the kinds that are compared, in the directory that `benches/flags.sh` unpacks; the small one is the guest's own
/// sample.
const PAGES: [(&str, &str); 3] = [("text", "ietf-1"), ("markup", "wikipedia-3"), ("scripts", "guardian-1")];
/// Samples of each figure.
const SAMPLES: usize = 41;
/// Proofs of each build.
const PROOFS: usize = 9;

/// A build of a guest, baked and loaded.
struct Build {
    name: String,
    generation: Arc<Generation>,
}

fn main() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/flags");
    let builds = files(&dir);
    if builds.is_empty() {
        eprintln!("flags: no builds to compare; `make flags` makes them");
        return;
    }
    let engine = snapback_snapshot::engine(32).expect("an engine");
    let _ticker = Ticker::start(&engine).expect("a thread");
    let state = tempfile::tempdir().expect("a directory");
    let baked = |file: &PathBuf| {
        let name = file.file_stem().and_then(|name| name.to_str()).expect("a name").to_owned();
        let guest = Guest::read(file).expect("a guest");
        record(&format!("flags_{name}_bytes"), guest.wasm.len() as f64);
        let begun = Instant::now();
        let digest = bake_in(state.path(), &guest, &[]);
        record(&format!("flags_{name}_bake_seconds"), begun.elapsed().as_secs_f64());
        Build { name, generation: Arc::new(load_from(state.path(), &digest, &engine)) }
    };
    let is_prover = |file: &&PathBuf| file.to_string_lossy().contains("zcash");
    let provers: Vec<Build> = builds.iter().filter(is_prover).map(&baked).collect();
    let readers: Vec<Build> = builds.iter().filter(|file| !is_prover(file)).map(&baked).collect();

    instantiate(&readers);
    let small = include_bytes!("../guest/extract/src/sample.html").to_vec();
    compare(&readers, "small", "extract", "", &small, (SAMPLES, 20));
    for (kind, page) in PAGES {
        let file = dir.join("pages").join(page).join("source.html");
        let page = fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        compare(&readers, kind, "extract", "", &page, (SAMPLES, 1));
        compare(&readers, &format!("{kind}_as_text"), "text", "", &page, (SAMPLES, 1));
    }
    compare(&provers, "proof", "prove", "orchard", &pczt(), (PROOFS, 1));
}

/// The builds in the order of their names.
fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut files: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|ending| ending == "wasm")).collect();
    files.sort();
    files
}

/// Measures how long a fresh instance takes to come and go.
fn instantiate(builds: &[Build]) {
    let mut times = vec![Vec::new(); builds.len()];
    for _ in 0..500 {
        for (build, times) in builds.iter().zip(&mut times) {
            let begun = Instant::now();
            drop(Instance::instantiate(&build.generation, MEMORY).expect("an instance"));
            times.push(begun.elapsed().as_secs_f64());
        }
    }
    for (build, times) in builds.iter().zip(times) {
        record(&format!("flags_{}_instantiate_seconds", build.name), median(times));
    }
}

/// Measures the processor time of a call in an instance that has made such a call before. Also records the time relative to
/// that of the first build, sample by sample.
fn compare(
    builds: &[Build],
    kind: &str,
    method: &str,
    circuit: &str,
    body: &[u8],
    (samples, calls): (usize, u32),
) {
    let mut sides: Vec<(Instance, Vec<f64>)> = builds
        .iter()
        .map(|build| {
            let mut instance = Instance::instantiate(&build.generation, MEMORY).expect("an instance");
            call(&mut instance, method, circuit, body);
            (instance, Vec::new())
        })
        .collect();
    for _ in 0..samples {
        for (instance, times) in &mut sides {
            let took: Duration =
                counted(|| (0..calls).for_each(|_| drop(call(instance, method, circuit, body))));
            times.push(took.as_secs_f64() / f64::from(calls));
        }
    }
    let Some(reference) = sides.first().map(|(_, times)| times.clone()) else { return };
    for (build, (_, times)) in builds.iter().zip(sides) {
        let ratios = times.iter().zip(&reference).map(|(time, reference)| time / reference).collect();
        record(&format!("flags_{}_{kind}_ratio", build.name), median(ratios));
        record(&format!("flags_{}_{kind}_cpu_seconds", build.name), median(times));
    }
}
