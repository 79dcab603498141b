//! Identifiers as types: a lane's number cannot be passed where a service's is expected.
//!
//! Invariant: an identifier is a number with a meaning; arithmetic on it happens only where it is issued.

use serde::{Deserialize, Serialize};
use std::{fmt, num::ParseIntError, str::FromStr};

/// Identifies a service within a dispatcher. Issued by [`crate::dispatch::Dispatcher`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceId(usize);

/// Identifies a lane: 0 to `lanes` - 1. A lane that replaces a stalled one takes over its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LaneId(usize);

/// Number of a generation of one service, counted from 1 for as long as its catalogue lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GenerationId(u64);

/// Number of a change of circuits, counted from 1 for as long as the catalogue lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ChangeId(u64);

/// Implements what identifiers by position have in common.
macro_rules! position {
    ($id:ident) => {
        impl $id {
            /// The identifier of the thing at this position, counted from 0.
            #[must_use]
            pub const fn from_index(index: usize) -> Self {
                Self(index)
            }

            /// The position.
            #[must_use]
            pub const fn index(self) -> usize {
                self.0
            }
        }
    };
}

position!(ServiceId);
position!(LaneId);

impl fmt::Display for LaneId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Implements what the two counters of a catalogue have in common.
macro_rules! counter {
    ($id:ident) => {
        impl $id {
            /// The first number that is issued.
            pub const FIRST: Self = Self(1);

            /// The number that is issued after this one.
            #[must_use]
            pub const fn next(self) -> Self {
                Self(self.0 + 1)
            }

            /// The number itself.
            #[must_use]
            pub const fn get(self) -> u64 {
                self.0
            }
        }

        impl fmt::Display for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $id {
            type Err = ParseIntError;

            fn from_str(text: &str) -> Result<Self, ParseIntError> {
                text.parse().map(Self)
            }
        }
    };
}

counter!(GenerationId);
counter!(ChangeId);

/// Why a text is not a value of its type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not {expected}")]
pub struct InvalidValue {
    expected: &'static str,
}

impl InvalidValue {
    /// Says what was expected.
    #[must_use]
    pub const fn new(expected: &'static str) -> Self {
        Self { expected }
    }
}

/// Who circuits and jobs belong to, and whose quotas calls use up: 1 to 255 bytes without control characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Tenant(String);

impl Tenant {
    /// Longest name, in bytes.
    const BYTES_MAX: usize = 255;

    /// The tenant of everything on a server without keys, and of the operators who carry `admin.token_file`.
    #[must_use]
    pub fn local() -> Self {
        Self("local".into())
    }

    /// The name of the tenant.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Tenant {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let is_valid = (1..=Self::BYTES_MAX).contains(&text.len()) && !text.chars().any(char::is_control);
        let expected = "a tenant (1 to 255 bytes without control characters)";
        is_valid.then(|| Self(text.to_owned())).ok_or(InvalidValue::new(expected))
    }
}

impl fmt::Display for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Implements the conversions from and to text that serde uses.
macro_rules! as_text {
    ($($value:ident),*) => {$(
        impl TryFrom<String> for $value {
            type Error = InvalidValue;

            fn try_from(text: String) -> Result<Self, $crate::ids::InvalidValue> {
                text.parse()
            }
        }

        impl From<$value> for String {
            fn from(value: $value) -> Self {
                value.to_string()
            }
        }
    )*};
}
pub(crate) use as_text;

as_text!(Tenant);
