//! The verifier in Solidity that snarkjs exports, run in an EVM, accepts the calldata of a proof that was made here.

mod harness;

#[path = "harness/snarkjs.rs"]
#[expect(dead_code, reason = "another test uses the rest")]
mod snarkjs;

use harness::{
    Server,
    circuits::{done, own_state_with, put},
    run_ok, snapback,
};
use snarkjs::{Snarkjs, json_of, merkle20, read, tools};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// The EVM, which `tests/snarkjs.sh` builds.
fn evm() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/evm/release/evm")
}

/// Returns the words in what `snapback calldata` prints. Arrays of fixed length follow each other in calldata.
fn words(calldata: &str) -> String {
    calldata.split('"').filter_map(|text| text.strip_prefix("0x")).collect()
}

#[test]
fn a_contract_accepts_a_proof_and_refuses_it_for_another_signal() {
    // Building an EVM takes minutes, so it is there only where the comparison with snarkjs is required.
    let Some(snarkjs) = Snarkjs::find().filter(|_| evm().exists()) else {
        assert!(std::env::var_os("SNAPBACK_REQUIRE_SNARKJS").is_none(), "tests/snarkjs.sh builds the EVM");
        return;
    };
    let state = own_state_with("groth16");
    let server = Server::of(snapback().args(["serve", "groth16"]).arg("--state-dir").arg(state.path()));
    let parts: [(&str, &[u8]); 2] = [("zkey", &read("merkle20.zkey")), ("wasm", &read("merkle20.wasm"))];
    done(&server, &put(&server, "/v1/circuits/membership", &parts));
    let at = |name: &str| state.path().join(name);
    let input = json_of("input.json").to_string();
    let proven = server.post("/v1/circuits/membership/prove", input.as_bytes());
    fs::write(at("proof.json"), &proven.body).expect("written");
    let calldata = run_ok(snapback().arg("calldata").arg(at("proof.json")));

    let (exported, output) = snarkjs.run(&[
        "zkey".as_ref(),
        "export".as_ref(),
        "solidityverifier".as_ref(),
        merkle20("merkle20.zkey").as_ref(),
        at("verifier.sol").as_ref(),
    ]);
    assert!(exported, "{output}");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/evm/compile.cjs");
    let tools = tools().canonicalize().expect("it is there");
    run_ok(Command::new("node").arg(script).arg(tools).args(["verifier.sol", "code", "method"].map(at)));
    let method = fs::read_to_string(at("method")).expect("the compiler wrote it");

    let call = |words: &str| {
        fs::write(at("call"), format!("{method}{words}")).expect("written");
        run_ok(Command::new(evm()).args([at("code"), at("call")])).trim().to_owned()
    };
    let accepted = words(&calldata);
    assert_eq!(accepted.len(), 64 * (8 + 2), "a proof and two signals: {calldata}");
    let answer = |is_valid: bool| format!("0x{:064x}", u8::from(is_valid));
    assert_eq!(call(&accepted), answer(true));
    let digit = if accepted.ends_with('0') { '1' } else { '0' };
    let changed = format!("{}{digit}", &accepted[..accepted.len() - 1]);
    assert_eq!(call(&changed), answer(false));
}
