//! Circuits come and go on a server that runs: added, removed, rolled back, and never half there.

mod harness;

use harness::{
    Answer, Server,
    circuits::{done, ended, own_state, put, serve, squares::squares, verifies_natively},
    fixture, snapback, until,
};
use std::thread;

fn names(server: &Server) -> Vec<String> {
    let circuits = server.get("/v1/circuits").json();
    let circuits = circuits["circuits"].as_array().expect("a list").clone();
    circuits.iter().map(|circuit| circuit["name"].as_str().expect("a name").to_owned()).collect()
}

#[test]
fn circuits_come_and_go_while_others_are_proven() {
    let state = own_state();
    let server = serve(state.path(), &[]);
    assert!(names(&server).is_empty());
    let (first, witness) = squares(10, 3);
    assert_eq!(done(&server, &put(&server, "/v1/circuits/first", &[("r1cs", &first)])), 2);
    let proof = server.post("/v1/circuits/first/prove", &witness).ok();
    verifies_natively(&first, &proof);
    let digest = server.get("/v1/circuits").json()["circuits"][0]["vk_digest"].clone();

    // Under load: while the first is proven, a second one comes and goes, and no call notices.
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
        verifies_natively(&first, proofs.last().expect("one"));
    });
    assert_eq!(names(&server), ["first", "second"]);
    assert_eq!(server.get("/v1/circuits").json()["circuits"][0]["vk_digest"], digest, "nobody touched it");

    // The same circuit twice is no new bake; another of its name has to be meant.
    let again = put(&server, "/v1/circuits/second", &[("r1cs", &second)]);
    assert_eq!((again.status, again.json()["state"].as_str()), (200, Some("unchanged")));
    put(&server, "/v1/circuits/second", &[("r1cs", &first)]).error(409, "name_taken");
    assert_eq!(done(&server, &put(&server, "/v1/circuits/second?replace=true", &[("r1cs", &first)])), 4);
    server.post("/v1/circuits/second/prove", &second_witness).error(400, "malformed_input");
    verifies_natively(&first, &server.post("/v1/circuits/second/prove", &witness).ok());

    // Back to where the second was the second, and forward without it.
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
fn what_is_wrong_with_a_circuit_is_said_at_once_and_changes_nothing() {
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
    let prime = bn128.windows(8).position(|window| window == 0x992d_30ed_0000_0001u64.to_le_bytes());
    bn128[prime.expect("its prime")..][..8].copy_from_slice(&0x43e1_f593_f000_0001u64.to_le_bytes());
    assert!(refuse(&[("r1cs", &bn128)], 422, "unsupported_circuit").contains("bn128"));
    // Lengths that lie, sections without end, an envelope without end.
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
    server.get("/v1/jobs/7").error(404, "unknown_job");
    assert!(server.get("/v1/jobs").json()["jobs"].as_array().expect("a list").is_empty());
    assert!(names(&server).is_empty());

    let closed = serve(own_state().path(), &["--circuits-changes", "off"]);
    put(&closed, "/v1/circuits/x", &[("r1cs", &r1cs)]).error(403, "changes_off");
    let fixtures = Server::start("fixtures", &[]);
    put(&fixtures, "/v1/circuits/x", &[("r1cs", &r1cs)]).error(404, "no_circuits_as_data");
}

#[test]
fn a_circuit_too_large_for_the_memory_leaves_its_reason_and_what_is_served() {
    let state = own_state();
    let server = serve(state.path(), &["--memory-limit", "16MiB", "--swap-policy", "threshold"]);
    let (small, witness) = squares(4, 2);
    done(&server, &put(&server, "/v1/circuits/small", &[("r1cs", &small)]));
    let large = fixture("x5chain/x5chain.r1cs");
    let job = ended(&server, &put(&server, "/v1/circuits/large", &[("r1cs", &large)]));
    assert_eq!(job["state"], "failed", "{job}");
    assert!(job["reason"].as_str().expect("a reason").contains("memory.limit"), "{job}");
    assert_eq!(names(&server), ["small"]);
    server.post("/v1/circuits/small/prove", &witness).ok();
}

#[test]
fn changes_that_come_together_are_baked_together_and_one_that_fails_takes_no_other_with_it() {
    let state = own_state();
    // Nothing but small circuits fits a bake here.
    let server = serve(state.path(), &["--bake-memory-limit", "12MiB"]);
    let large = fixture("x5chain/x5chain.r1cs");
    let (small, witness) = squares(4, 2);
    let jobs: Vec<Answer> = [("a", &small), ("large", &large), ("b", &small), ("c", &small)]
        .iter()
        .map(|(name, r1cs)| put(&server, &format!("/v1/circuits/{name}"), &[("r1cs", r1cs)]))
        .collect();
    let states: Vec<String> =
        jobs.iter().map(|job| ended(&server, job)["state"].as_str().expect("a state").to_owned()).collect();
    assert_eq!(states, ["done", "failed", "done", "done"]);
    assert_eq!(names(&server), ["a", "b", "c"]);
    server.post("/v1/circuits/c/prove", &witness).ok();
}

#[test]
fn a_server_that_is_killed_in_the_middle_of_a_bake_finishes_it_at_the_next_start() {
    let state = own_state();
    let (first, witness) = squares(6, 3);
    let server = serve(state.path(), &[]);
    done(&server, &put(&server, "/v1/circuits/first", &[("r1cs", &first)]));
    let (second, second_witness) = squares(7, 3);
    let accepted = put(&server, "/v1/circuits/second", &[("r1cs", &second)]);
    let place = accepted.header("location").expect("a place").to_owned();
    until("the bake runs", || server.get(&place).json()["stage"].is_string());
    server.signal(rustix::process::Signal::KILL);
    let (status, _) = server.wait();
    assert!(!status.success());

    let server = serve(state.path(), &[]);
    // What was published is served from the first moment on.
    verifies_natively(&first, &server.post("/v1/circuits/first/prove", &witness).ok());
    let mut job = server.get(&place).json();
    until("the job ends", || {
        job = server.get(&place).json();
        job["state"] == "done"
    });
    verifies_natively(&second, &server.post("/v1/circuits/second/prove", &second_witness).ok());
    // Two servers do not keep one catalogue.
    let mut second_server = snapback();
    second_server.args(["serve", "plonk", "--listen", "127.0.0.1:0"]).arg("--state-dir").arg(state.path());
    assert!(harness::run_err(&mut second_server, 1).contains("another server"));
    // A drain in the middle of a bake is no hindrance, and the change is not lost.
    let (third, third_witness) = squares(8, 3);
    let accepted = put(&server, "/v1/circuits/third", &[("r1cs", &third)]);
    assert_eq!(accepted.status, 202);
    server.stop();
    let server = serve(state.path(), &[]);
    until("the third is there", || names(&server).contains(&"third".to_owned()));
    verifies_natively(&third, &server.post("/v1/circuits/third/prove", &third_witness).ok());
}

#[test]
fn a_bake_that_is_interrupted_begins_again() {
    let state = own_state();
    let server = serve(state.path(), &[]);
    let (r1cs, witness) = squares(5, 3);
    let accepted = put(&server, "/v1/circuits/x", &[("r1cs", &r1cs)]);
    let place = accepted.header("location").expect("a place").to_owned();
    until("the bake runs", || server.get(&place).json()["stage"].is_string());
    // As a service manager does that stops every process of a service, and then does not stop the server.
    let children = format!("/proc/{0}/task", server.pid());
    let mut stopped = 0;
    for task in std::fs::read_dir(children).expect("tasks").flatten() {
        let list = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
        for child in list.split_whitespace() {
            let pid = rustix::process::Pid::from_raw(child.parse().expect("a number")).expect("a process");
            rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it runs");
            stopped += 1;
        }
    }
    assert_eq!(stopped, 1);
    assert_eq!(ended(&server, &accepted)["state"], "done");
    verifies_natively(&r1cs, &server.post("/v1/circuits/x/prove", &witness).ok());
}

#[test]
fn nothing_is_left_behind_by_what_was_refused_or_forgotten() {
    let state = own_state();
    let server = serve(state.path(), &["--circuits-generations-kept", "0"]);
    let count = |dir: &str| std::fs::read_dir(state.path().join(dir)).map_or(0, Iterator::count);
    let images = count("images");
    let (first, _) = squares(4, 2);
    let (second, _) = squares(5, 2);
    done(&server, &put(&server, "/v1/circuits/x", &[("r1cs", &first)]));
    put(&server, "/v1/circuits/x", &[("r1cs", &second), ("sym", b"1,1,0,main.y")]).error(409, "name_taken");
    assert_eq!(count("circuits/plonk/files"), 1, "the one circuit");
    done(&server, &put(&server, "/v1/circuits/y", &[("r1cs", &second)]));
    done(&server, &server.delete("/v1/circuits/y"));
    until("what is forgotten is removed", || {
        // The given image and the active one.
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
fn a_job_is_told_as_it_goes_on() {
    let state = own_state();
    let server = serve(state.path(), &[]);
    let (r1cs, _) = squares(4, 2);
    let accepted = put(&server, "/v1/circuits/x", &[("r1cs", &r1cs)]);
    let id = accepted.json()["id"].as_u64().expect("a number");
    // The stream ends with the job.
    let told = server.get(&format!("/v1/jobs/{id}/events")).text();
    assert!(told.contains("\"state\":\"baking\"") && told.contains("\"stage\":"), "{told}");
    assert!(told.trim_end().lines().next_back().expect("a line").contains("\"state\":\"done\""), "{told}");
}
