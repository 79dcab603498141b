//! Which alerts of docs/alerts.yml would fire, as far as the status and the history tell: over all images together where a
//! rule looks at one. The page has the same rules, in `alerts.js`.
//!
//! Invariant: an alert is a function of the status, the history and the time since which its condition holds.

use super::{
    numbers::{bytes, digits, plural, seconds},
    wire::{History, Image, Status},
};
use serde::Serialize;
use std::collections::BTreeMap;

const MINUTE_S: u64 = 60;

/// How urgent an alert is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Severity {
    Critical,
    Warning,
}

/// An alert whose condition holds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Alert {
    pub(super) name: &'static str,
    pub(super) severity: Severity,
    pub(super) text: String,
    /// How much longer the condition has to hold before the alert fires; zero if it fires.
    pub(super) pending_seconds: u64,
}

/// What rules look at.
pub(super) struct Facts<'a> {
    pub(super) status: &'a Status,
    pub(super) history: &'a History,
    /// Whether the memory of an image has grown while it was watched.
    pub(super) grows: &'a dyn Fn(&Image) -> bool,
}

/// Since when conditions hold, by the name of the alert, in milliseconds.
#[derive(Clone, Debug, Default)]
pub(super) struct Holds(BTreeMap<&'static str, u64>);

struct Rule {
    name: &'static str,
    severity: Severity,
    /// How long the condition has to hold.
    hold_s: u64,
    /// Returns what was found, if the condition holds.
    find: fn(&Facts<'_>) -> Option<String>,
}

const fn rule(
    name: &'static str,
    severity: Severity,
    hold_s: u64,
    find: fn(&Facts<'_>) -> Option<String>,
) -> Rule {
    Rule { name, severity, hold_s, find }
}

const RULES: [Rule; 14] = [
    rule("SnapbackCallsLost", Severity::Critical, 0, |facts| {
        let lost = facts.sum(|history| &history.lost, 10 * MINUTE_S);
        (lost > 0).then(|| "calls that were admitted were lost".into())
    }),
    rule("SnapbackBreakerOpen", Severity::Critical, 15, |facts| {
        let is_open = |image: &&Image| !["", "closed"].contains(&image.breaker.as_str());
        facts.named(is_open).map(|names| format!("{names} fails its calls and gets none"))
    }),
    rule("SnapbackLanesMissing", Severity::Critical, MINUTE_S, |facts| {
        let lanes = &facts.status.lanes;
        (lanes.at_work < lanes.configured)
            .then(|| format!("only {} of {} lanes work", lanes.at_work, lanes.configured))
    }),
    rule("SnapbackGrowthRefused", Severity::Warning, 5 * MINUTE_S, |facts| {
        let refused = facts.sum(|history| &history.growth_refused, 10 * MINUTE_S);
        let share = refused as f64 / facts.sum(|history| &history.calls, 10 * MINUTE_S).max(1) as f64;
        (share > 0.05)
            .then(|| format!("{} % of the calls need more than memory.limit", digits(100.0 * share)))
    }),
    rule("SnapbackGrowthWithoutSwaps", Severity::Warning, 5 * MINUTE_S, |facts| {
        if facts.sum(|history| &history.swaps, 15 * MINUTE_S) > 0 {
            return None;
        }
        let is_full = |image: &&Image| (facts.grows)(image) && facts.fullest(image) > 0.92;
        facts.named(is_full).map(|names| format!("{names} grows towards memory.limit and is not swapped"))
    }),
    rule("SnapbackSwapsPutOff", Severity::Warning, 15 * MINUTE_S, |facts| {
        let put_off = facts.sum(|history| &history.swaps_put_off, 10 * MINUTE_S);
        let due = put_off + facts.sum(|history| &history.swaps, 10 * MINUTE_S);
        let is_so = put_off > 0 && put_off as f64 / due as f64 > 0.01;
        is_so.then(|| format!("{} due and put off", plural(put_off, "swap")))
    }),
    rule("SnapbackColdStartSlow", Severity::Warning, 0, |facts| {
        let took = facts.status.start.seconds?;
        (took > 0.05).then(|| format!("the start took {}", seconds(took)))
    }),
    rule("SnapbackColdStartAboveTarget", Severity::Warning, 0, |facts| {
        let start = &facts.status.start;
        let took = start.seconds?;
        let is_cached = start.native_code.keys().all(|origin| origin.as_str() == "cached");
        (took > start.target_seconds && is_cached).then(|| {
            format!("the start took {}, above its target of {}", seconds(took), seconds(start.target_seconds))
        })
    }),
    rule("SnapbackNativeCacheMiss", Severity::Warning, 0, |facts| {
        let missed = facts.status.start.native_code.iter();
        let missed = missed.filter(|(origin, images)| origin.as_str() != "cached" && **images > 0);
        let origins: Vec<&str> = missed.map(|(origin, _)| origin.as_str()).collect();
        (!origins.is_empty()).then(|| format!("images were compiled ({})", origins.join(", ")))
    }),
    rule("SnapbackSwapStorm", Severity::Warning, 0, |facts| {
        let refused = facts.sum(|history| &history.swaps_refused, 5 * MINUTE_S);
        (refused > 0).then(|| "more swaps are needed than swap.per_minute_max".into())
    }),
    rule("SnapbackStandbysFail", Severity::Warning, 0, |facts| {
        let failures = facts.sum(|history| &history.standby_failures, 5 * MINUTE_S);
        (failures > 0).then(|| "standbys cannot be made".into())
    }),
    rule("SnapbackProcessMemory", Severity::Critical, MINUTE_S, |facts| {
        let used = facts.status.memory.private_resident_bytes;
        let limit = facts.status.memory.process_limit_bytes.filter(|limit| *limit > 0)?;
        let is_full = used as f64 / limit as f64 > 0.95;
        is_full.then(|| format!("{} of {} are used", bytes(used), bytes(limit)))
    }),
    rule("SnapbackQueueFull", Severity::Warning, 5 * MINUTE_S, |facts| {
        let rejected = facts.sum(|history| &history.rejected, 5 * MINUTE_S);
        (rejected > 0).then(|| "more calls arrive than the lanes finish".into())
    }),
    rule("SnapbackCircuitChangeFailed", Severity::Warning, 0, |facts| {
        let failed = facts.sum(|history| &history.changes_failed, 15 * MINUTE_S);
        (failed > 0).then(|| "a change of circuits failed; the served generation stays".into())
    }),
];

impl Facts<'_> {
    /// The sum of a column over the last seconds.
    fn sum(&self, column: fn(&History) -> &Vec<u64>, seconds: u64) -> u64 {
        let buckets = seconds.div_ceil(self.history.bucket_seconds.max(1));
        let buckets = usize::try_from(buckets).unwrap_or(usize::MAX);
        column(self.history).iter().rev().take(buckets).fold(0, |sum, value| sum.saturating_add(*value))
    }

    /// The names of the images of which something holds.
    fn named(&self, holds: impl Fn(&&Image) -> bool) -> Option<String> {
        let images = self.status.images.iter().filter(holds);
        let names: Vec<&str> = images.map(|image| image.name.as_str()).collect();
        (!names.is_empty()).then(|| names.join(", "))
    }

    /// The share of its limit that the fullest instance of an image has in use.
    fn fullest(&self, image: &Image) -> f64 {
        let lanes = self.status.instances.get(&image.name).into_iter().flatten();
        let used = lanes.filter_map(|lane| lane.used_bytes).max().unwrap_or(0);
        image.memory_limit_bytes().map_or(0.0, |limit| used as f64 / limit as f64)
    }
}

/// Returns the alerts that fire, and those that would if what they found lasts.
pub(super) fn evaluate(facts: &Facts<'_>, holds: &mut Holds, now_ms: u64) -> Vec<Alert> {
    let mut alerts = Vec::new();
    for Rule { name, severity, hold_s, find } in &RULES {
        match find(facts) {
            None => drop(holds.0.remove(name)),
            Some(text) => {
                let held_s = now_ms.saturating_sub(*holds.0.entry(name).or_insert(now_ms)) / 1000;
                let pending_seconds = hold_s.saturating_sub(held_s);
                alerts.push(Alert { name, severity: *severity, text, pending_seconds });
            }
        }
    }
    alerts
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn evaluated(status: &str, history: &str, holds: &mut Holds, now_ms: u64) -> Vec<Alert> {
        let (status, history) = (serde_json::from_str(status), serde_json::from_str(history));
        let (status, history) = (status.expect("a status"), history.expect("a history"));
        evaluate(&Facts { status: &status, history: &history, grows: &|_| true }, holds, now_ms)
    }

    #[test]
    fn a_condition_has_to_last_before_its_alert_fires() {
        let mut holds = Holds::default();
        let missing = r#"{"lanes": {"configured": 2, "at_work": 1}}"#;
        let first = evaluated(missing, "{}", &mut holds, 1_000);
        assert_eq!((first[0].name, first[0].pending_seconds), ("SnapbackLanesMissing", 60));
        assert_eq!(first[0].text, "only 1 of 2 lanes work");
        assert_eq!(evaluated(missing, "{}", &mut holds, 62_000)[0].pending_seconds, 0);
        assert_eq!(evaluated("{}", "{}", &mut holds, 63_000), []);
        assert_eq!(evaluated(missing, "{}", &mut holds, 64_000)[0].pending_seconds, 60, "it begins anew");
    }

    #[test]
    fn conditions_look_at_the_buckets_of_their_time() {
        let lost = |calls: &str| {
            let history = format!(r#"{{"bucket_seconds": 200, "lost": {calls}}}"#);
            evaluated("{}", &history, &mut Holds::default(), 0).len()
        };
        assert_eq!([lost("[1, 0, 0, 0]"), lost("[1, 0, 0]"), lost("[]")], [0, 1, 0]);
        let status = r#"{"images": [{"name": "zcash", "breaker": "open", "policy": {"memory.limit": 100}}],
            "instances": {"zcash": [{"used_bytes": 93}]}, "start": {"seconds": 0.2, "target_seconds": 0.1},
            "memory": {"private_resident_bytes": 99, "process_limit_bytes": 100}}"#;
        let history = r#"{"bucket_seconds": 10, "calls": [10], "growth_refused": [1], "swaps_put_off": [1],
            "swaps_refused": [1], "standby_failures": [1], "rejected": [1], "changes_failed": [1], "lost": [1]}"#;
        let found = evaluated(status, history, &mut Holds::default(), 0);
        let missing: Vec<_> = RULES
            .iter()
            .map(|rule| rule.name)
            .filter(|name| !found.iter().any(|alert| alert.name == *name))
            .collect();
        assert_eq!(missing, ["SnapbackLanesMissing", "SnapbackNativeCacheMiss"]);
    }

    #[test]
    fn numbers_of_a_strange_server_do_no_harm() {
        let huge = u64::MAX;
        let history = format!(
            r#"{{"bucket_seconds": 0, "calls": [{huge}], "swaps": [{huge}], "lost": [{huge}, {huge}]}}"#
        );
        let status = r#"{"images": [{"policy": {"memory.limit": 0}}], "memory": {"process_limit_bytes": 0}}"#;
        assert_eq!(evaluated(status, &history, &mut Holds::default(), 0).len(), 1);
    }

    #[test]
    fn every_rule_of_the_documentation_is_here_but_the_one_about_a_server_that_is_down() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/alerts.yml");
        let text = fs::read_to_string(path).expect("the rules");
        let names: Vec<_> = text.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
        let known: Vec<_> = RULES.iter().map(|rule| rule.name).collect();
        let missing: Vec<_> = names.iter().filter(|name| !known.contains(name)).collect();
        assert_eq!(missing, [&"SnapbackDown"], "{names:?}");
    }
}
