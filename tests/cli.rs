//! The command line: help, settings and their precedence, completions, exit codes.

mod harness;

use harness::{Server, run_err, run_ok, snapback, state_with};
use snapback_host::config::SETTINGS;
use std::fs;

#[test]
fn help_shows_examples_exit_codes_and_the_settings_that_matter() {
    let help = run_ok(snapback().arg("--help"));
    for wanted in ["Examples:", "Exit codes:", "snapback serve", "snapback settings"] {
        assert!(help.contains(wanted), "{wanted} is not in\n{help}");
    }
    for command in ["bake", "serve", "prove", "verify", "inspect", "images", "settings", "completions"] {
        let help = run_ok(snapback().args([command, "--help"]));
        assert!(help.contains("Examples:"), "{command}: {help}");
        // The help shows the command's own options and a few settings, not all of them.
        assert!(help.lines().count() < 70, "{command}: {help}");
    }
    let serve = run_ok(snapback().args(["serve", "--help"]));
    assert!(serve.contains("--swap-policy") && !serve.contains("--breaker-open-for"), "{serve}");
    run_err(snapback().arg("nonsense"), 2);
    run_err(&mut snapback(), 2);
}

#[test]
fn completions_contain_the_subcommands() {
    for shell in ["bash", "zsh", "fish"] {
        let script = run_ok(snapback().args(["completions", shell]));
        assert!(script.contains("inspect"), "{shell}");
    }
}

#[test]
fn every_command_that_help_lists_has_a_manual_page() {
    let dir = tempfile::tempdir().expect("a directory");
    run_ok(snapback().arg("man").arg(dir.path()));
    let page = |name: &str| fs::read_to_string(dir.path().join(format!("{name}.1"))).unwrap_or_default();
    let help = run_ok(snapback().arg("--help"));
    let listed =
        help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let mut pages = 0;
    for command in listed.filter_map(|line| line.strip_prefix("  ")?.split(' ').next()) {
        if !["", "help"].contains(&command) {
            assert!(page(&format!("snapback-{command}")).contains(".SH EXAMPLES"), "{command}");
            pages += 1;
        }
    }
    assert!(pages > 10, "{help}");
    assert!(
        page("snapback").contains(".SH \"EXIT CODES\"")
            && page("snapback-circuits-add").contains(".SH OPTIONS")
    );
    assert!(
        page("snapback-ready").is_empty() && page("snapback-man").is_empty(),
        "hidden commands have none"
    );
}

#[test]
fn output_that_nobody_reads_or_that_does_not_fit_causes_no_panic() {
    for args in [["settings", "--toml"], ["settings", "--json"], ["completions", "bash"]] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let output = snapback().args(args).stdout(writer).output().expect("it runs");
        assert_eq!((output.status.code(), &*output.stderr), (Some(0), &b""[..]), "{args:?}");
        let full = fs::OpenOptions::new().write(true).open("/dev/full").expect("Linux has it");
        let output = snapback().args(args).stdout(full).output().expect("it runs");
        let message = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        assert!(message.starts_with("snapback: cannot write to standard output: No space left"), "{message}");
    }
}

#[test]
fn a_mistyped_variable_is_reported_and_those_of_orchestrators_are_not() {
    let state = tempfile::tempdir().expect("a directory");
    let listed = snapback()
        .arg("images")
        .env("SNAPBACK_STATE_DIR", state.path())
        .env("SNAPBACK_LANE", "2")
        .env("SNAPBACK_LISTEN_PORT", "9000")
        .env("SNAPBACK_PORT", "tcp://10.0.0.1:80")
        .env("SNAPBACK_PORT_80_TCP_ADDR", "10.0.0.1")
        .env("SNAPBACK_SERVICE_HOST", "10.0.0.1")
        .output()
        .expect("the command runs");
    assert!(listed.status.success());
    let stderr = String::from_utf8_lossy(&listed.stderr);
    assert_eq!(stderr.matches("no setting has this variable").count(), 2, "{stderr}");
    assert!(stderr.contains("SNAPBACK_LANE") && stderr.contains("SNAPBACK_LISTEN_PORT"), "{stderr}");
}

#[test]
fn flags_beat_variables_and_variables_beat_the_file() {
    let state = state_with("fixtures");
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("snapback.toml");
    fs::write(&file, "lanes = 3\n[queue]\ndepth = 5\n[memory]\nlimit = \"128MiB\"\n")
        .expect("the file is written");
    let server = Server::of(
        snapback()
            .args(["serve", "fixtures", "--memory-limit", "64MiB", "--config"])
            .arg(&file)
            .env("SNAPBACK_STATE_DIR", &state)
            .env("SNAPBACK_MEMORY_LIMIT", "96MiB")
            .env("SNAPBACK_QUEUE_DEPTH", "7"),
    );
    let status = server.get("/v1/status").json();
    assert_eq!(status["lanes"]["configured"], 3);
    assert_eq!(status["queue"]["depth"], 7);
    assert_eq!(status["images"][0]["policy"]["memory.limit"], 64 << 20);

    fs::write(&file, "[memory]\nlimt = \"128MiB\"\n").expect("the file is written");
    let stderr = run_err(snapback().args(["serve", "--config"]).arg(&file), 2);
    assert!(stderr.contains("memory.limt") && stderr.contains("memory.limit"), "{stderr}");
    fs::write(&file, "lanes = [1]\n").expect("the file is written");
    assert!(run_err(snapback().args(["images", "--config"]).arg(&file), 2).contains("lanes"));
    fs::write(&file, "lanes = \n").expect("the file is written");
    assert!(run_err(snapback().args(["images", "--config"]).arg(&file), 2).contains("TOML"));
    assert!(run_err(snapback().args(["images", "--config", "/nowhere.toml"]), 2).contains("/nowhere.toml"));
}

#[test]
fn every_setting_is_a_flag_of_every_command_that_reads_settings() {
    let state = tempfile::tempdir().expect("a directory");
    for setting in SETTINGS.iter().filter(|setting| !["lanes", "state_dir"].contains(&setting.key)) {
        let flag = format!("--{}={}", setting.flag(), setting.default);
        run_ok(snapback().args(["images", "list", &flag, "--state-dir"]).arg(state.path()));
    }
}

#[test]
fn settings_are_listed_with_the_origin_of_their_values() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("snapback.toml");
    fs::write(&file, "[queue]\ndepth = 5\n[image.zcash.swap]\npolicy = \"off\"\n")
        .expect("the file is written");
    let json = run_ok(
        snapback()
            .args(["settings", "--json", "--memory-limit", "64MiB", "--config"])
            .arg(&file)
            .env("SNAPBACK_LANES", "7"),
    );
    let list: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    let find = |key: &str| {
        let found = list.as_array().expect("a list").iter().find(|setting| setting["key"] == key);
        found.unwrap_or_else(|| panic!("no {key}")).clone()
    };
    for (key, value, origin) in [
        ("memory.limit", "64MiB", "--memory-limit"),
        ("lanes", "7", "SNAPBACK_LANES"),
        ("queue.depth", "5", file.to_str().expect("UTF-8")),
        ("call.deadline", "60s", "default"),
        ("image.zcash.swap.policy", "off", file.to_str().expect("UTF-8")),
    ] {
        assert_eq!((&find(key)["value"], &find(key)["origin"]), (&value.into(), &origin.into()), "{key}");
    }
    assert_eq!(find("memory.limit")["variable"], "SNAPBACK_MEMORY_LIMIT");
    let text = run_ok(snapback().arg("settings"));
    assert!(text.contains("swap.policy") && text.contains("default"), "{text}");
    // The generated file is accepted without changes.
    fs::write(&file, run_ok(snapback().args(["settings", "--toml"]))).expect("the file is written");
    run_ok(snapback().args(["settings", "--config"]).arg(&file));
    // This command refuses values that are not accepted, too.
    assert!(run_err(snapback().args(["settings", "--lanes", "0"]), 2).contains("lanes"));
}

#[test]
fn images_are_listed_as_json_with_and_without_the_subcommand() {
    let state = state_with("fixtures");
    let list = |args: &[&str]| run_ok(snapback().args(args).arg("--state-dir").arg(&state));
    let short: serde_json::Value = serde_json::from_str(&list(&["images", "--json"])).expect("JSON");
    assert!(short.as_array().is_some_and(|images| !images.is_empty()));
    assert_eq!(list(&["images", "--json"]), list(&["images", "list", "--json"]));
}

#[test]
fn a_server_that_cannot_be_reached_is_reported() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("x");
    fs::write(&file, b"x").expect("the file is written");
    let stderr = run_err(snapback().arg("prove").arg(&file).args(["--server", "http://127.0.0.1:1"]), 1);
    assert!(stderr.contains("http://127.0.0.1:1"), "{stderr}");
    run_err(snapback().args(["prove", "/nowhere", "--server", "http://127.0.0.1:1"]), 1);
}
