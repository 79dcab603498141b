//! Identifiers, and the small values that jobs are looked up and ordered by.
//!
//! Invariant: a value that exists is valid; it was checked where it was made.

use super::Timestamp;
use crate::ids::{InvalidValue, as_text};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};
use uuid::Uuid;

/// Longest idempotency key, in bytes.
const KEY_BYTES_MAX: usize = 255;

/// Identifies a job: a UUID of version 7.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct JobId(Uuid);

impl JobId {
    /// Makes an identifier of its bytes. `None` if they are not a UUID of version 7.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Option<Self> {
        let id = Uuid::from_bytes(bytes);
        (id.get_version_num() == 7).then_some(Self(id))
    }

    /// The bytes of the UUID.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for JobId {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let id = Uuid::try_parse(text).ok().and_then(|id| Self::from_bytes(id.into_bytes()));
        id.ok_or(InvalidValue::new("an identifier of a job (a UUID of version 7)"))
    }
}

/// Issues identifiers that increase, whatever the clock does.
#[derive(Default)]
pub(super) struct JobIds {
    /// The last identifier: its time in milliseconds, and the 74 bits that follow.
    last: (u64, u128),
}

impl JobIds {
    /// Bits of an identifier that are neither time, version nor variant.
    const RANDOM_BITS: u32 = 74;

    pub(super) fn next(&mut self, now: Timestamp) -> JobId {
        let mut random = [0u8; 16];
        getrandom::fill(&mut random).expect("the operating system provides entropy");
        // The highest bit stays free for the increments below.
        let random = u128::from_be_bytes(random) >> (128 - Self::RANDOM_BITS + 1);
        let (last_ms, last_random) = self.last;
        self.last = if now.as_millis() > last_ms {
            (now.as_millis(), random)
        } else {
            // Within one millisecond, or while the clock is behind: the next number, by an unpredictable step.
            (last_ms, last_random + 1 + (random & 0xffff_ffff))
        };
        let (ms, random) = self.last;
        let (high, low) = ((random >> 62) & 0xfff, random & ((1 << 62) - 1));
        JobId(Uuid::from_u128(u128::from(ms) << 80 | 7 << 76 | high << 64 | 2 << 62 | low))
    }
}

/// What makes a repeated submission the same job: 1 to 255 visible ASCII characters, unique within a tenant.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// The key itself. It is not logged: a client may have put a secret into it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for IdempotencyKey {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let is_valid =
            (1..=KEY_BYTES_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        let expected = "an idempotency key (1 to 255 visible ASCII characters)";
        is_valid.then(|| Self(text.to_owned())).ok_or(InvalidValue::new(expected))
    }
}

impl fmt::Debug for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IdempotencyKey(..)")
    }
}

/// Precedence of a job among those of its tenant: 0 (lowest) to 9. The default is 5.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Priority(u8);

impl Priority {
    /// Number of priorities.
    pub(super) const COUNT: usize = 10;

    /// The number.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl Default for Priority {
    fn default() -> Self {
        Self(5)
    }
}

impl TryFrom<u8> for Priority {
    type Error = InvalidValue;

    fn try_from(number: u8) -> Result<Self, InvalidValue> {
        let is_valid = usize::from(number) < Self::COUNT;
        is_valid.then_some(Self(number)).ok_or(InvalidValue::new("a priority (0 to 9)"))
    }
}

impl From<Priority> for u8 {
    fn from(priority: Priority) -> Self {
        priority.0
    }
}

/// Where a page of a list ended. Its text is opaque to clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cursor(pub(super) u64);

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

impl FromStr for Cursor {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        // What a store can number: an `i64` that is not negative.
        let number = u64::from_str_radix(text, 16).ok().filter(|number| i64::try_from(*number).is_ok());
        number.map(Self).ok_or(InvalidValue::new("a cursor of a list of jobs"))
    }
}

/// BLAKE3 digest of a result, written as 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ResultDigest(pub(super) [u8; 32]);

impl ResultDigest {
    /// The digest of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(blake3::hash(bytes).into())
    }
}

impl fmt::Display for ResultDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(blake3::Hash::from_bytes(self.0).to_hex().as_str())
    }
}

impl FromStr for ResultDigest {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let digest = blake3::Hash::from_hex(text).map(|hash| Self(hash.into()));
        digest.map_err(|_| InvalidValue::new("a BLAKE3 digest (64 hexadecimal digits)"))
    }
}

/// The right to run one attempt of a job, until the lease is lost. Whoever drops it leaves the job to the expiry of the
/// lease, which counts as a lost attempt.
#[derive(Debug, PartialEq, Eq)]
pub struct Lease {
    pub(super) job: JobId,
    pub(super) attempt: u32,
    pub(super) nonce: u64,
}

impl Lease {
    /// The job.
    #[must_use]
    pub const fn job(&self) -> JobId {
        self.job
    }

    /// Number of the attempt, counted from 1.
    #[must_use]
    pub const fn attempt(&self) -> u32 {
        self.attempt
    }
}

as_text!(JobId, Cursor, ResultDigest);
