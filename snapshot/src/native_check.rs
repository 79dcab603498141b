//! How native code is checked before it is mapped, and what became of the check.
//!
//! Invariant: a full check says why it was necessary.

use std::{fmt, time::Duration};

/// How native code is checked before it is mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckMode {
    /// By the recorded identity of its file. It is hashed if the identity is not the recorded one.
    Identity,
    /// It is always hashed.
    Full,
}

/// How native code was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NativeCheck {
    /// Its file has the identity that it had when it was hashed.
    Identity,
    /// It was hashed, for this reason.
    Full(WhyFull),
    /// It is in sealed memory, which this process filled.
    Memory,
}

/// Why native code was hashed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WhyFull {
    /// [`CheckMode::Full`]
    Setting,
    /// Its identity is not recorded.
    NoRecord,
    /// The record of its identity must not be used, for this reason.
    UnfitRecord(&'static str),
    /// Its identity differs in these fields from the recorded one.
    Changed(Vec<&'static str>),
    /// The kernel does not tell its identity.
    Untold(String),
}

/// How long it took to load native code.
#[derive(Clone, Copy, Debug, Default)]
pub struct LoadTimes {
    /// Time of the check.
    pub check: Duration,
    /// Time to map it.
    pub map: Duration,
}

impl NativeCheck {
    /// Returns the name of the check.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Full(_) => "full",
            Self::Memory => "memory",
        }
    }

    /// Returns why native code was hashed; `None` if it was not.
    #[must_use]
    pub fn why_full(&self) -> Option<&WhyFull> {
        match self {
            Self::Full(why) => Some(why),
            Self::Identity | Self::Memory => None,
        }
    }
}

impl WhyFull {
    /// Returns the name of the kind of reason: one of a few words.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Setting => "setting",
            Self::NoRecord => "no-record",
            Self::UnfitRecord(_) => "unfit-record",
            Self::Changed(_) => "changed",
            Self::Untold(_) => "untold",
        }
    }
}

impl fmt::Display for NativeCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(why) => write!(f, "full ({why})"),
            Self::Identity | Self::Memory => f.write_str(self.name()),
        }
    }
}

impl fmt::Display for WhyFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Setting => f.write_str("native.check is full"),
            Self::NoRecord => f.write_str("no record"),
            Self::UnfitRecord(reason) => write!(f, "unfit record: {reason}"),
            Self::Changed(differences) => write!(f, "changed: {}", differences.join(", ")),
            Self::Untold(reason) => write!(f, "the kernel does not tell the identity: {reason}"),
        }
    }
}
