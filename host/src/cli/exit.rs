//! How the program ends: exit codes, and the message of an error.

use crate::config::ConfigError;
use snapback_snapshot::Error as SnapshotError;

/// What `--help` says about exit codes.
pub(super) const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  failed: input or output, the network, the engine
  2  wrong usage or settings
  3  the guest was refused, or its bake failed
  4  the guest refused the input, or the call failed
  5  the proof does not verify
  6  the server is full or stopping; try again";

/// How the program ends when it does not succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Exit {
    Failed = 1,
    Usage = 2,
    Bake = 3,
    Call = 4,
    Refuted = 5,
    Unavailable = 6,
}

/// An error that carries its exit code.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(super) struct Failure {
    exit: Exit,
    message: String,
}

impl Failure {
    pub(super) fn error(exit: Exit, message: impl Into<String>) -> anyhow::Error {
        Self { exit, message: message.into() }.into()
    }
}

/// What failed is printed already, by this process or by one that it started: only the exit code is handed on.
#[derive(Debug, thiserror::Error)]
#[error("it ended with exit code {0}")]
pub(super) struct AlreadyReported(pub(super) u8);

/// The message of an error and its causes. A cause that the message contains already is not repeated.
pub(super) fn describe(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |text, cause| match text.as_str() {
        "" => cause,
        message if message.contains(&cause) => text,
        message => format!("{message}: {cause}"),
    })
}

/// The exit code of an error.
pub(super) fn exit_of(error: &anyhow::Error) -> Exit {
    if let Some(failure) = error.downcast_ref::<Failure>() {
        return failure.exit;
    }
    if error.is::<ConfigError>() {
        return Exit::Usage;
    }
    match error.downcast_ref::<SnapshotError>() {
        Some(
            SnapshotError::Refused(_)
            | SnapshotError::Initialiser { .. }
            | SnapshotError::Input { .. }
            | SnapshotError::Trial { .. },
        ) => Exit::Bake,
        Some(SnapshotError::NoSuchImage(_) | SnapshotError::Ambiguous { .. }) => Exit::Usage,
        _ => Exit::Failed,
    }
}
