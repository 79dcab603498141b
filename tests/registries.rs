//! Admission of circuits: one way in for all images, and no inner detail in what clients see.

mod harness;

use harness::{
    Server,
    circuits::{done, own_state, put, serve, squares::squares},
    run_ok, snapback, until,
};
use std::fs;

#[test]
fn a_name_is_taken_from_the_moment_its_change_is_accepted() {
    let state = own_state();
    let mut command = snapback();
    command.args(["serve", "one=plonk", "two=plonk", "--state-dir"]).arg(state.path());
    let server = Server::of(&mut command);
    let (r1cs, witness) = squares(4, 2);
    let accepted = put(&server, "/v1/circuits/x?image=one", &[("r1cs", &r1cs)]);
    assert_eq!(accepted.status, 202);
    // The change still waits or is being baked, and the name belongs to it already.
    let refused = put(&server, "/v1/circuits/x?image=two", &[("r1cs", &r1cs)]);
    assert!(refused.error(409, "name_taken").contains("`one`"));
    done(&server, &accepted);
    put(&server, "/v1/circuits/x?image=two", &[("r1cs", &r1cs)]).error(409, "name_taken");
    // So the name alone says which circuit is meant.
    server.post("/v1/circuits/x/prove", &witness).ok();
}

#[test]
fn paths_of_the_server_are_for_its_log() {
    let state = own_state();
    let server = serve(state.path(), &[]);
    fs::remove_dir_all(state.path().join("circuits/plonk/files")).expect("ours");
    let (r1cs, _) = squares(4, 2);
    let message = put(&server, "/v1/circuits/x", &[("r1cs", &r1cs)]).error(500, "catalogue_failed");
    let path = state.path().to_str().expect("UTF-8");
    assert!(!message.contains(path) && !message.contains("files"), "{message}");
    assert!(message.contains("log"), "{message}");
    assert!(server.stop().contains(path));
}

#[test]
fn generations_have_one_number_and_changes_a_route_of_their_own() {
    let state = own_state();
    let server = serve(state.path(), &[]);
    let served = |server: &Server| server.get("/v1/status").json()["images"][0]["generation"].clone();
    let active = |server: &Server| server.get("/v1/generations").json()["active"].clone();
    assert_eq!((served(&server), active(&server)), (1.into(), 1.into()));
    let (r1cs, _) = squares(4, 2);
    let accepted = put(&server, "/v1/circuits/x", &[("r1cs", &r1cs)]);
    assert!(accepted.header("location").is_some_and(|place| place.starts_with("/v1/changes/")));
    let generation = done(&server, &accepted);
    assert_eq!((served(&server), active(&server)), (generation.into(), generation.into()));
    server.post("/v1/generations/1/activate", b"").ok();
    assert_eq!(served(&server), 1);
    // A change is not a job.
    assert_eq!(server.get("/v1/jobs").json()["jobs"].as_array().map(Vec::len), Some(0));
    // The number survives a restart.
    server.post(&format!("/v1/generations/{generation}/activate"), b"").ok();
    server.stop();
    let server = serve(state.path(), &[]);
    assert_eq!((served(&server), active(&server)), (generation.into(), generation.into()));
}

#[test]
fn a_circuit_of_the_image_that_was_removed_stays_gone_when_memory_is_given_back() {
    let state = own_state();
    let file = state.path().join("own.r1cs");
    fs::write(&file, squares(3, 2).0).expect("the file is written");
    let input = format!("circuit/own={}", file.display());
    let mut bake = snapback();
    let digest = run_ok(bake.args(["bake", "plonk", "--input", &input, "--state-dir"]).arg(state.path()));
    let image = state.path().join("images").join(format!("{}.wasm", digest.trim()));
    let mut command = snapback();
    command.arg("serve").arg(format!("plonk={}", image.display())).arg("--state-dir").arg(state.path());
    let server = Server::of(&mut command);
    done(&server, &server.delete("/v1/circuits/own"));
    let (r1cs, witness) = squares(4, 2);
    done(&server, &put(&server, "/v1/circuits/stays", &[("r1cs", &r1cs)]));
    done(&server, &put(&server, "/v1/circuits/goes", &[("r1cs", &squares(40, 2).0)]));
    done(&server, &server.delete("/v1/circuits/goes"));
    until("memory is given back", || {
        let changes = server.get("/v1/changes").json();
        let last = changes["changes"].as_array().expect("a list").last().expect("a change").clone();
        (last["change"].as_str(), last["state"].as_str()) == (Some("compact"), Some("done"))
    });
    let circuits = server.get("/v1/circuits").json();
    let names: Vec<&str> =
        circuits["circuits"].as_array().expect("a list").iter().filter_map(|c| c["name"].as_str()).collect();
    assert_eq!(names, ["stays"]);
    server.post("/v1/circuits/stays/prove", &witness).ok();
}
