//! Circuits as data: keys and proofs in wasm against native ones, a fresh instance against making the keys again, many
//! circuits against one, and a server to which circuits are added while it proves.

#[path = "../tests/harness/squares.rs"]
mod squares;
mod support;

use criterion::{Criterion, SamplingMode, criterion_group, criterion_main};
use halo2_proofs::{
    pasta::{EqAffine, Fp},
    poly::commitment::Params,
};
use rayon::ThreadPoolBuilder;
use snapback_circom::{Prime, wtns::Witness};
use snapback_guest_plonk::{Compiled, Prover, Verifier};
use snapback_host::instance::Instance;
use snapback_snapshot::{Guest, Ticker, engine};
use squares::squares;
use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};
use support::{
    Image, MEMORY, call, counted, fixture, median, private_bytes, record,
    served::{Client, Served},
    state_dir,
    unbaked::Unbaked,
};

const CIRCUIT: &str = "x5chain0";

/// Feeds a reference string and a circuit to a new instance, and returns the CPU time of each.
fn replay(unbaked: &Unbaked, srs: &[u8], r1cs: &[u8]) -> (Duration, Duration) {
    let mut live = unbaked.start();
    (live.feed("bake_srs", "pallas", srs), live.feed("bake_circuit", CIRCUIT, r1cs))
}

fn keys_and_proofs(criterion: &mut Criterion) {
    let (r1cs, wtns) = (fixture("x5chain/x5chain.r1cs"), fixture("x5chain/witness.wtns"));
    let one_thread = ThreadPoolBuilder::new().num_threads(1).build().expect("a thread");
    let k = Compiled::<Fp>::read(&r1cs).expect("a circuit").k();
    let mut params = None;
    let srs_took = one_thread.install(|| counted(|| params = Some(Params::<EqAffine>::new(k))));
    let params = params.expect("made");
    let mut srs = Vec::new();
    params.write(&mut srs).expect("written");

    let unbaked = Unbaked::new(Guest::find("plonk").expect("embedded"));
    let native_keys = || {
        one_thread.install(|| {
            counted(|| {
                let compiled = Compiled::read(&r1cs).expect("a circuit");
                drop(Prover::<EqAffine>::new(&params, compiled).expect("keys"));
            })
        })
    };
    let pairs: Vec<_> = (0..7).map(|_| (replay(&unbaked, &srs, &r1cs), native_keys())).collect();
    let ratio = |pick: &dyn Fn(Duration, Duration) -> Duration| {
        let ratios = pairs
            .iter()
            .map(|((fed, keyed), native)| pick(*fed, *keyed).as_secs_f64() / native.as_secs_f64());
        median(ratios.collect())
    };
    record("keygen_wasm_over_native", ratio(&|_, keyed| keyed));
    record("bake_over_native_keygen", ratio(&|fed, keyed| fed + keyed));
    record("keygen_native_seconds", median(pairs.iter().map(|(_, native)| native.as_secs_f64()).collect()));
    let replay = median(pairs.iter().map(|((fed, keyed), _)| (*fed + *keyed).as_secs_f64()).collect());
    record("replay_seconds", srs_took.as_secs_f64() + replay);

    let engine = engine(4).expect("an engine");
    let _ticker = Ticker::start(&engine).expect("a thread");
    let generation = Arc::new(Image::Circuits(1).load(&engine));
    let compiled = Compiled::read(&r1cs).expect("a circuit");
    let prover = Prover::<EqAffine>::new(&params, compiled).expect("keys");
    let wasm = || {
        let mut instance = Instance::instantiate(&generation, MEMORY).expect("an instance");
        counted(|| drop(call(&mut instance, "prove", CIRCUIT, &wtns)))
    };
    let native = || {
        one_thread.install(|| {
            counted(|| {
                let wires = prover.compiled().r1cs().header.wires;
                let witness = Witness::read(&wtns, Prime::Pallas, wires).expect("a witness");
                prover.prove(&params, &witness, &[1; 32]).expect("a proof");
            })
        })
    };
    let mut group = criterion.benchmark_group("prove/x5chain");
    group.sample_size(10).sampling_mode(SamplingMode::Flat).warm_up_time(Duration::from_millis(1));
    let samples = |iters: u64, first: &dyn Fn() -> Duration, second: &dyn Fn() -> Duration| {
        (0..iters)
            .map(|_| {
                first();
                second()
            })
            .sum()
    };
    group.bench_function("native_1_thread", |bencher| {
        bencher.iter_custom(|iters| samples(iters, &wasm, &native))
    });
    group.bench_function("wasm", |bencher| bencher.iter_custom(|iters| samples(iters, &native, &wasm)));
    group.finish();
    let ratios = (0..15).map(|_| wasm().as_secs_f64() / native().as_secs_f64());
    record("prove_x5chain_wasm_over_native", median(ratios.collect()));
}

/// Measures images of one circuit and of ten, interleaved.
fn many_circuits(criterion: &mut Criterion) {
    let load = |count| {
        let engine = engine(4).expect("an engine");
        let generation = Arc::new(Image::Circuits(count).load(&engine));
        (engine, generation)
    };
    let (one, ten) = (load(1), load(10));
    let make = |generation: &Arc<_>| drop(Instance::instantiate(generation, MEMORY).expect("an instance"));
    let mut group = criterion.benchmark_group("instantiate");
    group.bench_function("circuits/1", |bencher| bencher.iter(|| make(&one.1)));
    group.bench_function("circuits/10", |bencher| bencher.iter(|| make(&ten.1)));
    group.finish();
    let timed = |generation| {
        let begun = Instant::now();
        (0..200).for_each(|_| make(generation));
        begun.elapsed().as_secs_f64() / 200.0
    };
    let pairs: Vec<_> = (0..25).map(|_| (timed(&one.1), timed(&ten.1))).collect();
    record("instantiate_ten_over_one", median(pairs.iter().map(|(one, ten)| ten / one).collect()));
    record("instantiate_circuit_seconds", median(pairs.iter().map(|(one, _)| *one).collect()));
}

/// Measures a thousand standbys of ten circuits that were never called, in a process that has not made an instance yet.
fn standby(_: &mut Criterion) {
    Image::Circuits(10).bake_apart();
    let engine = engine(1_000).expect("an engine");
    let generation = Arc::new(Image::Circuits(10).load(&engine));
    let before = private_bytes();
    let standbys: Vec<_> =
        (0..1_000).map(|_| Instance::instantiate(&generation, MEMORY).expect("an instance")).collect();
    record("standby_ten_circuits_bytes", (private_bytes() - before) / standbys.len() as f64);
}

/// Adds a circuit, and returns once it is served.
fn add(server: &Served, name: &str, r1cs: &[u8]) {
    let mut body = b"--x\r\nContent-Disposition: form-data; name=\"r1cs\"\r\n\r\n".to_vec();
    body.extend_from_slice(r1cs);
    body.extend_from_slice(b"\r\n--x--\r\n");
    change(server, "PUT", name, &body);
}

/// Removes a circuit, and returns once it is no longer served.
fn remove(server: &Served, name: &str) {
    change(server, "DELETE", name, b"");
}

fn change(server: &Served, method: &str, name: &str, body: &[u8]) {
    let mut client = server.connect();
    let path = format!("/v1/circuits/{name}");
    let job: serde_json::Value =
        serde_json::from_slice(&client.send(method, &path, "multipart/form-data; boundary=x", body))
            .expect("JSON");
    loop {
        let path = format!("/v1/changes/{}", job["id"]);
        let job: serde_json::Value =
            serde_json::from_slice(&client.send("GET", &path, "", b"")).expect("JSON");
        match job["state"].as_str() {
            Some("done") => return,
            Some("failed") => panic!("{job}"),
            _ => thread::sleep(Duration::from_millis(20)),
        }
    }
}

/// Makes at least a thousand proofs on two lanes while generations are published one after another, and verifies every
/// proof natively.
fn publish_while_proving(_: &mut Criterion) {
    /// After so many generations the server keeps as many earlier ones as it ever will.
    const BEFORE: u32 = 8;
    const ROUNDS: u32 = 10;
    drop(fs::remove_dir_all(state_dir().join("circuits")));
    let server = Served::start("plonk", &["--lanes", "2", "--swap-policy", "threshold"]);
    let (small, witness) = squares(200, 3);
    add(&server, "small", &small);
    let compiled = Compiled::<Fp>::read(&small).expect("a circuit");
    let params = Params::<EqAffine>::new(compiled.k());
    let verifier = Verifier::new(&params, compiled).expect("a key");

    let clients = Clients { server: &server, witness };
    clients.bakes(BEFORE, 0);
    clients.switches(2, 10);
    let (resident, private) = clients.memory();
    let (baking, rates) = clients.bakes(ROUNDS, 1000);
    let switching = clients.switches(ROUNDS, 100);
    let (resident_after, private_after) = clients.memory();
    for proof in baking.iter().chain(&switching) {
        verifier.verify_file(&params, proof).expect("every proof verifies");
    }
    record("publish_baked_proofs", baking.len() as f64);
    record("publish_baked_generations", rates.len() as f64);
    record("publish_every_100_proofs", switching.len() as f64);
    let rates = rates.iter().map(|(without, during)| during / without);
    record("publish_throughput_over_idle", median(rates.collect()));
    record("publish_private_bytes_before", private);
    record("publish_private_bytes_after", private_after);
    record("publish_private_over_before", private_after / private);
    record("publish_resident_over_before", resident_after / resident);
}

/// Waits until `more` further proofs are made.
fn wait_for(made: &AtomicU64, more: u64) {
    let enough = made.load(Ordering::Relaxed) + more;
    while made.load(Ordering::Relaxed) < enough {
        thread::sleep(Duration::from_millis(5));
    }
}

/// Two clients of a server with two lanes.
struct Clients<'a> {
    server: &'a Served,
    witness: Vec<u8>,
}

impl Clients<'_> {
    fn prove(&self, client: &mut Client) -> Vec<u8> {
        client.send("POST", "/v1/circuits/small/prove", "application/octet-stream", &self.witness)
    }

    /// Lets both clients prove until `work` returns, and returns the proofs. `work` sees how many proofs there are.
    fn prove_during(&self, work: impl FnOnce(&AtomicU64)) -> Vec<Vec<u8>> {
        let (made, stop) = (AtomicU64::new(0), AtomicBool::new(false));
        let client = || {
            let mut client = self.server.connect();
            let mut proofs = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                proofs.push(self.prove(&mut client));
                made.fetch_add(1, Ordering::Relaxed);
            }
            proofs
        };
        thread::scope(|scope| {
            let clients: Vec<_> = (0..2).map(|_| scope.spawn(client)).collect();
            work(&made);
            stop.store(true, Ordering::Relaxed);
            clients.into_iter().flat_map(|client| client.join().expect("no call fails")).collect()
        })
    }

    /// Bakes and publishes at least `generations_min` generations while the clients make at least `proofs_min` proofs.
    /// In the end the circuits are those of the beginning. Returns the proofs, and pairs of their throughput: without a
    /// bake, and during one.
    fn bakes(&self, generations_min: u32, proofs_min: u64) -> (Vec<Vec<u8>>, Vec<(f64, f64)>) {
        let mut rates = Vec::new();
        let proofs = self.prove_during(|made| {
            let rate = |work: &mut dyn FnMut()| {
                let (from, begun) = (made.load(Ordering::Relaxed), Instant::now());
                work();
                (made.load(Ordering::Relaxed) - from) as f64 / begun.elapsed().as_secs_f64()
            };
            for round in 0.. {
                if round >= generations_min && round % 2 == 0 && made.load(Ordering::Relaxed) >= proofs_min {
                    break;
                }
                let without = rate(&mut || wait_for(made, 50));
                let during = rate(&mut || match round % 2 {
                    0 => add(self.server, "other", &squares(300 + round, 3).0),
                    _ => remove(self.server, "other"),
                });
                rates.push((without, during));
            }
        });
        (proofs, rates)
    }

    /// Publishes one of the last two generations after every `every` proofs. `times` is even, so that the last one is
    /// that of the beginning.
    fn switches(&self, times: u32, every: u64) -> Vec<Vec<u8>> {
        let mut client = self.server.connect();
        let known = client.send("GET", "/v1/generations", "", b"");
        let known: serde_json::Value = serde_json::from_slice(&known).expect("JSON");
        let active = known["active"].as_u64().expect("a number");
        self.prove_during(|made| {
            for time in 0..times {
                wait_for(made, every);
                let id = active - u64::from(time % 2 == 0);
                client.send("POST", &format!("/v1/generations/{id}/activate"), "", b"");
            }
        })
    }

    /// Returns resident and private memory, after both lanes have proven in the generation that is served.
    fn memory(&self) -> (f64, f64) {
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| (0..10).for_each(|_| drop(self.prove(&mut self.server.connect()))));
            }
        });
        (self.server.resident_bytes(), self.server.private_bytes())
    }
}

// `standby` runs first: its instances would otherwise use free memory that other benches leave on the heap.
criterion_group!(benches, standby, keys_and_proofs, many_circuits, publish_while_proving);
criterion_main!(benches);
