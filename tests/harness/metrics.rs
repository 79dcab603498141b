//! The metric families of a server, and what an expression of PromQL reads of them.

use std::collections::{BTreeMap, BTreeSet};

/// Labels that a scrape adds to every sample.
const OF_THE_SCRAPE: [&str; 2] = ["instance", "job"];

/// What the samples of a family are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Plain,
    /// Samples end with `_bucket`, `_sum` and `_count`.
    Histogram,
}

/// A metric family: what its samples are, and their labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Family {
    pub(crate) kind: Kind,
    pub(crate) labels: BTreeSet<String>,
}

/// Every metric family by name, read from the source that registers them, one on each line:
/// `calls: family.counters("snapback_calls_total", "Help.", &["image"]),`
pub(crate) fn families() -> BTreeMap<String, Family> {
    let source = include_str!("../../host/src/telemetry/metrics/families.rs");
    let lines = source.lines().filter_map(|line| {
        let (call, rest) = line.split_once("(\"snapback_")?;
        let (name, rest) = rest.split_once('"')?;
        let labels = rest.rsplit_once("&[").map_or("", |(_, labels)| labels);
        let labels = labels.split('"').skip(1).step_by(2).map(str::to_owned).collect();
        let is_histogram = [".histogram", ".histograms"].iter().any(|end| call.ends_with(end));
        let kind = if is_histogram { Kind::Histogram } else { Kind::Plain };
        Some((format!("snapback_{name}"), Family { kind, labels }))
    });
    lines.collect()
}

/// Names of metrics in a text: words that begin with `snapback_`.
pub(crate) fn names_in(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !is_word(c)).filter(|word| word.starts_with("snapback_"))
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// The family that a sample of this name belongs to.
pub(crate) fn family_of<'a>(families: &'a BTreeMap<String, Family>, sample: &str) -> Option<&'a Family> {
    let parts = ["_sum", "_count", "_bucket"];
    let of_histogram = parts.iter().find_map(|part| families.get(sample.strip_suffix(part)?));
    of_histogram.filter(|family| family.kind == Kind::Histogram).or_else(|| {
        // The name of a histogram alone has no samples.
        families.get(sample).filter(|family| family.kind == Kind::Plain)
    })
}

/// Labels that the samples of this name carry, those of the scrape included.
pub(crate) fn labels_of(families: &BTreeMap<String, Family>, sample: &str) -> Option<BTreeSet<String>> {
    let mut labels = family_of(families, sample)?.labels.clone();
    labels.extend(OF_THE_SCRAPE.map(str::to_owned));
    labels.extend(sample.ends_with("_bucket").then(|| "le".to_owned()));
    Some(labels)
}

/// Checks that the metrics of an expression exist, and that the labels it selects and groups by do too. Returns the labels
/// that its metrics have.
pub(crate) fn check_expression(
    families: &BTreeMap<String, Family>,
    expression: &str,
) -> Result<BTreeSet<String>, String> {
    let mut all = BTreeSet::new();
    for name in names_in(expression) {
        let labels = labels_of(families, name).ok_or_else(|| format!("there is no metric {name}"))?;
        all.extend(labels);
    }
    // Selectors: the name of a metric, and then matchers in braces.
    for (before, rest) in expression.match_indices('{').map(|(at, _)| expression.split_at(at)) {
        let name = before.rsplit(|c: char| !is_word(c)).next().unwrap_or_default();
        let of_name = labels_of(families, name).ok_or_else(|| format!("`{name}{{` selects no metric"))?;
        let matchers = rest[1..].split('}').next().unwrap_or_default();
        for matcher in matchers.split(", ") {
            let label = matcher.split(['=', '!']).next().unwrap_or_default();
            if !of_name.contains(label) {
                return Err(format!("{name} has no label {label}"));
            }
        }
    }
    for keyword in ["by (", "on (", "ignoring (", "group_left (", "group_right ("] {
        for group in expression.split(keyword).skip(1) {
            let group = group.split(')').next().unwrap_or_default();
            for label in group.split(',').map(str::trim).filter(|label| !label.is_empty()) {
                if !all.contains(label) {
                    return Err(format!("no metric of `{expression}` has a label {label}"));
                }
            }
        }
    }
    Ok(all)
}
