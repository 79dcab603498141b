//! Reads rows, and turns SQLite's errors into those of jobs.
//!
//! Invariant: a row with a value that the engine never writes is an error, not a panic or a default.

use super::{bodies::Place, schema};
use crate::jobs::{
    DeliveryRecord, DeliveryState, ImageChoice, JobError, JobFailure, JobId, JobRecord, Priority,
    ResultDigest, ResultRecord, State, StorageFault, Tenant, Timestamp,
};
use rusqlite::{
    Connection, ErrorCode, OptionalExtension as _, Row,
    types::{FromSql, Type},
};
use std::{fmt, str::FromStr};

impl From<rusqlite::Error> for JobError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::Error as E;
        let fault = match (error.sqlite_error_code(), &error) {
            (Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase), _)
            | (
                None,
                E::FromSqlConversionFailure(..)
                | E::IntegralValueOutOfRange(..)
                | E::InvalidColumnType(..)
                | E::Utf8Error(..),
            ) => return Self::Corrupt { path: super::schema::DATABASE.into(), reason: error.to_string() },
            (Some(ErrorCode::DiskFull), _) => StorageFault::DiskFull,
            (Some(ErrorCode::SystemIoFailure | ErrorCode::CannotOpen | ErrorCode::ReadOnly), _) => {
                StorageFault::Io
            }
            _ => StorageFault::Database,
        };
        Self::Storage { fault, reason: error.to_string() }
    }
}

/// A column that is not what the engine writes.
#[derive(Debug)]
struct UnknownValue;

impl fmt::Display for UnknownValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value of a job is unknown")
    }
}

impl std::error::Error for UnknownValue {}

/// The error of a column that is not what the engine writes.
fn unknown(_: impl Sized) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(0, Type::Null, Box::new(UnknownValue))
}

pub(super) fn parsed<T: FromStr>(row: &Row<'_>, column: &str) -> rusqlite::Result<T> {
    row.get_ref(column)?.as_str()?.parse().map_err(unknown)
}

fn converted<S: FromSql, T>(
    row: &Row<'_>,
    column: &str,
    convert: impl Fn(S) -> Option<T>,
) -> rusqlite::Result<T> {
    convert(row.get(column)?).ok_or(()).map_err(unknown)
}

pub(super) fn unsigned<T: TryFrom<i64>>(row: &Row<'_>, column: &str) -> rusqlite::Result<T> {
    converted(row, column, |number: i64| number.try_into().ok())
}

pub(super) fn time(row: &Row<'_>, column: &str) -> rusqlite::Result<Option<Timestamp>> {
    converted(row, column, |ms: Option<i64>| match ms {
        None => Some(None),
        Some(ms) => u64::try_from(ms).ok().map(|ms| Some(Timestamp::from_millis(ms))),
    })
}

pub(super) fn state(row: &Row<'_>) -> rusqlite::Result<State> {
    converted(row, "state", schema::state)
}

pub(super) fn id(row: &Row<'_>) -> rusqlite::Result<JobId> {
    converted(row, "id", JobId::from_bytes)
}

pub(super) fn priority(row: &Row<'_>) -> rusqlite::Result<Priority> {
    converted(row, "priority", |number: i64| u8::try_from(number).ok()?.try_into().ok())
}

/// The record of a row of `job`. Its place is not known yet.
pub(super) fn record(row: &Row<'_>) -> rusqlite::Result<JobRecord> {
    let digest: Option<[u8; 32]> = row.get("result_digest")?;
    let result = |digest| {
        let (bytes, media_type) = (unsigned(row, "result_bytes")?, row.get("result_media_type")?);
        Ok::<_, rusqlite::Error>(ResultRecord { digest: ResultDigest(digest), bytes, media_type })
    };
    Ok(JobRecord {
        id: id(row)?,
        tenant: parsed(row, "tenant")?,
        service: row.get("service")?,
        method: row.get("method")?,
        circuit: row.get("circuit")?,
        image: row.get::<_, Option<String>>("image")?.map_or(ImageChoice::Current, ImageChoice::Digest),
        state: state(row)?,
        attempts: unsigned(row, "attempts")?,
        priority: priority(row)?,
        place: None,
        submitted: time(row, "submitted")?.unwrap_or_default(),
        claimed: time(row, "claimed")?,
        finished: time(row, "finished")?,
        not_before: time(row, "not_before")?,
        expires_at: time(row, "expires_at")?,
        error: failure(row)?,
        result: digest.map(result).transpose()?,
        computed_by: converted(row, "computed_by", |id: Option<_>| match id {
            None => Some(None),
            Some(id) => JobId::from_bytes(id).map(Some),
        })?,
        body_bytes: unsigned(row, "body_bytes")?,
        traceparent: row.get("traceparent")?,
        callback: row.get("callback")?,
        cancel_requested: row.get::<_, i64>("cancel")? != 0,
    })
}

/// The state of a row of `delivery`.
pub(super) fn delivery_state(row: &Row<'_>) -> rusqlite::Result<DeliveryState> {
    converted(row, "state", schema::delivery_state)
}

/// The failure of a row of `job` or `delivery`.
pub(super) fn failure(row: &Row<'_>) -> rusqlite::Result<Option<JobFailure>> {
    let code: Option<String> = row.get("error_code")?;
    let failure = |code| Ok::<_, rusqlite::Error>(JobFailure { code, message: row.get("error_message")? });
    code.map(failure).transpose()
}

/// The record of a row of `delivery`.
pub(super) fn delivery(row: &Row<'_>) -> rusqlite::Result<DeliveryRecord> {
    let state = delivery_state(row)?;
    let due = time(row, "due_at")?;
    Ok(DeliveryRecord {
        job: id(row)?,
        tenant: parsed(row, "tenant")?,
        outcome: converted(row, "outcome", schema::state)?,
        origin: row.get("origin")?,
        state,
        attempts: unsigned(row, "attempts")?,
        finished: time(row, "finished")?.unwrap_or_default(),
        next: due.filter(|_| state == DeliveryState::Waiting),
        reason: row.get("reason")?,
    })
}

/// What the writer has to know of a job to change it.
pub(super) struct Live {
    pub(super) seq: i64,
    pub(super) id: JobId,
    pub(super) tenant: Tenant,
    pub(super) service: String,
    pub(super) state: State,
    pub(super) is_ready: bool,
    pub(super) priority: Priority,
    pub(super) body_bytes: u64,
    pub(super) attempts: u32,
    pub(super) losses: u32,
    pub(super) retries: u32,
    pub(super) nonce: Option<i64>,
    pub(super) is_cancel_requested: bool,
    pub(super) expires_at: Option<Timestamp>,
    pub(super) result_bytes: u64,
}

impl Live {
    const COLUMNS: &str = "SELECT seq, id, tenant, service, state, delay, priority, body_bytes, attempts, losses, \
                           retries, nonce, cancel, expires_at, ifnull(result_bytes, 0) AS result_bytes FROM job";

    fn of(row: &Row<'_>) -> rusqlite::Result<Self> {
        let state = state(row)?;
        Ok(Self {
            seq: row.get("seq")?,
            id: id(row)?,
            tenant: parsed(row, "tenant")?,
            service: row.get("service")?,
            state,
            is_ready: state == State::Queued && row.get::<_, i64>("delay")? == 0,
            priority: priority(row)?,
            body_bytes: unsigned(row, "body_bytes")?,
            attempts: unsigned(row, "attempts")?,
            losses: unsigned(row, "losses")?,
            retries: unsigned(row, "retries")?,
            nonce: row.get("nonce")?,
            is_cancel_requested: row.get::<_, i64>("cancel")? != 0,
            expires_at: time(row, "expires_at")?,
            result_bytes: unsigned(row, "result_bytes")?,
        })
    }

    pub(super) fn by_id(connection: &Connection, id: JobId) -> rusqlite::Result<Option<Self>> {
        let mut query = connection.prepare_cached(&format!("{} WHERE id = ?1", Self::COLUMNS))?;
        query.query_row([id.as_bytes()], Self::of).optional()
    }

    /// Jobs that match a condition: what follows the table's name, with the index that is used where many jobs wait.
    pub(super) fn matching(
        connection: &Connection,
        condition: &str,
        params: impl rusqlite::Params,
    ) -> rusqlite::Result<Vec<Self>> {
        let mut query = connection.prepare_cached(&format!("{} {condition}", Self::COLUMNS))?;
        query.query_map(params, Self::of)?.collect()
    }
}

/// Where the value of a row of `body` or `result` is.
pub(super) fn place(row: &Row<'_>) -> rusqlite::Result<Place> {
    match row.get("file")? {
        Some(name) => Ok(Place::File(name)),
        None => Ok(Place::Inline(row.get("sealed")?)),
    }
}

/// A time as it is stored.
pub(super) fn stored(time: Timestamp) -> i64 {
    i64::try_from(time.as_millis()).expect("a timestamp has 48 bits")
}
