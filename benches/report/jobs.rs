//! What durable jobs should cost.

use crate::{
    Measured,
    goals::{AtMost, Goal},
    ratio, time,
};

/// The goals of figures that were measured.
pub(crate) fn goals(measured: &Measured) -> Vec<Goal> {
    let megabytes = |bytes: f64| format!("{:.1} MB", bytes / 1e6);
    let kilobytes = |bytes: f64| format!("{:.1} kB", bytes / 1e3);
    let rows: [AtMost; 8] = [
        (
            "time of a synchronous call of a server that accepts jobs, relative to one that does not",
            "sync_call_with_jobs_over_without",
            1.02,
            ratio,
        ),
        (
            "time from a submission of a job until it is on disk, p99 at 200 a second",
            "jobs_submit_p99_seconds",
            10e-3,
            time,
        ),
        (
            "time of a claim while 100,000 jobs wait, without the sync of the disk",
            "jobs_claim_of_many_each_seconds",
            1e-3,
            time,
        ),
        (
            "private memory of the server for 100,000 jobs that wait",
            "jobs_100000_waiting_private_bytes",
            100e6,
            megabytes,
        ),
        (
            "resident memory of the server for each of 10,000 clients that follow a job",
            "job_streams_10000_resident_bytes_each",
            64e3,
            kilobytes,
        ),
        (
            "time from the end of a job until all of 10,000 clients that follow it know",
            "job_streams_10000_reached_seconds",
            2.0,
            time,
        ),
        (
            "resident memory of the server for each of 10,000 pages that show it",
            "page_streams_10000_resident_bytes_each",
            64e3,
            kilobytes,
        ),
        (
            "time from a call until its swap is shown by all of 10,000 pages",
            "page_streams_10000_reached_seconds",
            2.0,
            time,
        ),
    ];
    Goal::of_measured(measured, rows)
}
