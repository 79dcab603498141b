//! Uploads of circuits, and servers that accept them.

use super::{Answer, Server, snapback, state_with, until};
use halo2_proofs::{
    pasta::{EqAffine, Fp},
    poly::commitment::Params,
};
use snapback_guest_plonk::{Compiled, Verifier};
use std::{fs, io, path::Path};

#[path = "squares.rs"]
pub(crate) mod squares;

pub(crate) const BOUNDARY: &str = "0123456789";

pub(crate) fn verifies_natively(r1cs: &[u8], proof: &[u8]) {
    let compiled = Compiled::<Fp>::read(r1cs).expect("a circuit");
    let params = Params::<EqAffine>::new(compiled.k());
    let verifier = Verifier::new(&params, compiled).expect("a key");
    verifier.verify_file(&params, proof).expect("halo2's own verifier accepts the proof");
}

pub(crate) fn multipart(parts: &[(&str, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, bytes) in parts {
        let head = format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"{name}\"\r\n\r\n"
        );
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(bytes);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
    body
}

pub(crate) fn put(server: &Server, path: &str, parts: &[(&str, &[u8])]) -> Answer {
    server.put(path, &format!("multipart/form-data; boundary={BOUNDARY}"), &multipart(parts))
}

/// Waits until an accepted change has ended, and returns it.
pub(crate) fn ended(server: &Server, accepted: &Answer) -> serde_json::Value {
    assert_eq!(accepted.status, 202, "{}", accepted.text());
    let location = accepted.header("location").expect("the location of the change").to_owned();
    let mut change = server.get(&location).json();
    until("the change ends", || {
        change = server.get(&location).json();
        !["waiting", "baking"].contains(&change["state"].as_str().expect("a state"))
    });
    change
}

/// Waits until an accepted change is done, and returns the number of its generation.
pub(crate) fn done(server: &Server, accepted: &Answer) -> u64 {
    let change = ended(server, accepted);
    assert_eq!(change["state"], "done", "{change}");
    change["generation"].as_u64().expect("a number")
}

/// Creates a state directory for one test, with a copy of the image of `plonk` that all tests share.
pub(crate) fn own_state() -> tempfile::TempDir {
    own_state_with("plonk")
}

/// Creates a state directory for one test, with a copy of the image of this guest that all tests share.
pub(crate) fn own_state_with(guest: &str) -> tempfile::TempDir {
    let own = tempfile::tempdir().expect("a directory");
    copy_tree(&state_with(guest), own.path());
    // Those of servers on the shared directory.
    for left in ["jobs", "audit"] {
        let _ = fs::remove_dir_all(own.path().join(left));
    }
    own
}

/// Copies a directory in which servers of other tests may be writing. What has a temporary name or disappears meanwhile
/// is left out.
fn copy_tree(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).into_iter().flatten().map(|entry| entry.expect("an entry")) {
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if entry.file_name().to_string_lossy().starts_with(".tmp-") {
            continue;
        }
        if entry.file_type().expect("its type").is_dir() {
            fs::create_dir(&target).expect("a new name");
            copy_tree(&source, &target);
        } else if let Err(error) = fs::copy(&source, &target) {
            assert_eq!(error.kind(), io::ErrorKind::NotFound, "{}: {error}", source.display());
        }
    }
}

pub(crate) fn serve(state: &Path, args: &[&str]) -> Server {
    Server::of(snapback().args(["serve", "plonk"]).arg("--state-dir").arg(state).args(args))
}
