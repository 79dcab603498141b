//! snarkjs in Node, for comparison.

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

/// A process of Node that proves with snarkjs on request.
pub(crate) struct Snarkjs {
    process: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Snarkjs {
    /// Starts it with a key and a witness; returns `None` without Node or snarkjs.
    pub(crate) fn start(zkey: &Path, witness: &Path) -> Option<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let tools = root.join("target/tools/snarkjs-0.7.5");
        let script = root.join("benches/support/snarkjs.mjs");
        let tools = tools.canonicalize().ok()?;
        let mut process = Command::new("node")
            .args([&script, &tools, zkey, witness])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .ok()?;
        let (requests, answers) = (process.stdin.take()?, BufReader::new(process.stdout.take()?));
        Some(Self { process, requests, answers })
    }

    /// Proves once, and returns CPU and wall time in seconds.
    pub(crate) fn prove(&mut self) -> (f64, f64) {
        self.requests.write_all(b"\n").expect("snarkjs runs");
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("snarkjs runs");
        let (cpu, wall) = line.trim().split_once(' ').expect("both times");
        (cpu.parse().expect("seconds"), wall.parse().expect("seconds"))
    }
}

impl Drop for Snarkjs {
    fn drop(&mut self) {
        // It may have ended, and leaves nothing that a result would tell.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
