//! Requests to a server, for the commands that are its clients.
//!
//! Invariant: every answer becomes a body, or an error with the server's own message and the matching exit code.

use super::exit::{Exit, Failure};
use crate::config::KEY_FILE;
use anyhow::Context;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, de::DeserializeOwned};
use std::{fs, io::Read, path::PathBuf, time::Duration};
use ureq::{
    Agent, AsSendBody, Body, SendBody, http,
    tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem},
};
use zeroize::Zeroizing;

/// Everything but unreserved characters is escaped in a segment of a path.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The media type of JSON.
pub(super) const JSON: &str = "application/json";

/// Longer bodies are announced first, so that a server can refuse one before it is sent.
const EXPECT_BYTES_MIN: u64 = 16 << 10;

/// What a command needs to reach a server: a key, and whom it trusts.
#[derive(clap::Args)]
pub(super) struct Access {
    /// File with a key of `snapback keys`, or with the token of the admin routes [SNAPBACK_KEY_FILE]
    #[arg(long, value_name = "FILE", alias = "token-file")]
    key_file: Option<PathBuf>,
    /// File with the authorities, as PEM, that have signed the server's certificate, instead of the public ones
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
}

impl Access {
    /// Returns the value of the header that carries the key.
    fn authorization(&self) -> anyhow::Result<Option<Zeroizing<String>>> {
        let of_environment = || std::env::var_os(KEY_FILE).map(PathBuf::from);
        let Some(file) = self.key_file.clone().or_else(of_environment) else { return Ok(None) };
        let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let text = Zeroizing::new(text);
        Ok(Some(Zeroizing::new(format!("Bearer {}", text.trim()))))
    }

    fn tls_config(&self) -> anyhow::Result<TlsConfig> {
        let Some(file) = &self.ca_file else { return Ok(TlsConfig::default()) };
        let read = || -> anyhow::Result<Vec<Certificate<'static>>> {
            let text = fs::read(file)?;
            let items = parse_pem(&text).collect::<Result<Vec<_>, _>>()?;
            let authorities = items.into_iter().filter_map(|item| match item {
                PemItem::Certificate(certificate) => Some(certificate),
                _ => None,
            });
            let authorities: Vec<_> = authorities.collect();
            anyhow::ensure!(!authorities.is_empty(), "it has no certificate in PEM");
            Ok(authorities)
        };
        let authorities = read().with_context(|| format!("cannot use `--ca-file` {}", file.display()))?;
        Ok(TlsConfig::builder().root_certs(RootCerts::new_with_certs(&authorities)).build())
    }
}

/// A server, and what every request to it carries.
pub(super) struct Client {
    server: String,
    agent: Agent,
    key: Option<Zeroizing<String>>,
    reply_bytes_max: u64,
}

/// One request.
#[derive(Clone, Copy, Default)]
pub(super) struct ApiRequest<'a> {
    pub(super) method: &'static str,
    /// Segments of the path, unescaped.
    pub(super) path: &'a [&'a str],
    pub(super) query: &'a [(&'a str, &'a str)],
    pub(super) content_type: Option<&'a str>,
    /// The media type that is wanted of the answer.
    pub(super) accept: Option<&'a str>,
    /// Makes a second submission the same job.
    pub(super) idempotency_key: Option<&'a str>,
    pub(super) body: &'a [u8],
}

/// Why a request has no successful answer.
pub(super) enum Unanswered {
    /// The server refused it, with this status and code.
    Refused { status: u16, code: String, error: anyhow::Error },
    /// Nobody answers, or somebody who is no Snapback server.
    Failed(anyhow::Error),
}

impl From<Unanswered> for anyhow::Error {
    fn from(unanswered: Unanswered) -> Self {
        match unanswered {
            Unanswered::Refused { error, .. } | Unanswered::Failed(error) => error,
        }
    }
}

/// An error of the server.
#[derive(Deserialize)]
struct Refusal {
    code: String,
    message: String,
    request_id: String,
}

impl Client {
    pub(super) fn new(server: &str, access: &Access, reply_bytes_max: u64) -> anyhow::Result<Self> {
        Self::with_silence(server, access, reply_bytes_max, None)
    }

    /// A client that gives a server up which is silent for that long, also in the middle of a body.
    pub(super) fn watchful(
        server: &str,
        access: &Access,
        reply_bytes_max: u64,
        silence_max: Duration,
    ) -> anyhow::Result<Self> {
        Self::with_silence(server, access, reply_bytes_max, Some(silence_max))
    }

    fn with_silence(
        server: &str,
        access: &Access,
        reply_bytes_max: u64,
        silence_max: Option<Duration>,
    ) -> anyhow::Result<Self> {
        if !["http://", "https://"].iter().any(|scheme| server.starts_with(scheme)) {
            let message = format!("`{server}` is not the address of a server: begin it with http://");
            return Err(Failure::error(Exit::Usage, message));
        }
        Ok(Self {
            server: server.trim_end_matches('/').into(),
            agent: Agent::config_builder()
                .http_status_as_error(false)
                .tls_config(access.tls_config()?)
                .timeout_connect(silence_max)
                .timeout_per_read(silence_max)
                .timeout_per_write(silence_max)
                .build()
                .into(),
            key: access.authorization()?,
            reply_bytes_max,
        })
    }

    /// Sends a request and returns the body of a successful answer.
    pub(super) fn send(&self, request: &ApiRequest<'_>) -> anyhow::Result<Vec<u8>> {
        self.body(self.open(request)?)
    }

    /// Sends a request and returns the JSON of a successful answer.
    pub(super) fn send_json(&self, request: &ApiRequest<'_>) -> anyhow::Result<serde_json::Value> {
        self.parse(&self.send(request)?)
    }

    /// Sends a request with a body of `bytes` bytes that is read while it is sent, in place of its own, and returns the
    /// JSON of a successful answer.
    pub(super) fn upload(
        &self,
        request: &ApiRequest<'_>,
        body: &mut dyn Read,
        bytes: u64,
    ) -> anyhow::Result<serde_json::Value> {
        let response = self.run(request, SendBody::from_reader(body), bytes)?;
        self.parse(&self.body(response)?)
    }

    /// Sends a request and returns a successful answer whose body is still to be read.
    pub(super) fn open(&self, request: &ApiRequest<'_>) -> anyhow::Result<http::Response<Body>> {
        Ok(self.ask(request)?)
    }

    /// Does the same as [`Self::open`], and tells refusals from a server that cannot be reached.
    pub(super) fn ask(&self, request: &ApiRequest<'_>) -> Result<http::Response<Body>, Unanswered> {
        self.run(request, request.body, request.body.len() as u64)
    }

    /// Sends a request and returns the JSON of a successful answer as that type.
    pub(super) fn ask_json<T: DeserializeOwned>(&self, request: &ApiRequest<'_>) -> Result<T, Unanswered> {
        let body = self.body(self.ask(request)?).map_err(Unanswered::Failed)?;
        self.parse(&body).map_err(Unanswered::Failed)
    }

    fn run(
        &self,
        request: &ApiRequest<'_>,
        body: impl AsSendBody,
        bytes: u64,
    ) -> Result<http::Response<Body>, Unanswered> {
        let response = self.exchange(request, body, bytes).map_err(Unanswered::Failed)?;
        if response.status().is_success() { Ok(response) } else { Err(self.refused(response)) }
    }

    /// Sends a request and returns any answer.
    fn exchange(
        &self,
        request: &ApiRequest<'_>,
        body: impl AsSendBody,
        bytes: u64,
    ) -> anyhow::Result<http::Response<Body>> {
        let mut message = http::Request::builder().method(request.method).uri(self.url(request));
        if let Some(key) = &self.key {
            message = message.header(http::header::AUTHORIZATION, key.as_str());
        }
        if let Some(content_type) = request.content_type {
            message = message.header(http::header::CONTENT_TYPE, content_type);
        }
        if let Some(accept) = request.accept {
            message = message.header(http::header::ACCEPT, accept);
        }
        if let Some(key) = request.idempotency_key {
            message = message.header("idempotency-key", key);
        }
        if bytes > 0 {
            message = message.header(http::header::CONTENT_LENGTH, bytes);
        }
        if bytes > EXPECT_BYTES_MIN {
            message = message.header(http::header::EXPECT, "100-continue");
        }
        let message =
            message.body(body).with_context(|| format!("cannot send a request to {}", self.server))?;
        self.agent.run(message).with_context(|| {
            let hint = if self.server.starts_with("https://") {
                "does it run? `--ca-file` names the authority of its certificate"
            } else {
                "does it run? `--server` names another"
            };
            format!("cannot reach {} ({hint})", self.server)
        })
    }

    fn parse<T: DeserializeOwned>(&self, body: &[u8]) -> anyhow::Result<T> {
        serde_json::from_slice(body).with_context(|| format!("{} is not a Snapback server", self.server))
    }

    fn url(&self, request: &ApiRequest<'_>) -> String {
        let escaped = |text| utf8_percent_encode(text, ESCAPED).to_string();
        let path: String = request.path.iter().map(|segment| format!("/{}", escaped(segment))).collect();
        let query: Vec<String> =
            request.query.iter().map(|(key, value)| format!("{key}={}", escaped(value))).collect();
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
            error => anyhow::Error::new(error).context("the reply ended early"),
        })
    }

    fn refused(&self, response: http::Response<Body>) -> Unanswered {
        let status = response.status().as_u16();
        let body = match self.body(response) {
            Ok(body) => body,
            Err(error) => return Unanswered::Failed(error),
        };
        let Ok(Refusal { code, message, request_id }) = serde_json::from_slice(&body) else {
            let message = format!("{} answered {status}, and is not a Snapback server", self.server);
            return Unanswered::Failed(Failure::error(Exit::Failed, message));
        };
        let exit = match (status, code.as_str()) {
            (_, "refuted") => Exit::Refuted,
            (429 | 503, _) => Exit::Unavailable,
            _ => Exit::Call,
        };
        let error = Failure::error(exit, format!("{message} ({code}, request {request_id})"));
        Unanswered::Refused { status, code, error }
    }
}
