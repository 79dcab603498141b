//! A proof in wasm against the same library natively, in CPU time of one thread, and an addition in the field of its curve;
//! and two lanes against one.
//!
//! The two sides are interleaved: each sample makes both proofs, one after the other, and counts its own.

mod support;

use snapback_host::instance::Instance;

use chacha20::ChaCha20Rng;
use criterion::{Criterion, SamplingMode, criterion_group, criterion_main};
use orchard::circuit::{OrchardCircuitVersion, ProvingKey};
use pczt::{Pczt, roles::prover::Prover};
use rand_core::SeedableRng;
use rayon::ThreadPoolBuilder;
use snapback_guest_fixtures::sum_of_sums;
use std::{
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant},
};
use support::{Host, Image, MEMORY, call, counted, load_baked, median, pczt, record};

fn prove(criterion: &mut Criterion) {
    let pczt = pczt();
    let engine = snapback_snapshot::engine(4).expect("an engine");
    let _ticker = snapback_snapshot::Ticker::start(&engine).expect("a thread");
    let generation = Arc::new(Image::Orchard.load(&engine));
    let key = ProvingKey::build(OrchardCircuitVersion::FixedPostNu6_2);
    // The pool has one thread, because the library uses all threads of the pool that it runs in.
    let one_thread = ThreadPoolBuilder::new().num_threads(1).build().expect("a thread");

    let wasm = || {
        let mut instance = Instance::instantiate(&generation, MEMORY).expect("an instance");
        counted(|| drop(call(&mut instance, "prove", "orchard", &pczt)))
    };
    // The guest verifies its proof, so the native side does too.
    let verifying_key = key.verifying_key();
    let native = || {
        one_thread.install(|| {
            counted(|| {
                let proven = Prover::new(Pczt::parse(&pczt).expect("a PCZT"))
                    .create_orchard_proof(ChaCha20Rng::from_seed([1; 32]), &key)
                    .expect("a proof")
                    .finish();
                verify(&proven, &verifying_key);
                drop(proven.serialize().expect("a PCZT"));
            })
        })
    };

    let mut group = criterion.benchmark_group("prove/orchard2");
    group.sample_size(10).sampling_mode(SamplingMode::Flat).warm_up_time(Duration::from_millis(1));
    group.bench_function("native_1_thread", |bencher| {
        bencher.iter_custom(|iters| {
            (0..iters)
                .map(|_| {
                    wasm();
                    native()
                })
                .sum()
        });
    });
    group.bench_function("wasm", |bencher| {
        bencher.iter_custom(|iters| {
            (0..iters)
                .map(|_| {
                    native();
                    wasm()
                })
                .sum()
        });
    });
    group.finish();
    let ratios = (0..10).map(|_| wasm().as_secs_f64() / native().as_secs_f64());
    record("prove_wasm_over_native", median(ratios.collect()));
}

/// Measures additions in a field of the Pasta curves, interleaved.
fn additions(_: &mut Criterion) {
    const ADDITIONS: usize = 20_000_000;
    let engine = snapback_snapshot::engine(2).expect("an engine");
    let _ticker = snapback_snapshot::Ticker::start(&engine).expect("a thread");
    let generation = Arc::new(load_baked("fixtures", &[], &engine));
    let mut instance = Instance::instantiate(&generation, MEMORY).expect("an instance");
    let body = ADDITIONS.to_string();
    let ratios = (0..11).map(|_| {
        let (mut guests, mut natives) = (Vec::new(), [0; 32]);
        let guest = counted(|| guests = call(&mut instance, "sums", "", body.as_bytes()));
        let native = counted(|| natives = sum_of_sums(black_box(ADDITIONS)));
        assert_eq!(guests, natives);
        guest.as_secs_f64() / native.as_secs_f64()
    });
    record("addition_wasm_over_native", median(ratios.collect()));
}

fn verify(proven: &Pczt, key: &orchard::circuit::VerifyingKey) {
    use orchard::circuit::Instance;
    use pczt::roles::verifier::{OrchardError, Verifier};
    let seen = Verifier::new(proven.clone()).with_orchard::<(), _>(|bundle| {
        let instances: Vec<Instance> = bundle
            .actions()
            .iter()
            .map(|action| {
                Instance::from_parts(
                    *bundle.anchor(),
                    action.cv_net().clone(),
                    *action.spend().nullifier(),
                    action.spend().rk().clone(),
                    *action.output().cmx(),
                    *bundle.flags(),
                )
                .expect("a point")
            })
            .collect();
        let proof = bundle.zkproof().as_ref().expect("a proof");
        proof.verify(key, &instances).map_err(|_| OrchardError::Custom(()))
    });
    assert!(seen.is_ok(), "the proof does not verify");
}

/// Measures the proofs per second of two lanes relative to one, interleaved.
fn lanes(_: &mut Criterion) {
    let pczt = pczt();
    let throughput = |host: &Host| {
        let begun = Instant::now();
        let proofs: Vec<_> = (0..4).map(|_| host.submit("prove", "orchard", &pczt)).collect();
        for proof in proofs {
            proof.blocking_recv().expect("an answer").result.expect("a proof");
        }
        4.0 / begun.elapsed().as_secs_f64()
    };
    let (one, two) = (Host::start(Image::Orchard, 1), Host::start(Image::Orchard, 2));
    let ratios = (0..5).map(|_| throughput(&two) / throughput(&one));
    record("lanes_two_over_one", median(ratios.collect()));
}

criterion_group!(benches, additions, prove, lanes);
criterion_main!(benches);
