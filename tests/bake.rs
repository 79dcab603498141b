//! Bakes: equal inputs give equal images, and guests that cannot be served well are refused with the reason.

mod harness;

use harness::{Server, run_err, run_ok, snapback, state_with};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};
use tempfile::TempDir;

/// Returns the text of a guest that follows the contract, with `more` in addition.
fn guest(more: &str) -> String {
    format!(
        r#"(module
            (memory (export "memory") 1)
            (func (export "snapback_abi") (result i32) i32.const 1)
            (func (export "snapback_alloc") (param i32) (result i32) i32.const 1024)
            ;; One byte at address 2048: the tag of success, and an empty body.
            (func (export "nothing") (param i32 i32) (result i64) i64.const 0x0000080000000001)
            {more})"#
    )
}

struct Bench {
    dir: TempDir,
}

impl Bench {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().expect("a directory") }
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::write(&path, bytes).expect("the file is written");
        path
    }

    fn bake(&self, guest: &Path) -> Command {
        let mut command = snapback();
        command.arg("bake").arg(guest).arg("--state-dir").arg(self.dir.path().join("state"));
        command
    }

    fn bake_text(&self, text: &str) -> Command {
        self.bake(&self.write("guest.wasm", &wat::parse_str(text).expect("a module")))
    }
}

#[test]
fn a_guest_that_follows_the_contract_is_baked() {
    let bench = Bench::new();
    let digest = run_ok(&mut bench.bake_text(&guest("")));
    let state = bench.dir.path().join("state");
    let json = run_ok(snapback().args(["inspect", digest.trim(), "--json", "--state-dir"]).arg(&state));
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    let raw = "application/octet-stream";
    assert_eq!(
        json["manifest"]["methods"],
        serde_json::json!([{ "name": "nothing", "request": raw, "reply": raw }])
    );
    assert_eq!(json["copy_on_write"]["holds"], true);
    assert_eq!(json["digest"], digest.trim());

    let prover = r#"(func (export "prove") (param i32 i32) (result i64)
        (i64.mul_wide_u (i64.const 1) (i64.const 2)) drop)"#;
    run_ok(&mut bench.bake_text(&guest(prover)));
}

/// The first line of each file of `guest/fixtures/refused` gives the reason.
#[test]
fn guests_that_cannot_be_served_well_are_refused_with_the_reason() {
    let bench = Bench::new();
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../guest/fixtures/refused");
    let mut refused = 0;
    for entry in fs::read_dir(dir).expect("the fixtures") {
        let path = entry.expect("an entry").path();
        let text = fs::read_to_string(&path).expect("text");
        let reason =
            text.lines().next().and_then(|line| line.strip_prefix(";; refused: ")).expect("a reason");
        let stderr = run_err(&mut bench.bake_text(&text), 3);
        assert!(stderr.contains(reason), "{}: {stderr}", path.display());
        refused += 1;
    }
    assert!(refused >= 20, "{refused} fixtures were tried");
    let images = run_ok(snapback().arg("images").arg("--state-dir").arg(bench.dir.path().join("state")));
    assert_eq!(images, "", "a refused bake leaves no image");
}

#[test]
fn an_initialiser_that_never_ends_is_stopped() {
    let bench = Bench::new();
    let spin = r#"(func (export "bake_init") (param i32 i32) (result i64) (loop (br 0)) unreachable)"#;
    let stderr = run_err(bench.bake_text(&guest(spin)).args(["--bake-deadline", "100ms"]), 3);
    assert!(stderr.contains("bake.deadline"), "{stderr}");
}

#[test]
fn entropy_that_stays_in_the_image_is_refused() {
    let bench = Bench::new();
    let seed = bench.write("seed", b"anything");
    let mut bake = bench.bake(Path::new("fixtures"));
    let stderr = run_err(bake.arg("--input").arg(format!("random={}", seed.display())), 3);
    assert!(stderr.contains("randomness"), "{stderr}");
}

#[test]
fn inputs_are_passed_by_name_and_errors_name_the_wrong_ones() {
    let bench = Bench::new();
    let seed = bench.write("seed", &vec![7; 3 << 20]);
    let with = |input: String| {
        let mut bake = bench.bake(Path::new("fixtures"));
        bake.args(["--input", &input]);
        bake
    };
    run_ok(&mut with(format!("seed={}", seed.display())));
    let stderr = run_err(&mut with(format!("sed={}", seed.display())), 3);
    assert!(stderr.contains("`sed`") && stderr.contains("it takes: random, seed"), "{stderr}");
    let stderr =
        run_err(with(format!("seed={}", seed.display())).args(["--bake-input-bytes-max", "1MiB"]), 3);
    assert!(stderr.contains("bake.input_bytes_max"), "{stderr}");
    let stderr = run_err(bench.bake(Path::new("fixtures")).args(["--bake-image-bytes-max", "1MiB"]), 3);
    assert!(stderr.contains("bake.image_bytes_max"), "{stderr}");
    let twice = format!("seed={}", seed.display());
    let stderr = run_err(with(twice.clone()).args(["--input", &twice]), 3);
    assert!(stderr.contains("given twice"), "{stderr}");
}

#[test]
fn a_trial_call_is_measured_and_sizes_the_server() {
    let (bench, other) = (Bench::new(), Bench::new());
    let body = bench.write("body", b"10000000");
    let bake = |bench: &Bench| {
        let trial = format!("leak={}", body.display());
        let json = run_ok(bench.bake(Path::new("fixtures")).args(["--trial", &trial, "--json"]));
        serde_json::from_str::<serde_json::Value>(&json).expect("JSON")
    };
    let baked = bake(&bench);
    let trial = &baked["manifest"]["trial"];
    let bytes = |key: &str| trial[key].as_u64().expect("bytes");
    assert_eq!((&trial["method"], &trial["circuit"]), (&"leak".into(), &"".into()));
    // The call writes the bytes that it leaks, in whole pages, and a few more; the second call adds as much.
    for key in ["dirty_bytes", "growth_bytes"] {
        assert!((10_000_000..11_000_000).contains(&bytes(key)), "{key}: {trial}");
    }
    assert!(bytes("peak_bytes") >= baked["manifest"]["memory_bytes"].as_u64().expect("bytes") + 10_000_000);
    assert_eq!(bake(&other)["digest"], baked["digest"], "equal bakes measure equal figures");

    let size = |args: &[&str]| {
        let mut command = snapback();
        command.args(["size", baked["digest"].as_str().expect("a digest"), "--lanes", "2", "--json"]);
        command
            .args(["--memory-limit", "1GiB", "--state-dir"])
            .arg(bench.dir.path().join("state"))
            .args(args);
        serde_json::from_str::<serde_json::Value>(&run_ok(&mut command)).expect("JSON")
    };
    let (every_call, off) = (size(&[]), size(&["--swap-policy", "off"]));
    assert_eq!(every_call["measured"]["call"], "leak");
    assert_eq!(every_call["active_bytes"].as_u64(), Some(2 * bytes("dirty_bytes")));
    assert_eq!(off["active_bytes"], 2u64 << 30);
}

#[test]
fn an_image_whose_trial_fails_is_not_kept() {
    let bench = Bench::new();
    let body = bench.write("body", b"not a number");
    for (method, wanted) in
        [("trap", "unreachable"), ("leak", "decimal number"), ("nothing", "no such method")]
    {
        let trial = format!("{method}={}", body.display());
        let stderr = run_err(bench.bake(Path::new("fixtures")).args(["--trial", &trial]), 3);
        assert!(stderr.contains(method) && stderr.contains(wanted), "{stderr}");
    }
    let trial = format!("spin={}", body.display());
    let stderr =
        run_err(bench.bake(Path::new("fixtures")).args(["--trial", &trial, "--bake-deadline", "200ms"]), 3);
    assert!(stderr.contains("bake.deadline"), "{stderr}");
    let images = run_ok(snapback().arg("images").arg("--state-dir").arg(bench.dir.path().join("state")));
    assert_eq!(images, "");
    run_err(bench.bake(Path::new("fixtures")).args(["--trial", "leak=/nowhere"]), 1);
}

/// A build step in CI bakes the file, and a server in production uses it.
#[test]
fn a_bake_shows_its_stages_and_the_lines_of_the_guest_and_its_file_can_be_served_elsewhere() {
    let bench = Bench::new();
    let chatty = r#"
        (import "snapback" "log" (func $log (param i32 i32)))
        (memory (export "memory") 1)
        (data (i32.const 3000) "a line of the guest\1b[2J")
        (func $say (call $log (i32.const 3000) (i32.const 23)))
        (func (export "snapback_abi") (result i32) i32.const 1)
        (func (export "snapback_alloc") (param i32) (result i32) i32.const 1024)
        (func (export "bake_init") (param i32 i32) (result i64)
            (call $say) (memory.fill (local.get 0) (i32.const 0) (local.get 1)) i64.const 0x0000080000000001)
        (func (export "chat") (param i32 i32) (result i64) (call $say) i64.const 0x0000080000000001)"#;
    let guest = bench.write("chatty.wasm", &wat::parse_str(format!("(module {chatty})")).expect("a module"));
    let image = bench.dir.path().join("chatty.image.wasm");
    let output = bench.bake(&guest).arg("--json").arg("-o").arg(&image).output().expect("the command runs");
    let shown = String::from_utf8(output.stderr).expect("text");
    assert!(output.status.success(), "{shown}");
    for line in ["[1/7] checking the guest", "[7/7] publishing the image", "chatty: a line of the guest"] {
        assert!(shown.contains(line), "{shown}");
    }
    assert!(!shown.contains('\u{1b}'), "control characters were printed: {shown}");
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(json["path"].as_str(), image.to_str());

    let elsewhere = Bench::new();
    let server = Server::of(
        snapback()
            .arg("serve")
            .arg(&image)
            .arg("--state-dir")
            .arg(elsewhere.dir.path())
            .args(["--log-level", "trace"]),
    );
    assert_eq!(server.get("/v1/status").json()["images"][0]["digest"], json["digest"]);
    assert_eq!(server.post("/v1/methods/chat", b"").ok(), b"");
    let log = server.stop();
    assert!(!log.contains("a line of the guest"), "lines of a guest may hold data of a client: {log}");
}

#[test]
fn two_bakes_of_the_same_inputs_give_the_same_bytes() {
    let (one, two) = (Bench::new(), Bench::new());
    let image = |bench: &Bench| {
        let path = bench.dir.path().join("image.wasm");
        run_ok(bench.bake(Path::new("zcash")).arg("-o").arg(&path));
        fs::read(path).expect("the image")
    };
    let one = image(&one);
    assert!(one == image(&two), "two bakes differ");
    let shared = state_with("zcash");
    let listed = run_ok(snapback().args(["images", "list", "--json", "--state-dir"]).arg(shared));
    let listed: serde_json::Value = serde_json::from_str(&listed).expect("JSON");
    let digest = snapback_snapshot::Digest::of(&one).to_string();
    assert!(listed.as_array().expect("a list").iter().any(|image| image["digest"] == digest.as_str()));
}

#[test]
fn images_that_are_baked_from_one_another_do_not_grow() {
    let bench = Bench::new();
    let bake = |args: &[&str]| -> serde_json::Value {
        let command = &mut snapback();
        command.arg("bake").args(args).arg("--json").arg("--state-dir").arg(bench.dir.path());
        serde_json::from_str(&run_ok(command)).expect("JSON")
    };
    let mut baked = bake(&["fixtures"]);
    // The first image is not measured, because its manifest names no base.
    let sizes: Vec<u64> = (0..3)
        .map(|_| {
            baked = bake(&["--base", baked["digest"].as_str().expect("a digest")]);
            baked["image_bytes"].as_u64().expect("a size")
        })
        .collect();
    assert_eq!(sizes[1..], [sizes[0]; 2]);
}

#[test]
fn the_errors_for_files_that_are_no_guests_differ() {
    let bench = Bench::new();
    let text = bench.write("notes.wasm", b"hello");
    assert!(run_err(&mut bench.bake(&text), 3).contains("not a valid core module"));
    let empty = bench.write("empty.wasm", b"");
    assert!(run_err(&mut bench.bake(&empty), 3).contains("not a valid core module"));
    assert!(run_err(&mut bench.bake(Path::new("nobody")), 2).contains("zcash"));
    assert!(run_err(&mut bench.bake(Path::new("./no.wasm")), 1).contains("./no.wasm"));
}
