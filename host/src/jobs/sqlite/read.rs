//! Reads, on a connection that never waits for the writer.
//!
//! Invariant: a read changes nothing, and what it returns was committed together.

use super::{bodies::Place, rows};
use crate::jobs::{
    Cursor, JobError, JobFilter, JobId, JobPage, JobRecord, ResultRecord, State, Tenant, Timestamp,
};
use rusqlite::{Connection, OptionalExtension as _, named_params};

/// Largest place that is counted.
pub(super) const PLACE_MAX: u64 = 10_000;
/// Most jobs of a page.
const PAGE_MAX: usize = 1000;

/// The record of a job.
pub(super) fn record(
    connection: &Connection,
    tenant: Option<&Tenant>,
    id: JobId,
) -> Result<JobRecord, JobError> {
    let mut query = connection.prepare_cached("SELECT * FROM job WHERE id = ?1")?;
    let found =
        query.query_row([id.as_bytes()], |row| Ok((rows::record(row)?, row.get("seq")?))).optional()?;
    let (mut record, seq) = found.ok_or(JobError::NotFound)?;
    if tenant.is_some_and(|tenant| *tenant != record.tenant) {
        return Err(JobError::NotFound);
    }
    record.place = place(connection, &record, seq)?;
    Ok(record)
}

/// Number of waiting jobs of the tenant that come before a waiting job.
pub(super) fn place(connection: &Connection, record: &JobRecord, seq: i64) -> Result<Option<u64>, JobError> {
    if record.state != State::Queued {
        return Ok(None);
    }
    let mut query = connection.prepare_cached(
        "SELECT (SELECT count(*) FROM (SELECT 1 FROM job INDEXED BY job_waiting WHERE state = 0 AND tenant = :tenant \
         AND priority > :priority LIMIT :most)) + (SELECT count(*) FROM (SELECT 1 FROM job INDEXED BY job_waiting \
         WHERE state = 0 AND tenant = :tenant AND priority = :priority AND seq < :seq LIMIT :most))",
    )?;
    let (tenant, priority) = (record.tenant.as_str(), record.priority.get());
    let most = PLACE_MAX.cast_signed();
    let before: i64 = query.query_row(
        named_params! { ":tenant": tenant, ":priority": priority, ":seq": seq, ":most": most },
        |row| row.get(0),
    )?;
    Ok(Some(before.cast_unsigned().min(PLACE_MAX)))
}

/// What is known about the result of a job, and where it is.
pub(super) fn result(
    connection: &Connection,
    tenant: Option<&Tenant>,
    id: JobId,
) -> Result<(ResultRecord, Place), JobError> {
    // One transaction, so that the record and the place belong together.
    let transaction = connection.unchecked_transaction()?;
    let mut query = transaction.prepare_cached("SELECT * FROM job WHERE id = ?1")?;
    let found = query
        .query_row([id.as_bytes()], |row| Ok((rows::record(row)?, row.get::<_, i64>("seq")?)))
        .optional()?;
    let (record, seq) = found.ok_or(JobError::NotFound)?;
    if tenant.is_some_and(|tenant| *tenant != record.tenant) {
        return Err(JobError::NotFound);
    }
    if !record.state.has_ended() {
        return Err(JobError::NotFinished(record.state));
    }
    let result = record.result.ok_or(JobError::Gone(record.state))?;
    let mut query = transaction.prepare_cached("SELECT sealed, file FROM result WHERE seq = ?1")?;
    let place = query.query_row([seq], rows::place).optional()?;
    Ok((result, place.ok_or(JobError::Damaged { what: "result" })?))
}

/// Most rows that one page looks at. A page may be short because of it, and says where the next one begins.
const SCANNED_MAX: usize = 5_000;

/// A page of jobs, newest first.
pub(super) fn page(
    connection: &Connection,
    filter: &JobFilter,
    cursor: Option<Cursor>,
    limit: usize,
) -> Result<JobPage, JobError> {
    let limit = limit.clamp(1, PAGE_MAX);
    let mut conditions = vec!["seq < :before"];
    conditions.extend(filter.tenant.as_ref().map(|_| "tenant = :tenant"));
    conditions.extend(filter.state.map(|_| "state = :state"));
    let before = cursor.map_or(i64::MAX, |cursor| i64::try_from(cursor.0).unwrap_or(i64::MAX));
    // Each gives the order of the page, so that nothing is sorted.
    let index = match (&filter.tenant, filter.state) {
        (Some(_), Some(_)) => "INDEXED BY job_of_tenant_in_state",
        (Some(_), None) => "INDEXED BY job_of_tenant",
        (None, Some(_)) => "INDEXED BY job_in_state",
        (None, None) => "NOT INDEXED",
    };
    let statement = format!(
        "SELECT * FROM job {index} WHERE {} ORDER BY seq DESC LIMIT {}",
        conditions.join(" AND "),
        // One more tells whether there is another page.
        SCANNED_MAX + 1
    );
    let mut query = connection.prepare(&statement)?;
    let (tenant, state) =
        (filter.tenant.as_ref().map(Tenant::as_str), filter.state.map(|state| state as i64));
    let named: [(&str, &dyn rusqlite::ToSql); 3] =
        [(":before", &before), (":tenant", &tenant), (":state", &state)];
    for (name, value) in named {
        if let Some(index) = query.parameter_index(name)? {
            query.raw_bind_parameter(index, value)?;
        }
    }
    let mut rows = query.raw_query();
    let (mut jobs, mut scanned, mut last) = (Vec::new(), 0, None);
    while let Some(row) = rows.next()? {
        if jobs.len() == limit || scanned == SCANNED_MAX {
            return Ok(JobPage { jobs, next: last });
        }
        scanned += 1;
        last = Some(Cursor(rows::unsigned(row, "seq")?));
        let fits = |wanted: &Option<String>, column: &str| -> rusqlite::Result<bool> {
            let Some(wanted) = wanted else { return Ok(true) };
            Ok(row.get::<_, Option<String>>(column)?.as_ref() == Some(wanted))
        };
        if fits(&filter.service, "service")? && fits(&filter.circuit, "circuit")? {
            jobs.push(rows::record(row)?);
        }
    }
    Ok(JobPage { jobs, next: None })
}

/// When the oldest waiting job was submitted.
pub(super) fn oldest_waiting(connection: &Connection) -> Result<Option<Timestamp>, JobError> {
    let mut query = connection.prepare_cached(
        "SELECT submitted FROM job INDEXED BY job_in_state WHERE state = 0 ORDER BY seq LIMIT 1",
    )?;
    Ok(query.query_row([], |row| rows::unsigned(row, "submitted")).optional()?.map(Timestamp::from_millis))
}

/// When the wall clock changes a job next.
pub(super) fn next_due(connection: &Connection) -> Result<Option<Timestamp>, JobError> {
    let mut due = connection
        .prepare_cached("SELECT min(due_at) FROM job INDEXED BY job_due WHERE due_at IS NOT NULL")?;
    let mut delayed = connection.prepare_cached(
        "SELECT min(not_before) FROM job INDEXED BY job_delayed WHERE state = 0 AND delay = 1",
    )?;
    let mut told = connection
        .prepare_cached("SELECT min(due_at) FROM delivery INDEXED BY delivery_ended WHERE state <> 0")?;
    let times: [Option<i64>; 3] = [
        due.query_row([], |row| row.get(0))?,
        delayed.query_row([], |row| row.get(0))?,
        told.query_row([], |row| row.get(0))?,
    ];
    let next = times.into_iter().flatten().min();
    Ok(next.map(|ms| Timestamp::from_millis(u64::try_from(ms).unwrap_or(0))))
}

/// Whether a row names a file.
pub(super) fn is_named(connection: &Connection, file: &str) -> Result<bool, JobError> {
    let mut query = connection.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM body WHERE file = ?1) OR EXISTS (SELECT 1 FROM result WHERE file = ?1)",
    )?;
    Ok(query.query_row([file], |row| row.get(0))?)
}
