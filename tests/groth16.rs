//! Groth16 with the files of snarkjs: a circuit is added with its key, proven from its inputs, and everyone else's verifier
//! accepts the proof.

mod harness;

#[path = "harness/ark.rs"]
mod ark;
#[path = "harness/snarkjs.rs"]
mod snarkjs;

use harness::{
    Server,
    circuits::{done, ended, own_state_with, put},
    run_err, run_ok, snapback,
};
use serde_json::{Value, json};
use snapback_snapshot::proof_systems::{ProofSystem, VerifyError, groth16::Groth16};
use snapback_snapshot::{References, proof_systems::CircuitFiles};
use snarkjs::{json_of, merkle20, read};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

fn serve(state: &Path, args: &[&str]) -> Server {
    Server::of(snapback().args(["serve", "groth16"]).arg("--state-dir").arg(state).args(args))
}

/// Returns whether `ark-groth16` and the verifier of the command line, which agree, accept a proof in JSON.
fn verifies(key: &Value, proven: &Value) -> bool {
    let theirs = ark::verifies(key, &proven["proof"], &proven["publicSignals"]);
    let text = serde_json::to_vec(proven).expect("JSON");
    let file = Groth16.proof_from_json(&text, usize::MAX).expect("a proof");
    let key = key.to_string();
    let ours = Groth16.verify(&References { store: None, progress: &|_| {} }, key.as_bytes(), &file);
    assert!(matches!(ours, Ok(()) | Err(VerifyError::Refuted(_))), "{ours:?}");
    assert_eq!(ours.is_ok(), theirs);
    theirs
}

#[test]
fn a_project_of_snarkjs_is_served_as_it_is() {
    let state = own_state_with("groth16");
    let server = serve(state.path(), &[]);
    let address = server.url("");
    let file = |name: &str| merkle20(name).display().to_string();
    let added = run_ok(
        snapback()
            .args(["circuits", "add", "membership", "--server", address.trim_end_matches('/')])
            .args(["--zkey", &file("merkle20.zkey"), "--wasm", &file("merkle20.wasm")])
            .args(["--vk", &file("verification_key.json")]),
    );
    assert!(added.contains("`membership` is served"), "{added}");

    // Bare input.json, as people have it, and the same in an envelope.
    let answer = server.post("/v1/circuits/membership/prove", &read("input.json"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let proven = answer.json();
    assert_eq!(proven["publicSignals"], json_of("public.json"));
    assert!(proven["timings"]["proof_ms"].as_f64().is_some(), "{proven}");
    let wrapped = json!({ "inputs": json_of("input.json") }).to_string();
    let again = server.post("/v1/circuits/membership/prove", wrapped.as_bytes()).json();
    assert_eq!(again["publicSignals"], proven["publicSignals"]);
    assert_ne!(again["proof"], proven["proof"], "each proof has its own blinding");

    let key = json_of("verification_key.json");
    assert!(verifies(&key, &proven));
    let theirs = json!({ "proof": json_of("proof.json"), "publicSignals": json_of("public.json") });
    assert!(verifies(&key, &theirs));
    for proof in [&proven, &theirs] {
        let verified = server.post("/v1/circuits/membership/verify", proof.to_string().as_bytes());
        assert_eq!((verified.status, verified.json()["valid"].as_bool()), (200, Some(true)));
    }
    let mut tampered = proven.clone();
    tampered["publicSignals"][1] = "1".into();
    assert!(!verifies(&key, &tampered));
    let refuted = server.post("/v1/circuits/membership/verify", tampered.to_string().as_bytes());
    assert_eq!(refuted.json()["code"], "refuted");

    files_of_snarkjs(&server, &proven);
    clients_of_the_documents(&server, &key);
}

/// The clients in `docs/from-snarkjs.md` work as they are, where there are programs that run them.
fn clients_of_the_documents(server: &Server, key: &Value) {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/from-snarkjs.md"));
    let page = page.expect("the page");
    let dir = tempfile::tempdir().expect("a directory");
    for (language, program, file) in [("js", "node", "prove.mjs"), ("python", "python3", "prove.py")] {
        let (_, rest) = page.split_once(&format!("```{language}\n")).expect("a client");
        let (code, _) = rest.split_once("```").expect("the end of the client");
        let path = dir.path().join(file);
        fs::write(&path, code).expect("it is written");
        let address = server.url("");
        let output = Command::new(program)
            .arg(&path)
            .args([address.trim_end_matches('/'), "membership"])
            .arg(merkle20("input.json"))
            .output();
        let Ok(output) = output else { continue };
        assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
        let proven = serde_json::from_slice(&output.stdout).expect("JSON");
        assert!(verifies(key, &proven), "{program}");
    }
}

/// The command line reads and writes the files that snarkjs does.
fn files_of_snarkjs(server: &Server, proven: &Value) {
    let dir = tempfile::tempdir().expect("a directory");
    let at = |name: &str| dir.path().join(name);
    let address = server.url("");
    let address = address.trim_end_matches('/');
    run_ok(
        snapback()
            .arg("prove")
            .arg(merkle20("input.json"))
            .args(["--circuit", "membership", "--server", address, "--proof"])
            .arg(at("proof.json"))
            .arg("--public")
            .arg(at("public.json")),
    );
    run_ok(snapback().args(["circuits", "key", "membership", "--server", address, "-o"]).arg(at("vk.json")));
    // The same from a witness, of which the server returns JSON only if it is asked to.
    run_ok(
        snapback()
            .arg("prove")
            .arg(merkle20("witness.wtns"))
            .args(["--circuit", "membership", "--server", address, "--proof"])
            .arg(at("proof.json"))
            .arg("--public")
            .arg(at("public.json")),
    );
    let same = |name: &str, expected: &str| {
        let text = fs::read_to_string(at(name)).expect("it was written");
        let expected = String::from_utf8(read(expected)).expect("text");
        assert_eq!(text, expected.trim_end(), "{name}");
    };
    same("vk.json", "verification_key.json");
    same("public.json", "public.json");

    let verify = |proof: &Path, public: &Path| {
        let mut command = snapback();
        command.arg("verify").arg(proof).arg("--public").arg(public).arg("--vk").arg(at("vk.json"));
        command
    };
    let shown = run_ok(&mut verify(&at("proof.json"), &at("public.json")));
    assert!(shown.starts_with("valid\npublic signal 0: 711030309708"), "{shown}");
    let calldata = |proof: &Path, public: &Path| {
        run_ok(snapback().arg("calldata").arg(proof).arg("--public").arg(public))
    };
    let ours = calldata(&at("proof.json"), &at("public.json"));
    let theirs = calldata(&merkle20("proof.json"), &merkle20("public.json"));
    assert!(ours.starts_with("[\"0x") && ours != theirs);

    fs::write(at("wrong.json"), r#"["1", "2"]"#).expect("it is written");
    run_err(&mut verify(&at("proof.json"), &at("wrong.json")), 5);
    fs::write(at("none.json"), r#"["1"]"#).expect("it is written");
    assert!(run_err(&mut verify(&at("proof.json"), &at("none.json")), 4).contains("2 public signals"));
    fs::write(at("both.json"), proven.to_string()).expect("it is written");
    run_ok(snapback().arg("calldata").arg(at("both.json")));

    let Some(snarkjs) = snarkjs::Snarkjs::find() else { return };
    let theirs_of = |proof: &Path, public: &Path| {
        snarkjs.run(&[
            "zkey".as_ref(),
            "export".as_ref(),
            "soliditycalldata".as_ref(),
            public.as_ref(),
            proof.as_ref(),
        ])
    };
    for (proof, public) in
        [(at("proof.json"), at("public.json")), (merkle20("proof.json"), merkle20("public.json"))]
    {
        let (accepted, output) = snarkjs.verify(&at("vk.json"), &public, &proof);
        assert!(accepted, "{output}");
        assert_eq!(theirs_of(&proof, &public).1.trim(), calldata(&proof, &public).trim());
    }
    let (accepted, output) = snarkjs.verify(&at("vk.json"), &at("wrong.json"), &at("proof.json"));
    assert!(!accepted, "{output}");
}

/// The circuits of `tests/fixtures/groth16`, and of the directory that `SNAPBACK_GROTH16_CIRCUITS` names, into which
/// `make.sh` has built more.
fn corpus() -> Vec<(String, PathBuf)> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/groth16");
    let places = std::env::var_os("SNAPBACK_GROTH16_CIRCUITS").map_or(vec![own], |more| vec![more.into()]);
    let mut circuits: Vec<(String, PathBuf)> = places
        .iter()
        .flat_map(|place| fs::read_dir(place).expect("a directory").flatten())
        .filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path())))
        .filter(|(name, dir)| dir.join(format!("{name}.zkey")).exists())
        .collect();
    circuits.sort();
    circuits
}

#[test]
fn circuits_of_circomlib_share_an_image() {
    let state = own_state_with("groth16");
    let server = serve(state.path(), &["--circuits-compact-at", "100%"]);
    let circuits = corpus();
    assert!(circuits.len() >= 2);
    let read = |dir: &Path, file: &str| fs::read(dir.join(file)).ok();
    let json = |dir: &Path, file: &str| -> Value {
        serde_json::from_slice(&read(dir, file).expect("a file")).expect("JSON")
    };
    for (name, dir) in &circuits {
        let files: Vec<(&str, Vec<u8>)> = ["zkey", "wasm", "r1cs", "sym"]
            .into_iter()
            .filter_map(|kind| Some((kind, read(dir, &format!("{name}.{kind}"))?)))
            .collect();
        let parts: Vec<(&str, &[u8])> = files.iter().map(|(kind, bytes)| (*kind, bytes.as_slice())).collect();
        done(&server, &put(&server, &format!("/v1/circuits/{name}"), &parts));
    }
    // Each is proven when all others are in the image.
    for (name, dir) in &circuits {
        let path = format!("/v1/circuits/{name}/prove");
        let publics = json(dir, "public.json");
        // A circuit without its calculator is proven from a witness, and the proof of that is in binary.
        let has_calculator = dir.join(format!("{name}.wasm")).exists();
        let inputs = if has_calculator { "input.json" } else { "witness.wtns" };
        let answer = server.post(&path, &read(dir, inputs).expect("inputs"));
        assert_eq!(answer.status, 200, "{name}: {}", String::from_utf8_lossy(&answer.body));
        let proven: Value = if has_calculator {
            answer.json()
        } else {
            Groth16.proof_to_json(&answer.body).expect("a proof").into()
        };
        assert_eq!(proven["publicSignals"], publics, "{name}");
        let key = json(dir, "verification_key.json");
        assert!(verifies(&key, &proven), "{name}");
        let theirs = json!({ "proof": json(dir, "proof.json"), "publicSignals": publics });
        let verified = server.post(&format!("/v1/circuits/{name}/verify"), theirs.to_string().as_bytes());
        assert_eq!(verified.status, 200, "{name}: {}", verified.text());
        let mut wrong = read(dir, "witness.wtns").expect("a witness");
        let last = wrong.len() - 32;
        wrong[last] ^= 1;
        assert_eq!(server.post(&path, &wrong).json()["code"], "refuted", "{name}");
    }
    let (first, _) = &circuits[0];
    done(&server, &server.delete(&format!("/v1/circuits/{first}")));
    let gone = server.post(&format!("/v1/circuits/{first}/prove"), b"{}");
    assert_eq!(gone.json()["code"], "unknown_circuit", "{}", gone.text());
}

#[test]
fn wrong_files_and_witnesses_are_refused_by_name() {
    let state = own_state_with("groth16");
    let server = serve(state.path(), &[]);
    let (zkey, wasm) = (read("merkle20.zkey"), read("merkle20.wasm"));
    let refused = |parts: &[(&str, &[u8])]| {
        let answer = put(&server, "/v1/circuits/other", parts);
        assert!([400, 422].contains(&answer.status), "{}", answer.text());
        answer.json()["message"].as_str().expect("a message").to_owned()
    };
    let mut plonk = zkey.clone();
    plonk[24] = 2;
    assert!(refused(&[("zkey", &plonk)]).contains("PLONK"));
    assert!(refused(&[("zkey", &zkey[..1000])]).contains("zkey"));
    assert!(refused(&[("wasm", &wasm)]).contains("`zkey` is missing"));
    let mut key = json_of("verification_key.json");
    key["IC"][0] = key["IC"][1].clone();
    let reason = refused(&[("zkey", &zkey), ("vk", key.to_string().as_bytes())]);
    assert!(reason.contains("belongs to another .zkey"), "{reason}");
    key["protocol"] = "plonk".into();
    assert!(refused(&[("zkey", &zkey), ("vk", key.to_string().as_bytes())]).contains("plonk"));

    // A point that is not on its curve is found while the key is baked, and the image that is served stays.
    let parts: [(&str, &[u8]); 2] = [("zkey", &zkey), ("wasm", &wasm)];
    done(&server, &put(&server, "/v1/circuits/membership", &parts));
    let mut changed = zkey.clone();
    let end = section_end(&zkey, 9);
    changed[end - 1] ^= 1;
    let change = ended(&server, &put(&server, "/v1/circuits/hostile", &[("zkey", &changed)]));
    assert_eq!(change["state"], "failed", "{change}");
    assert!(change["reason"].as_str().expect("a reason").contains("points H"), "{change}");

    let prove = |body: &[u8]| {
        let answer = server.post("/v1/circuits/membership/prove", body);
        (answer.status, answer.json())
    };
    let mut witness = read("witness.wtns");
    let last = witness.len() - 32;
    witness[last] ^= 1;
    let (status, error) = prove(&witness);
    assert_eq!((status, error["code"].as_str()), (422, Some("refuted")), "{error}");
    assert!(error["message"].as_str().expect("a message").contains("does not satisfy"), "{error}");
    // With the constraints and the names, the first constraint that does not hold is named.
    let named: [(&str, &[u8]); 3] = [("zkey", &zkey), ("wasm", &wasm), ("r1cs", &read("merkle20.r1cs"))];
    done(&server, &put(&server, "/v1/circuits/named", &named));
    let error = server.post("/v1/circuits/named/prove", &witness).json();
    assert_eq!(error["code"], "refuted");
    assert!(error["message"].as_str().expect("a message").contains("does not satisfy constraint"), "{error}");
    assert_eq!(server.post("/v1/circuits/named/prove", &read("witness.wtns")).status, 200);

    let (status, error) = prove(&witness[..witness.len() - 32]);
    assert_eq!(status, 400, "{error}");
    let mut inputs = json_of("input.json");
    inputs["surplus"] = "1".into();
    assert!(
        prove(inputs.to_string().as_bytes()).1["message"].as_str().expect("a message").contains("surplus")
    );
    inputs.as_object_mut().expect("an object").clear();
    assert_eq!(prove(inputs.to_string().as_bytes()).0, 400);
    let proven = server.post("/v1/circuits/membership/prove", &read("witness.wtns"));
    assert_eq!(proven.status, 200, "nothing was lost");
}

/// Returns the offset of the end of a section.
fn section_end(zkey: &[u8], number: u32) -> usize {
    let mut at = 12;
    loop {
        let found = u32::from_le_bytes(*zkey[at..].first_chunk().expect("a section"));
        let len = u64::from_le_bytes(*zkey[at + 4..].first_chunk().expect("a length"));
        at += 12 + usize::try_from(len).expect("small");
        if found == number {
            return at;
        }
    }
}

#[test]
fn circuits_are_described_by_what_is_known_of_them() {
    let describe = |parts: &[(&'static str, &str)]| {
        let mut files = CircuitFiles::default();
        for (kind, file) in parts {
            files.insert(snapback_snapshot::proof_systems::FileKind::new(kind), read(file));
        }
        Groth16.describe(&files).expect("a circuit").shape.expect("a shape")
    };
    let shape = describe(&[("zkey", "merkle20.zkey")]);
    assert_eq!((shape.constraints, shape.wires, shape.publics, shape.outputs), (10815, 10837, Some(2), None));
    assert_eq!((shape.k, shape.prime.as_str()), (14, "bn128"));
    let shape = describe(&[("zkey", "merkle20.zkey"), ("r1cs", "merkle20.r1cs")]);
    assert_eq!((shape.constraints, shape.publics), (10815, None));
    let shown = run_ok(snapback().args(["circuits", "info"]).arg(merkle20("merkle20.zkey")));
    assert!(shown.contains("10815") && shown.contains("groth16"), "{shown}");
    assert_eq!(shape.outputs.zip(shape.public_inputs).map(|(outputs, inputs)| outputs + inputs), Some(2));
}
