//! What a server gives up before it serves. Every other test runs servers in the sandbox too, since `auto` is the
//! default.

mod harness;

use harness::{
    Server,
    circuits::{done, own_state, put, serve, squares::squares},
    snapback, state_with,
};
use std::fs;

/// The value of a line of `/proc/PID/FILE`.
fn account(server: &Server, file: &str, name: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{}/{file}", server.pid())).expect("it runs");
    let line = text.lines().find_map(|line| line.strip_prefix(name)).expect("the kernel says it");
    line.split_whitespace().next().expect("a value").to_owned()
}

#[test]
fn a_server_gives_up_what_it_does_not_need_and_says_so() {
    let state = own_state();
    let server = serve(state.path(), &[]);
    let sandbox = server.get("/v1/status").json()["sandbox"].clone();
    assert_eq!((&sandbox["no_new_privileges"], &sandbox["no_core_dumps"]), (&true.into(), &true.into()));
    assert_eq!(account(&server, "status", "NoNewPrivs:"), "1");
    assert_eq!(account(&server, "limits", "Max core file size"), "1");
    let landlock = sandbox["landlock"].as_str().expect("text");
    assert!(server.log_so_far().contains("sandbox"));
    // A change starts a bake, which starts in this sandbox and enters its own.
    let (r1cs, _) = squares(4, 3);
    done(&server, &put(&server, "/v1/circuits/squares", &[("r1cs", &r1cs)]));
    server.stop();

    // `on` is kept exactly where the kernel has Landlock.
    let mut strict = snapback();
    strict.args(["serve", "fixtures", "--sandbox", "on", "--state-dir"]).arg(state_with("fixtures"));
    match (Server::try_of(&mut strict), landlock) {
        (Ok(server), "full" | "partial") => assert_eq!(server.get("/v1/status").json()["sandbox"], sandbox),
        (Err((_, log)), "none") => assert!(log.contains("no Landlock"), "{log}"),
        (started, landlock) => panic!("{landlock}, and started: {}", started.is_ok()),
    }
}

#[test]
fn a_server_without_a_sandbox_says_so() {
    let server = Server::start("fixtures", &["--sandbox", "off"]);
    let expected =
        serde_json::json!({"landlock": "none", "no_new_privileges": false, "no_core_dumps": false});
    assert_eq!(server.get("/v1/status").json()["sandbox"], expected);
}
