//! The settings of traces: `traces.*`.
//!
//! Invariant: without an endpoint, nothing is recorded and nothing is sent.

use super::values::{duration, number, path};
use crate::telemetry::traces::SampleShare;
use axum::http::{Uri, uri::Scheme};
use std::{path::PathBuf, str::FromStr, time::Duration};

/// Where OTLP over HTTP takes traces, below the address of a collector.
const PATH: &str = "/v1/traces";
/// Longest name of a service, in bytes.
const NAME_BYTES_MAX: usize = 255;

/// The address of a collector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceEndpoint {
    url: String,
    host: String,
    port: u16,
}

impl TraceEndpoint {
    /// The address that takes traces.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The host that is connected to, without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port that is connected to.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl FromStr for TraceEndpoint {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let accepted = "an address such as http://127.0.0.1:4318, without a user or a query";
        let uri: Uri = text.parse().map_err(|_| accepted)?;
        let default_port = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTP => 80,
            Some(scheme) if *scheme == Scheme::HTTPS => 443,
            _ => return Err(accepted),
        };
        let authority = uri.authority().ok_or(accepted)?;
        // A password would be shown wherever the setting is.
        if authority.as_str().contains('@') || uri.query().is_some() || text.contains('#') {
            return Err(accepted);
        }
        let host = authority.host().trim_matches(['[', ']']);
        if host.is_empty() {
            return Err(accepted);
        }
        let base = text.trim_end_matches('/');
        let url = if base.ends_with(PATH) { base.to_owned() } else { format!("{base}{PATH}") };
        Ok(Self { url, host: host.to_owned(), port: authority.port_u16().unwrap_or(default_port) })
    }
}

/// The settings of traces.
#[derive(Clone, Debug)]
pub struct TraceSettings {
    /// `traces.endpoint`
    pub endpoint: Option<TraceEndpoint>,
    /// `traces.headers_file`
    pub headers_file: Option<PathBuf>,
    /// `traces.ca_file`
    pub ca_file: Option<PathBuf>,
    /// `traces.service_name`
    pub service_name: String,
    /// `traces.sample`
    pub sample: SampleShare,
    /// `traces.queue_max`
    pub queue_max: usize,
    /// `traces.timeout`
    pub timeout: Duration,
}

impl TraceSettings {
    pub(super) fn defaults() -> Self {
        Self {
            endpoint: None,
            headers_file: None,
            ca_file: None,
            service_name: "snapback".into(),
            sample: SampleShare::ALL,
            queue_max: 2048,
            timeout: Duration::from_secs(10),
        }
    }

    pub(super) fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        let file = |value: &str| if value == "none" { Ok(None) } else { path(value).map(Some) };
        match key {
            "traces.endpoint" => {
                // Deployments pass variables that are empty where there is no collector.
                let address = Some(value).filter(|value| !["off", ""].contains(value));
                let parsed = address.map(str::parse).transpose();
                self.endpoint = parsed.map_err(|accepted| format!("`off`, or {accepted}"))?;
            }
            "traces.headers_file" => self.headers_file = file(value)?,
            "traces.ca_file" => self.ca_file = file(value)?,
            "traces.service_name" => {
                let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
                if !(1..=NAME_BYTES_MAX).contains(&value.len()) || !value.bytes().all(is_plain) {
                    return Err("a name of a-z A-Z 0-9 . _ -".into());
                }
                self.service_name = value.into();
            }
            "traces.sample" => self.sample = value.parse()?,
            "traces.queue_max" => self.queue_max = number(value, 1, 1 << 20)?,
            "traces.timeout" => self.timeout = duration(value)?,
            _ => return Err("a setting of traces".into()),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_is_added_to_the_address_of_a_collector() {
        for (text, url, host, port) in [
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces", "127.0.0.1", 4318),
            ("http://[::1]:4318/", "http://[::1]:4318/v1/traces", "::1", 4318),
            ("https://otel.example", "https://otel.example/v1/traces", "otel.example", 443),
            ("http://otel.example/v1/traces", "http://otel.example/v1/traces", "otel.example", 80),
            ("https://otel.example/tenant/", "https://otel.example/tenant/v1/traces", "otel.example", 443),
        ] {
            let endpoint: TraceEndpoint = text.parse().expect(text);
            assert_eq!((endpoint.url(), endpoint.host(), endpoint.port()), (url, host, port));
        }
        for text in [
            "127.0.0.1:4318",
            "otel.example",
            "grpc://otel.example",
            "http://",
            "http://user:secret@otel.example",
            "http://otel.example/?key=secret",
            "http://otel.example/#x",
            "/v1/traces",
        ] {
            assert!(text.parse::<TraceEndpoint>().is_err(), "{text}");
        }
    }

    #[test]
    fn an_empty_endpoint_is_none() {
        let mut settings = TraceSettings::defaults();
        settings.set("traces.endpoint", "http://127.0.0.1:4318").expect("an address");
        assert!(settings.endpoint.is_some());
        settings.set("traces.endpoint", "").expect("none");
        assert!(settings.endpoint.is_none());
    }
}
