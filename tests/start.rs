//! The first start: other processes bake and compile the image, so that the server keeps none of their memory.

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

/// Starts a server, and returns its private memory before the first call, in bytes, and the origin of its native code.
fn start(state: &TempDir) -> (u64, String) {
    let server = Server::of(&mut serve("fixtures", state));
    let mut private = 0;
    until("the memory is sampled", || {
        let status = server.get("/v1/status").json();
        private = status["memory"]["private_resident_bytes"].as_u64().expect("a number");
        private > 0
    });
    (private, server.native_origin())
}

#[test]
fn baking_and_compiling_leave_no_memory_in_the_server() {
    let state = tempfile::tempdir().expect("a directory");
    let (baked, origin) = start(&state);
    assert_eq!(origin, "compiled");
    fs::remove_dir_all(state.path().join("native")).expect("the test owns the file");
    let (compiled, origin) = start(&state);
    assert_eq!(origin, "compiled");
    let (later, origin) = start(&state);
    assert_eq!(origin, "cached");
    // Baking in the server itself would leave twenty times as much.
    for first in [baked, compiled] {
        assert!(first < 2 * later, "{first} bytes after the first start, {later} after another");
    }
}

#[test]
fn a_first_start_that_fails_reports_the_reason_once() {
    let state = tempfile::tempdir().expect("a directory");
    let mut serve = serve("fixtures", &state);
    // Settings from every source reach the bake.
    let stderr =
        run_err(serve.args(["--listen", "127.0.0.1:0"]).env("SNAPBACK_BAKE_IMAGE_BYTES_MAX", "1KiB"), 3);
    assert_eq!(stderr.matches("snapback: ").count(), 1, "{stderr}");
    assert!(stderr.contains("bake.image_bytes_max"), "{stderr}");
}

#[test]
fn native_code_that_cannot_be_kept_is_compiled_in_the_server() {
    let state = tempfile::tempdir().expect("a directory");
    fs::write(state.path().join("native"), b"").expect("the test owns the file");
    assert_eq!(start(&state).1, "memory");
}

#[test]
fn an_image_file_without_native_code_is_compiled_in_a_process_of_its_own() {
    let (baked, state) =
        (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
    let image = baked.path().join("elsewhere.wasm");
    run_ok(snapback().args(["bake", "fixtures", "--state-dir"]).arg(baked.path()).arg("-o").arg(&image));
    let server = Server::of(&mut serve(image.to_str().expect("UTF-8"), &state));
    assert_eq!(server.native_origin(), "compiled");
    assert_eq!(server.post("/v1/methods/echo", b"on").ok(), b"on");
}

#[test]
fn a_bake_ends_when_its_server_ends() {
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
        .expect("the command runs");
    let mut server = Killed(server);
    let mut lines = BufReader::new(server.0.stderr.take().expect("piped")).lines().map_while(Result::ok);
    lines.find(|line| line.contains("running the initialiser")).expect("the bake begins");
    let children = format!("/proc/{0}/task/{0}/children", server.0.id());
    let children = fs::read_to_string(children).expect("the server is alive");
    let bake: u32 = children.trim().parse().expect("one child");
    drop(server);
    until("the bake ends", || !Path::new(&format!("/proc/{bake}/exe")).exists());
    assert_eq!(
        fs::read_dir(state.path().join("images")).expect("a directory").count(),
        0,
        "the bake was not finished"
    );
}

/// The process starts after the end of its parent, so that the kernel does not signal that end to it.
#[test]
fn a_process_does_nothing_for_a_parent_that_has_ended() {
    let state = tempfile::tempdir().expect("a directory");
    let mut gone = Command::new("true").spawn().expect("the command runs");
    gone.wait().expect("the process ends");
    let mut ready = snapback();
    ready.args(["ready", "fixtures", "--parent", &gone.id().to_string(), "--state-dir"]).arg(state.path());
    let stderr = run_err(&mut ready, 1);
    assert!(stderr.contains("has ended"), "{stderr}");
    assert!(!state.path().join("images").exists());
}
