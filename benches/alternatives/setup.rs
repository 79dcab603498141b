//! One alternative with one load, and how a process is told about it.
//!
//! Invariant: a setup is the same on both sides: what is written as arguments is read from them.

use crate::load::Load;
use std::{
    env, io,
    os::{fd::OwnedFd, unix::net::UnixStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
};

/// First argument of a process that serves.
pub(crate) const SERVE: &str = "serve";

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Alternative {
    Plain,
    Threads,
    Replay,
    Rotated,
    PerCall,
    /// As [`Self::PerCall`], with the image that Snapback has baked instead of the initialiser.
    PerCallImage,
    Forked,
    EveryCall,
    Threshold,
}

impl Alternative {
    pub(crate) const ALL: [Self; 9] = [
        Self::Plain,
        Self::Threads,
        Self::Replay,
        Self::Rotated,
        Self::PerCall,
        Self::PerCallImage,
        Self::Forked,
        Self::EveryCall,
        Self::Threshold,
    ];

    /// Returns the name in figures. Those of Snapback are the names of its policies.
    pub(crate) fn key(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Threads => "threads",
            Self::Replay => "replay",
            Self::Rotated => "rotated",
            Self::PerCall => "per-call",
            Self::PerCallImage => "per-call-image",
            Self::Forked => "forked",
            Self::EveryCall => "every-call",
            Self::Threshold => "threshold",
        }
    }

    pub(crate) fn is_snapback(self) -> bool {
        matches!(self, Self::EveryCall | Self::Threshold)
    }

    /// Returns whether its memory grows until it dies.
    pub(crate) fn dies(self) -> bool {
        matches!(self, Self::Plain | Self::Threads)
    }

    pub(crate) fn source(self) -> Source {
        if self == Self::PerCallImage { Source::Image } else { Source::Guest }
    }

    /// Returns the lines of code of its file, without empty lines and comments; `None` for Snapback, which takes settings.
    pub(crate) fn lines(self) -> Option<usize> {
        let file = match self {
            Self::Plain => include_str!("plain.rs"),
            Self::Threads => include_str!("threads.rs"),
            Self::Replay => include_str!("replay.rs"),
            Self::Rotated | Self::PerCall | Self::PerCallImage => include_str!("processes.rs"),
            Self::Forked => include_str!("forked.rs"),
            Self::EveryCall | Self::Threshold => return None,
        };
        Some(file.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("//")).count())
    }
}

/// Where the memory of a new instance comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// The initialiser, which runs again.
    Guest,
    /// An image.
    Image,
}

/// What a process serves.
#[derive(Clone)]
pub(crate) struct Setup {
    pub(crate) alternative: Alternative,
    pub(crate) load: Load,
    pub(crate) source: Source,
    /// Linear memory that an instance may have.
    pub(crate) limit_bytes: u64,
    /// Calls after which a worker is replaced.
    pub(crate) calls_max: usize,
    /// File with the native code.
    pub(crate) code: PathBuf,
}

/// A process that serves, and the socket that it is called through.
pub(crate) struct Spawned {
    pub(crate) child: Child,
    pub(crate) socket: UnixStream,
}

impl Setup {
    /// Reads the arguments of a process.
    pub(crate) fn from_args(args: &[String]) -> Option<Self> {
        let [alternative, load, source, limit_bytes, calls_max, code] = args else { return None };
        Some(Self {
            alternative: Alternative::ALL.into_iter().find(|known| known.key() == alternative)?,
            load: Load::find(load)?,
            source: if source == "image" { Source::Image } else { Source::Guest },
            limit_bytes: limit_bytes.parse().ok()?,
            calls_max: calls_max.parse().ok()?,
            code: code.into(),
        })
    }

    /// Starts a process that serves this.
    pub(crate) fn spawn(&self) -> io::Result<Spawned> {
        let (socket, theirs) = UnixStream::pair()?;
        let child = Command::new(env::current_exe()?)
            .args([SERVE, self.alternative.key(), self.load.key()])
            .arg(if self.source == Source::Image { "image" } else { "guest" })
            .args([self.limit_bytes.to_string(), self.calls_max.to_string()])
            .arg(&self.code)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .spawn()?;
        Ok(Spawned { child, socket })
    }

    /// Starts a worker: a process with one instance.
    pub(crate) fn worker(&self) -> io::Result<Spawned> {
        Self { alternative: Alternative::Plain, ..self.clone() }.spawn()
    }
}
