//! Prometheus' own checks of the metrics and the alert rules, and whether the runbook is complete.

mod harness;

use harness::{Server, metrics, run_ok, snapback};
use snapback_host::config::SETTINGS;
use std::{
    collections::BTreeSet,
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs")
}

fn read(name: &str) -> String {
    fs::read_to_string(docs().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Returns a command for Prometheus' own checker: the installed one, or the one that `tests/promtool.sh` has unpacked.
fn promtool() -> Option<Command> {
    let unpacked = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools/promtool");
    let mut found = [PathBuf::from("promtool"), unpacked].into_iter().filter(|path| {
        Command::new(path).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
    });
    let path = found.next();
    if path.is_none() {
        assert!(
            std::env::var_os("SNAPBACK_REQUIRE_PROMTOOL").is_none(),
            "promtool is required and missing: run tests/promtool.sh"
        );
        eprintln!(
            "skipped: promtool is missing (`make test` looks for it; Debian's package prometheus has it)"
        );
    }
    path.map(Command::new)
}

/// Returns the names that follow this key at the beginning of a line.
fn names<'a>(text: &'a str, key: &str) -> BTreeSet<&'a str> {
    text.lines()
        .filter_map(|line| line.trim().strip_prefix("- ").unwrap_or(line.trim()).strip_prefix(key))
        .map(str::trim)
        .collect()
}

#[test]
fn promtool_accepts_the_rules_and_each_alert_fires_when_it_should() {
    let Some(mut check) = promtool() else { return };
    run_ok(check.current_dir(docs()).args(["check", "rules", "alerts.yml"]));
    let mut test = promtool().expect("found before");
    run_ok(test.current_dir(docs()).args(["test", "rules", "alerts.test.yml"]));
}

#[test]
fn every_alert_is_tested_and_explained_and_reads_metrics_that_exist() {
    let (rules, tests, runbook) = (read("alerts.yml"), read("alerts.test.yml"), read("operations.md"));
    let alerts = names(&rules, "alert: ");
    assert!(alerts.len() >= 10, "{alerts:?}");
    assert_eq!(names(&tests, "alertname: "), alerts);
    for alert in &alerts {
        assert!(runbook.contains(&format!("### {alert}\n")), "docs/operations.md does not explain {alert}");
        assert!(rules.contains(&format!("operations.md#{}", alert.to_lowercase())), "{alert}");
    }
    let families = metrics::families();
    for name in [&rules, &tests, &runbook].into_iter().flat_map(|text| metrics::names_in(text)) {
        // The runbook writes histograms without what their samples end with.
        let is_known = families.contains_key(name) || metrics::family_of(&families, name).is_some();
        assert!(is_known, "there is no metric {name}");
    }
}

#[test]
fn promtool_reports_no_problem_with_the_metrics() {
    let Some(mut check) = promtool() else { return };
    let server = Server::start("fixtures", &["--memory-limit", "64MiB", "--swap-policy", "threshold"]);
    // These calls give the families samples.
    for (method, body) in
        [("echo", "x"), ("trap", ""), ("leak", "20000000"), ("leak", "99999999"), ("wear", "9")]
    {
        server.post(&format!("/v1/methods/{method}"), body.as_bytes());
    }
    let metrics = server.get("/metrics").body;
    let mut check = check
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the command runs");
    check.stdin.take().expect("piped").write_all(&metrics).expect("promtool reads");
    let output = check.wait_with_output().expect("the process ends");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && stderr.is_empty(), "{stderr}");
}

#[test]
fn every_flag_in_the_runbook_exists() {
    let runbook = read("operations.md");
    let helps = [
        &["--help"][..],
        &["bake", "--help"],
        &["serve", "--help"],
        &["size", "--help"],
        &["settings", "--help"],
        &["circuits", "activate", "--help"],
    ];
    let help: String = helps.map(|args| run_ok(snapback().args(args))).concat();
    let settings: Vec<String> = SETTINGS.iter().map(|setting| format!("--{}", setting.flag())).collect();
    let words = runbook.split(|c: char| c.is_ascii_whitespace() || ['`', '=', '('].contains(&c));
    for flag in words.filter(|word| word.starts_with("--") && word.len() > 2) {
        let flag: String = flag.chars().take_while(|c| c.is_ascii_lowercase() || *c == '-').collect();
        let known = ["--header", "--request", "--data", "--no-buffer", "--fail-with-body"];
        let is_known = help.contains(&flag) || settings.contains(&flag) || known.contains(&flag.as_str());
        assert!(is_known, "{flag}");
    }
}
