//! The tables, and the numbers that are stored in them.
//!
//! Invariant: a database of another application or a newer version is never read, and one of an older version is upgraded
//! first. Whoever changes the schema adds to [`STEPS`]; what is there already stays as it is.

use crate::jobs::{DeliveryState, InputKind, State};

/// Name of the database in its directory.
pub(super) const DATABASE: &str = "jobs.sqlite";
/// Marks the file as a database of jobs: "snjb".
pub(super) const APPLICATION_ID: i64 = 0x736e_6a62;
/// Version of the schema.
pub(super) const VERSION: i64 = STEPS.len() as i64;
/// What makes each version out of the one before.
pub(super) const STEPS: [&str; 4] = [JOBS, DELIVERIES, SHARING, TURNS];

/// `seq` gives the order of submission; it does not depend on the clock. `due_at` is when time alone changes the job: a
/// waiting job or a result expires, a tombstone is forgotten. `delay` is a [`Delay`], `state` a number of a state.
const JOBS: &str = "
CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE job (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  id BLOB NOT NULL UNIQUE CHECK (length(id) = 16),
  tenant TEXT NOT NULL,
  service TEXT NOT NULL,
  method TEXT NOT NULL,
  circuit TEXT,
  image TEXT,
  kind INTEGER NOT NULL,
  options TEXT,
  media_type TEXT,
  callback TEXT,
  traceparent TEXT,
  state INTEGER NOT NULL CHECK (state BETWEEN 0 AND 6),
  delay INTEGER NOT NULL CHECK (delay BETWEEN 0 AND 2),
  priority INTEGER NOT NULL CHECK (priority BETWEEN 0 AND 9),
  attempts INTEGER NOT NULL DEFAULT 0,
  losses INTEGER NOT NULL DEFAULT 0,
  retries INTEGER NOT NULL DEFAULT 0,
  passed INTEGER NOT NULL DEFAULT 0,
  estimate_ms INTEGER,
  submitted INTEGER NOT NULL,
  claimed INTEGER,
  finished INTEGER,
  not_before INTEGER,
  expires_at INTEGER,
  due_at INTEGER,
  nonce INTEGER,
  cancel INTEGER NOT NULL DEFAULT 0,
  error_code TEXT,
  error_message TEXT,
  idempotency BLOB,
  fingerprint BLOB NOT NULL,
  body_bytes INTEGER NOT NULL,
  body_digest BLOB NOT NULL,
  result_digest BLOB,
  result_bytes INTEGER,
  result_media_type TEXT
) STRICT;
CREATE UNIQUE INDEX job_idempotency ON job (idempotency) WHERE idempotency IS NOT NULL;
CREATE INDEX job_ready ON job (tenant, service, priority DESC, seq) WHERE state = 0 AND delay = 0;
CREATE INDEX job_waiting ON job (tenant, priority DESC, seq) WHERE state = 0;
CREATE INDEX job_delayed ON job (not_before) WHERE state = 0 AND delay = 1;
CREATE INDEX job_due ON job (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX job_of_tenant ON job (tenant, seq);
CREATE INDEX job_of_tenant_in_state ON job (tenant, state, seq);
CREATE INDEX job_in_state ON job (state, seq);
CREATE TABLE body (
  seq INTEGER PRIMARY KEY REFERENCES job (seq) ON DELETE CASCADE,
  sealed BLOB,
  file TEXT UNIQUE,
  CHECK ((sealed IS NULL) <> (file IS NULL))
) STRICT;
CREATE TABLE result (
  seq INTEGER PRIMARY KEY REFERENCES job (seq) ON DELETE CASCADE,
  sealed BLOB,
  file TEXT UNIQUE,
  CHECK ((sealed IS NULL) <> (file IS NULL))
) STRICT;
";

/// Who is told about the ends of jobs. `callback` of a job is what may be shown of its URL, and `callback_url` is the URL,
/// sealed. A delivery is due, is forgotten, or its claim ends, at `due_at`; `tries` counts the attempts since `since`.
const DELIVERIES: &str = "
ALTER TABLE job ADD COLUMN callback_url BLOB;
CREATE TABLE delivery (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  id BLOB NOT NULL UNIQUE CHECK (length(id) = 16),
  tenant TEXT NOT NULL,
  origin TEXT NOT NULL,
  url BLOB NOT NULL,
  service TEXT NOT NULL,
  method TEXT NOT NULL,
  circuit TEXT,
  image TEXT,
  outcome INTEGER NOT NULL CHECK (outcome BETWEEN 2 AND 6),
  error_code TEXT,
  error_message TEXT,
  finished INTEGER NOT NULL,
  state INTEGER NOT NULL CHECK (state BETWEEN 0 AND 2),
  is_claimed INTEGER NOT NULL DEFAULT 0,
  attempts INTEGER NOT NULL DEFAULT 0,
  tries INTEGER NOT NULL DEFAULT 0,
  since INTEGER NOT NULL,
  due_at INTEGER NOT NULL,
  reason TEXT
) STRICT;
CREATE INDEX delivery_turn ON delivery (origin, due_at) WHERE state = 0;
CREATE INDEX delivery_due ON delivery (due_at) WHERE state = 0;
CREATE INDEX delivery_ended ON delivery (due_at) WHERE state <> 0;
CREATE INDEX delivery_of_tenant ON delivery (tenant, seq);
CREATE INDEX delivery_of_tenant_in_state ON delivery (tenant, state, seq);
CREATE INDEX delivery_in_state ON delivery (state, seq);
";

/// Which results are those of identical work. `work` is a digest that only the sealing key makes, as the others are; it is
/// cleared when a job ends with a result that is not to be shared.
const SHARING: &str = "
ALTER TABLE job ADD COLUMN work BLOB;
ALTER TABLE job ADD COLUMN computed_by BLOB;
CREATE INDEX job_work ON job (work, image) WHERE state = 2 AND work IS NOT NULL;
";

/// Deliveries are claimed by tenant, and by receiver within a tenant.
const TURNS: &str = "
DROP INDEX delivery_turn;
CREATE INDEX delivery_turn ON delivery (tenant, origin, due_at) WHERE state = 0;
CREATE INDEX delivery_due_of_tenant ON delivery (tenant, due_at) WHERE state = 0;
";

/// Settings of every connection.
pub(super) const CONNECTION: &str = "
PRAGMA foreign_keys = ON;
PRAGMA secure_delete = ON;
PRAGMA synchronous = FULL;
PRAGMA trusted_schema = OFF;
PRAGMA cell_size_check = ON;
PRAGMA temp_store = MEMORY;
PRAGMA mmap_size = 0;
PRAGMA journal_size_limit = 67108864;
";

/// Why a waiting job cannot be claimed yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Delay {
    /// It can.
    None = 0,
    /// Its time has not come, by the wall clock.
    NotBefore = 1,
    /// It failed, by the monotonic clock.
    BackOff = 2,
}

/// The state with this number.
pub(super) fn state(number: i64) -> Option<State> {
    State::ALL.get(usize::try_from(number).ok()?).copied()
}

/// The state of a delivery with this number.
pub(super) fn delivery_state(number: i64) -> Option<DeliveryState> {
    DeliveryState::ALL.get(usize::try_from(number).ok()?).copied()
}

/// The kind of input with this number.
pub(super) fn input_kind(number: i64) -> Option<InputKind> {
    match number {
        0 => Some(InputKind::Raw),
        1 => Some(InputKind::Inputs),
        _ => None,
    }
}

/// The number of a kind of input.
pub(super) fn input_kind_number(kind: InputKind) -> i64 {
    match kind {
        InputKind::Raw => 0,
        InputKind::Inputs => 1,
    }
}

/// Whether jobs of a state are counted by their number alone, and not by tenant.
pub(super) fn is_counted_alone(state: State) -> bool {
    state != State::Queued
}
