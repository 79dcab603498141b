//! Inputs as JSON: a circuit is added with its witness calculator, and the server proves the contents of inputs.json.

mod harness;

use halo2_proofs::pasta::Fp;
use harness::{
    Answer, Server,
    circuits::{done, ended, own_state, put, serve, verifies_natively},
    fixture, run_err, run_ok, snapback,
};
use serde_json::{Value, json};
use snapback_circom::{Prime, r1cs::Header, wtns::Witness};
use snapback_snapshot::proof_systems::{ProofSystem, plonk::Plonk};
use std::{fs, path::Path};

/// Names of the wires 1 to 3, as circom writes them.
const SYM: &[u8] = b"1,1,0,main.out\n2,3,0,main.x\n3,2,0,main.k\n";

fn prove(server: &Server, inputs: &Value) -> Answer {
    let body = json!({ "inputs": inputs }).to_string();
    server.post_json("/v1/circuits/x5chain/prove", body.as_bytes())
}

fn with_calculator(state: &Path) -> Server {
    let server = serve(state, &["--log-level", "trace"]);
    let parts: [(&str, &[u8]); 3] = [
        ("r1cs", &fixture("x5chain/x5chain.r1cs")),
        ("wasm", &fixture("x5chain/x5chain.wasm")),
        ("sym", SYM),
    ];
    done(&server, &put(&server, "/v1/circuits/x5chain", &parts));
    server
}

#[test]
fn inputs_are_proven_and_the_proof_verifies_in_every_form() {
    let state = own_state();
    let server = with_calculator(state.path());
    let inputs: Value = serde_json::from_slice(&fixture("x5chain/input.json")).expect("JSON");
    let proven = prove(&server, &inputs);
    assert_eq!(proven.status, 200, "{}", proven.text());
    let json = proven.json();
    assert!(json["timings"]["proof_ms"].as_f64().expect("a time") > 0.0);
    assert_eq!(json["public"].as_array().expect("signals").len(), 2);
    assert_eq!(json["public"][1], "5", "k, as it was sent");
    let signals = json!({ "out": json["public"][0], "k": "5" });
    assert_eq!(json["signals"], signals, "the file of names is there");

    // The witness that circom's own tools computed from these inputs gives the same public signals.
    let raw = server.post("/v1/circuits/x5chain/prove", &fixture("x5chain/witness.wtns")).ok();
    let public = &snapback_guest_plonk::ProofFile::decode(&raw).expect("a proof file").publics;
    assert_eq!(public[1][0], 5);
    let body = serde_json::to_vec(&json).expect("JSON");
    let verified = server.post_json("/v1/circuits/x5chain/verify", &body);
    assert!(verified.header("server-timing").is_some_and(|timing| timing.starts_with("call;dur=")));
    assert_eq!(verified.json()["valid"], true);
    let file = Plonk.proof_from_json(&body, usize::MAX).expect("a proof");
    verifies_natively(&fixture("x5chain/x5chain.r1cs"), &file);
    assert_eq!(snapback_guest_plonk::ProofFile::decode(&file).expect("one").publics, *public);
    let mut forged = json.clone();
    forged["public"][1] = "6".into();
    let forged = serde_json::to_vec(&forged).expect("JSON");
    server.post_json("/v1/circuits/x5chain/verify", &forged).error(422, "refuted");
    server.post_json("/v1/circuits/x5chain/verify", b"{}").error(400, "malformed_input");

    // The proof verifies without an image or a server too, as the server sent it.
    let dir = tempfile::tempdir().expect("a directory");
    let (key, proof) = (dir.path().join("x5chain.vk"), dir.path().join("proof.json"));
    fs::write(&key, server.post("/v1/methods/verifying_key?circuit=x5chain", b"").ok())
        .expect("the file is written");
    fs::write(&proof, &body).expect("the file is written");
    let output = run_ok(snapback().arg("verify").arg(&proof).arg("--vk").arg(&key));
    assert!(output.starts_with("valid\n") && output.contains("public signal 1: 5"), "{output}");
    fs::write(&proof, &forged).expect("the file is written");
    let refuted = snapback()
        .arg("verify")
        .arg(&proof)
        .arg("--vk")
        .arg(&key)
        .arg("--json")
        .output()
        .expect("the command runs");
    assert_eq!(refuted.status.code(), Some(5));
    assert!(String::from_utf8_lossy(&refuted.stdout).starts_with("{\"reason\""));
    fs::write(&key, &fixture("x5chain/x5chain.r1cs")[..100]).expect("the file is written");
    let stderr = run_err(snapback().arg("verify").arg(&proof).arg("--vk").arg(&key), 4);
    assert!(stderr.contains("x5chain.vk: not a verifying key"), "{stderr}");

    // A number, a hexadecimal string, an array, and a number beyond the prime have the same value.
    let wrapped = "28948022309329048855892746252171976963363056481941560715954676764349967630344";
    for x in [json!(7), json!("0x7"), json!(["7"]), json!(wrapped)] {
        let proven = prove(&server, &json!({ "x": x, "k": 5 }));
        assert_eq!(proven.json()["public"], json["public"], "{x}");
    }

    // The next start loads the calculator together with its generation.
    let log = server.stop();
    assert!(!log.contains("\"x\"") && !log.contains(wrapped), "the log holds inputs, which are secrets");
    let server = serve(state.path(), &[]);
    assert_eq!(prove(&server, &inputs).json()["public"], json["public"]);
}

#[test]
fn errors_about_inputs_name_the_signal() {
    let state = own_state();
    let server = with_calculator(state.path());
    let refused = |inputs: Value| prove(&server, &inputs).error(400, "bad_inputs");
    assert!(refused(json!({ "x": 7 })).contains("missing: `k`"));
    assert!(refused(json!({ "x": 7, "k": 5, "surplus": 1 })).contains("`surplus`"));
    assert!(refused(json!({ "x": [7, 8], "k": 5 })).contains("`x` has 1 values, 2 were sent"));
    assert!(refused(json!({ "x": [], "k": 5 })).contains("`x` has 1 values, 0 were sent"));
    assert!(refused(json!({ "x": 1.5, "k": 5 })).contains("signal `x`: 1.5 is no integer"));
    assert!(refused(json!([1, 2])).contains("no input signal `inputs`"));
    server.post_json("/v1/circuits/x5chain/prove", b"{").error(400, "bad_inputs");
    assert_eq!(server.metric("snapback_calls_total{image=\"plonk\",outcome=\"no_witness\"}"), 7.0);
}

#[test]
fn witnesses_are_returned_where_the_operator_allows_it() {
    let state = own_state();
    let server = with_calculator(state.path());
    let path = "/v1/circuits/x5chain/witness";
    let inputs = fixture("x5chain/input.json");
    let refused = server.post_json(path, &inputs).error(403, "witness_export_off");
    assert!(refused.contains("circuits.witness_export"), "{refused}");
    drop(server);

    let server = serve(state.path(), &["--circuits-witness-export", "on", "--log-level", "trace"]);
    let answer = server.post_json(path, &inputs);
    assert_eq!(answer.header("content-type"), Some("application/octet-stream"));
    let witness = answer.ok();
    let read = |bytes: &[u8]| {
        let wires = Header::read(&fixture("x5chain/x5chain.r1cs")).expect("a header").wires;
        Witness::<Fp>::read(bytes, Prime::Pallas, wires).expect("a witness").values().to_vec()
    };
    assert_eq!(read(&witness), read(&fixture("x5chain/witness.wtns")), "circom's own tools compute the same");
    verifies_natively(
        &fixture("x5chain/x5chain.r1cs"),
        &server.post("/v1/circuits/x5chain/prove", &witness).ok(),
    );
    server.post_json(path, br#"{"x": 7}"#).error(400, "bad_inputs");
    server.post_json("/v1/circuits/none/witness", &inputs).error(404, "unknown_circuit");
    let (r1cs, _) = harness::circuits::squares::squares(4, 2);
    done(&server, &put(&server, "/v1/circuits/bare", &[("r1cs", &r1cs)]));
    server.post_json("/v1/circuits/bare/witness", &inputs).error(422, "no_calculator");
    assert_eq!(server.metric("snapback_calls_total{image=\"plonk\",outcome=\"ok\"}"), 2.0);
    drop(server);

    // A witness is a reply, and has its limit.
    let server =
        serve(state.path(), &["--circuits-witness-export", "on", "--call-reply-bytes-max", "128KiB"]);
    server.post_json(path, &inputs).error(502, "reply_too_large");
}

/// Returns a calculator over pallas for a circuit with `wires` wires. Its `init` runs `body`.
fn calculator(wires: u32, body: &str) -> Vec<u8> {
    let prime: String = Prime::Pallas.modulus().iter().map(|byte| format!("\\{byte:02x}")).collect();
    let text = format!(
        r#"(module
          (import "runtime" "exceptionHandler" (func $exception (param i32)))
          (memory (export "memory") 1)
          (data (i32.const 0) "{prime}")
          (func (export "init") (param i32) {body})
          (func (export "getFieldNumLen32") (result i32) i32.const 8)
          (func (export "getRawPrime"))
          (func (export "getWitnessSize") (result i32) i32.const {wires})
          (func (export "getInputSize") (result i32) i32.const 1)
          (func (export "getInputSignalSize") (param i32 i32) (result i32) i32.const 1)
          (func (export "setInputSignal") (param i32 i32 i32))
          (func (export "getWitness") (param i32))
          (func (export "readSharedRWMemory") (param i32) (result i32)
            (i32.load (i32.shl (local.get 0) (i32.const 2))))
          (func (export "writeSharedRWMemory") (param i32 i32)))"#
    );
    wat::parse_str(text).expect("a module")
}

#[test]
fn a_calculator_that_misbehaves_affects_its_own_caller_only() {
    let state = own_state();
    let args = ["--circuits-calculator-deadline", "200ms", "--circuits-calculator-memory-limit", "16MiB"];
    let server = serve(state.path(), &args);
    let (r1cs, witness) = harness::circuits::squares::squares(4, 2);
    // The wires are one, out, x, and three intermediate values.
    const WIRES: u32 = 6;
    let hostile = [
        ("spins", "(loop br 0)", 504, "calculator_deadline"),
        ("eats", "(drop (memory.grow (i32.const 60000)))", 422, "calculator_out_of_memory"),
        ("traps", "unreachable", 422, "calculator_trapped"),
        ("gives-up", "(call $exception (i32.const 4))", 422, "refuted"),
        ("lies", "(call $exception (i32.const 5))", 422, "calculator_mismatch"),
    ];
    let accepted: Vec<Answer> = hostile
        .iter()
        .map(|(name, body, ..)| {
            let wasm = calculator(WIRES, body);
            put(&server, &format!("/v1/circuits/{name}"), &[("r1cs", &r1cs), ("wasm", &wasm)])
        })
        .collect();
    accepted.iter().for_each(|answer| assert_eq!(ended(&server, answer)["state"], "done"));
    for _ in 0..5 {
        for (name, _, status, code) in hostile {
            let path = format!("/v1/circuits/{name}/prove");
            server.post_json(&path, br#"{"inputs": {"x": 1}}"#).error(status, code);
        }
    }
    // The breaker does not count these failures, and the circuit is still proven from a witness.
    verifies_natively(&r1cs, &server.post("/v1/circuits/spins/prove", &witness).ok());
    assert_eq!(server.get("/readyz").status, 200);

    // A module that is not a calculator is refused before anything is stored.
    let none = put(&server, "/v1/circuits/none", &[("r1cs", &r1cs), ("wasm", b"\0asm\x01\0\0\0")]);
    assert!(none.error(400, "bad_circuit").contains("`wasm` is refused"));
    let import = wat::parse_str(r#"(module (import "env" "escape" (func)))"#).expect("a module");
    let escape = put(&server, "/v1/circuits/none", &[("r1cs", &r1cs), ("wasm", &import)]);
    assert!(escape.error(400, "bad_circuit").contains("env.escape"));
    // Another calculator for the same circuit does not bake the circuit again.
    let digest = server.get("/v1/circuits").json()["circuits"][0]["image_digest"].clone();
    let (_, body, ..) = hostile[2];
    let other = calculator(WIRES, body);
    done(&server, &put(&server, "/v1/circuits/eats", &[("r1cs", &r1cs), ("wasm", &other)]));
    assert_eq!(server.get("/v1/circuits").json()["circuits"][0]["image_digest"], digest);
    server.post_json("/v1/circuits/eats/prove", br#"{"inputs": {}}"#).error(422, "calculator_trapped");
    // A circuit that is sent without a calculator keeps the one it has, unless `replace=true` is given.
    assert_eq!(put(&server, "/v1/circuits/eats", &[("r1cs", &r1cs)]).json()["state"], "unchanged");
    done(&server, &put(&server, "/v1/circuits/eats?replace=true", &[("r1cs", &r1cs)]));
    server.post_json("/v1/circuits/eats/prove", br#"{"inputs": {}}"#).error(422, "no_calculator");
    // A calculator of another circuit is refused.
    let foreign = calculator(WIRES + 1, "");
    let failed = ended(&server, &put(&server, "/v1/circuits/eats", &[("r1cs", &r1cs), ("wasm", &foreign)]));
    assert!(
        failed["reason"].as_str().expect("a reason").contains("it has 7 wires, the circuit 6"),
        "{failed}"
    );
}

#[test]
fn a_calculator_that_does_not_fit_is_refused_before_the_bake_begins() {
    let state = own_state();
    let server = serve(state.path(), &[]);
    // The bake of this circuit would take seconds.
    let r1cs = fixture("x5chain/x5chain.r1cs");
    let events = |name: &str, wasm: &[u8]| {
        let accepted = put(&server, &format!("/v1/circuits/{name}"), &[("r1cs", &r1cs), ("wasm", wasm)]);
        assert_eq!(accepted.status, 202, "{}", accepted.text());
        // The stream ends with the change.
        server.get(&format!("/v1/changes/{}/events", accepted.json()["id"])).text()
    };
    // The intake cannot tell these from the right one: only a calculator that runs says what it computes.
    for (name, body) in [("wires", ""), ("stuck", "unreachable")] {
        let shown = events(name, &calculator(7, body));
        assert!(shown.contains("\"state\":\"baking\"") && shown.contains("\"state\":\"failed\""), "{shown}");
        assert!(shown.contains("it has 7 wires"), "{shown}");
        assert!(!shown.contains("\"stage\""), "a bake had begun: {shown}");
    }
    // The right calculator lets the bake begin, so the events would have shown one.
    let shown = events("right", &fixture("x5chain/x5chain.wasm"));
    assert!(shown.contains("\"stage\"") && shown.contains("\"state\":\"done\""), "{shown}");
    let circuits = server.get("/v1/circuits").json();
    assert_eq!(circuits["circuits"].as_array().expect("a list").len(), 1, "{circuits}");
    assert_eq!(server.get("/v1/generations").json()["active"], 2);
}

#[test]
fn circuits_are_managed_from_the_command_line() {
    let state = own_state();
    let server = serve(state.path(), &["--circuits-compact-at", "100%"]);
    let url = server.url("");
    let circuits = |args: &[&str]| {
        let mut command = snapback();
        command.arg("circuits").args(args).args(["--server", &url]);
        command
    };
    let file = |name: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/x5chain").join(name);
        path.display().to_string()
    };
    let (r1cs, wasm) = (file("x5chain.r1cs"), file("x5chain.wasm"));
    let added = circuits(&["add", "x", "--r1cs", &r1cs, "--wasm", &wasm]).output().expect("the command runs");
    let shown = String::from_utf8_lossy(&added.stderr);
    assert!(added.status.success() && shown.contains("running the initialiser"), "{shown}");
    let list = run_ok(&mut circuits(&["list"]));
    for shown in ["x                        plonk (", "pallas, k = 12, ", "public   2\n", "added    20"] {
        assert!(list.contains(shown), "{list}");
    }
    let again = circuits(&["add", "x", "--r1cs", &r1cs, "--wasm", &wasm]).output().expect("the command runs");
    assert!(String::from_utf8_lossy(&again.stdout).contains("already"));

    let dir = tempfile::tempdir().expect("a directory");
    let (key, proof) = (dir.path().join("x.vk"), dir.path().join("x.proof"));
    run_ok(circuits(&["key", "x"]).arg("-o").arg(&key));
    fs::write(&proof, server.post("/v1/circuits/x/prove", &fixture("x5chain/witness.wtns")).ok())
        .expect("the file is written");
    // The reference string of the key is generated once. The state directory is not needed, but remembers it.
    let kept = dir.path().join("state");
    let mut verify = snapback();
    verify.arg("verify").arg(&proof).arg("--vk").arg(&key).arg("--state-dir").arg(&kept);
    for generates in [true, false] {
        let verified = verify.output().expect("the command runs");
        assert!(verified.stdout.starts_with(b"valid\n"));
        let shown = String::from_utf8_lossy(&verified.stderr);
        assert_eq!(shown.contains("generated the reference string"), generates, "{shown}");
    }

    // Without `--circuit`, the only circuit proves the inputs. The server verifies the proof in the form that was
    // written.
    let inputs = dir.path().join("inputs.json");
    fs::write(&inputs, br#"{"inputs": {"x": 7, "k": 5}}"#).expect("the file is written");
    run_ok(snapback().arg("prove").arg(&inputs).args(["--server", &url, "-o"]).arg(&proof));
    run_ok(snapback().arg("verify").arg(&proof).args(["--server", &url, "--image", "plonk"]));
    run_err(snapback().arg("prove").arg(&inputs).args(["--server", url.trim_start_matches("http://")]), 2);

    run_ok(&mut circuits(&["remove", "x"]));
    assert!(run_err(&mut circuits(&["remove", "x"]), 4).contains("unknown_circuit"));
    assert!(run_ok(&mut circuits(&["generations"])).contains("3 active"));
    run_ok(&mut circuits(&["activate", "2"]));
    // An image that the circuits of a server need is not removed by accident.
    let image = server.get("/v1/circuits").json()["circuits"][0]["image_digest"].clone();
    let remove = |force: &[&str]| {
        let mut command = snapback();
        command.args(["images", "remove", image.as_str().expect("a digest")]).args(force);
        command.arg("--state-dir").arg(state.path());
        command
    };
    assert!(run_err(&mut remove(&[]), 2).contains("--force"));
    assert!(run_ok(&mut circuits(&["list", "--json"])).contains("\"x\""));
    assert!(run_err(&mut circuits(&["add", "y", "--r1cs", &wasm]), 4).contains("bad_circuit"));
    assert!(
        run_err(&mut circuits(&["add", "no/name", "--r1cs", &r1cs]), 4).contains("cannot name a circuit")
    );
    assert!(run_err(&mut circuits(&["remove", "x", "--image", "nope"]), 4).contains("unknown_image"));
    run_ok(&mut remove(&["--force"]));
    run_ok(&mut circuits(&["activate", "3"]));
    assert!(run_err(&mut circuits(&["activate", "2"]), 4).contains("removed from the store"));
}
