//! The first start: what is missing is baked and compiled beside the server, and leaves nothing in it.

mod harness;

use harness::{Server, run_err, run_ok, snapback, until};
use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};
use tempfile::TempDir;

fn serve(guest: &str, state: &TempDir) -> Command {
    let mut serve = snapback();
    serve.args(["serve", guest, "--state-dir"]).arg(state.path());
    serve
}

/// Private memory of a server that has not been called, in bytes; and where its native code came from.
fn start(state: &TempDir) -> (u64, String) {
    let server = Server::of(&mut serve("fixtures", state));
    let mut private = 0;
    until("memory was looked at", || {
        let status = server.get("/v1/status").json();
        private = status["memory"]["private_resident_bytes"].as_u64().expect("a number");
        private > 0
    });
    (private, server.native_origin())
}

#[test]
fn baking_and_compiling_leave_nothing_in_the_server() {
    let state = tempfile::tempdir().expect("a directory");
    let (baked, origin) = start(&state);
    assert_eq!(origin, "cached");
    fs::remove_dir_all(state.path().join("native")).expect("ours");
    let (compiled, origin) = start(&state);
    assert_eq!(origin, "compiled");
    let (later, origin) = start(&state);
    assert_eq!(origin, "cached");
    // Done in the server, it is twenty times as much.
    for first in [baked, compiled] {
        assert!(first < 2 * later, "{first} bytes after the first start, {later} after another");
    }
}

#[test]
fn a_first_start_that_fails_says_why_once() {
    let state = tempfile::tempdir().expect("a directory");
    let mut serve = serve("fixtures", &state);
    // Settings reach the bake from wherever they come.
    let said =
        run_err(serve.args(["--listen", "127.0.0.1:0"]).env("SNAPBACK_BAKE_IMAGE_BYTES_MAX", "1KiB"), 3);
    assert_eq!(said.matches("snapback: ").count(), 1, "{said}");
    assert!(said.contains("bake.image_bytes_max"), "{said}");
}

#[test]
fn what_cannot_be_kept_is_compiled_in_the_server() {
    let state = tempfile::tempdir().expect("a directory");
    fs::write(state.path().join("native"), b"").expect("ours");
    assert_eq!(start(&state).1, "memory");
}

#[test]
fn a_file_without_native_code_is_compiled_apart() {
    let (baked, state) =
        (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
    let image = baked.path().join("elsewhere.wasm");
    run_ok(snapback().args(["bake", "fixtures", "--state-dir"]).arg(baked.path()).arg("-o").arg(&image));
    let server = Server::of(&mut serve(image.to_str().expect("UTF-8"), &state));
    assert_eq!(server.native_origin(), "compiled");
    assert_eq!(server.post("/v1/methods/echo", b"on").ok(), b"on");
}

#[test]
fn a_bake_ends_with_the_server_that_was_to_serve_it() {
    struct Killed(Child);
    impl Drop for Killed {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
    let state = tempfile::tempdir().expect("a directory");
    let server = serve("zcash", &state)
        .args(["--listen", "127.0.0.1:0"])
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    let mut server = Killed(server);
    let mut lines = BufReader::new(server.0.stderr.take().expect("piped")).lines().map_while(Result::ok);
    lines.find(|line| line.contains("running the initialiser")).expect("it bakes");
    let children = format!("/proc/{0}/task/{0}/children", server.0.id());
    let children = fs::read_to_string(children).expect("it is alive");
    let bake: u32 = children.trim().parse().expect("one child");
    drop(server);
    until("the bake ends", || !Path::new(&format!("/proc/{bake}/exe")).exists());
    assert_eq!(
        fs::read_dir(state.path().join("images")).expect("a directory").count(),
        0,
        "it was not finished"
    );
}

/// A process that comes too late to be told of its parent's end.
#[test]
fn nothing_is_done_for_a_parent_that_has_ended() {
    let state = tempfile::tempdir().expect("a directory");
    let mut gone = Command::new("true").spawn().expect("it runs");
    gone.wait().expect("it ends");
    let mut ready = snapback();
    ready.args(["ready", "fixtures", "--parent", &gone.id().to_string(), "--state-dir"]).arg(state.path());
    let said = run_err(&mut ready, 1);
    assert!(said.contains("has ended"), "{said}");
    assert!(!state.path().join("images").exists());
}
