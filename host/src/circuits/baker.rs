//! A bake beside the server: a process of its own, of a low priority, that ends with the server.
//!
//! What it does wrong, or takes in memory, is its own; what it publishes is in the image store, complete or not at all.

use super::catalogue::Entry;
use crate::{apart::Apart, config::Config};
use serde::Deserialize;
use snapback_snapshot::{
    Digest,
    circuits::{INPUT_CIRCUIT, INPUT_SYM},
};
use std::{
    io::{BufRead, BufReader, Read},
    os::unix::process::{CommandExt, ExitStatusExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

/// Most of what a failed bake said that is kept, from its end.
const SAID_BYTES_MAX: u64 = 4096;

/// What is to be baked.
#[derive(Debug)]
pub(crate) struct Order<'a> {
    /// The image to go on from.
    pub(crate) base: Digest,
    pub(crate) remove: Vec<&'a str>,
    pub(crate) add: Vec<(&'a str, &'a Entry)>,
}

/// How far a bake is.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Step {
    pub(crate) stage: String,
    pub(crate) step: u32,
    pub(crate) steps: u32,
}

/// Why there is no image.
pub(crate) enum Unbaked {
    /// For this reason.
    Failed(String),
    /// It was stopped, and is to be begun again.
    Interrupted,
}

impl From<String> for Unbaked {
    fn from(reason: String) -> Self {
        Self::Failed(reason)
    }
}

const SIGINT: i32 = rustix::process::Signal::INT.as_raw();
const SIGTERM: i32 = rustix::process::Signal::TERM.as_raw();

/// Bakes apart, within a deadline.
pub(crate) struct Baker {
    apart: Apart,
    deadline: Duration,
}

#[derive(Deserialize)]
struct Baked {
    digest: Digest,
}

impl Baker {
    pub(crate) fn new(config: &Config) -> Self {
        Self { apart: Apart::new(config), deadline: config.circuits.bake_deadline }
    }

    /// Bakes; tells of every step, and stops when `is_cancelled`.
    ///
    /// # Errors
    /// Why there is no image.
    pub(crate) fn bake(
        &self,
        order: &Order<'_>,
        file: impl Fn(&Digest) -> PathBuf,
        tell: impl FnMut(Step),
        is_cancelled: impl Fn() -> bool,
    ) -> Result<Digest, Unbaked> {
        let mut command = self.apart.command("bake");
        command.args(["--json", "--background", "--base", &order.base.to_string()]);
        for name in &order.remove {
            command.arg(format!("--remove={name}"));
        }
        for (name, entry) in &order.add {
            for (input, digest) in [(INPUT_CIRCUIT, entry.r1cs), (INPUT_SYM, entry.sym)] {
                if let Some(digest) = digest {
                    command.args(["--input", &format!("{input}/{name}={}", path(&file(&digest))?)]);
                }
            }
        }
        self.run(command, tell, is_cancelled)
    }

    /// Has a witness calculator checked, compiled and kept.
    ///
    /// # Errors
    /// Why it is not.
    pub(crate) fn keep_calculator(
        &self,
        file: &Path,
        is_cancelled: impl Fn() -> bool,
    ) -> Result<Digest, Unbaked> {
        let mut command = self.apart.command("calculator");
        command.arg(path(file)?);
        self.run(command, |_| {}, is_cancelled)
    }

    fn run(
        &self,
        mut command: Command,
        mut tell: impl FnMut(Step),
        is_cancelled: impl Fn() -> bool,
    ) -> Result<Digest, Unbaked> {
        // A terminal's interrupt is for the server, which ends its bake itself.
        command.process_group(0);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let child = Guard(child.map_err(|error| format!("cannot start the bake: {error}"))?);
        self.watch(child, &mut tell, &is_cancelled)
    }

    fn watch(
        &self,
        mut child: Guard,
        tell: &mut impl FnMut(Step),
        is_cancelled: &impl Fn() -> bool,
    ) -> Result<Digest, Unbaked> {
        const LOOK: Duration = Duration::from_millis(100);
        let stdout = child.0.stdout.take().expect("piped");
        let mut stderr = child.0.stderr.take().expect("piped");
        let (lines, said) = mpsc::sync_channel::<String>(16);
        let thread = |name: &str| thread::Builder::new().name(name.into());
        let cannot = |error: std::io::Error| format!("cannot watch the bake: {error}");
        let reader = thread("bake-steps").spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if lines.send(line).is_err() {
                    return;
                }
            }
        });
        let reader = reader.map_err(cannot)?;
        let errors = thread("bake-errors").spawn(move || {
            let mut said = Vec::new();
            // To its end, so that the child is never stopped by a full pipe.
            let _ = stderr.read_to_end(&mut said);
            let from = said.len().saturating_sub(SAID_BYTES_MAX as usize);
            String::from_utf8_lossy(&said[from..]).into_owned()
        });
        let errors = errors.map_err(cannot)?;
        let begun = Instant::now();
        let mut baked = None;
        loop {
            match said.recv_timeout(LOOK) {
                Ok(line) => {
                    if let Ok(step) = serde_json::from_str::<Step>(&line) {
                        tell(step);
                    } else if let Ok(Baked { digest }) = serde_json::from_str(&line) {
                        baked = Some(digest);
                    }
                }
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
            }
            if is_cancelled() {
                return Err(Unbaked::Interrupted);
            }
            if begun.elapsed() > self.deadline {
                let seconds = self.deadline.as_secs();
                let reason = format!("the bake took longer than circuits.bake_deadline = {seconds} s");
                return Err(Unbaked::Failed(reason));
            }
        }
        let status = child.0.wait().map_err(|error| format!("the bake was lost: {error}"))?;
        let _ = reader.join();
        let said = errors.join().unwrap_or_default();
        match baked {
            Some(digest) if status.success() => Ok(digest),
            // Whoever stops a server may stop its children in the same breath.
            _ if [Some(SIGINT), Some(SIGTERM)].contains(&status.signal()) => Err(Unbaked::Interrupted),
            _ => {
                Err(Unbaked::Failed(reason(&said).unwrap_or_else(|| format!("the bake ended with {status}"))))
            }
        }
    }
}

/// A child that does not outlive its watcher.
struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        // It has ended, unless it is given up.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The error among what a command said.
fn reason(said: &str) -> Option<String> {
    let line = said.lines().rev().find_map(|line| line.strip_prefix("snapback: "))?;
    Some(line.to_owned())
}

fn path(path: &Path) -> Result<&str, String> {
    path.to_str().ok_or_else(|| format!("{} is not UTF-8", path.display()))
}
