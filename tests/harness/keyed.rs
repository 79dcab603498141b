//! A server whose requests need keys, and requests that carry one.

use super::{
    Answer, Server,
    circuits::{BOUNDARY, multipart},
    run_ok, snapback,
};
use std::{path::PathBuf, process::Command};
use tempfile::TempDir;

/// The files of one test: keys, and the state of a server.
pub(crate) struct Keyed {
    pub(crate) state: TempDir,
    directory: TempDir,
}

impl Keyed {
    pub(crate) fn new(state: TempDir) -> Self {
        Self { state, directory: tempfile::tempdir().expect("a directory") }
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.directory.path().join("access/keys.json")
    }

    /// Runs a command that reads the settings.
    pub(crate) fn run(&self, args: &[&str]) -> String {
        run_ok(&mut self.command(args))
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = snapback();
        command.args(args).arg("--state-dir").arg(self.state.path());
        command.arg("--auth-keys-file").arg(self.file());
        command
    }

    /// Makes a key, and returns its text.
    pub(crate) fn key(&self, tenant: &str, role: &str) -> String {
        self.run(&["keys", "create", "--tenant", tenant, "--role", role]).trim().to_owned()
    }

    pub(crate) fn serve(&self, guest: &str, args: &[&str]) -> Server {
        let mut command = self.command(&["serve", guest]);
        if !args.contains(&"--auth-required") {
            command.args(["--auth-required", "on"]);
        }
        Server::of(command.args(args))
    }

    pub(crate) fn audit(&self) -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(self.state.path().join("audit/audit.jsonl"));
        text.unwrap_or_default().lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }
}

/// Sends a request with a key.
pub(crate) fn ask(server: &Server, key: &str, method: &str, path: &str, body: &[u8]) -> Answer {
    request(server, key, method, path, "application/octet-stream", body)
}

/// Uploads a circuit with a key.
pub(crate) fn upload(server: &Server, key: &str, name: &str, r1cs: &[u8]) -> Answer {
    let media_type = format!("multipart/form-data; boundary={BOUNDARY}");
    request(server, key, "PUT", &format!("/v1/circuits/{name}"), &media_type, &multipart(&[("r1cs", r1cs)]))
}

fn request(server: &Server, key: &str, method: &str, path: &str, media_type: &str, body: &[u8]) -> Answer {
    let request = ureq::http::Request::builder().method(method).uri(server.url(path));
    let request = request.header("content-type", media_type);
    let request =
        if key.is_empty() { request } else { request.header("authorization", format!("Bearer {key}")) };
    Answer::run(request.body(body.to_vec()).expect("a request"))
}
