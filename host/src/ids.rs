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
