//! State directories that somebody else filled, or that were damaged: nothing outside is touched, nothing hangs, and
//! the server either serves what it should or names the file.

mod harness;

use harness::{
    Server,
    circuits::{done, ended, own_state, put, serve, squares::squares, verifies_natively},
    fixture, run_err, run_ok, snapback, until,
};
use rustix::{
    fs::{CWD, FileType, Mode, mknodat},
    process::{Pid, Resource, Rlimit, prlimit},
};
use std::{
    fs::{self, Permissions},
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::Command,
};
use tempfile::TempDir;

fn start(state: &Path, guest: &str) -> Command {
    let mut command = snapback();
    command.args(["serve", guest, "--state-dir"]).arg(state);
    command
}

/// Starts a server that has to refuse, and returns what it says.
fn refusal(state: &Path, guest: &str) -> String {
    run_err(start(state, guest).args(["--listen", "127.0.0.1:0"]), 1)
}

fn copy_of(state: &Path) -> TempDir {
    let copy = tempfile::tempdir().expect("a directory");
    run_ok(Command::new("cp").arg("-a").arg(state.join(".")).arg(copy.path()));
    copy
}

fn remove(path: &Path) {
    let metadata = fs::symlink_metadata(path).expect("it is there");
    let removed = if metadata.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    removed.expect("the test owns it");
}

fn fifo(path: &Path) {
    mknodat(CWD, path, FileType::Fifo, Mode::RWXU, 0).expect("a FIFO");
}

/// A state directory whose server was stopped, with the circuit `squares` added.
fn with_circuit() -> (TempDir, Vec<u8>, Vec<u8>) {
    // Not the directory that tests share, which has images of other guests.
    let state = TempDir::new().expect("a directory");
    let (r1cs, witness) = squares(5, 3);
    let server = serve(state.path(), &[]);
    done(&server, &put(&server, "/v1/circuits/squares", &[("r1cs", &r1cs)]));
    server.stop();
    (state, r1cs, witness)
}

/// Files whose names a sweep would take for its own, and others, in a directory outside.
fn outside() -> (TempDir, Vec<PathBuf>) {
    let outside = tempfile::tempdir().expect("a directory");
    let names = ["a".repeat(64), "taxes.txt".to_owned(), ".tmp-1".to_owned()];
    let files: Vec<PathBuf> = names.iter().map(|name| outside.path().join(name)).collect();
    for file in &files {
        fs::write(file, b"precious").expect("written");
    }
    (outside, files)
}

fn are_intact(files: &[PathBuf]) {
    for file in files {
        assert_eq!(fs::read(file).expect("it is still there"), b"precious", "{}", file.display());
    }
}

#[test]
fn links_to_directories_outside_are_refused_and_nothing_there_is_removed() {
    let (state, ..) = with_circuit();
    for dir in ["circuits/plonk/files", "circuits/plonk", "circuits", "images", "bakes", "srs"] {
        let (outside, files) = outside();
        let copy = copy_of(state.path());
        let place = copy.path().join(dir);
        remove(&place);
        symlink(outside.path(), &place).expect("linked");
        let stderr = refusal(copy.path(), "plonk");
        assert!(stderr.contains(&place.display().to_string()), "{dir}: {stderr}");
        assert!(stderr.contains("not a directory"), "{dir}: {stderr}");
        are_intact(&files);
    }
}

#[test]
fn links_to_files_outside_are_refused_and_not_emptied() {
    let (state, ..) = with_circuit();
    for file in ["circuits/plonk/lock", "circuits/plonk/catalogue.json"] {
        let (_outside, files) = outside();
        let copy = copy_of(state.path());
        let place = copy.path().join(file);
        remove(&place);
        symlink(&files[1], &place).expect("linked");
        let stderr = refusal(copy.path(), "plonk");
        assert!(
            stderr.contains(&place.display().to_string()) && stderr.contains("symbolic link"),
            "{stderr}"
        );
        are_intact(&files);
    }
}

#[test]
fn files_that_no_server_put_among_the_circuits_stay() {
    let (state, r1cs, witness) = with_circuit();
    let files = state.path().join("circuits/plonk/files");
    let foreign = files.join("notes.txt");
    let unused = files.join("b".repeat(64));
    fs::write(&foreign, b"precious").expect("written");
    fs::write(&unused, b"of a change that was never accepted").expect("written");
    let server = serve(state.path(), &[]);
    verifies_natively(&r1cs, &server.post("/v1/circuits/squares/prove", &witness).ok());
    assert!(foreign.exists() && !unused.exists());
}

#[test]
fn a_fifo_is_named_instead_of_waited_for() {
    let (state, ..) = with_circuit();
    for file in ["circuits/plonk/lock", "circuits/plonk/catalogue.json"] {
        let copy = copy_of(state.path());
        let place = copy.path().join(file);
        remove(&place);
        fifo(&place);
        let stderr = refusal(copy.path(), "plonk");
        assert!(stderr.contains(&place.display().to_string()) && stderr.contains("regular file"), "{stderr}");
    }
}

#[test]
fn the_record_of_a_bake_cannot_name_another_bakes_image() {
    let state = TempDir::new().expect("a directory");
    let bake = |more: &[&str]| {
        let mut command = snapback();
        command.args(["bake", "fixtures", "--state-dir"]).arg(state.path()).args(more);
        run_ok(&mut command).trim().to_owned()
    };
    let seed = state.path().join("seed");
    fs::write(&seed, b"of somebody else").expect("written");
    let wanted = bake(&[]);
    let record =
        fs::read_dir(state.path().join("bakes")).expect("read").next().expect("a record").expect("read");
    let other = bake(&["--input", &format!("seed={}", seed.display())]);
    assert_ne!(wanted, other);
    remove(&record.path());
    fs::write(record.path(), &other).expect("written");
    let server = Server::of(&mut start(state.path(), "fixtures"));
    let served =
        server.get("/v1/status").json()["images"][0]["digest"].as_str().expect("a digest").to_owned();
    assert_eq!(served, wanted);
    assert!(server.log_so_far().contains("another bake"), "{}", server.log_so_far());
}

/// Makes every write of a server fail, as a full disk does, or lets them succeed again.
fn allow_writing(server: &Server, bytes_max: Option<u64>) {
    let pid = Pid::from_raw(i32::try_from(server.pid()).expect("a pid")).expect("not zero");
    let limit = Rlimit { current: bytes_max, maximum: None };
    prlimit(Some(pid), Resource::Fsize, limit).expect("the test owns the process");
}

#[test]
fn a_change_that_meets_a_full_disk_is_not_lost() {
    let state = own_state();
    let server = serve(state.path(), &[]);
    let (r1cs, witness) = squares(5, 3);
    allow_writing(&server, Some(0));
    let message = put(&server, "/v1/circuits/squares", &[("r1cs", &r1cs)]).error(500, "catalogue_failed");
    assert!(!message.contains(&state.path().display().to_string()), "{message}");
    allow_writing(&server, None);
    let large = fixture("x5chain/x5chain.r1cs");
    let accepted = put(&server, "/v1/circuits/large", &[("r1cs", &large)]);
    // The bake is a process of its own, which began before; what it makes can be neither loaded nor recorded.
    let path = accepted.header("location").expect("its address").to_owned();
    until("the bake runs", || server.get(&path).json()["state"] != "waiting");
    allow_writing(&server, Some(0));
    let change = ended(&server, &accepted);
    assert_eq!(change["state"], "failed", "{change}");
    assert!(!change.to_string().contains(&state.path().display().to_string()), "{change}");
    drop(server);

    let server = serve(state.path(), &[]);
    done(&server, &accepted);
    done(&server, &put(&server, "/v1/circuits/squares", &[("r1cs", &r1cs)]));
    verifies_natively(&r1cs, &server.post("/v1/circuits/squares/prove", &witness).ok());
}

/// What can become of a file.
#[derive(Clone, Copy, Debug)]
enum Mutation {
    Gone,
    Empty,
    Halved,
    Flipped,
    Endless,
    Fifo,
    Link,
    Directory,
    Writable,
}

impl Mutation {
    const ALL: [Self; 9] = [
        Self::Gone,
        Self::Empty,
        Self::Halved,
        Self::Flipped,
        Self::Endless,
        Self::Fifo,
        Self::Link,
        Self::Directory,
        Self::Writable,
    ];

    fn apply(self, path: &Path, treasure: &Path) {
        let mut bytes = fs::read(path).expect("readable");
        let replace = |bytes: &[u8]| {
            remove(path);
            fs::write(path, bytes).expect("written");
        };
        match self {
            Self::Gone => remove(path),
            Self::Empty => replace(b""),
            Self::Halved => replace(&bytes[..bytes.len() / 2]),
            Self::Flipped => {
                let middle = bytes.len() / 2;
                if let Some(byte) = bytes.get_mut(middle) {
                    *byte ^= 1;
                }
                replace(&bytes);
            }
            Self::Endless => {
                replace(&bytes);
                // A hole takes no room on disk.
                let file = fs::OpenOptions::new().write(true).open(path).expect("opened");
                file.set_len(1 << 40).expect("a hole");
            }
            Self::Fifo => {
                remove(path);
                fifo(path);
            }
            Self::Link => {
                remove(path);
                symlink(treasure, path).expect("linked");
            }
            Self::Directory => {
                remove(path);
                fs::create_dir(path).expect("created");
            }
            Self::Writable => fs::set_permissions(path, Permissions::from_mode(0o666)).expect("ours"),
        }
    }
}

fn files_in(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("read") {
        let path = entry.expect("read").path();
        if path.is_dir() { files_in(&path, found) } else { found.push(path) }
    }
}

/// Every file of a state directory in turn becomes something else.
#[test]
fn whatever_becomes_of_a_file_the_server_serves_what_it_should_or_names_the_file() {
    let (state, r1cs, witness) = with_circuit();
    let mut files = Vec::new();
    files_in(state.path(), &mut files);
    files.sort();
    assert!(files.len() >= 8, "{files:?}");
    let (_outside, precious) = outside();
    let mut refused = 0;
    for (index, file) in files.iter().enumerate() {
        let name = file.strip_prefix(state.path()).expect("a file of the directory");
        for (turn, mutation) in Mutation::ALL.into_iter().enumerate() {
            // Each file meets a third of the mutations, and each mutation a third of the files.
            if (index + turn) % 3 != 0 {
                continue;
            }
            let copy = copy_of(state.path());
            let path = copy.path().join(name);
            mutation.apply(&path, &precious[1]);
            match Server::try_of(&mut start(copy.path(), "plonk")) {
                Ok(server) => {
                    let answer = server.post("/v1/circuits/squares/prove", &witness);
                    let log = server.stop();
                    if answer.status == 200 {
                        verifies_natively(&r1cs, &answer.ok());
                    } else {
                        answer.error(404, "unknown_circuit");
                        assert!(
                            log.contains("circuits are built again")
                                || log.contains(&path.display().to_string()),
                            "{mutation:?} of {}: {log}",
                            name.display()
                        );
                    }
                }
                Err((_, log)) => {
                    refused += 1;
                    let file_name = path.file_name().expect("a name").to_str().expect("UTF-8");
                    assert!(log.contains(file_name), "{mutation:?} of {}: {log}", name.display());
                }
            }
            are_intact(&precious);
        }
    }
    assert!(refused > 0, "some mutations cannot be mended");
}
