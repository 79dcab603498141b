//! How the time of a Groth16 proof grows with the number of constraints: natively, in a guest, and for snarkjs; and what
//! the bake of a key takes beside its reading. `cargo bench --bench groth16_growth -- 16 18` measures these sizes alone.
//!
//! The circuits are squarings whose values are of full size, which is the worst case: most values of a hash's circuit are
//! bits. Snarkjs uses every core, so its CPU time is compared.

#[path = "../tests/harness/ceremony.rs"]
mod ceremony;
#[path = "support/snarkjs.rs"]
mod snarkjs;
#[path = "../tests/harness/squares.rs"]
#[expect(dead_code, reason = "other benches use the rest")]
mod squares;
mod support;

use snapback_guest_groth16::{KeyReader, Outline, Roots};
use snapback_host::instance::Instance;
use snapback_snapshot::{Guest, Input};
use snarkjs::Snarkjs;
use std::{
    env, fs,
    sync::Arc,
    time::{Duration, Instant},
};
use support::{MEMORY, bake_in, call, counted, load_from, median, record};

/// Constraints as powers of two, and proofs that are made of each size.
const SIZES: [(u32, usize); 6] = [(10, 5), (12, 5), (14, 3), (16, 3), (18, 1), (20, 1)];

fn main() {
    if !env::args().any(|arg| arg == "--bench") {
        return;
    }
    let engine = snapback_snapshot::engine(4).expect("an engine");
    let _ticker = snapback_snapshot::Ticker::start(&engine).expect("a thread");
    let asked: Vec<u32> = env::args().filter_map(|arg| arg.parse().ok()).collect();
    for (k, rounds) in SIZES.into_iter().filter(|(k, _)| asked.is_empty() || asked.contains(k)) {
        // The constraints and the rows of the constant and of one public signal fill the domain.
        let (r1cs, witness) = ceremony::squares((1 << k) - 2);
        let zkey = ceremony::zkey(&r1cs);
        let dir = tempfile::tempdir().expect("a directory");
        let files = [dir.path().join("squares.zkey"), dir.path().join("witness.wtns")];
        for (path, bytes) in files.iter().zip([&zkey, &witness]) {
            fs::write(path, bytes).expect("written");
        }

        let begun = Instant::now();
        let key = KeyReader::read(&zkey).expect("a key");
        let read = begun.elapsed().as_secs_f64();
        let begun = Instant::now();
        Outline::read(&zkey).and_then(|outline| outline.check()).expect("a consistent key");
        let check = begun.elapsed().as_secs_f64();
        let mut roots = Roots::new();
        roots.extend(key.header().log_domain);
        let (begun, cpu_before) = (Instant::now(), process_cpu());
        let guest = Guest::find("groth16").expect("embedded");
        let image = bake_in(dir.path(), guest, &[Input::new("zkey/squares", zkey.clone())]);
        let bake = begun.elapsed().as_secs_f64();
        let bake_cpu = (process_cpu() - cpu_before).as_secs_f64();
        let generation = Arc::new(load_from(dir.path(), &image, &engine));
        let mut snarkjs = Snarkjs::start(&files[0], &files[1]);

        let instance = || Instance::instantiate(&generation, MEMORY).expect("an instance");
        let mut made: Vec<f64> = Vec::new();
        for _ in 0..200 {
            let begun = Instant::now();
            drop(instance());
            made.push(begun.elapsed().as_secs_f64());
        }
        let mut samples: [Vec<f64>; 4] = [const { Vec::new() }; 4];
        for _ in 0..rounds {
            let mut instance = instance();
            let wasm = counted(|| drop(call(&mut instance, "prove", "squares", &witness))).as_secs_f64();
            drop(instance);
            let native = counted(|| drop(key.prove(&roots, &witness, &[7; 32]).expect("a proof")));
            let (cpu, wall) = snarkjs.as_mut().map_or((f64::NAN, f64::NAN), Snarkjs::prove);
            let times = [wasm, native.as_secs_f64(), cpu, wall];
            samples.iter_mut().zip(times).for_each(|(samples, time)| samples.push(time));
        }
        let [wasm, native, cpu, wall] = samples.map(median);
        let figures = [
            ("key_bytes", zkey.len() as f64),
            ("read_seconds", read),
            ("check_seconds", check),
            ("bake_seconds", bake),
            ("bake_cpu_seconds", bake_cpu),
            ("instantiate_seconds", median(made)),
            ("wasm_seconds", wasm),
            ("native_seconds", native),
            ("snarkjs_cpu_seconds", cpu),
            ("snarkjs_wall_seconds", wall),
        ];
        for (figure, value) in figures.into_iter().filter(|(_, value)| !value.is_nan()) {
            record(&format!("growth16_{k}_{figure}"), value);
            eprintln!("2^{k:<3} {figure:<22} {value:.6}");
        }
    }
}

/// Returns the CPU time of this process.
fn process_cpu() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    now.try_into().expect("time goes forward")
}
