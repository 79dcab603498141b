//! Runs bakes beside the server, in processes of low priority that end with the server.
//!
//! Invariant: faults and memory of a bake stay in its process. An image that it publishes is in the image store
//! completely or not at all.

use super::change::Entry;
use crate::{config::Config, subprocess::Subprocess};
use serde::Deserialize;
use snapback_snapshot::{Digest, MEMORY_BYTES_MAX, proof_systems::ProofSystem};
use std::{
    io::{self, BufRead, BufReader, Read},
    os::unix::process::{CommandExt, ExitStatusExt},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

/// How much of the error output of a failed bake is kept, from its end, in bytes.
const ERROR_BYTES_MAX: u64 = 4096;
/// How often the watcher checks whether the bake is cancelled or late.
const CHECK_INTERVAL: Duration = Duration::from_millis(100);
/// Exit code of a command that refused a guest or an input; see `cli`.
const EXIT_REFUSED: i32 = 3;

/// The image to bake.
pub(super) struct Order<'a> {
    /// The image to start from.
    pub(super) base: Digest,
    pub(super) remove: Vec<&'a str>,
    pub(super) add: Vec<(&'a str, &'a Entry)>,
}

/// Progress of a bake.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Step {
    pub(super) stage: String,
    pub(super) step: u32,
    pub(super) steps: u32,
    /// Share of the stage that is done, where its work is counted.
    #[serde(default)]
    done: f64,
    /// How long the rest of the stage is likely to take, in seconds.
    #[serde(default)]
    pub(super) left_s: Option<u64>,
}

impl Step {
    /// Share of the bake that is done, in percent. Every stage counts the same.
    pub(super) fn percent(&self) -> u32 {
        let stages = f64::from(self.step.saturating_sub(1)) + self.done.clamp(0.0, 1.0);
        (100.0 * stages / f64::from(self.steps.max(1))) as u32
    }
}

/// Why a bake made no image.
#[derive(Debug, thiserror::Error)]
pub(super) enum BakeError {
    /// The bake refused an input or the image, with a reason that concerns the circuits.
    #[error("{0}")]
    Refused(String),
    /// The bake failed for another reason.
    #[error("the bake failed: {0}")]
    Failed(String),
    /// The process ended without saying why.
    #[error("the bake ended with {0}")]
    Ended(ExitStatus),
    /// The bake took too long.
    #[error("the bake took longer than circuits.bake_deadline = {} s", .0.as_secs())]
    Deadline(Duration),
    /// The process could not be started or watched.
    #[error("cannot run the bake: {0}")]
    Process(#[from] io::Error),
    /// A path of the server is not UTF-8.
    #[error("{} is not UTF-8", .0.display())]
    Path(PathBuf),
    /// The bake was interrupted, because the server or its operator stopped it or a change was cancelled. What is still
    /// to be done is to be started again.
    #[error("the bake was interrupted")]
    Interrupted,
}

const SIGINT: i32 = rustix::process::Signal::INT.as_raw();
const SIGTERM: i32 = rustix::process::Signal::TERM.as_raw();

/// Runs bakes, each within a deadline.
pub(super) struct BakeProcess {
    subprocess: Subprocess,
    deadline: Duration,
}

#[derive(Deserialize)]
struct Baked {
    digest: Digest,
}

impl BakeProcess {
    pub(super) fn new(config: &Config) -> Self {
        Self { subprocess: Subprocess::new(config), deadline: config.circuits.bake_deadline }
    }

    /// Bakes an order. Calls `progress` for every step, and stops when `is_cancelled` returns true.
    ///
    /// # Errors
    /// Returns why there is no image.
    pub(super) fn bake(
        &self,
        order: &Order<'_>,
        system: &dyn ProofSystem,
        file: impl Fn(&Digest) -> PathBuf,
        progress: impl FnMut(Step),
        is_cancelled: impl Fn() -> bool,
    ) -> Result<Digest, BakeError> {
        let mut command = self.subprocess.command("bake");
        command.args(["--json", "--background", "--base", &order.base.to_string()]);
        if order.add.is_empty() {
            // A removal adds nothing, and is not refused because limits became smaller than what is served.
            for limit in ["bake.image_bytes_max", "bake.memory_limit"] {
                command.args(["--set", &format!("{limit}={MEMORY_BYTES_MAX}B")]);
            }
        }
        for name in &order.remove {
            command.arg(format!("--remove={name}"));
        }
        for (name, entry) in &order.add {
            for spec in system.files() {
                if let (Some(input), Some(digest)) = (spec.input, entry.files.get(&spec.kind)) {
                    command.args(["--input", &format!("{input}/{name}={}", utf8(&file(digest))?)]);
                }
            }
        }
        self.run(command, progress, is_cancelled)
    }

    /// Checks, compiles and keeps a witness calculator.
    ///
    /// # Errors
    /// Returns why it is not kept.
    pub(super) fn keep_calculator(
        &self,
        file: &Path,
        is_cancelled: impl Fn() -> bool,
    ) -> Result<Digest, BakeError> {
        let mut command = self.subprocess.command("calculator");
        command.arg(utf8(file)?);
        self.run(command, |_| {}, is_cancelled)
    }

    fn run(
        &self,
        mut command: Command,
        progress: impl FnMut(Step),
        is_cancelled: impl Fn() -> bool,
    ) -> Result<Digest, BakeError> {
        // An interrupt from the terminal is for the server, which ends its bake itself.
        command.process_group(0);
        let child = Guard(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?);
        self.watch(child, progress, is_cancelled)
    }

    fn watch(
        &self,
        mut child: Guard,
        mut progress: impl FnMut(Step),
        is_cancelled: impl Fn() -> bool,
    ) -> Result<Digest, BakeError> {
        let stdout = child.0.stdout.take().expect("piped");
        let mut stderr = child.0.stderr.take().expect("piped");
        let (sender, lines) = mpsc::sync_channel::<String>(16);
        let thread = |name: &str| thread::Builder::new().name(name.into());
        let reader = thread("bake-steps").spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        })?;
        let errors = thread("bake-errors").spawn(move || {
            let mut output = Vec::new();
            // Reads to the end, so that a full pipe never blocks the child.
            let _ = stderr.read_to_end(&mut output);
            let from = output.len().saturating_sub(ERROR_BYTES_MAX as usize);
            String::from_utf8_lossy(&output[from..]).into_owned()
        })?;
        let begun = Instant::now();
        let mut baked = None;
        loop {
            match lines.recv_timeout(CHECK_INTERVAL) {
                Ok(line) => {
                    if let Ok(step) = serde_json::from_str::<Step>(&line) {
                        progress(step);
                    } else if let Ok(Baked { digest }) = serde_json::from_str(&line) {
                        baked = Some(digest);
                    }
                }
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
            }
            if is_cancelled() {
                return Err(BakeError::Interrupted);
            }
            if begun.elapsed() > self.deadline {
                return Err(BakeError::Deadline(self.deadline));
            }
        }
        let status = child.0.wait()?;
        let _ = reader.join();
        let output = errors.join().unwrap_or_default();
        match baked {
            Some(digest) if status.success() => Ok(digest),
            // A signal that stops the server may stop its children at the same moment.
            _ if [Some(SIGINT), Some(SIGTERM)].contains(&status.signal()) => Err(BakeError::Interrupted),
            _ => Err(match (last_error(&output), status.code()) {
                (Some(message), Some(EXIT_REFUSED)) => BakeError::Refused(message),
                (Some(message), _) => BakeError::Failed(message),
                (None, _) => BakeError::Ended(status),
            }),
        }
    }
}

/// A child process that does not outlive its watcher.
struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        // Both fail if the child has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The error message in the output of a command.
fn last_error(output: &str) -> Option<String> {
    let line = output.lines().rev().find_map(|line| line.strip_prefix("snapback: "))?;
    Some(line.to_owned())
}

fn utf8(path: &Path) -> Result<&str, BakeError> {
    path.to_str().ok_or_else(|| BakeError::Path(path.into()))
}
