//! The dashboard for Grafana in docs/grafana.json: its expressions read metrics and labels that a server exports, and its
//! panels have their places.

mod harness;

use harness::{
    Server,
    metrics::{self, Family, Kind},
};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

/// Width of a dashboard, in columns.
const COLUMNS: u64 = 24;

fn dashboard() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/grafana.json");
    serde_json::from_str(&fs::read_to_string(path).expect("readable")).expect("JSON")
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().unwrap_or_else(|| panic!("no list {key} in {value}"))
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("no text {key} in {value}"))
}

/// Panels with expressions: all but rows.
fn panels(dashboard: &Value) -> impl Iterator<Item = &Value> {
    list(dashboard, "panels").iter().filter(|panel| panel["type"] != "row")
}

/// The families that have samples, as Prometheus reads them.
fn exported(text: &str) -> BTreeMap<String, Family> {
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let kinds: BTreeMap<&str, &str> = types.collect();
    let mut families = BTreeMap::new();
    for sample in text.lines().filter(|line| !line.starts_with('#')) {
        let (sample, _) = sample.rsplit_once(' ').expect("a value");
        let (name, labels) = sample.split_once('{').unwrap_or((sample, ""));
        let names = labels.split("=\"").map(|part| part.rsplit([',', '"', '{']).next().unwrap_or_default());
        let mut names: BTreeSet<String> = names.map(str::to_owned).collect();
        names.retain(|label| !["", "}", "le"].contains(&label.as_str()));
        let parts = ["_sum", "_count", "_bucket"];
        let of_histogram = parts.iter().filter_map(|part| name.strip_suffix(part));
        let histogram = of_histogram.into_iter().find(|name| kinds.get(name) == Some(&"histogram"));
        let (name, kind) = histogram.map_or((name, Kind::Plain), |name| (name, Kind::Histogram));
        families.insert(name.to_owned(), Family { kind, labels: names });
    }
    families
}

#[test]
fn the_families_of_the_source_are_those_that_a_server_exports() {
    let server = Server::start("fixtures", &["--memory-limit", "64MiB", "--swap-policy", "threshold"]);
    // These calls give the families samples.
    for (method, body) in
        [("echo", "x"), ("trap", ""), ("leak", "20000000"), ("leak", "99999999"), ("wear", "9")]
    {
        server.post(&format!("/v1/methods/{method}"), body.as_bytes());
    }
    let families = metrics::families();
    let exported = exported(&server.get("/metrics").text());
    assert!(exported.len() > 40 && families.len() >= exported.len(), "{exported:?}");
    for (name, family) in &exported {
        assert_eq!(families.get(name), Some(family), "{name}");
    }
}

#[test]
fn every_expression_reads_metrics_and_labels_that_exist() {
    let (families, dashboard) = (metrics::families(), dashboard());
    let mut read = BTreeSet::new();
    for panel in panels(&dashboard) {
        let title = text(panel, "title");
        assert!(!text(panel, "description").is_empty(), "{title}");
        for target in list(panel, "targets") {
            let expression = text(target, "expr");
            let labels = metrics::check_expression(&families, expression)
                .unwrap_or_else(|error| panic!("{title}: {error}"));
            assert!(!labels.is_empty(), "{title} reads no metric");
            for label in text(target, "legendFormat").split("{{").skip(1) {
                let label = label.split("}}").next().expect("it ends");
                assert!(labels.contains(label), "{title}: the legend shows {label}");
            }
            read.extend(metrics::names_in(expression).map(str::to_owned));
        }
    }
    // What the page of operators explains is shown.
    for family in
        ["snapback_swaps_total", "snapback_jobs", "snapback_rejected_total", "snapback_breaker_state"]
    {
        assert!(read.contains(family), "{family} is not shown");
    }
}

#[test]
fn outcomes_in_expressions_exist() {
    let source = include_str!("../host/src/telemetry/metrics/calls.rs");
    let dashboard = dashboard().to_string();
    let mut checked = 0;
    for outcomes in dashboard.split("outcome!~\\\"").skip(1) {
        for outcome in outcomes.split("\\\"").next().expect("it ends").split('|') {
            assert!(source.contains(&format!("=> \"{outcome}\"")), "{outcome}");
            checked += 1;
        }
    }
    assert!(checked > 0, "no expression selects outcomes");
}

#[test]
fn variables_are_defined_and_queried_from_metrics_that_exist() {
    let (families, dashboard) = (metrics::families(), dashboard());
    let variables: Vec<&Value> = list(&dashboard["templating"], "list").iter().collect();
    let names: BTreeSet<&str> = variables.iter().map(|variable| text(variable, "name")).collect();
    let source = variables.iter().find(|variable| variable["type"] == "datasource").expect("a data source");
    assert_eq!((text(source, "name"), text(source, "query")), ("datasource", "prometheus"));
    for variable in variables.iter().filter(|variable| variable["type"] == "query") {
        let query = text(&variable["query"], "query");
        let inner = query.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')'));
        let (selector, label) =
            inner.and_then(|inner| inner.rsplit_once(", ")).expect("label_values(of, label)");
        let labels =
            metrics::check_expression(&families, selector).unwrap_or_else(|error| panic!("{query}: {error}"));
        assert!(labels.contains(label), "{query}");
    }
    // Variables of Grafana itself begin with two underscores.
    let all = dashboard.to_string();
    for used in all.split('$').skip(1) {
        let used = used.trim_start_matches('{');
        let name: String = used.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
        assert!(name.starts_with("__") || names.contains(name.as_str()), "${name} is not defined");
    }
    for panel in panels(&dashboard) {
        for of in std::iter::once(panel).chain(list(panel, "targets")) {
            assert_eq!(of["datasource"]["uid"], "${datasource}", "{}", text(panel, "title"));
        }
    }
}

#[test]
fn ids_are_unique_and_panels_do_not_overlap() {
    let dashboard = dashboard();
    assert!(dashboard["schemaVersion"].as_u64().is_some_and(|version| version >= 41));
    let panels = list(&dashboard, "panels");
    assert!(panels.len() > 20);
    let ids: BTreeSet<u64> = panels.iter().map(|panel| panel["id"].as_u64().expect("a number")).collect();
    assert_eq!(ids.len(), panels.len());
    let mut taken = BTreeMap::new();
    for panel in panels {
        let title = text(panel, "title");
        let [x, y, w, h] =
            ["x", "y", "w", "h"].map(|side| panel["gridPos"][side].as_u64().expect("a number"));
        assert!(w > 0 && h > 0 && x + w <= COLUMNS, "{title}");
        for cell in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
            if let Some(other) = taken.insert(cell, title) {
                panic!("{title} overlaps {other}");
            }
        }
    }
    for panel in panels.iter().filter(|panel| panel["type"] != "row") {
        let refs: Vec<&str> = list(panel, "targets").iter().map(|target| text(target, "refId")).collect();
        assert_eq!(refs.iter().collect::<BTreeSet<_>>().len(), refs.len(), "{}", text(panel, "title"));
    }
}
