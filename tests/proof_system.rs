//! The seam for proof systems is real: another one, which only the tests have, passes through bake, gate, change, prove and
//! verify. And the kind of an image is what its manifest says, not what it is called.

mod harness;

use harness::{
    Answer, Server,
    circuits::{done, ended, own_state, put},
    guests, run_err, run_ok, snapback,
};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// The guest of the toy system, which the build compiles beside the embedded ones.
fn guest() -> PathBuf {
    guests::compiled("toy")
}

/// The program with the toy system.
fn toy() -> Command {
    let plain = snapback();
    let binary = Path::new(plain.get_program()).parent().expect("a directory").join("examples/toy");
    let mut command = Command::new(binary);
    command.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?)))).env("TOY_GUEST", guest());
    command
}

fn bake(state: &Path) -> serde_json::Value {
    let json = run_ok(toy().arg("bake").arg(guest()).arg("--json").arg("--state-dir").arg(state));
    serde_json::from_str(&json).expect("JSON")
}

fn serve(state: &Path, image: &str, environment: &[(&str, &str)]) -> Server {
    let mut command = toy();
    command.arg("serve").arg(format!("toy={image}")).arg("--state-dir").arg(state);
    // The guest is no part of this program, as the embedded ones are of theirs. Bakes run in the sandbox of the server
    // that starts them, so it lies where that one reads.
    let own_guest = state.join("toy.wasm");
    fs::copy(guest(), &own_guest).expect("the test owns the directory");
    command.env("TOY_GUEST", own_guest);
    Server::of(command.envs(environment.iter().copied()))
}

fn accepting_json(server: &Server, path: &str, body: &str) -> Answer {
    let request = ureq::http::Request::post(server.url(path)).header("accept", "application/json");
    Answer::run(request.body(body.to_owned()).expect("a request"))
}

#[test]
fn a_second_proof_system_passes_through_the_seam() {
    let state = tempfile::tempdir().expect("a directory");
    let baked = bake(state.path());
    assert_eq!(baked["manifest"]["kind"]["circuits"]["proof_system"], "toy");
    let image = baked["digest"].as_str().expect("a digest").to_owned();

    let server = serve(state.path(), &image, &[]);
    let generation = done(&server, &put(&server, "/v1/circuits/nine", &[("number", b"9")]));
    assert_eq!(server.get("/v1/status").json()["images"][0]["generation"], generation);
    // Prove and verify, as bytes and as JSON, with the media types that the guest declares.
    let proof = server.post("/v1/circuits/nine/prove", b"3");
    assert_eq!(proof.header("content-type"), Some("text/plain"));
    assert_eq!(proof.ok(), b"3");
    assert_eq!(
        server.post("/v1/methods/prove?circuit=nine", b"3").header("content-type"),
        Some("text/plain")
    );
    assert_eq!(accepting_json(&server, "/v1/circuits/nine/prove", "3").json()["root"], 3);
    server.post("/v1/circuits/nine/verify", b"3").ok();
    server.post_json("/v1/circuits/nine/verify", br#"{"root": 3}"#).ok();
    server.post("/v1/circuits/nine/prove", b"4").error(422, "refuted");
    // What is wrong with a circuit is reported at once.
    put(&server, "/v1/circuits/x", &[("number", b"nine")]).error(400, "bad_circuit");
    put(&server, "/v1/circuits/x", &[("r1cs", b"9")]).error(400, "bad_circuit");
    put(&server, "/v1/circuits/nine", &[("number", b"16")]).error(409, "name_taken");
    // A key of its own verifies without an image; the program without the toy system does not know it.
    let key = state.path().join("nine.vk");
    let proof = state.path().join("proof");
    fs::write(&key, server.post("/v1/methods/verifying_key?circuit=nine", b"").ok()).expect("written");
    fs::write(&proof, b"3").expect("written");
    run_ok(toy().arg("verify").arg(&proof).arg("--vk").arg(&key));
    assert!(run_err(snapback().arg("verify").arg(&proof).arg("--vk").arg(&key), 4).contains("nine.vk"));
    fs::write(&proof, b"4").expect("written");
    run_err(toy().arg("verify").arg(&proof).arg("--vk").arg(&key), 5);
    // Circuits are replaced and removed, and survive a restart.
    done(&server, &put(&server, "/v1/circuits/nine?replace=true", &[("number", b"16")]));
    server.post("/v1/circuits/nine/prove", b"4").ok();
    server.stop();
    let server = serve(state.path(), &image, &[]);
    server.post("/v1/circuits/nine/prove", b"4").ok();
    done(&server, &server.delete("/v1/circuits/nine"));
    server.post("/v1/circuits/nine/prove", b"4").error(404, "unknown_circuit");
}

#[test]
fn an_image_that_the_native_implementation_contradicts_is_not_published() {
    let state = tempfile::tempdir().expect("a directory");
    let image = bake(state.path())["digest"].as_str().expect("a digest").to_owned();
    let server = serve(state.path(), &image, &[("TOY_NATIVE", "other")]);
    let change = ended(&server, &put(&server, "/v1/circuits/nine", &[("number", b"9")]));
    assert_eq!(change["state"], "failed");
    assert!(change["reason"].as_str().expect("a reason").contains("verifying key"), "{change}");
    server.post("/v1/circuits/nine/prove", b"3").error(404, "unknown_circuit");
}

#[test]
fn an_image_is_what_its_manifest_says_whatever_its_guest_is_called() {
    let state = own_state();
    // A guest of a user's own, called like the embedded prover, and another like a calculator's manifest.
    let mut digests = Vec::new();
    for name in ["plonk.wasm", "circom witness calculator.wasm"] {
        let file = state.path().join(name);
        fs::copy(guest(), &file).expect("copied");
        let mut bake = snapback();
        bake.arg("bake").arg(&file).arg("--json").arg("--state-dir").arg(state.path());
        let baked: serde_json::Value = serde_json::from_str(&run_ok(&mut bake)).expect("JSON");
        assert_eq!(baked["manifest"]["kind"], "service", "{name}");
        digests.push(baked["digest"].as_str().expect("a digest").to_owned());
    }
    // It is served as what it is: a guest whose circuits nobody here knows.
    let mut command = snapback();
    command.arg("serve").arg(format!("own={}", digests[0])).arg("--state-dir").arg(state.path());
    let own = Server::of(&mut command);
    put(&own, "/v1/circuits/x", &[("r1cs", b"x")]).error(404, "no_circuits_as_data");
    // A change of circuits sweeps what nothing needs, and leaves these images alone.
    let server = harness::circuits::serve(state.path(), &[]);
    let (r1cs, _) = harness::circuits::squares::squares(4, 2);
    done(&server, &put(&server, "/v1/circuits/x", &[("r1cs", &r1cs)]));
    let list = run_ok(snapback().args(["images", "--json", "--state-dir"]).arg(state.path()));
    assert!(digests.iter().all(|digest| list.contains(digest)), "{list}");
}
