//! `snapback doctor` from outside: what is fine, and what each fault of a machine looks like.

mod harness;

use harness::{Server, snapback, state_with};
use serde_json::Value;
use std::{
    fs,
    io::Read as _,
    net::TcpListener,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Output},
};
use tempfile::TempDir;

/// A directory for the state and one for the keys, which are made by nobody yet.
struct Machine {
    dir: TempDir,
}

impl Machine {
    fn fresh() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        fs::create_dir(dir.path().join("state")).expect("a directory");
        Self { dir }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    /// The command, with settings that no other test shares. Flags that follow take precedence.
    fn doctor(&self) -> Command {
        let mut command = snapback();
        command
            .args(["doctor", "--lanes", "2"])
            .env("SNAPBACK_LISTEN", "127.0.0.1:0")
            .env("SNAPBACK_STATE_DIR", self.path("state"))
            .env("SNAPBACK_NATIVE_KEY_FILE", self.path("keys/native.key"))
            .env("SNAPBACK_JOBS_KEY_FILE", self.path("keys/jobs.key"));
        command
    }

    /// Writes a file of a key with this mode.
    fn write_key(&self, name: &str, mode: u32) {
        fs::create_dir_all(self.path("keys")).expect("a directory");
        let path = self.path("keys").join(name);
        fs::write(&path, [7; 32]).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("the test owns the file");
    }
}

/// A report in JSON, and the exit code.
struct Report {
    code: Option<i32>,
    json: Value,
}

impl Report {
    fn of(command: &mut Command) -> Self {
        let Output { status, stdout, stderr } = command.arg("--json").output().expect("it runs");
        let json = serde_json::from_slice(&stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&stderr)));
        Self { code: status.code(), json }
    }

    fn checks(&self) -> &[Value] {
        self.json["checks"].as_array().expect("a list")
    }

    fn check(&self, name: &str) -> &Value {
        let found = self.checks().iter().find(|check| check["name"] == name);
        found.unwrap_or_else(|| panic!("no {name}: {}", self.json))
    }

    fn verdict(&self, name: &str) -> &str {
        self.check(name)["verdict"].as_str().expect("a word")
    }

    /// Names of the checks that are errors.
    fn errors(&self) -> Vec<&str> {
        let errors = self.checks().iter().filter(|check| check["verdict"] == "error");
        errors.map(|check| check["name"].as_str().expect("a name")).collect()
    }
}

/// Names of everything in a directory and below it.
fn tree(path: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(path).expect("readable") {
        let path = entry.expect("an entry").path();
        names.push(path.display().to_string());
        if path.is_dir() {
            names.extend(tree(&path));
        }
    }
    names.sort();
    names
}

#[test]
fn a_fresh_state_directory_has_no_errors_and_stays_empty() {
    let machine = Machine::fresh();
    let report = Report::of(&mut machine.doctor());
    assert_eq!((report.errors(), report.code), (vec![], Some(0)), "{}", report.json);
    for family in ["kernel", "memory", "wasm", "instances", "disk", "clock", "network", "files"] {
        let is_of = |check: &&Value| check["name"].as_str().is_some_and(|name| name.starts_with(family));
        assert!(report.checks().iter().any(|check| is_of(&check)), "{family}");
    }
    for name in
        ["instances.image", "instances.copy_on_write", "disk.names", "network.listen", "files.state_dir"]
    {
        assert_eq!(report.verdict(name), "ok", "{}", report.check(name));
    }
    assert_eq!(
        tree(machine.dir.path()),
        [machine.path("state").display().to_string()],
        "nothing is left behind"
    );
}

#[test]
fn json_says_what_was_found_and_what_to_do() {
    let report = Report::of(&mut Machine::fresh().doctor());
    let of = |verdict: &str| report.checks().iter().filter(|check| check["verdict"] == verdict).count();
    assert_eq!(report.json["errors"], of("error"));
    assert_eq!(report.json["warnings"], of("warning"));
    assert_eq!(of("ok") + of("warning") + of("error"), report.checks().len());
    assert!(report.checks().len() > 20, "{}", report.json);
    for check in report.checks() {
        assert!(check["found"].as_str().is_some_and(|found| !found.is_empty()), "{check}");
        assert_eq!(check["advice"].is_null(), check["verdict"] == "ok", "{check}");
    }
    let names: std::collections::BTreeSet<_> =
        report.checks().iter().map(|check| check["name"].as_str()).collect();
    assert_eq!(names.len(), report.checks().len(), "names are distinct");
}

#[test]
fn text_has_a_line_for_each_check_and_no_colour_in_a_pipe() {
    let output = Machine::fresh().doctor().output().expect("it runs");
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(output.status.success(), "{text}");
    assert!(!text.contains('\x1b'), "{text:?}");
    assert!(text.contains("ok       kernel.memfd"), "{text}");
    assert!(text.lines().last().is_some_and(|line| line.ends_with("0 errors")), "{text}");
    let help = harness::run_ok(snapback().args(["doctor", "--help"]));
    assert!(help.contains("Examples:") && help.contains("--state-dir"), "{help}");
}

#[test]
fn a_state_directory_that_does_not_exist_is_not_made() {
    let machine = Machine::fresh();
    let report = Report::of(machine.doctor().arg("--state-dir").arg(machine.path("later/state")));
    assert_eq!((report.verdict("files.state_dir"), report.code), ("ok", Some(0)), "{}", report.json);
    assert_eq!(tree(machine.dir.path()), [machine.path("state").display().to_string()]);
}

#[test]
fn a_port_of_another_program_is_an_error_and_that_of_a_running_server_a_warning() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address");
    // The program reads the question and ends the connection without an answer.
    let program = std::thread::spawn(move || {
        let (mut client, _) = taken.accept().expect("the question");
        let _ = client.read(&mut [0; 1024]);
        taken
    });
    let report = Report::of(Machine::fresh().doctor().args(["--listen", &address.to_string()]));
    drop(program.join().expect("it was asked"));
    assert_eq!((report.errors(), report.code), (vec!["network.listen"], Some(1)));
    let advice = report.check("network.listen")["advice"].as_str().expect("advice");
    assert!(advice.contains("`listen`"), "{advice}");

    let server =
        Server::of(snapback().args(["serve", "fixtures", "--state-dir"]).arg(state_with("fixtures")));
    let report = Report::of(Machine::fresh().doctor().args(["--listen", &server.address.to_string()]));
    assert_eq!((report.verdict("network.listen"), report.code), ("warning", Some(0)));
    let found = report.check("network.listen")["found"].as_str().expect("text");
    assert!(found.contains("running snapback"), "{found}");
}

#[test]
fn a_state_directory_in_which_nothing_can_be_created_is_an_error() {
    // Nobody creates files in sysfs, not even root, for whom a mode is no obstacle.
    let report = Report::of(Machine::fresh().doctor().args(["--state-dir", "/sys/kernel"]));
    assert_eq!(report.code, Some(1));
    assert!(report.errors().contains(&"files.state_dir"), "{}", report.json);
    // What does not depend on it is still measured.
    assert_eq!(report.verdict("instances.copy_on_write"), "ok");
}

#[test]
fn a_key_that_others_can_read_is_reported() {
    let machine = Machine::fresh();
    machine.write_key("jobs.key", 0o644);
    machine.write_key("native.key", 0o644);
    let report = Report::of(&mut machine.doctor());
    assert_eq!((report.errors(), report.code), (vec!["files.jobs_key"], Some(1)));
    assert_eq!(report.verdict("files.native_key"), "warning");
    machine.write_key("jobs.key", 0o600);
    machine.write_key("native.key", 0o600);
    let report = Report::of(&mut machine.doctor());
    assert_eq!((report.errors(), report.code), (vec![], Some(0)));
    assert_eq!([report.verdict("files.jobs_key"), report.verdict("files.native_key")], ["ok", "ok"]);
    // Without jobs, their key does not matter.
    machine.write_key("jobs.key", 0o644);
    let report = Report::of(machine.doctor().args(["--jobs-accept", "off"]));
    assert!(report.checks().iter().all(|check| check["name"] != "files.jobs_key"));
    assert_eq!(report.code, Some(0));
}

#[test]
fn the_listener_and_the_token_of_operators_are_checked_where_they_are_set() {
    let machine = Machine::fresh();
    let admin = |machine: &Machine| {
        let mut command = machine.doctor();
        command.args(["--admin-listen", "127.0.0.1:0", "--admin-token-file"]).arg(machine.path("keys/token"));
        command
    };
    let report = Report::of(&mut admin(&machine));
    assert_eq!((report.errors(), report.verdict("network.admin_listen")), (vec!["files.admin_token"], "ok"));
    machine.write_key("token", 0o600);
    fs::write(machine.path("keys/token"), "a token of many characters").expect("written");
    assert_eq!(Report::of(&mut admin(&machine)).verdict("files.admin_token"), "ok");
    let text = machine.doctor().arg("--admin-listen").arg("127.0.0.1:0").output().expect("it runs");
    assert_eq!(
        text.status.code(),
        Some(2),
        "settings that contradict each other are wrong usage, as for serve"
    );
}
