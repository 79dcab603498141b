//! What the compiler's settings do to guests: size, bake, instantiation, and the processor time of calls.
//!
//! `benches/flags.sh` makes the builds, in `target/flags`; without it, nothing is measured. The calls of all builds are
//! interleaved: each sample calls one after the other, and counts its own.

mod support;

use halo2_proofs::{pasta::EqAffine, poly::commitment::Params};
use snapback_host::instance::{Generation, Instance};
use snapback_snapshot::{Guest, Input, Ticker};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};
use support::{MEMORY, bake_in, call, counted, fixture, load_from, median, pczt, record, unbaked::Unbaked};

/// Pages of the kinds that are compared, in the directory that `benches/flags.sh` unpacks; the small one is the guest's own
/// sample.
const PAGES: [(&str, &str); 3] = [("text", "ietf-1"), ("markup", "wikipedia-3"), ("scripts", "guardian-1")];
/// Samples of each figure.
const SAMPLES: usize = 41;
/// Proofs of each build.
const PROOFS: usize = 9;
/// Rows of x5chain, as a power of two.
const X5CHAIN_K: u32 = 12;
/// Provers that are built without and with SIMD.
const PROVERS: [&str; 3] = ["zcash", "plonk", "groth16"];

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
    let baked = |file: &PathBuf, inputs: &[Input]| {
        let name = file.file_stem().and_then(|name| name.to_str()).expect("a name").to_owned();
        let guest = Guest::read(file).expect("a guest");
        record(&format!("flags_{name}_bytes"), guest.wasm.len() as f64);
        let begun = Instant::now();
        let digest = bake_in(state.path(), &guest, inputs);
        record(&format!("flags_{name}_bake_seconds"), begun.elapsed().as_secs_f64());
        Build { name, generation: Arc::new(load_from(state.path(), &digest, &engine)) }
    };
    let prover = |file: &Path| {
        let name = file.file_stem()?.to_str()?.trim_start_matches("0_").trim_end_matches("_simd");
        PROVERS.into_iter().find(|prover| *prover == name)
    };
    let readers: Vec<Build> =
        builds.iter().filter(|file| prover(file).is_none()).map(|file| baked(file, &[])).collect();

    instantiate(&readers);
    let small = include_bytes!("../guest/extract/src/sample.html").to_vec();
    first_calls(&readers, &builds, &small);
    compare(&readers, "small", "extract", "", &small, (SAMPLES, 20));
    for (kind, page) in PAGES {
        let file = dir.join("pages").join(page).join("source.html");
        let page = fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        compare(&readers, kind, "extract", "", &page, (SAMPLES, 1));
        compare(&readers, &format!("{kind}_as_text"), "text", "", &page, (SAMPLES, 1));
    }
    drop(readers);
    for name in PROVERS {
        let (inputs, circuit, body) = proof(name);
        let builds: Vec<Build> = builds
            .iter()
            .filter(|file| prover(file) == Some(name))
            .map(|file| baked(file, inputs.as_slice()))
            .collect();
        compare(&builds, "proof", "prove", circuit, &body, (PROOFS, 1));
    }
}

/// What a prover is baked with, and the circuit and the body of the proof that it makes.
fn proof(prover: &str) -> (Vec<Input>, &'static str, Vec<u8>) {
    match prover {
        "zcash" => (Vec::new(), "orchard", pczt()),
        "plonk" => {
            // A guest that is not embedded belongs to no proof system, which would feed it the reference string.
            let mut reference = Vec::new();
            Params::<EqAffine>::new(X5CHAIN_K).write(&mut reference).expect("written");
            let reference = Input::new("srs/pallas", reference);
            let circuit = Input::new("circuit/x5chain", fixture("x5chain/x5chain.r1cs"));
            (vec![reference, circuit], "x5chain", fixture("x5chain/witness.wtns"))
        }
        _ => {
            let key = Input::new("zkey/mimc", fixture("groth16/mimc/mimc.zkey"));
            (vec![key], "mimc", fixture("groth16/mimc/witness.wtns"))
        }
    }
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

/// Measures the processor time until a new instance of the default build has answered, baked and not.
fn first_calls(readers: &[Build], files: &[PathBuf], page: &[u8]) {
    let Some(build) = readers.iter().find(|build| build.name == "simd") else { return };
    let file = files.iter().find(|file| file.ends_with("simd.wasm")).expect("its module");
    let unbaked = Unbaked::new(&Guest::read(file).expect("a guest"));
    let sides: [&dyn Fn(); 2] = [
        &|| {
            let mut instance = Instance::instantiate(&build.generation, MEMORY).expect("an instance");
            drop(call(&mut instance, "extract", "", page));
        },
        &|| {
            let mut live = unbaked.start();
            drop(live.call("bake_init", "", &[]));
            drop(live.call("extract", "", page));
        },
    ];
    let times: Vec<[f64; 2]> = (0..SAMPLES).map(|_| sides.map(|side| counted(side).as_secs_f64())).collect();
    for (side, name) in ["baked", "unbaked"].into_iter().enumerate() {
        record(
            &format!("flags_first_{name}_seconds"),
            median(times.iter().map(|times| times[side]).collect()),
        );
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
