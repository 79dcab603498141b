//! The command line: help, settings and their precedence, completions, exit codes.

mod harness;

use harness::{Server, run_err, run_ok, snapback, state_with};
use snapback_host::config::SETTINGS;
use std::{fs, path::Path};

#[test]
fn help_has_examples_exit_codes_and_every_setting() {
    let help = run_ok(snapback().arg("--help"));
    for wanted in ["Examples:", "Exit codes:", "snapback serve", "SNAPBACK_MEMORY_LIMIT"] {
        assert!(help.contains(wanted), "{wanted} is not in\n{help}");
    }
    for setting in SETTINGS {
        assert!(help.contains(&format!("--{}", setting.flag())), "{}", setting.key);
    }
    for command in ["bake", "serve", "prove", "verify", "inspect", "images", "completions"] {
        let help = run_ok(snapback().args([command, "-h"]));
        assert!(help.contains("Examples:"), "{command}: {help}");
    }
    run_err(snapback().arg("nonsense"), 2);
    run_err(&mut snapback(), 2);
}

#[test]
fn completions_know_the_subcommands() {
    for shell in ["bash", "zsh", "fish"] {
        let script = run_ok(snapback().args(["completions", shell]));
        assert!(script.contains("inspect"), "{shell}");
    }
}

#[test]
fn a_mistyped_variable_is_told_and_those_of_orchestrators_are_not() {
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
        .expect("it runs");
    assert!(listed.status.success());
    let said = String::from_utf8_lossy(&listed.stderr);
    assert_eq!(said.matches("no setting has this variable").count(), 2, "{said}");
    assert!(said.contains("SNAPBACK_LANE") && said.contains("SNAPBACK_LISTEN_PORT"), "{said}");
}

#[test]
fn flags_beat_variables_beat_the_file() {
    let state = state_with("fixtures");
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("snapback.toml");
    fs::write(&file, "lanes = 3\n[queue]\ndepth = 5\n[memory]\nlimit = \"128MiB\"\n").expect("written");
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

    fs::write(&file, "[memory]\nlimt = \"128MiB\"\n").expect("written");
    let said = run_err(snapback().args(["serve", "--config"]).arg(&file), 2);
    assert!(said.contains("memory.limt") && said.contains("memory.limit"), "{said}");
    fs::write(&file, "lanes = [1]\n").expect("written");
    assert!(run_err(snapback().args(["images", "--config"]).arg(&file), 2).contains("lanes"));
    fs::write(&file, "lanes = \n").expect("written");
    assert!(run_err(snapback().args(["images", "--config"]).arg(&file), 2).contains("TOML"));
    assert!(run_err(snapback().args(["images", "--config", "/nowhere.toml"]), 2).contains("/nowhere.toml"));
}

#[test]
fn the_readme_has_the_table_of_settings() {
    let readme =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md")).expect("a README");
    for setting in SETTINGS {
        let row = format!("| `{}` | {} | {} |", setting.key, setting.default, setting.help);
        assert!(readme.contains(&row), "README.md lacks the row\n{row}");
    }
}

#[test]
fn a_server_that_is_not_there_is_told() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("x");
    fs::write(&file, b"x").expect("written");
    let said = run_err(snapback().arg("prove").arg(&file).args(["--server", "http://127.0.0.1:1"]), 1);
    assert!(said.contains("http://127.0.0.1:1"), "{said}");
    run_err(snapback().args(["prove", "/nowhere", "--server", "http://127.0.0.1:1"]), 1);
}
