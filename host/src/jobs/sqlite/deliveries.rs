//! The interface of deliveries: opens what the writer hands out, and reads lists.
//!
//! Invariant: a URL leaves its seal only for whoever claims its delivery.

use super::{
    bodies::Place,
    deliver::{self, SealedDelivery},
    opened::SqliteJobs,
    rows,
};
use crate::jobs::{
    Callback, ClaimedDelivery, Cursor, Deliveries, DeliveryClaim, DeliveryCounts, DeliveryFilter,
    DeliveryOutcome, DeliveryPage, DeliveryRecord, JobError, JobId, Stored, Tenant, Timestamp, seal::Sealed,
};
use futures_util::future::BoxFuture;
use rusqlite::{Connection, ToSql};
use std::{sync::Arc, time::Duration};
use tokio::sync::Notify;

/// Most deliveries of a page.
const PAGE_MAX: usize = 1000;

impl Deliveries for SqliteJobs {
    fn claim_delivery(&self, busy: Vec<String>) -> BoxFuture<'_, Result<Option<ClaimedDelivery>, JobError>> {
        Box::pin(async move {
            let claimed = self.write(move |writer| writer.claim_delivery(&busy)).await?;
            let Some(sealed) = claimed else { return Ok(None) };
            match self.callback(&sealed) {
                Some(callback) => Ok(Some(opened(sealed, callback))),
                None => {
                    tracing::error!(job = %sealed.claim.job, "the URL of a webhook is damaged");
                    let reason = "its URL is not what was stored".to_owned();
                    self.finish_delivery(sealed.claim, DeliveryOutcome::Dead { reason }).await?;
                    // There may be others: the caller is told to ask again.
                    self.shared.delivery_work.notify_one();
                    Ok(None)
                }
            }
        })
    }

    fn finish_delivery(
        &self,
        claim: DeliveryClaim,
        outcome: DeliveryOutcome,
    ) -> BoxFuture<'_, Result<Stored, JobError>> {
        Box::pin(self.write(move |writer| writer.finish_delivery(claim, outcome)))
    }

    fn delivery(
        &self,
        tenant: Option<&Tenant>,
        job: JobId,
    ) -> BoxFuture<'_, Result<DeliveryRecord, JobError>> {
        let tenant = tenant.cloned();
        Box::pin(self.read(move |connection| deliver::delivery(connection, tenant.as_ref(), job)))
    }

    fn list_deliveries(
        &self,
        filter: DeliveryFilter,
        cursor: Option<Cursor>,
        limit: usize,
    ) -> BoxFuture<'_, Result<DeliveryPage, JobError>> {
        Box::pin(self.read(move |connection| page(connection, &filter, cursor, limit)))
    }

    fn resend(&self, tenant: Option<&Tenant>, job: JobId) -> BoxFuture<'_, Result<DeliveryRecord, JobError>> {
        let tenant = tenant.cloned();
        Box::pin(self.write(move |writer| writer.resend(tenant.as_ref(), job)))
    }

    fn delivery_work(&self) -> Arc<Notify> {
        Arc::clone(&self.shared.delivery_work)
    }

    fn next_delivery(&self) -> BoxFuture<'_, Option<Duration>> {
        Box::pin(async move {
            let next = self.read(next_due).await.unwrap_or_else(|error| {
                tracing::warn!(%error, "when the next webhook is due is not known");
                None
            });
            next.map(|time| time.since(self.shared.clock.wall()))
        })
    }

    fn delivery_counts(&self) -> DeliveryCounts {
        self.shared.queues().deliveries
    }
}

impl SqliteJobs {
    /// Opens the URL of a delivery. It is short, so that this needs no thread of its own.
    fn callback(&self, sealed: &SealedDelivery) -> Option<Callback> {
        let place = Place::Inline(sealed.url.clone());
        let shared = &self.shared;
        let url = shared.bodies.open(&shared.seal, sealed.claim.job, Sealed::Callback, place).ok()?;
        std::str::from_utf8(&url).ok()?.parse().ok()
    }
}

fn opened(sealed: SealedDelivery, callback: Callback) -> ClaimedDelivery {
    let SealedDelivery { claim, tenant, now, since, tries, end, traceparent, .. } = sealed;
    ClaimedDelivery { claim, tenant, callback, now, tried_for: now.since(since), tries, end, traceparent }
}

/// A page of deliveries, newest first.
fn page(
    connection: &Connection,
    filter: &DeliveryFilter,
    cursor: Option<Cursor>,
    limit: usize,
) -> Result<DeliveryPage, JobError> {
    let limit = limit.clamp(1, PAGE_MAX);
    let before = cursor.map_or(i64::MAX, |cursor| i64::try_from(cursor.0).unwrap_or(i64::MAX));
    // Each index gives the order of the page, so that nothing is sorted.
    let (index, condition) = match (&filter.tenant, filter.state) {
        (Some(_), Some(_)) => {
            ("INDEXED BY delivery_of_tenant_in_state", "AND tenant = :tenant AND state = :state")
        }
        (Some(_), None) => ("INDEXED BY delivery_of_tenant", "AND tenant = :tenant"),
        (None, Some(_)) => ("INDEXED BY delivery_in_state", "AND state = :state"),
        (None, None) => ("NOT INDEXED", ""),
    };
    let mut query = connection.prepare_cached(&format!(
        "SELECT * FROM delivery {index} WHERE seq < :before {condition} ORDER BY seq DESC LIMIT :most"
    ))?;
    let tenant = filter.tenant.as_ref().map(Tenant::as_str);
    let (state, most) = (filter.state.map(|state| state as i64), limit as i64 + 1);
    let named: [(&str, &dyn ToSql); 4] =
        [(":before", &before), (":tenant", &tenant), (":state", &state), (":most", &most)];
    for (name, value) in named {
        if let Some(index) = query.parameter_index(name)? {
            query.raw_bind_parameter(index, value)?;
        }
    }
    let mut rows = query.raw_query();
    let (mut deliveries, mut last) = (Vec::new(), None);
    while let Some(row) = rows.next()? {
        if deliveries.len() == limit {
            return Ok(DeliveryPage { deliveries, next: last });
        }
        last = Some(Cursor(rows::unsigned(row, "seq")?));
        deliveries.push(rows::delivery(row)?);
    }
    Ok(DeliveryPage { deliveries, next: None })
}

/// When the first delivery is due.
fn next_due(connection: &Connection) -> Result<Option<Timestamp>, JobError> {
    let mut query = connection
        .prepare_cached("SELECT min(due_at) FROM delivery INDEXED BY delivery_due WHERE state = 0")?;
    let due: Option<i64> = query.query_row([], |row| row.get(0))?;
    Ok(due.map(|ms| Timestamp::from_millis(u64::try_from(ms).unwrap_or(0))))
}
