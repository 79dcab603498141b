//! The jobs of a server, put together from the pages that it sends.
//!
//! Invariant: a job is in the list once, in the state that has come furthest.

use super::wire::{Job, JobPage};
use std::collections::BTreeSet;

/// The newest jobs, and all that are not over.
#[derive(Clone, Debug, Default)]
pub(super) struct Jobs {
    pub(super) latest: JobPage,
    pub(super) queued: JobPage,
    pub(super) running: JobPage,
}

impl Jobs {
    /// Jobs with their place in the list: those that run, those that wait in their order, those that ended, newest first.
    pub(super) fn list(&self) -> Vec<&Job> {
        let rank = |job: &Job| match job.state.as_str() {
            "claimed" => 0,
            "queued" => 1,
            _ => 2,
        };
        // The pages are read one after another, so that a job may be in two; the one that has come further is right.
        let mut jobs: Vec<&Job> =
            [&self.latest, &self.running, &self.queued].iter().flat_map(|page| &page.jobs).collect();
        jobs.sort_by_key(|job| match rank(job) {
            2 => 0,
            0 => 1,
            _ => 2,
        });
        let mut seen = BTreeSet::new();
        jobs.retain(|job| seen.insert(&job.id));
        jobs.sort_by_key(|job| (rank(job), if rank(job) == 1 { job.place.unwrap_or(u64::MAX) } else { 0 }));
        jobs
    }

    /// Counts by state: the state, the count, and whether there are more.
    pub(super) fn counts(&self) -> Vec<(&'static str, usize, bool)> {
        let list = self.list();
        let count = |state: &str| list.iter().filter(|job| job.state.as_str() == state).count();
        let is_cut = |page: &JobPage| page.next.is_some();
        let open = [("running", "claimed", &self.running), ("queued", "queued", &self.queued)];
        let open = open.map(|(word, state, page)| (word, count(state), is_cut(page)));
        let ended = ["succeeded", "failed", "quarantined", "cancelled", "expired"];
        let ended = ended.map(|state| (state, count(state), is_cut(&self.latest)));
        open.into_iter().chain(ended).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_that_are_in_two_pages_are_shown_once_and_those_that_run_come_first() {
        let page = |json: &str| serde_json::from_str::<JobPage>(json).expect("JSON");
        let jobs = Jobs {
            latest: page(
                r#"{"jobs": [{"id": "e", "state": "queued", "place": 1}, {"id": "d", "state": "succeeded"},
                {"id": "c", "state": "claimed"}, {"id": "b", "state": "queued", "place": 0}, {"id": "a", "state": "failed"}],
                "next": "more"}"#,
            ),
            queued: page(
                r#"{"jobs": [{"id": "e", "state": "queued", "place": 1}, {"id": "c", "state": "queued"}, {"id": "b", "state": "queued", "place": 0}]}"#,
            ),
            running: page(r#"{"jobs": [{"id": "c", "state": "claimed"}, {"id": "d", "state": "claimed"}]}"#),
        };
        let ids: Vec<_> = jobs.list().iter().map(|job| job.id.as_str()).collect();
        assert_eq!(ids, ["c", "b", "e", "d", "a"]);
        assert_eq!(
            &jobs.counts()[..4],
            [("running", 1, false), ("queued", 2, false), ("succeeded", 1, true), ("failed", 1, true)]
        );
    }
}
