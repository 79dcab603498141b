//! Changes of circuits on a running server: circuits are added, removed and rolled back, and no change is ever half
//! done.

mod harness;

use harness::{
    Answer, Server,
    circuits::{done, ended, own_state, put, serve, squares::squares, verifies_natively},
    fixture, snapback, until,
};
use snapback_circom::Prime;
use std::thread;

fn names(server: &Server) -> Vec<String> {
    let circuits = server.get("/v1/circuits").json();
    let circuits = circuits["circuits"].as_array().expect("a list").clone();
    circuits.iter().map(|circuit| circuit["name"].as_str().expect("a name").to_owned()).collect()
}

#[test]
fn circuits_are_added_and_removed_while_others_are_proven() {
    let state = own_state();
    let server = serve(state.path(), &["--circuits-compact-at", "100%"]);
    assert!(names(&server).is_empty());
    let (first, witness) = squares(10, 3);
    assert_eq!(done(&server, &put(&server, "/v1/circuits/first", &[("r1cs", &first)])), 2);
    let proof = server.post("/v1/circuits/first/prove", &witness).ok();
    verifies_natively(&first, &proof);
    let digest = server.get("/v1/circuits").json()["circuits"][0]["vk_digest"].clone();

    // While a client proves the first circuit, a second one is added and proven, and no call fails.
    let (second, second_witness) = squares(20, 5);
    thread::scope(|scope| {
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        let (server, witness) = (&server, &witness);
        let client = scope.spawn(move || {
            let mut proofs = Vec::new();
            while stopped.try_recv() != Err(std::sync::mpsc::TryRecvError::Disconnected) {
                proofs.push(server.post("/v1/circuits/first/prove", witness).ok());
            }
            proofs
        });
        assert_eq!(done(server, &put(server, "/v1/circuits/second", &[("r1cs", &second)])), 3);
        let proof = server.post("/v1/circuits/second/prove", &second_witness).ok();
        verifies_natively(&second, &proof);
        drop(stop);
        let proofs = client.join().expect("every call is answered");
        assert!(!proofs.is_empty());
        verifies_natively(&first, proofs.last().expect("a proof"));
    });
    assert_eq!(names(&server), ["first", "second"]);
    assert_eq!(server.get("/v1/circuits").json()["circuits"][0]["vk_digest"], digest, "it is unchanged");

    // Adding the same circuit again bakes nothing. Another circuit of this name needs `replace=true`.
    let again = put(&server, "/v1/circuits/second", &[("r1cs", &second)]);
    assert_eq!((again.status, again.json()["state"].as_str()), (200, Some("unchanged")));
    put(&server, "/v1/circuits/second", &[("r1cs", &first)]).error(409, "name_taken");
    assert_eq!(done(&server, &put(&server, "/v1/circuits/second?replace=true", &[("r1cs", &first)])), 4);
    server.post("/v1/circuits/second/prove", &second_witness).error(400, "malformed_input");
    verifies_natively(&first, &server.post("/v1/circuits/second/prove", &witness).ok());

    // Generation 3 is served again, with the first circuit of this name. Then the circuit is removed.
    assert_eq!(server.post("/v1/generations/3/activate", b"").json()["active"], 3);
    verifies_natively(&second, &server.post("/v1/circuits/second/prove", &second_witness).ok());
    assert_eq!(done(&server, &server.delete("/v1/circuits/second")), 5);
    assert_eq!(names(&server), ["first"]);
    server.post("/v1/circuits/second/prove", &second_witness).error(404, "unknown_circuit");
    server.delete("/v1/circuits/second").error(404, "unknown_circuit");
    server.post("/v1/generations/99/activate", b"").error(404, "unknown_generation");
    let generations = server.get("/v1/generations").json();
    assert_eq!(generations["active"], 5);
    assert_eq!(generations["generations"].as_array().expect("a list").len(), 5);
    assert_eq!(server.metric("snapback_calls_lost_total"), 0.0);
}

#[test]
fn a_bad_circuit_is_refused_at_once_and_changes_nothing() {
    let state = own_state();
    let server = serve(state.path(), &["--circuits-upload-bytes-max", "1MiB"]);
    let (r1cs, _) = squares(4, 2);
    let refuse =
        |parts: &[(&str, &[u8])], status, code| put(&server, "/v1/circuits/bad", parts).error(status, code);
    assert!(refuse(&[("r1cs", &r1cs[..40])], 400, "bad_circuit").contains(".r1cs"));
    assert!(refuse(&[("sym", b"")], 400, "bad_circuit").contains("`r1cs` is missing"));
    assert!(refuse(&[("r1cs", &r1cs), ("other", b"")], 400, "bad_circuit").contains("`other`"));
    assert!(refuse(&[("r1cs", &r1cs), ("r1cs", &r1cs)], 400, "bad_circuit").contains("twice"));
    assert!(refuse(&[("r1cs", &r1cs), ("sym", b"1,99,0,main.x")], 400, "bad_circuit").contains("line 1"));
    refuse(&[("r1cs", &vec![0; 2 << 20])], 413, "upload_too_large");
    let mut bn128 = r1cs.clone();
    let prime = bn128.windows(32).position(|window| window == Prime::Pallas.modulus());
    bn128[prime.expect("its prime")..][..32].copy_from_slice(&Prime::Bn128.modulus());
    assert!(refuse(&[("r1cs", &bn128)], 422, "unsupported_circuit").contains("bn128"));
    // These files have a wrong number of sections, or a multipart envelope without an end.
    let mut sections = r1cs[..8].to_vec();
    sections.extend_from_slice(&u32::MAX.to_le_bytes());
    sections.extend(std::iter::repeat_n(0, 1 << 19));
    assert!(refuse(&[("r1cs", &sections)], 400, "bad_circuit").contains("sections"));
    let endless = vec![b'x'; 2 << 20];
    let kind = "multipart/form-data; boundary=0123456789";
    server.put("/v1/circuits/bad", kind, &endless).error(413, "upload_too_large");
    put(&server, "/v1/circuits/-x", &[("r1cs", &r1cs)]).error(400, "bad_circuit");
    put(&server, "/v1/circuits/.hidden", &[("r1cs", &r1cs)]).error(400, "bad_circuit");
    server.put("/v1/circuits/x", "text/plain", b"no multipart").error(400, "bad_circuit");
    server.get("/v1/changes/7").error(404, "unknown_change");
    assert!(server.get("/v1/changes").json()["changes"].as_array().expect("a list").is_empty());
    assert!(names(&server).is_empty());

    let closed = serve(own_state().path(), &["--circuits-changes", "off"]);
    put(&closed, "/v1/circuits/x", &[("r1cs", &r1cs)]).error(403, "changes_off");
    let fixtures = Server::start("fixtures", &[]);
    put(&fixtures, "/v1/circuits/x", &[("r1cs", &r1cs)]).error(404, "no_circuits_as_data");
}

#[test]
fn a_circuit_too_large_for_the_memory_fails_with_the_reason_and_the_others_are_served() {
    let state = own_state();
    // The estimate of what the circuit needs at least is below this limit, and what it needs is above.
    let server = serve(state.path(), &["--memory-limit", "24MiB", "--swap-policy", "threshold"]);
    let (small, witness) = squares(4, 2);
    done(&server, &put(&server, "/v1/circuits/small", &[("r1cs", &small)]));
    let large = fixture("x5chain/x5chain.r1cs");
    let change = ended(&server, &put(&server, "/v1/circuits/large", &[("r1cs", &large)]));
    assert_eq!(change["state"], "failed", "{change}");
    assert!(change["reason"].as_str().expect("a reason").contains("memory.limit"), "{change}");
    assert_eq!(names(&server), ["small"]);
    server.post("/v1/circuits/small/prove", &witness).ok();
}

#[test]
fn a_circuit_that_cannot_fit_is_refused_with_what_it_would_need() {
    let state = own_state();
    let large = fixture("x5chain/x5chain.r1cs");
    for setting in ["bake.image_bytes_max", "bake.memory_limit", "memory.limit"] {
        let server = serve(state.path(), &["--set", &format!("{setting}=16MiB")]);
        let refused = put(&server, "/v1/circuits/large", &[("r1cs", &large)]);
        let message = refused.error(422, "circuit_too_large");
        assert!(message.contains("4096 rows") && message.contains(setting), "{message}");
        assert!(server.get("/v1/changes").json()["changes"].as_array().expect("a list").is_empty());
    }
}

#[test]
fn changes_that_wait_are_baked_together_and_one_that_fails_does_not_fail_the_others() {
    let state = own_state();
    // Only bakes of small circuits fit this limit.
    let server = serve(state.path(), &["--bake-memory-limit", "24MiB"]);
    let large = fixture("x5chain/x5chain.r1cs");
    let (small, witness) = squares(4, 2);
    let accepted: Vec<Answer> = [("a", &small), ("large", &large), ("b", &small), ("c", &small)]
        .iter()
        .map(|(name, r1cs)| put(&server, &format!("/v1/circuits/{name}"), &[("r1cs", r1cs)]))
        .collect();
    let changes: Vec<serde_json::Value> = accepted.iter().map(|answer| ended(&server, answer)).collect();
    let states: Vec<&str> = changes.iter().map(|change| change["state"].as_str().expect("a state")).collect();
    assert_eq!(states, ["done", "failed", "done", "done"], "{}", server.log_so_far());
    assert_eq!(names(&server), ["a", "b", "c"]);
    server.post("/v1/circuits/c/prove", &witness).ok();
}

#[test]
fn a_bake_of_a_server_that_was_killed_is_done_at_the_next_start() {
    let state = own_state();
    let (first, witness) = squares(6, 3);
    let server = serve(state.path(), &[]);
    done(&server, &put(&server, "/v1/circuits/first", &[("r1cs", &first)]));
    let (second, second_witness) = squares(7, 3);
    let accepted = put(&server, "/v1/circuits/second", &[("r1cs", &second)]);
    let location = accepted.header("location").expect("a location").to_owned();
    until("the bake runs", || server.get(&location).json()["stage"].is_string());
    server.signal(rustix::process::Signal::KILL);
    let (status, _) = server.wait();
    assert!(!status.success());

    let server = serve(state.path(), &[]);
    // The published generation is served at once.
    verifies_natively(&first, &server.post("/v1/circuits/first/prove", &witness).ok());
    until("the change is done", || server.get(&location).json()["state"] == "done");
    verifies_natively(&second, &server.post("/v1/circuits/second/prove", &second_witness).ok());
    // Two servers cannot use one catalogue.
    let mut second_server = snapback();
    second_server.args(["serve", "plonk", "--listen", "127.0.0.1:0"]).arg("--state-dir").arg(state.path());
    assert!(harness::run_err(&mut second_server, 1).contains("another server"));
    // A bake does not hold up a drain, and its change is not lost.
    let (third, third_witness) = squares(8, 3);
    let accepted = put(&server, "/v1/circuits/third", &[("r1cs", &third)]);
    assert_eq!(accepted.status, 202);
    server.stop();
    let server = serve(state.path(), &[]);
    until("the third circuit is served", || names(&server).contains(&"third".to_owned()));
    verifies_natively(&third, &server.post("/v1/circuits/third/prove", &third_witness).ok());
}

/// Sends a signal to every process that a server has started, and returns how many there are.
fn signal_children(server: &Server, signal: rustix::process::Signal) -> usize {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", server.pid())).expect("tasks").flatten();
    let children = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    let mut count = 0;
    for child in children.collect::<Vec<_>>().iter().flat_map(|list| list.split_whitespace()) {
        let pid = rustix::process::Pid::from_raw(child.parse().expect("a number")).expect("a process");
        rustix::process::kill_process(pid, signal).expect("it runs");
        count += 1;
    }
    count
}

#[test]
fn changes_are_cancelled_while_they_wait_and_while_they_are_baked() {
    let state = own_state();
    let server = serve(state.path(), &[]);
    let (first, witness) = squares(4, 2);
    let accept = |name: &str, r1cs: &[u8]| {
        let accepted = put(&server, &format!("/v1/circuits/{name}"), &[("r1cs", r1cs)]);
        accepted.header("location").expect("a location").to_owned()
    };
    let baked = accept("baked", &first);
    until("the bake runs", || server.get(&baked).json()["stage"].is_string());
    // The bake cannot end before it is cancelled.
    assert_eq!(signal_children(&server, rustix::process::Signal::STOP), 1);
    let (second, second_witness) = squares(5, 2);
    let (waits, stays) = (accept("waits", &second), accept("stays", &second));
    for change in [&waits, &baked] {
        assert_eq!(server.delete(change).json()["state"], "cancelled");
        assert_eq!(server.delete(change).json()["state"], "cancelled", "a second time changes nothing");
    }
    until("the other change is done", || server.get(&stays).json()["state"] == "done");
    assert_eq!(names(&server), ["stays"]);
    assert!(server.delete(&stays).error(409, "not_cancellable").contains("generation"));
    server.delete("/v1/changes/99").error(404, "unknown_change");
    assert_eq!(server.get(&baked).json()["state"], "cancelled");
    server.post("/v1/circuits/stays/prove", &second_witness).ok();

    // What was cancelled left no file behind, and can be sent again.
    let files = std::fs::read_dir(state.path().join("circuits/plonk/files")).expect("a directory").count();
    assert_eq!(files, 1);
    done(&server, &put(&server, "/v1/circuits/baked", &[("r1cs", &first)]));
    server.post("/v1/circuits/baked/prove", &witness).ok();
    let metrics = server.get("/metrics").text();
    assert!(
        metrics.contains(r#"snapback_circuit_changes_total{image="plonk",outcome="cancelled"} 2"#),
        "{metrics}"
    );
}

#[test]
fn a_bake_that_is_interrupted_begins_again() {
    let state = own_state();
    let server = serve(state.path(), &[]);
    let (r1cs, witness) = squares(5, 3);
    let accepted = put(&server, "/v1/circuits/x", &[("r1cs", &r1cs)]);
    let location = accepted.header("location").expect("a location").to_owned();
    until("the bake runs", || server.get(&location).json()["stage"].is_string());
    // A service manager that stops every process of a service sends this signal. Here the server does not get it.
    assert_eq!(signal_children(&server, rustix::process::Signal::TERM), 1);
    assert_eq!(ended(&server, &accepted)["state"], "done");
    verifies_natively(&r1cs, &server.post("/v1/circuits/x/prove", &witness).ok());
}

#[test]
fn removed_circuits_leave_the_image_small_and_are_never_refused_for_its_size() {
    let state = own_state();
    let server = serve(state.path(), &[]);
    let large = fixture("x5chain/x5chain.r1cs");
    let (small, witness) = squares(4, 2);
    done(&server, &put(&server, "/v1/circuits/small", &[("r1cs", &small)]));
    let bytes = |server: &Server| {
        let list = server.get("/v1/generations").json();
        let mut kept = list["generations"].as_array().expect("a list").iter();
        let active = kept.find(|generation| generation["id"] == list["active"]).expect("it is kept");
        active["disk_bytes"].as_u64().expect("bytes")
    };
    let before = bytes(&server);
    done(&server, &put(&server, "/v1/circuits/large", &[("r1cs", &large)]));
    let with_large = bytes(&server);
    assert!(with_large > 2 * before, "{with_large}");
    drop(server);

    // The limit is less than what is served already: an addition fails, and a removal does not.
    let limit = format!("bake.image_bytes_max={}B", before);
    let server = serve(state.path(), &["--set", &limit]);
    let (other, _) = squares(5, 2);
    assert_eq!(ended(&server, &put(&server, "/v1/circuits/other", &[("r1cs", &other)]))["state"], "failed");
    done(&server, &server.delete("/v1/circuits/large"));
    // The image is built again in the background, without what the circuit left.
    until("the image is small again", || bytes(&server) < with_large / 2);
    assert_eq!(names(&server), ["small"]);
    verifies_natively(&small, &server.post("/v1/circuits/small/prove", &witness).ok());
    let changes = server.get("/v1/changes").json();
    let last = changes["changes"].as_array().expect("a list").last().expect("a change").clone();
    assert_eq!((&last["change"], &last["state"]), (&"compact".into(), &"done".into()), "{changes}");
}

#[test]
fn refused_circuits_and_forgotten_generations_leave_no_files() {
    let state = own_state();
    let server = serve(state.path(), &["--circuits-generations-kept", "0"]);
    let count = |dir: &str| std::fs::read_dir(state.path().join(dir)).map_or(0, Iterator::count);
    let images = count("images");
    let (first, _) = squares(4, 2);
    let (second, _) = squares(5, 2);
    done(&server, &put(&server, "/v1/circuits/x", &[("r1cs", &first)]));
    put(&server, "/v1/circuits/x", &[("r1cs", &second), ("sym", b"1,1,0,main.y")]).error(409, "name_taken");
    assert_eq!(count("circuits/plonk/files"), 1, "the file of the circuit");
    done(&server, &put(&server, "/v1/circuits/y", &[("r1cs", &second)]));
    done(&server, &server.delete("/v1/circuits/y"));
    until("unused files are removed", || {
        // The image that was given and the active one stay.
        (count("circuits/plonk/files"), count("images")) == (1, images + 1)
    });
    assert_eq!(server.get("/v1/generations").json()["generations"].as_array().expect("a list").len(), 1);
}

#[test]
fn an_image_from_a_file_takes_circuits_too() {
    let state = own_state();
    let elsewhere = tempfile::tempdir().expect("a directory");
    let images = state.path().join("images");
    let image =
        harness::run_ok(snapback().args(["inspect", "plonk", "--json", "--state-dir"]).arg(state.path()));
    let image: serde_json::Value = serde_json::from_str(&image).expect("JSON");
    let image = images.join(format!("{}.wasm", image["digest"].as_str().expect("a digest")));
    let mut command = snapback();
    command.arg("serve").arg(format!("plonk={}", image.display())).arg("--state-dir").arg(elsewhere.path());
    let server = Server::of(&mut command);
    let (r1cs, witness) = squares(4, 2);
    done(&server, &put(&server, "/v1/circuits/x", &[("r1cs", &r1cs)]));
    verifies_natively(&r1cs, &server.post("/v1/circuits/x/prove", &witness).ok());
}

#[test]
fn a_change_reports_its_progress_as_events() {
    let state = own_state();
    let server = serve(state.path(), &[]);
    let (r1cs, _) = squares(4, 2);
    let accepted = put(&server, "/v1/circuits/x", &[("r1cs", &r1cs)]);
    let id = accepted.json()["id"].as_u64().expect("a number");
    // The stream ends with the change.
    let events = server.get(&format!("/v1/changes/{id}/events")).text();
    assert!(events.contains("\"state\":\"baking\"") && events.contains("\"stage\":"), "{events}");
    let last = events.trim_end().lines().next_back().expect("a line");
    assert!(last.contains("\"state\":\"done\""), "{events}");
}
