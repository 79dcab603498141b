//! Circuits as data: the tests bake a circuit of circom's, prove it, and check the proof with halo2's own verifier.

mod harness;

use halo2_proofs::{
    pasta::{EqAffine, Fp},
    poly::commitment::Params,
};
use harness::{Server, fixture, run_err, run_ok, snapback, state_with};
use snapback_circom::{Prime, wtns::Witness};
use snapback_guest_plonk::{Compiled, ProofFile, Prover};
use snapback_host::ids::GenerationId;
use snapback_host::instance::{Call, Entropy, Generation, Instance};
use snapback_snapshot::{Digest, ImageStore, NativeCache, engine};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    time::Duration,
};

fn x5chain(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/x5chain").join(file)
}

/// Returns the digest of an image with one circuit, which is baked once for all tests of this file.
fn image() -> String {
    static IMAGE: OnceLock<String> = OnceLock::new();
    let bake = || {
        let circuit = format!("circuit/x5chain={}", x5chain("x5chain.r1cs").display());
        let trial = format!("prove/x5chain={}", x5chain("witness.wtns").display());
        let bake = ["bake", "plonk", "--input", &circuit, "--trial", &trial];
        run_ok(snapback().args(bake).arg("--state-dir").arg(state_with("fixtures"))).trim().to_owned()
    };
    IMAGE.get_or_init(bake).clone()
}

fn generation() -> Arc<Generation> {
    let state = state_with("fixtures");
    let store = ImageStore::open(&state).expect("the store");
    let cache = NativeCache::open(&state, &harness::native_key(), 1 << 30);
    let digest: Digest = image().parse().expect("a digest");
    let image = cache.load(&engine(2).expect("an engine"), &store.open_image(&digest).expect("baked"));
    Arc::new(Generation::new(GenerationId::FIRST, image.expect("native code")).expect("an image"))
}

fn call(instance: &mut Instance, method: &str, body: &[u8], seed: [u8; 32]) -> Vec<u8> {
    let call = Call {
        method,
        circuit: "x5chain",
        body,
        entropy: Entropy::from_seed(seed),
        deadline: Duration::from_mins(2),
        reply_bytes_max: 1 << 24,
        stop: None,
    };
    let reply = instance.call(&call).expect("a reply");
    assert_eq!(reply.tag as u8, 0, "{}", String::from_utf8_lossy(&reply.body));
    reply.body.to_vec()
}

/// Compares what a circuit was estimated to take with what the image of it and a trial circuit takes.
fn assert_estimated(k: u32) {
    let memory = generation().image().manifest.memory_bytes;
    let output = snapback_for("estimate").output().expect("the command runs");
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((json["k"].as_u64(), json["rows"].as_u64()), (Some(u64::from(k)), Some(1 << k)));
    let range = |key: &str, at: usize| json[key][at].as_u64().expect("bytes");
    assert!((range("memory_bytes", 0)..=range("memory_bytes", 1)).contains(&memory), "{memory} of {json}");
}

fn snapback_for(action: &str) -> std::process::Command {
    let mut command = snapback();
    command.args(["circuits", action, "--json"]).arg(x5chain("x5chain.r1cs"));
    command
}

#[test]
fn a_file_is_described_without_a_server() {
    let output = snapback_for("info").output().expect("the command runs");
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let compiled = Compiled::<Fp>::read(&fixture("x5chain/x5chain.r1cs")).expect("a circuit");
    let digest: String = compiled.digest().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(json["circuit"], digest);
    assert_eq!((&json["prime"], &json["outputs"]), (&"pallas".into(), &1.into()));
    // What no proof system takes is described all the same, and what is no circuit is refused by name.
    let dir = tempfile::tempdir().expect("a directory");
    let other = dir.path().join("other.r1cs");
    let mut bytes = fixture("x5chain/x5chain.r1cs");
    let at = bytes.windows(32).position(|window| window == Prime::Pallas.modulus()).expect("its prime");
    bytes[at..at + 32].copy_from_slice(&Prime::Bn128.modulus());
    fs::write(&other, &bytes).expect("the file is written");
    let shown = run_ok(snapback().args(["circuits", "info"]).arg(&other));
    assert!(shown.contains("bn128") && shown.contains("cannot be proven"), "{shown}");
    run_err(snapback().args(["circuits", "estimate"]).arg(&other), 4);
    fs::write(&other, b"nothing").expect("the file is written");
    assert!(run_err(snapback().args(["circuits", "info"]).arg(&other), 4).contains("other.r1cs"));
}

#[test]
fn wasm_and_native_give_the_same_proof_for_the_same_witness_and_seed() {
    let mut instance = Instance::instantiate(&generation(), 1 << 30).expect("an instance");
    let file = call(&mut instance, "prove", &fixture("x5chain/witness.wtns"), [9; 32]);
    let baked = ProofFile::decode(&file).expect("a proof file");

    let compiled = Compiled::<Fp>::read(&fixture("x5chain/x5chain.r1cs")).expect("a circuit");
    assert_eq!(compiled.k(), 12, "a row has two slots, and a round takes three");
    let header = compiled.r1cs().header;
    assert_estimated(compiled.k());
    let params = Params::<EqAffine>::new(compiled.k());
    let prover = Prover::new(&params, compiled).expect("keys");
    let witness =
        Witness::read(&fixture("x5chain/witness.wtns"), Prime::Pallas, header.wires).expect("a witness");
    let native = prover.prove(&params, &witness, &[9; 32]).expect("a witness that satisfies the circuit");
    assert!(baked.proof == native, "the proof differs from the native one");
    assert_eq!(baked.circuit, prover.compiled().digest());
    // halo2's own verifier checks the proof with a key that was made outside of any image.
    prover
        .verify(&params, &witness.values()[1..=header.publics() as usize], baked.proof)
        .expect("a valid proof");

    // Verification with the file of the verifying key needs neither an image nor a server.
    let dir = tempfile::tempdir().expect("a directory");
    let (key, proof) = (dir.path().join("x5chain.vk"), dir.path().join("x5chain.proof"));
    fs::write(&key, call(&mut instance, "verifying_key", b"", [0; 32])).expect("the file is written");
    fs::write(&proof, &file).expect("the file is written");
    let verify = |proof: &Path| {
        let mut command = snapback();
        command.arg("verify").arg(proof).arg("--vk").arg(&key);
        command
    };
    assert!(run_ok(&mut verify(&proof)).starts_with("valid\n"));
    let mut flipped = file;
    let last = flipped.len() - 1;
    flipped[last] ^= 1;
    fs::write(&proof, &flipped).expect("the file is written");
    run_err(&mut verify(&proof), 5);
    run_err(&mut verify(&key), 4);
}

#[test]
fn a_circuit_is_served_and_the_error_for_a_wrong_witness_names_the_constraint() {
    let state = state_with("fixtures");
    let served = format!("baked={}", image());
    let server = Server::of(snapback().args(["serve", &served]).arg("--state-dir").arg(&state));
    let prove = |witness: &[u8]| server.post("/v1/circuits/x5chain/prove", witness);
    let witness = fixture("x5chain/witness.wtns");
    let proof = prove(&witness).ok();
    server.post("/v1/circuits/x5chain/verify", &proof).ok();

    // The last value belongs to the last round, so only the constraints at the end are violated.
    let mut wrong = witness.clone();
    let at = wrong.len() - 32;
    wrong[at] ^= 1;
    let message = prove(&wrong).error(422, "refuted");
    assert!(message.contains("does not satisfy constraint"), "{message}");
    prove(&witness[..witness.len() - 1]).error(400, "malformed_input");
    prove(b"").error(400, "malformed_input");
    server.post("/v1/methods/circuits?circuit=nope", b"").error(404, "unknown_circuit");
    assert!(
        server
            .post("/v1/methods/verifying_key", b"")
            .error(404, "unknown_circuit")
            .contains("names no circuit")
    );
    let mut forged = proof;
    let last = forged.len() - 1;
    forged[last] ^= 1;
    server.post("/v1/circuits/x5chain/verify", &forged).error(422, "refuted");
    let key = server.post("/v1/methods/verifying_key?circuit=x5chain", b"").ok();
    assert!(key.starts_with(b"sbvk"));
}

#[test]
fn circuits_that_cannot_be_proven_are_refused_with_the_reason() {
    let state = state_with("fixtures");
    let dir = tempfile::tempdir().expect("a directory");
    let bake = |name: &str, r1cs: &[u8], code: i32| {
        let file = dir.path().join("circuit.r1cs");
        fs::write(&file, r1cs).expect("the file is written");
        let input = format!("circuit/{name}={}", file.display());
        run_err(snapback().args(["bake", "plonk", "--input", &input]).arg("--state-dir").arg(&state), code)
    };
    let r1cs = fixture("x5chain/x5chain.r1cs");
    let mut bn128 = r1cs.clone();
    let prime = bn128.windows(32).position(|window| window == Prime::Pallas.modulus());
    bn128[prime.expect("its prime")..][..32].copy_from_slice(&Prime::Bn128.modulus());
    assert!(bake("x", &bn128, 3).contains("bn128"));
    assert!(bake("x", &r1cs[..r1cs.len() / 2], 3).contains("not an .r1cs file"));
    assert!(bake("no/name", &r1cs, 3).contains("needs a name"));
}

#[test]
fn a_bake_that_starts_from_an_image_keeps_its_circuits() {
    let state = state_with("fixtures");
    let base = image();
    let circuit = format!("circuit/second={}", x5chain("x5chain.r1cs").display());
    let bake = |args: &[&str]| -> serde_json::Value {
        let command = &mut snapback();
        command.args(["bake", "--base", &base, "--json"]).args(args).arg("--state-dir").arg(&state);
        serde_json::from_str(&run_ok(command)).expect("JSON")
    };
    let names = |baked: &serde_json::Value| -> Vec<(String, String)> {
        let circuits = baked["manifest"]["circuits"].as_array().expect("circuits").clone();
        let text = |value: &serde_json::Value| value.as_str().expect("text").to_owned();
        circuits.iter().map(|circuit| (text(&circuit["name"]), text(&circuit["vk_digest"]))).collect()
    };
    let two = bake(&["--input", &circuit]);
    assert_eq!(two["manifest"]["base"], base.as_str());
    let two = names(&two);
    assert_eq!(two.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["second", "x5chain"]);
    assert_eq!(two[0].1, two[1].1, "the same circuit has the same key under both names");
    assert!(names(&bake(&["--remove", "x5chain"])).is_empty());
}
