//! Files in the state directory: damaged, foreign, read-only. Native code is mapped only if this user wrote it.

mod harness;

use harness::{Server, run_err, run_ok, snapback, until};
use std::{
    fs::{self, Permissions},
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
    process::Command,
};
use tempfile::TempDir;

struct State {
    dir: TempDir,
}

impl State {
    fn baked() -> Self {
        let state = Self { dir: tempfile::tempdir().expect("a directory") };
        run_ok(state.snapback("bake").arg("fixtures"));
        state
    }

    fn snapback(&self, command: &str) -> Command {
        let mut snapback = snapback();
        snapback.arg(command).arg("--state-dir").arg(self.dir.path());
        snapback
    }

    fn file(&self, dir: &str, ending: &str) -> PathBuf {
        fs::read_dir(self.dir.path().join(dir))
            .expect("a directory")
            .map(|entry| entry.expect("an entry").path())
            .find(|path| path.extension().is_some_and(|found| found == ending))
            .expect("a file")
    }

    fn serve(&self) -> Server {
        Server::of(self.snapback("serve").arg("fixtures"))
    }

    /// Starts a server, checks that it answers, and returns the origin of its native code and its log.
    fn origin(&self) -> (String, String) {
        let server = self.serve();
        assert_eq!(server.post("/v1/methods/echo", b"on").ok(), b"on");
        (server.native_origin(), server.stop())
    }
}

fn replace(path: &Path, bytes: &[u8]) {
    fs::remove_file(path).expect("the test owns the file");
    fs::write(path, bytes).expect("the test owns the file");
    fs::set_permissions(path, Permissions::from_mode(0o400)).expect("the test owns the file");
}

fn flip_byte(path: &Path, from_end: usize) {
    let mut bytes = fs::read(path).expect("readable");
    let index = bytes.len() - from_end;
    bytes[index] ^= 1;
    replace(path, &bytes);
}

#[test]
fn a_later_start_finds_image_and_native_code() {
    let state = State::baked();
    assert_eq!(state.origin().0, "cached");
    fs::remove_file(state.file("native", "cwasm")).expect("the test owns the file");
    assert_eq!(state.origin().0, "compiled");
    assert_eq!(state.origin().0, "cached");
}

#[test]
fn native_code_that_does_not_fit_is_rebuilt_with_a_warning() {
    let state = State::baked();
    let spoil: [&dyn Fn(); 8] = [
        &|| flip_byte(&state.file("native", "cwasm"), 1000),
        &|| flip_byte(&state.file("native", "json"), 10),
        &|| replace(&state.file("native", "json"), b"{"),
        &|| {
            fs::set_permissions(state.file("native", "cwasm"), Permissions::from_mode(0o622))
                .expect("the test owns the file")
        },
        &|| {
            fs::set_permissions(state.file("native", "json"), Permissions::from_mode(0o622))
                .expect("the test owns the file")
        },
        // The record belongs to another engine, as after an upgrade that kept the name.
        &|| {
            let path = state.file("native", "json");
            let record = fs::read_to_string(&path).expect("readable");
            let at = record.find(r#""engine":""#).expect("the field") + 10;
            let foreign = format!("{}0123456789abcdef{}", &record[..at], &record[at + 16..]);
            replace(&path, foreign.as_bytes());
        },
        // The file has a second name, through which somebody could write to it later.
        &|| {
            let name = state.dir.path().join("second-name");
            fs::hard_link(state.file("native", "cwasm"), name).expect("the test owns the file");
        },
        // The file is a symbolic link.
        &|| {
            let path = state.file("native", "cwasm");
            let moved = state.dir.path().join("moved");
            fs::rename(&path, &moved).expect("the test owns the file");
            std::os::unix::fs::symlink(&moved, &path).expect("the test owns the file");
        },
    ];
    for (index, spoil) in spoil.iter().enumerate() {
        spoil();
        let (origin, log) = state.origin();
        assert_eq!(origin, "rebuilt", "case {index}");
        assert!(log.contains("native code does not fit"), "case {index}: {log}");
        assert_eq!(state.origin().0, "cached", "case {index}");
    }
}

#[test]
fn native_code_of_another_user_is_rebuilt() {
    let state = State::baked();
    if chown(state.file("native", "cwasm"), Some(12345), None).is_err() {
        eprintln!("skipped: only root can give a file away");
        return;
    }
    let (origin, log) = state.origin();
    assert_eq!(origin, "rebuilt");
    assert!(log.contains("belongs to another user"), "{log}");
}

#[test]
fn a_cache_that_cannot_be_written_is_replaced_by_sealed_memory() {
    let state = State::baked();
    let native = state.dir.path().join("native");
    fs::remove_dir_all(&native).expect("the test owns the file");
    // Root may write into any directory, so a file takes the place of the directory.
    fs::write(&native, b"").expect("the test owns the file");
    let (origin, log) = state.origin();
    assert_eq!(origin, "memory");
    assert!(log.contains("compiled into memory"), "{log}");
    let inspected = run_ok(state.snapback("inspect").arg("fixtures"));
    assert!(inspected.contains("copy-on-write  holds"), "{inspected}");
}

#[test]
fn a_damaged_image_is_refused_and_named() {
    let state = State::baked();
    let image = state.file("images", "wasm");
    flip_byte(&image, 100);
    for command in ["inspect", "serve"] {
        fs::remove_dir_all(state.dir.path().join("native")).ok();
        let stderr = run_err(state.snapback(command).args(["fixtures", "--listen", "127.0.0.1:0"]), 1);
        assert!(stderr.contains("SHA-256") && stderr.contains(&image.display().to_string()), "{stderr}");
    }
    // The native code was checked, so the server works, and its log reports the damage on disk.
    flip_byte(&image, 100);
    assert_eq!(state.origin().0, "compiled");
    flip_byte(&image, 100);
    let mut serve = state.snapback("serve");
    let server = Server::of(serve.arg("fixtures"));
    assert_eq!(server.post("/v1/methods/echo", b"on").ok(), b"on");
    until("the damage is logged", || server.log_so_far().contains("an image on disk is damaged"));
}

/// The state directory comes from another user, and its images, records and native code fit each other.
#[test]
fn native_code_that_came_with_a_state_directory_is_not_mapped() {
    let state = State::baked();
    let elsewhere = tempfile::tempdir().expect("a directory");
    let server = Server::of(state.snapback("serve").arg("fixtures").env("XDG_DATA_HOME", elsewhere.path()));
    assert_eq!(server.metric(r#"snapback_native_code_total{origin="rebuilt"}"#), 1.0);
    let log = server.stop();
    assert!(log.contains("native code does not fit"), "{log}");
}

/// Native code and record of one image take the place of those of another image.
#[test]
fn native_code_of_another_image_is_not_mapped() {
    let state = State::baked();
    let seed = state.dir.path().join("seed");
    fs::write(&seed, b"another table").expect("the test owns the file");
    let (code, record) = (state.file("native", "cwasm"), state.file("native", "json"));
    let (old_code, old_record) =
        (fs::read(&code).expect("readable"), fs::read_to_string(&record).expect("readable"));
    let digest = |path: &Path| path.file_name().expect("a name").to_string_lossy()[..64].to_owned();
    let old = digest(&code);
    fs::remove_file(&code).expect("the test owns the file");
    fs::remove_file(&record).expect("the test owns the file");
    run_ok(state.snapback("bake").arg("fixtures").arg("--input").arg(format!("seed={}", seed.display())));
    let (code, record) = (state.file("native", "cwasm"), state.file("native", "json"));
    let new = digest(&code);
    assert_ne!(old, new);
    let moved: serde_json::Value = {
        let mut moved: serde_json::Value = serde_json::from_str(&old_record).expect("JSON");
        let own: serde_json::Value =
            serde_json::from_slice(&fs::read(&record).expect("readable")).expect("JSON");
        moved["image"] = own["image"].clone();
        moved["manifest"] = own["manifest"].clone();
        moved
    };
    replace(&code, &old_code);
    replace(&record, moved.to_string().as_bytes());
    let server = Server::of(state.snapback("serve").arg(format!("other={new}")));
    assert_eq!(server.metric(r#"snapback_native_code_total{origin="rebuilt"}"#), 1.0);
}

#[test]
fn a_state_directory_that_others_can_write_is_refused() {
    let state = State::baked();
    fs::set_permissions(state.dir.path().join("bakes"), Permissions::from_mode(0o777))
        .expect("the test owns the file");
    let stderr = run_err(state.snapback("serve").args(["fixtures", "--listen", "127.0.0.1:0"]), 1);
    assert!(stderr.contains("bakes") && stderr.contains("others"), "{stderr}");
}

#[test]
fn a_bake_succeeds_without_a_place_for_native_code() {
    let state = State { dir: tempfile::tempdir().expect("a directory") };
    fs::write(state.dir.path().join("native"), b"").expect("the test owns the file");
    run_ok(state.snapback("bake").arg("fixtures"));
    assert_eq!(state.origin().0, "memory");
}

/// An image is checked before it is compiled, wherever it comes from.
#[test]
fn an_image_with_a_start_function_is_refused() {
    let state = State::baked();
    let image = state.file("images", "wasm");
    let mut bytes = fs::read(&image).expect("readable");
    // The hostile file is the real manifest followed by the sections of another module, whose start function (section
    // 8) never returns.
    let manifest_end = 8 + 1 + leb_len(&bytes[9..]) + leb(&bytes[9..]);
    let hostile = wat::parse_str(
        r#"(module (memory (export "memory") 1)
            (func (export "snapback_abi") (result i32) i32.const 1)
            (func (export "snapback_alloc") (param i32) (result i32) i32.const 0)
            (func $spin (loop (br 0))) (start $spin))"#,
    );
    bytes.truncate(manifest_end);
    bytes.extend_from_slice(&hostile.expect("a module")[8..]);
    let path = state.dir.path().join("hostile.wasm");
    fs::write(&path, bytes).expect("the test owns the file");
    let stderr = run_err(state.snapback("inspect").arg(&path), 3);
    assert!(stderr.contains("start function"), "{stderr}");
}

fn leb(bytes: &[u8]) -> usize {
    let digits = &bytes[..leb_len(bytes)];
    digits.iter().rev().fold(0, |value, byte| value << 7 | usize::from(byte & 0x7f))
}

fn leb_len(bytes: &[u8]) -> usize {
    bytes.iter().position(|byte| byte & 0x80 == 0).expect("a last byte") + 1
}

#[test]
fn a_damaged_manifest_is_refused_and_named() {
    let state = State::baked();
    let image = state.file("images", "wasm");
    let bytes = fs::read(&image).expect("readable");
    let spoiled = |spoil: &dyn Fn(&mut Vec<u8>)| {
        let mut spoiled = bytes.clone();
        spoil(&mut spoiled);
        fs::remove_file(&image).expect("the test owns the file");
        fs::write(&image, spoiled).expect("the test owns the file");
        let stderr = run_err(state.snapback("serve").args(["fixtures", "--listen", "127.0.0.1:0"]), 1);
        assert!(stderr.contains("manifest") && stderr.contains(&image.display().to_string()), "{stderr}");
    };
    spoiled(&|bytes| bytes[40] = b'!');
    spoiled(&|bytes| bytes.truncate(100));
    spoiled(&|bytes| bytes.truncate(3));
    spoiled(&|bytes| bytes[9] = 0xff);
    spoiled(&|bytes| {
        let text = br#""format_version":3"#;
        let at = bytes.windows(text.len()).position(|window| window == text).expect("the field");
        bytes[at + text.len() - 1] = b'9';
    });
    let listed = state.snapback("images").output().expect("the command runs");
    assert_eq!(listed.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&listed.stdout).contains("format version 9"));
}

#[test]
fn images_are_listed_and_removed_with_their_native_code() {
    let state = State::baked();
    let listed = run_ok(&mut state.snapback("images"));
    assert!(listed.contains("fixtures"), "{listed}");
    let digest = listed.split(' ').next().expect("a digest").to_owned();
    let stderr = run_err(state.snapback("images").args(["remove", &digest[..3]]), 2);
    assert!(stderr.contains("no image"), "{stderr}");
    // What a catalogue that cannot be read needs is unknown, so nothing is removed.
    let catalogue = state.dir.path().join("circuits/plonk");
    fs::create_dir_all(&catalogue).expect("ours");
    fs::write(catalogue.join("catalogue.json"), "[").expect("ours");
    let stderr = run_err(state.snapback("images").args(["remove", &digest[..8]]), 1);
    assert!(stderr.contains("--force"), "{stderr}");
    fs::remove_file(catalogue.join("catalogue.json")).expect("ours");
    run_ok(state.snapback("images").args(["remove", &digest[..8]]));
    assert_eq!(run_ok(&mut state.snapback("images")), "");
    assert_eq!(fs::read_dir(state.dir.path().join("native")).expect("a directory").count(), 0);
    assert_eq!(fs::read_dir(state.dir.path().join("bakes")).expect("a directory").count(), 0);
    run_err(state.snapback("images").args(["remove", &digest]), 2);
}

#[test]
fn a_store_holds_no_half_written_file() {
    let state = State::baked();
    for dir in ["images", "bakes", "native"] {
        for entry in fs::read_dir(state.dir.path().join(dir)).expect("a directory") {
            let entry = entry.expect("an entry");
            assert!(!entry.file_name().to_string_lossy().starts_with(".tmp"), "{:?}", entry.path());
            let mode = entry.metadata().expect("the metadata").permissions().mode();
            assert_eq!(mode & 0o777, 0o400, "{:?}", entry.path());
        }
    }
}
