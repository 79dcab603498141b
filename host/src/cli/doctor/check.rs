//! What a check is: its name, its verdict, what was found and what to do.
//!
//! Invariant: a check that is not ok says what to do. An error is what a server would refuse or fail at, and a warning is
//! what it runs with at a risk or a cost.

use serde::Serialize;

/// How a check ended, from the best to the worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Verdict {
    /// Nothing is to be done.
    Ok,
    /// A server runs, at a risk or a cost.
    Warning,
    /// A server does not start, or a part of it does not work.
    Error,
}

impl Verdict {
    /// Returns the verdict as reports write it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// One check that was made.
#[derive(Debug, Serialize)]
pub(super) struct Check {
    name: &'static str,
    verdict: Verdict,
    found: String,
    advice: Option<String>,
}

impl Check {
    /// Returns a check with nothing to do.
    pub(super) fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Ok, found: found.into(), advice: None }
    }

    /// Returns a check of something that a server runs with.
    pub(super) fn warning(name: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Warning, found: found.into(), advice: Some(advice.into()) }
    }

    /// Returns a check of something that a server fails at.
    pub(super) fn error(name: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Error, found: found.into(), advice: Some(advice.into()) }
    }

    /// Returns the name: the family, a dot, and what was checked.
    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    /// Returns how the check ended.
    pub(super) fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// Returns what was found.
    pub(super) fn found(&self) -> &str {
        &self.found
    }

    /// Returns what to do, unless there is nothing to do.
    pub(super) fn advice(&self) -> Option<&str> {
        self.advice.as_deref()
    }
}
