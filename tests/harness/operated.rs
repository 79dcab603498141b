//! A server with admin routes, and the requests of an operator.

use super::{Answer, Server, snapback, state_with};
use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf};
use tempfile::TempDir;

pub(crate) const TOKEN: &str = "correct-horse-battery";

/// A server of the fixtures with admin routes.
pub(crate) struct Operated {
    pub(crate) server: Server,
    pub(crate) admin: String,
    pub(crate) dir: TempDir,
}

impl Operated {
    pub(crate) fn start(lanes: usize, args: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let server = Server::of(
            snapback()
                .args(["serve", "fixtures", "--config"])
                .arg(settings_file(&dir, "memory.limit = '256MiB'\n"))
                .arg("--state-dir")
                .arg(state_with("fixtures"))
                .arg("--admin-token-file")
                .arg(token_file(&dir, TOKEN, 0o600))
                .args(["--admin-listen", "127.0.0.1:0", "--lanes", &lanes.to_string()])
                .args(args),
        );
        let log = server.log_so_far();
        let admin = log
            .lines()
            .find_map(|line| line.split_once("admin routes at "))
            .map(|(_, url)| url.trim_end_matches('/').to_owned())
            .expect("the address is logged");
        Self { server, admin, dir }
    }

    pub(crate) fn request(&self, method: &str, path: &str, token: &str, body: &str) -> Answer {
        let request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.admin))
            .header("authorization", format!("Bearer {token}"))
            .body(body.to_owned())
            .expect("a request");
        Answer::run(request)
    }

    pub(crate) fn post(&self, path: &str) -> Answer {
        self.request("POST", path, TOKEN, "")
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.request("GET", path, TOKEN, "")
    }

    pub(crate) fn change(&self, body: &str) -> Answer {
        self.request("PATCH", "/policy", TOKEN, body)
    }

    pub(crate) fn shown(&self, key: &str) -> serde_json::Value {
        self.get("/policy").json()["fixtures"][key].clone()
    }

    pub(crate) fn swaps(&self, reason: &str) -> f64 {
        self.server.metric(&format!(r#"snapback_swaps_total{{image="fixtures",reason="{reason}"}}"#))
    }
}

pub(crate) fn token_file(dir: &TempDir, token: &str, mode: u32) -> PathBuf {
    let path = dir.path().join("token");
    fs::write(&path, token).expect("the file is written");
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("the test owns the file");
    path
}

pub(crate) fn settings_file(dir: &TempDir, settings: &str) -> PathBuf {
    let path = dir.path().join("snapback.toml");
    fs::write(&path, settings).expect("the file is written");
    path
}
