//! Random circuits: the guest, whose arithmetic is partly our own, makes the proofs that the unmodified library makes, and
//! the sums of field elements.
//!
//! `SNAPBACK_RANDOM_CIRCUITS` sets their number.

mod harness;

/// The generator of circuits, which the tests of the guest's crate use too.
#[path = "../guest/plonk/src/arbitrary.rs"]
mod arbitrary;

use arbitrary::satisfied;
use halo2_proofs::{
    pasta::{EpAffine, EqAffine},
    poly::commitment::Params,
};
use harness::{Server, circuits::squares::squares_over, native_key, run_ok, snapback, state_with};
use proptest::{
    strategy::{Strategy, ValueTree},
    test_runner::TestRunner,
};
use snapback_circom::wtns::Witness;
use snapback_guest_fixtures::sum_of_sums;
use snapback_guest_plonk::{Compiled, ProofFile, Prover, Scalar, Side};
use snapback_host::{
    ids::GenerationId,
    instance::{Call, Entropy, Generation, Instance},
};
use snapback_snapshot::{Digest, ImageStore, NativeCache, engine};
use std::{collections::BTreeMap, env, fs, path::Path, sync::Arc, time::Duration};

/// Circuits of one image.
const BATCH: usize = 25;

/// Squarings of the largest circuit.
const SQUARES: u32 = 2_000;

/// A circuit's file, its witness, and the proof that the library makes.
struct Case {
    r1cs: Vec<u8>,
    witness: Vec<u8>,
    proof: Vec<u8>,
}

fn cases<C: Side>(
    runner: &mut TestRunner,
    params: &mut BTreeMap<u32, Params<C>>,
    seed: [u8; 32],
) -> Vec<Case> {
    let strategy = satisfied::<C>();
    let random = |_| {
        let circuit = strategy.new_tree(runner).expect("a circuit").current();
        (circuit.r1cs.write(), Witness::from_values(circuit.witness).write(C::PRIME))
    };
    // Generators are folded where there are many.
    let large = squares_over::<C::ScalarExt>(C::PRIME, SQUARES, 3);
    (0..BATCH)
        .map(random)
        .chain([large])
        .map(|(r1cs, file)| {
            let compiled = Compiled::<C::ScalarExt>::read(&r1cs).expect("a circuit");
            let params = params.entry(compiled.k()).or_insert_with_key(|k| Params::new(*k));
            let witness = Witness::read(&file, C::PRIME, compiled.r1cs().header.wires).expect("a witness");
            let prover = Prover::new(params, compiled).expect("keys");
            let proof = prover.prove(params, &witness, &seed).expect("a witness that satisfies the circuit");
            Case { r1cs, witness: file, proof }
        })
        .collect()
}

fn baked(cases: &[Case], directory: &Path) -> Arc<Generation> {
    let state = state_with("fixtures");
    let mut bake = snapback();
    bake.args(["bake", "plonk", "--state-dir"]).arg(&state);
    for (index, case) in cases.iter().enumerate() {
        let file = directory.join(format!("{index}.r1cs"));
        fs::write(&file, &case.r1cs).expect("the file is written");
        bake.arg("--input").arg(format!("circuit/c{index}={}", file.display()));
    }
    let digest: Digest = run_ok(&mut bake).trim().parse().expect("a digest");
    let store = ImageStore::open(&state).expect("the store");
    let cache = NativeCache::open(&state, &native_key(), 1 << 30);
    let image = cache.load(&engine(2).expect("an engine"), &store.open_image(&digest).expect("baked"));
    let generation = Generation::new(GenerationId::FIRST, image.expect("native code")).expect("an image");
    // Images of random circuits would fill the directory that all tests share.
    store.remove(&digest).expect("it is there");
    Arc::new(generation)
}

#[test]
fn guest_and_library_add_the_same() {
    let server = Server::start("fixtures", &[]);
    for additions in [0, 1, 64, 1_000_000] {
        let sum = server.post("/v1/methods/sums", additions.to_string().as_bytes()).ok();
        assert!(sum == sum_of_sums(additions), "{additions}");
    }
}

#[test]
fn guest_and_library_prove_random_circuits_with_the_same_bytes() {
    let wanted = env::var("SNAPBACK_RANDOM_CIRCUITS").map_or(100, |number| number.parse().expect("a number"));
    let mut runner = TestRunner::deterministic();
    let (mut pallas, mut vesta) =
        (BTreeMap::<u32, Params<EqAffine>>::new(), BTreeMap::<u32, Params<EpAffine>>::new());
    let mut proven = 0;
    while proven < wanted {
        let seed = [u8::try_from(proven % 251).expect("below 256"); 32];
        let mut cases = cases(&mut runner, &mut pallas, seed);
        cases.extend(self::cases(&mut runner, &mut vesta, seed));
        let directory = tempfile::tempdir().expect("a directory");
        let generation = baked(&cases, directory.path());
        let mut instance = Instance::instantiate(&generation, 1 << 30).expect("an instance");
        for (index, case) in cases.iter().enumerate() {
            let reply = instance.call(&Call {
                method: "prove",
                circuit: &format!("c{index}"),
                body: &case.witness,
                entropy: Entropy::from_seed(seed),
                deadline: Duration::from_mins(10),
                reply_bytes_max: 1 << 24,
                stop: None,
            });
            let reply = reply.expect("a reply");
            assert_eq!(reply.tag as u8, 0, "{}", String::from_utf8_lossy(&reply.body));
            let file = ProofFile::decode(&reply.body).expect("a proof file");
            assert!(file.proof == case.proof, "circuit {index} after {proven} has another proof");
        }
        proven += cases.len();
    }
}
