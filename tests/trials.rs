//! `snapback circuits add --trial`: a circuit that does not prove what its user knows does not stay.

mod harness;

#[path = "harness/snarkjs.rs"]
#[expect(dead_code, reason = "another test uses the rest")]
mod snarkjs;

use harness::{
    Server,
    circuits::{own_state, own_state_with, squares::squares},
    run_err, run_ok, snapback, until,
};
use snarkjs::{json_of, merkle20};
use std::{fs, path::Path, process::Command};

fn add(server: &Server, name: &str, files: &[(&str, &Path)], trial: &Path) -> Command {
    let mut command = snapback();
    command.args(["circuits", "add", name, "--server", &server.url("")]);
    for (kind, file) in files {
        command.arg(format!("--{kind}")).arg(file);
    }
    command.arg("--trial").arg(trial);
    command
}

#[test]
fn inputs_are_proven_and_verified_before_a_circuit_stays() {
    let state = own_state_with("groth16");
    let server = Server::of(snapback().args(["serve", "groth16"]).arg("--state-dir").arg(state.path()));
    let (zkey, wasm) = (merkle20("merkle20.zkey"), merkle20("merkle20.wasm"));
    let files = [("zkey", zkey.as_path()), ("wasm", &wasm)];
    let printed = run_ok(&mut add(&server, "membership", &files, &merkle20("input.json")));
    assert!(printed.contains("is served") && printed.contains("was made and verified"), "{printed}");

    // Inputs that do not satisfy the circuit.
    let mut inputs = json_of("input.json");
    let name = inputs.as_object().expect("an object").keys().next().expect("a signal").clone();
    inputs.as_object_mut().expect("an object").remove(&name);
    let wrong = state.path().join("wrong.json");
    fs::write(&wrong, inputs.to_string()).expect("written");
    let error = run_err(&mut add(&server, "other", &files, &wrong), 4);
    assert!(error.contains("`other` is being removed again") && error.contains("bad_inputs"), "{error}");
    until("it is gone", || !server.get("/v1/circuits").text().contains("\"other\""));
    // One that may have replaced another stays, and the message says how to return.
    let error = run_err(add(&server, "membership", &files, &wrong).arg("--replace"), 4);
    assert!(error.contains("snapback circuits activate"), "{error}");
    assert!(server.get("/v1/circuits").text().contains("\"membership\""));
    // The statement is nowhere in the state directory.
    let value = inputs["root"].as_str().expect("a number that is nowhere else by chance");
    let found = Command::new("grep").args(["-rlF", value]).arg(state.path()).output();
    let found = String::from_utf8(found.expect("it runs").stdout).expect("text");
    assert_eq!(found.trim(), wrong.to_str().expect("UTF-8"));
}

#[test]
fn a_witness_does_as_well_for_every_proof_system() {
    let state = own_state();
    let server = Server::of(snapback().args(["serve", "plonk"]).arg("--state-dir").arg(state.path()));
    let (r1cs, wtns) = squares(30, 3);
    let [circuit, witness] = ["squares.r1cs", "squares.wtns"].map(|name| state.path().join(name));
    fs::write(&circuit, r1cs).expect("written");
    fs::write(&witness, &wtns).expect("written");
    let files = [("r1cs", circuit.as_path())];
    let printed = run_ok(add(&server, "squares", &files, &witness).arg("--json"));
    assert!(printed.contains(r#""verified":true"#), "{printed}");

    let mut wrong = wtns;
    let last = wrong.len() - 32;
    wrong[last] ^= 1;
    fs::write(&witness, wrong).expect("written");
    let error = run_err(&mut add(&server, "others", &files, &witness), 5);
    assert!(error.contains("`others` is being removed again"), "{error}");
}
