//! Snarkjs, which `tests/snarkjs.sh` unpacks from npm, and files that it made.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Path of a file of the circuit merkle20, which snarkjs made.
pub(crate) fn merkle20(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/fixtures/circom/merkle20").join(file)
}

pub(crate) fn read(file: &str) -> Vec<u8> {
    fs::read(merkle20(file)).expect("the fixture is there")
}

pub(crate) fn json_of(file: &str) -> serde_json::Value {
    serde_json::from_slice(&read(file)).expect("JSON")
}

/// The directory into which `tests/snarkjs.sh` unpacks.
pub(crate) fn tools() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools/snarkjs-0.7.5")
}

/// The program of snarkjs.
pub(crate) struct Snarkjs(PathBuf);

impl Snarkjs {
    /// Finds it. Returns `None` if it is missing and may be.
    pub(crate) fn find() -> Option<Self> {
        let program = tools().join("node_modules/.bin/snarkjs");
        let is_there = program.exists();
        assert!(
            is_there || std::env::var_os("SNAPBACK_REQUIRE_SNARKJS").is_none(),
            "snarkjs is missing: tests/snarkjs.sh unpacks it"
        );
        is_there.then_some(Self(program))
    }

    /// Runs a command. Returns whether it succeeded, and what it printed.
    pub(crate) fn run(&self, args: &[&OsStr]) -> (bool, String) {
        let output = Command::new(&self.0).args(args).output().expect("snarkjs runs");
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Verifies a proof.
    pub(crate) fn verify(&self, key: &Path, public: &Path, proof: &Path) -> (bool, String) {
        self.run(&["groth16".as_ref(), "verify".as_ref(), key.as_ref(), public.as_ref(), proof.as_ref()])
    }
}
