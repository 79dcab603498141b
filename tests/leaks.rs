//! Guests that leak are served for ever, within a limit that holds some dozens of calls at most; what they leak is in
//! the metrics; and the guest that is shipped leaks nothing.

mod harness;

#[path = "harness/ark.rs"]
mod ark;

use harness::{Server, fixture, guests, run_ok, snapback, until};
use serde_json::Value;
use snapback_snapshot::proof_systems::{ProofSystem, groth16::Groth16};
use std::{fs, path::Path};

const MIB: f64 = 1024.0 * 1024.0;

/// Bakes a guest that leaks, and serves it warm with further arguments.
fn serve(state: &Path, guest: &str, inputs: &[String], args: &[&str]) -> Server {
    let mut bake = snapback();
    bake.arg("bake").arg(guests::compiled(guest)).arg("--json").arg("--state-dir").arg(state);
    let baked: Value = serde_json::from_str(&run_ok(bake.args(inputs))).expect("JSON");
    let image = format!("leaking={}", baked["digest"].as_str().expect("a digest"));
    let policy = ["--lanes", "1", "--swap-policy", "threshold"];
    Server::of(snapback().args(["serve", &image, "--state-dir"]).arg(state).args(policy).args(args))
}

fn retained(server: &Server, method: &str) -> f64 {
    server.metric(&format!("snapback_call_retained_bytes_sum{{image=\"leaking\",method=\"{method}\"}}"))
}

fn swaps(server: &Server, reason: &str) -> f64 {
    server.metric(&format!("snapback_swaps_total{{image=\"leaking\",reason=\"{reason}\"}}"))
}

/// Anonymous memory of the server, in bytes.
fn private(server: &Server) -> f64 {
    let rollup = fs::read_to_string(format!("/proc/{}/smaps_rollup", server.pid())).expect("it is alive");
    let line = rollup.lines().find_map(|line| line.strip_prefix("Anonymous:")).expect("a field of proc(5)");
    line.trim().trim_end_matches(" kB").parse::<f64>().expect("a number") * 1024.0
}

#[test]
fn a_prover_that_leaks_makes_proofs_without_end() {
    const PROOFS: usize = 200;
    const LEAK: f64 = 10e6;
    let state = tempfile::tempdir().expect("a directory");
    let key = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/groth16/mimc/mimc.zkey");
    let limits = ["--memory-limit", "256MiB", "--swap-idle-max", "1s", "--memory-sample-interval", "100ms"];
    let input = format!("--input=zkey/mimc={}", key.display());
    let server = serve(state.path(), "leaking_groth16", &[input], &limits);

    let witness = fixture("groth16/mimc/witness.wtns");
    let key: Value = serde_json::from_slice(&fixture("groth16/mimc/verification_key.json")).expect("JSON");
    let prove = || {
        let proof = server.post("/v1/methods/leak_prove?circuit=mimc", &witness).ok();
        let proof = Groth16.proof_to_json(&proof).expect("a proof");
        assert!(ark::verifies(&key, &proof["proof"], &proof["publicSignals"]));
    };
    prove();
    until("the first instance is replaced", || swaps(&server, "idle") >= 1.0);
    let idle = swaps(&server, "idle");
    (0..PROOFS).for_each(|_| prove());
    // The limit holds 26 of these leaks, so that it was reached again and again.
    assert!(retained(&server, "leak_prove") >= LEAK * PROOFS as f64);
    assert!(swaps(&server, "memory") + swaps(&server, "idle") - idle >= 7.0);
    assert_eq!(server.metric("snapback_calls_lost_total"), 0.0);
    until("all that was leaked is given back", || private(&server) < 64.0 * MIB);
    server.stop();
}

#[test]
fn documents_leave_nothing_behind_unless_the_guest_leaks() {
    let state = tempfile::tempdir().expect("a directory");
    let server = serve(state.path(), "leaking_extract", &[], &[]);
    let page = include_bytes!("../guest/extract/src/sample.html").repeat(20);
    let call = |method: &str| server.post(&format!("/v1/methods/{method}"), &page).ok();
    // The first calls grow the memory to what a document of this length takes.
    let replies: Vec<Vec<u8>> = (0..3).map(|_| call("extract")).collect();
    let before = retained(&server, "extract");
    (0..20).for_each(|_| drop(call("extract")));
    assert_eq!(retained(&server, "extract"), before);

    assert_eq!(replies[2], call("leak_extract"));
    (0..20).for_each(|_| drop(call("leak_extract")));
    assert!(retained(&server, "leak_extract") > 20.0 * page.len() as f64);
    server.stop();
}
