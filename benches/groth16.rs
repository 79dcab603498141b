//! Proofs for Groth16: in a guest, by the same code natively, by `ark-groth16`, and by snarkjs in Node, with the same key and
//! witness.
//!
//! All sides are interleaved. CPU time is that of one thread, except for snarkjs, which uses every core: its CPU time is that
//! of the process, and its wall time is compared with that of one lane.

mod support;

#[path = "support/ark_prover.rs"]
mod ark_prover;
#[path = "support/snarkjs.rs"]
mod snarkjs;

use ark_prover::ArkProver;
use criterion::{Criterion, criterion_group, criterion_main};
use snapback_guest_groth16::{KeyReader, Roots};
use snapback_host::{instance::Instance, lanes::Outcome, policy::Policy};
use snapback_snapshot::Input;
use snarkjs::Snarkjs;
use std::{
    collections::VecDeque,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};
use support::{Host, MEMORY, call, counted, load_baked, median, private_bytes, record};
use tokio::sync::oneshot::Receiver;
use wasmtime::Engine;

/// Proofs of each side.
const SAMPLES: usize = 9;
/// Proofs that wait or are made at once.
const QUEUE: usize = 8;
/// Proofs over which memory has to stay.
const SOAK: usize = 5_000;

/// The circuit merkle20, whose key is snarkjs'.
const MERKLE20: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/fixtures/circom/merkle20");

/// A circuit with its key and a witness: [`MERKLE20`], or one that `tests/fixtures/groth16/make.sh` builds.
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

/// Merkle20 and the circuits in the directory that `SNAPBACK_GROTH16_CIRCUITS` names, in the order of their sizes.
fn circuits() -> Vec<Circuit> {
    let place = std::env::var_os("SNAPBACK_GROTH16_CIRCUITS")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/groth16"), PathBuf::from);
    let built = fs::read_dir(&place).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut circuits: Vec<Circuit> = built
        .chain([PathBuf::from(MERKLE20)])
        .filter_map(|dir| {
            let name = dir.file_name()?.to_str()?.to_owned();
            let zkey = fs::read(dir.join(format!("{name}.zkey"))).ok()?;
            let witness = fs::read(dir.join("witness.wtns")).ok()?;
            Some(Circuit { name, zkey, witness, dir })
        })
        .collect();
    circuits.sort_by_key(|circuit| circuit.zkey.len());
    circuits
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
        let mut snarkjs = Snarkjs::start(&circuit.zkey_path(), &circuit.dir.join("witness.wtns"));

        let instance = || Instance::instantiate(&generation, MEMORY).expect("an instance");
        let mut made: Vec<f64> = (0..1000)
            .map(|_| {
                let begun = Instant::now();
                drop(instance());
                begun.elapsed().as_secs_f64()
            })
            .collect();
        made.sort_by(f64::total_cmp);
        let before = private_bytes();
        let mut proven = instance();
        call(&mut proven, "prove", name, witness);
        let private = private_bytes() - before;
        drop(proven);
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
            ("private_bytes", private),
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

/// Measures the proofs per second of two lanes relative to one, interleaved; what the second lane adds to the private memory;
/// and by how much that memory grows over many proofs.
fn lanes(_: &mut Criterion) {
    let all = circuits();
    let Some(circuit) = all.first() else { return };
    let load = |engine: &Engine| {
        load_baked("groth16", &[Input::new(&format!("zkey/{}", circuit.name), circuit.zkey.clone())], engine)
    };
    let prove = |host: &Host, proofs: usize| {
        let begun = Instant::now();
        let mut under_way = VecDeque::new();
        for _ in 0..proofs {
            if under_way.len() == QUEUE {
                let first: Receiver<Outcome> = under_way.pop_front().expect("not empty");
                first.blocking_recv().expect("an answer").result.expect("a proof");
            }
            under_way.push_back(host.submit("prove", &circuit.name, &circuit.witness));
        }
        for proof in under_way {
            proof.blocking_recv().expect("an answer").result.expect("a proof");
        }
        proofs as f64 / begun.elapsed().as_secs_f64()
    };
    let begun = private_bytes();
    let one = Host::of(load, 1, Policy::default());
    prove(&one, 2 * QUEUE);
    let with_one = private_bytes();
    let two = Host::of(load, 2, Policy::default());
    prove(&two, 2 * QUEUE);
    let with_two = private_bytes();
    record("groth16_one_lane_private_bytes", with_one - begun);
    record("groth16_two_lanes_private_bytes", with_two - with_one);
    let ratios = (0..5).map(|_| prove(&two, 100) / prove(&one, 100));
    record("groth16_lanes_two_over_one", median(ratios.collect()));
    let before = private_bytes();
    prove(&two, SOAK);
    record("groth16_private_after_5000_over_before", private_bytes() / before);
}

criterion_group!(benches, prove, lanes);
criterion_main!(benches);
