//! Proofs for Groth16: in a guest, by the same code natively, by `ark-groth16`, and by snarkjs in Node, with the same key and
//! witness.
//!
//! All sides are interleaved. CPU time is that of one thread, except for snarkjs, which uses every core: its CPU time is that
//! of the process, and its wall time is compared with that of one lane.

mod support;

#[path = "support/ark_prover.rs"]
mod ark_prover;

use ark_prover::ArkProver;
use criterion::{Criterion, criterion_group, criterion_main};
use snapback_guest_groth16::{KeyReader, Roots};
use snapback_host::instance::Instance;
use snapback_snapshot::Input;
use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};
use support::{MEMORY, call, counted, load_baked, median, record};

/// Proofs of each side.
const SAMPLES: usize = 9;

/// A circuit with its key and a witness, which `tests/fixtures/groth16/make.sh` builds.
struct Circuit {
    name: String,
    zkey: Vec<u8>,
    witness: Vec<u8>,
    dir: PathBuf,
}

impl Circuit {
    fn zkey_path(&self) -> PathBuf {
        self.dir.join(format!("{}.zkey", self.name))
    }
}

/// The circuits in the directory that `SNAPBACK_GROTH16_CIRCUITS` names, in the order of their sizes.
fn circuits() -> Vec<Circuit> {
    let place = std::env::var_os("SNAPBACK_GROTH16_CIRCUITS")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/groth16"), PathBuf::from);
    let entries = fs::read_dir(&place).into_iter().flatten().flatten();
    let mut circuits: Vec<Circuit> = entries
        .filter_map(|entry| {
            let (dir, name) = (entry.path(), entry.file_name().into_string().ok()?);
            let zkey = fs::read(dir.join(format!("{name}.zkey"))).ok()?;
            let witness = fs::read(dir.join("witness.wtns")).ok()?;
            Some(Circuit { name, zkey, witness, dir })
        })
        .collect();
    circuits.sort_by_key(|circuit| circuit.zkey.len());
    circuits
}

/// A process of Node that proves with snarkjs on request.
struct Snarkjs {
    process: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Snarkjs {
    /// Starts it; returns `None` without Node or snarkjs.
    fn start(circuit: &Circuit) -> Option<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let tools = root.join("target/tools/snarkjs-0.7.5");
        let script = root.join("benches/support/snarkjs.mjs");
        let tools = tools.canonicalize().ok()?;
        let mut process = Command::new("node")
            .args([&script, &tools, &circuit.zkey_path(), &circuit.dir.join("witness.wtns")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .ok()?;
        let (requests, answers) = (process.stdin.take()?, BufReader::new(process.stdout.take()?));
        Some(Self { process, requests, answers })
    }

    /// Proves once, and returns CPU and wall time in seconds.
    fn prove(&mut self) -> (f64, f64) {
        self.requests.write_all(b"\n").expect("snarkjs runs");
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("snarkjs runs");
        let (cpu, wall) = line.trim().split_once(' ').expect("both times");
        (cpu.parse().expect("seconds"), wall.parse().expect("seconds"))
    }
}

impl Drop for Snarkjs {
    fn drop(&mut self) {
        // It may have ended, and leaves nothing that a result would tell.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn prove(_: &mut Criterion) {
    let engine = snapback_snapshot::engine(4).expect("an engine");
    let _ticker = snapback_snapshot::Ticker::start(&engine).expect("a thread");
    for circuit in circuits() {
        let Circuit { name, zkey, witness, .. } = &circuit;
        let begun = Instant::now();
        let key = KeyReader::read(zkey).expect("a key");
        let read = begun.elapsed().as_secs_f64();
        let mut roots = Roots::new();
        roots.extend(key.header().log_domain);
        let ark = ArkProver::read(zkey);
        let input = Input::new(&format!("zkey/{name}"), zkey.clone());
        let generation = Arc::new(load_baked("groth16", &[input], &engine));
        let mut snarkjs = Snarkjs::start(&circuit);

        let instance = || Instance::instantiate(&generation, MEMORY).expect("an instance");
        let mut made: Vec<f64> = (0..1000)
            .map(|_| {
                let begun = Instant::now();
                drop(instance());
                begun.elapsed().as_secs_f64()
            })
            .collect();
        made.sort_by(f64::total_cmp);
        let mut samples: [Vec<f64>; 6] = [const { Vec::new() }; 6];
        for round in 0..=SAMPLES {
            let mut instance = instance();
            let begun = Instant::now();
            let wasm = counted(|| drop(call(&mut instance, "prove", name, witness)));
            let wall = begun.elapsed();
            let native = counted(|| drop(key.prove(&roots, witness, &[7; 32]).expect("a proof")));
            let library = counted(|| ark.prove(witness));
            let (cpu, theirs) = snarkjs.as_mut().map_or((f64::NAN, f64::NAN), Snarkjs::prove);
            // The first round warms everything up.
            if round > 0 {
                let seconds = |time: Duration| time.as_secs_f64();
                let times = [seconds(wasm), seconds(wall), seconds(native), seconds(library), cpu, theirs];
                samples.iter_mut().zip(times).for_each(|(samples, time)| samples.push(time));
            }
        }
        let ratio = |over: usize, under: usize| {
            let ratios = samples[over].iter().zip(&samples[under]).map(|(a, b)| a / b);
            median(ratios.collect())
        };
        let constraints = snapback_guest_groth16::Outline::read(zkey).expect("a key").constraints;
        let figures = [
            ("constraints", f64::from(constraints)),
            ("key_bytes", zkey.len() as f64),
            ("read_native_seconds", read),
            ("instantiate_seconds", made[made.len() / 2]),
            ("wasm_seconds", median(samples[0].clone())),
            ("native_seconds", median(samples[2].clone())),
            ("ark_seconds", median(samples[3].clone())),
            ("wasm_over_native", ratio(0, 2)),
            ("wasm_over_ark", ratio(0, 3)),
        ];
        let theirs = [
            ("snarkjs_cpu_seconds", median(samples[4].clone())),
            ("snarkjs_wall_seconds", median(samples[5].clone())),
            ("cpu_over_snarkjs", ratio(0, 4)),
            ("wall_over_snarkjs", ratio(1, 5)),
        ];
        let theirs = theirs.into_iter().filter(|(_, value)| !value.is_nan());
        for (figure, value) in figures.into_iter().chain(theirs) {
            record(&format!("groth16_{name}_{figure}"), value);
            eprintln!("{name:<14} {figure:<22} {value:.6}");
        }
    }
}

criterion_group!(benches, prove);
criterion_main!(benches);
