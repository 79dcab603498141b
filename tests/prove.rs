//! A real prover: the tests bake it, serve it and prove with it, and the network's own code checks the proofs.

mod harness;

use chacha20::ChaCha20Rng;
use harness::{
    Server, native_key, patient, run_err, run_ok, snapback, state_with, until,
    zcash::{extract, unproven, with_flipped_proof_byte},
};
use pczt::{Pczt, roles::prover::Prover};
use rand_core::SeedableRng;
use snapback_host::ids::GenerationId;
use snapback_host::instance::{Call, Entropy, Generation, Instance};
use snapback_snapshot::{
    Digest, Guest, ImageStore, NativeCache, earlier_bake, engine, proof_systems::ProofSystems,
};
use std::{fs, sync::Arc, thread, time::Duration};

#[test]
fn the_network_accepts_a_proof_that_was_made_over_http() {
    let server = Server::start("zcash", &["--log-level", "trace"]);
    assert_eq!(server.get("/readyz").status, 200);

    let circuits = server.get("/v1/circuits").json();
    assert_eq!(circuits["circuits"][0]["name"], "orchard");
    assert_eq!(circuits["circuits"][0]["image"], "zcash");
    for digest in ["vk_digest", "image_digest"] {
        let digest = circuits["circuits"][0][digest].as_str().expect("a digest");
        digest.parse::<Digest>().expect("a digest");
    }

    let proven = server.post("/v1/circuits/orchard/prove", &unproven()).ok();
    extract(&proven).expect("the network accepts the proof");
    let verdict = server.post("/v1/circuits/orchard/verify", &proven).json();
    assert_eq!(verdict["valid"], true);

    let forged = with_flipped_proof_byte(&proven);
    extract(&forged).expect_err("the network rejects a flipped byte");
    server.post("/v1/circuits/orchard/verify", &forged).error(422, "refuted");

    // Each call has fresh entropy, so a second proof of the same statement differs.
    let again = server.post("/v1/circuits/orchard/prove", &unproven()).ok();
    assert_ne!(proven, again);
    extract(&again).expect("the network accepts this one too");

    let refused = server.post("/v1/circuits/orchard/prove", &proven);
    refused.error(422, "nothing_to_prove");

    let log = server.stop();
    assert!(log.contains("/v1/circuits/{circuit}/prove") && !log.contains("PCZT"), "{log}");
}

#[test]
fn each_kind_of_bad_input_has_an_error_of_its_own_and_the_server_goes_on() {
    let server = Server::start("zcash", &[]);
    let pczt = unproven();
    let prove = |body: &[u8]| server.post("/v1/circuits/orchard/prove", body);
    for len in [0, 1, 4, 8, 100, pczt.len() / 2, pczt.len() - 1] {
        prove(&pczt[..len]).error(400, "malformed_input");
    }
    prove(b"%PDF-1.7").error(400, "malformed_input");
    prove(&[0xff; 4096]).error(400, "malformed_input");
    let mut another_version = pczt.clone();
    another_version[4] ^= 0xff;
    prove(&another_version).error(400, "malformed_input");
    server.post("/v1/circuits/orchard/verify", &pczt).error(422, "unsupported_input");
    server.post("/v1/circuits/sapling/prove", &pczt).error(404, "unknown_circuit");
    server.post("/v1/methods/prove", &pczt).error(404, "unknown_circuit");
    server.post("/v1/methods/bake_init", b"").error(404, "unknown_method");
    server.post("/v1/methods/snapback_alloc", b"").error(404, "unknown_method");
    extract(&prove(&pczt).ok()).expect("the server still proves");
}

#[test]
fn two_lanes_prove_at_once_and_every_proof_is_valid() {
    let server = Server::start("zcash", &["--lanes", "2"]);
    let proofs: Vec<Vec<u8>> = thread::scope(|scope| {
        let clients: Vec<_> = (0..6)
            .map(|_| scope.spawn(|| server.post("/v1/circuits/orchard/prove", &unproven()).ok()))
            .collect();
        clients.into_iter().map(|client| client.join().expect("a proof")).collect()
    });
    for proof in &proofs {
        extract(proof).expect("the network accepts it");
    }
    let status = server.get("/v1/status").json();
    assert_eq!(status["lanes"]["at_work"], 2);
    // The sixth reply is sent before the sixth swap.
    assert!(status["swaps"]["total"].as_u64().expect("a count") >= 5, "{status}");
}

#[test]
fn a_full_queue_has_an_exit_code_that_tells_scripts_to_try_again() {
    let state = state_with("fixtures");
    state_with("zcash");
    let server = Server::of(
        snapback()
            .args(["serve", "zcash", "fixtures", "--lanes", "1", "--queue-depth", "1", "--state-dir"])
            .arg(state),
    );
    let url = server.url("");
    let dir = tempfile::tempdir().expect("a directory");
    let pczt = dir.path().join("x.pczt");
    std::fs::write(&pczt, unproven()).expect("the file is written");
    let prove = || {
        let mut command = snapback();
        command.arg("prove").arg(&pczt).args(["--server", &url]).arg("-o").arg(dir.path().join("proven"));
        command
    };
    thread::scope(|scope| {
        let proving = scope.spawn(|| server.post("/v1/circuits/orchard/prove", &unproven()).ok());
        until("the call runs", || server.metric("snapback_calls_in_flight") == 1.0);
        let waiting = scope.spawn(|| server.post("/v1/methods/echo", b"of the other image").ok());
        until("the call waits", || server.metric("snapback_queue_length") == 1.0);
        let stderr = run_err(&mut prove(), 6);
        assert!(stderr.contains("queue"), "{stderr}");
        extract(&proving.join().expect("a proof")).expect("the network accepts it");
        assert_eq!(waiting.join().expect("an answer"), b"of the other image");
    });
    run_ok(&mut prove());
    extract(&std::fs::read(dir.path().join("proven")).expect("the file is written"))
        .expect("the network accepts it");
}

#[test]
fn wasm_and_native_give_the_same_bytes_for_the_same_seed() {
    let seed = [42; 32];
    let mut instance = zcash_instance();
    let reply = instance
        .call(&Call {
            method: "prove",
            circuit: "orchard",
            body: &unproven(),
            entropy: Entropy::from_seed(seed),
            deadline: Duration::from_mins(5),
            reply_bytes_max: 1 << 20,
            stop: None,
        })
        .expect("a reply");

    let key = orchard::circuit::ProvingKey::build(orchard::circuit::OrchardCircuitVersion::FixedPostNu6_2);
    let native = Prover::new(Pczt::parse(&unproven()).expect("a PCZT"))
        .create_orchard_proof(ChaCha20Rng::from_seed(seed), &key)
        .expect("a proof")
        .finish()
        .serialize()
        .expect("a PCZT");
    assert!(*reply.body == native, "wasm and native differ");

    // The manifest names the key that the native library makes.
    let digest = {
        use sha2::{Digest as _, Sha256};
        let rendered = format!("{:?}", key.verifying_key());
        Digest::from_bytes(Sha256::digest(rendered.as_bytes()).into())
    };
    assert_eq!(instance.generation().image().manifest.circuits[0].vk_digest, digest);
}

fn zcash_instance() -> Instance {
    let state = state_with("zcash");
    let store = ImageStore::open(&state).expect("the store");
    let guest = Guest::find("zcash").expect("embedded");
    let digest = earlier_bake(&store, &ProofSystems::builtin(), guest, &[]).expect("baked");
    let engine = engine(2).expect("an engine");
    let image = NativeCache::open(&state, &native_key(), 1 << 30)
        .load(&engine, &store.open_image(&digest).expect("the image"))
        .expect("native code");
    let generation = Arc::new(Generation::new(GenerationId::FIRST, image).expect("an image"));
    Instance::instantiate(&generation, 4 << 30).expect("an instance")
}

#[test]
fn the_command_line_proves_and_verifies_locally_and_on_a_server() {
    let dir = tempfile::tempdir().expect("a directory");
    let (input, proven) = (dir.path().join("in.pczt"), dir.path().join("proven.pczt"));
    fs::write(&input, unproven()).expect("the file is written");
    let state = state_with("zcash");
    run_ok(
        patient(&mut snapback())
            .arg("prove")
            .arg(&input)
            .arg("-o")
            .arg(&proven)
            .arg("--state-dir")
            .arg(&state),
    );
    extract(&fs::read(&proven).expect("a proof")).expect("the network accepts it");

    let server = Server::start("zcash", &[]);
    let verified =
        run_ok(snapback().arg("verify").arg(&proven).args(["--json", "--server", &server.url("")]));
    assert_eq!(verified.trim(), r#"{"valid":true}"#);

    let forged = with_flipped_proof_byte(&fs::read(&proven).expect("a proof"));
    fs::write(&proven, forged).expect("the file is written");
    let verify = || {
        let mut command = snapback();
        command.arg("verify").arg(&proven);
        command
    };
    run_err(verify().args(["--server", &server.url("")]), 5);
    run_err(verify().arg("--state-dir").arg(&state), 5);
    run_err(snapback().arg("prove").arg(&proven).args(["--server", &server.url("/")]), 4);
}
