//! Counts the jobs of a database.
//!
//! Invariant: what is counted here is what the writer counts when it changes a job.

use super::{rows, schema};
use crate::jobs::{JobError, Priority, State, Tenant, fairness::Queues, fairness::Waiting};
use rusqlite::Connection;

/// The counts of all jobs.
pub(super) fn queues(connection: &Connection) -> Result<Queues, JobError> {
    let mut queues = Queues::default();
    let mut query = connection.prepare_cached(
        "SELECT tenant, state, count(*) AS number, ifnull(sum(result_bytes), 0) AS bytes \
         FROM job GROUP BY tenant, state",
    )?;
    let mut counted = query.query([])?;
    while let Some(row) = counted.next()? {
        let (tenant, state): (Tenant, State) = (rows::parsed(row, "tenant")?, rows::state(row)?);
        if schema::is_counted_alone(state) {
            queues.count(&tenant, state, rows::unsigned(row, "number")?);
        }
        queues.add_result(&tenant, rows::unsigned(row, "bytes")?);
    }
    let mut query =
        connection.prepare_cached("SELECT state, count(*) AS number FROM delivery GROUP BY state")?;
    let mut counted = query.query([])?;
    while let Some(row) = counted.next()? {
        queues.deliveries.add(rows::delivery_state(row)?, rows::unsigned(row, "number")?);
    }
    let mut query = connection.prepare_cached(
        "SELECT tenant, service, priority, delay, count(*) AS number, sum(body_bytes) AS body_bytes \
         FROM job WHERE state = 0 GROUP BY tenant, service, priority, delay",
    )?;
    let mut waiting = query.query([])?;
    while let Some(row) = waiting.next()? {
        let (tenant, service): (Tenant, String) = (rows::parsed(row, "tenant")?, row.get("service")?);
        let (priority, body_bytes): (Priority, u64) =
            (rows::priority(row)?, rows::unsigned(row, "body_bytes")?);
        let is_ready = row.get::<_, i64>("delay")? == 0;
        let job = Waiting { tenant: &tenant, service: &service, priority, body_bytes, is_ready };
        queues.add(job, rows::unsigned(row, "number")?);
    }
    Ok(queues)
}
