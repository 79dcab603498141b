//! A server, as the commands reach it that are its clients.
//!
//! Invariant: whatever it answers becomes a body, or an error with the server's own words and the exit code for it.

use super::{Exit, Failure};
use anyhow::Context;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use std::{fs, path::Path};
use ureq::{Agent, Body, http};
use zeroize::Zeroizing;

/// What stands for itself in a segment of a path.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Larger bodies are announced first: a server that refuses them would hang up in the middle of one.
const EXPECT_BYTES_MIN: usize = 16 << 10;

/// A server, and what every request to it carries.
pub(super) struct Client {
    server: String,
    agent: Agent,
    token: Option<Zeroizing<String>>,
    reply_bytes_max: u64,
}

/// One request.
#[derive(Clone, Copy, Default)]
pub(super) struct Ask<'a> {
    pub(super) method: &'static str,
    /// Segments of the path, as they are called.
    pub(super) path: &'a [&'a str],
    pub(super) query: &'a [(&'a str, &'a str)],
    pub(super) content_type: Option<&'a str>,
    pub(super) body: &'a [u8],
}

/// The server's one shape of an error.
#[derive(Deserialize)]
struct Refusal {
    code: String,
    message: String,
    request_id: String,
}

impl Client {
    pub(super) fn new(server: &str, token_file: Option<&Path>, reply_bytes_max: u64) -> anyhow::Result<Self> {
        if !["http://", "https://"].iter().any(|scheme| server.starts_with(scheme)) {
            let message = format!("`{server}` is no address of a server: begin it with http://");
            return Err(Failure::error(Exit::Usage, message));
        }
        let token = token_file.map(|file| {
            let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()));
            text.map(|text| Zeroizing::new(format!("Bearer {}", text.trim())))
        });
        Ok(Self {
            server: server.trim_end_matches('/').into(),
            agent: Agent::config_builder().http_status_as_error(false).build().into(),
            token: token.transpose()?,
            reply_bytes_max,
        })
    }

    /// The body of a success.
    pub(super) fn ask(&self, ask: &Ask<'_>) -> anyhow::Result<Vec<u8>> {
        self.body(self.open(ask)?)
    }

    /// The document of a success.
    pub(super) fn ask_json(&self, ask: &Ask<'_>) -> anyhow::Result<serde_json::Value> {
        serde_json::from_slice(&self.ask(ask)?).with_context(|| format!("{} is no Snapback", self.server))
    }

    /// A success whose body is still to be read.
    pub(super) fn open(&self, ask: &Ask<'_>) -> anyhow::Result<http::Response<Body>> {
        let mut request = http::Request::builder().method(ask.method).uri(self.url(ask));
        if let Some(token) = &self.token {
            request = request.header(http::header::AUTHORIZATION, token.as_str());
        }
        if let Some(content_type) = ask.content_type {
            request = request.header(http::header::CONTENT_TYPE, content_type);
        }
        if ask.body.len() > EXPECT_BYTES_MIN {
            request = request.header(http::header::EXPECT, "100-continue");
        }
        let request = request.body(ask.body).with_context(|| format!("cannot ask {}", self.server))?;
        let response = self.agent.run(request).with_context(|| {
            format!("cannot reach {} (does it run? `--server` names another)", self.server)
        })?;
        if response.status().is_success() { Ok(response) } else { Err(self.refused(response)) }
    }

    fn url(&self, ask: &Ask<'_>) -> String {
        let escaped = |text| utf8_percent_encode(text, ESCAPED).to_string();
        let path: String = ask.path.iter().map(|segment| format!("/{}", escaped(segment))).collect();
        let query: Vec<String> =
            ask.query.iter().map(|(key, value)| format!("{key}={}", escaped(value))).collect();
        let mark = if query.is_empty() { "" } else { "?" };
        format!("{}{path}{mark}{}", self.server, query.join("&"))
    }

    fn body(&self, mut response: http::Response<Body>) -> anyhow::Result<Vec<u8>> {
        let body = response.body_mut().with_config().limit(self.reply_bytes_max).read_to_vec();
        body.map_err(|error| match error {
            ureq::Error::BodyExceedsLimit(bytes_max) => {
                let message = format!("the reply is longer than `call.reply_bytes_max` = {bytes_max} bytes");
                Failure::error(Exit::Call, message)
            }
            error => anyhow::Error::new(error).context("the reply broke off"),
        })
    }

    fn refused(&self, response: http::Response<Body>) -> anyhow::Error {
        let status = response.status().as_u16();
        let body = match self.body(response) {
            Ok(body) => body,
            Err(error) => return error,
        };
        let Ok(Refusal { code, message, request_id }) = serde_json::from_slice(&body) else {
            let message = format!("{} answered {status}, and is no Snapback", self.server);
            return Failure::error(Exit::Failed, message);
        };
        let exit = match (status, code.as_str()) {
            (_, "refuted") => Exit::Refuted,
            (429 | 503, _) => Exit::Unavailable,
            _ => Exit::Call,
        };
        Failure::error(exit, format!("{message} ({code}, request {request_id})"))
    }
}
