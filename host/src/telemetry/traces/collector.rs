//! The collector, over HTTP.
//!
//! Invariant: a request ends within its time limit, follows no redirect and takes no proxy, and of an answer no more than
//! [`ANSWER_BYTES_MAX`] bytes are read. The values of headers are in no message.

use super::{
    export::{Collector, Delivery},
    otlp::{MEDIA_TYPE, rejected_spans},
};
use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};
use ureq::{
    Agent,
    http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header},
    tls::{PemItem, RootCerts, TlsConfig, parse_pem},
};

/// Longest answer that is read, in bytes.
const ANSWER_BYTES_MAX: u64 = 64 << 10;
/// Headers that the file of headers does not set, because they follow from what is sent.
const OWN_HEADERS: [HeaderName; 5] = [
    header::HOST,
    header::CONTENT_TYPE,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::CONNECTION,
];

/// Where a collector is, and what it needs.
pub struct CollectorSettings {
    /// The address that takes spans.
    pub url: String,
    /// File with further headers of requests.
    pub headers_file: Option<PathBuf>,
    /// File with certification authorities that are trusted instead of the public ones.
    pub ca_file: Option<PathBuf>,
}

/// Why a collector cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CollectorError {
    /// The file of headers cannot be used.
    #[error("`traces.headers_file`: {} cannot be used: {reason}", path.display())]
    Headers {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// The file of certification authorities cannot be used.
    #[error("`traces.ca_file`: {} cannot be used: {reason}", path.display())]
    Authorities {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
}

/// A collector that speaks OTLP over HTTP.
pub struct HttpCollector {
    agent: Agent,
    url: String,
    headers: HeaderMap,
}

impl HttpCollector {
    /// Reads the files, and connects to nothing yet.
    ///
    /// # Errors
    /// Returns an error if a file cannot be used.
    pub fn new(settings: CollectorSettings) -> Result<Self, CollectorError> {
        let CollectorSettings { url, headers_file, ca_file } = settings;
        let headers = headers_file.as_deref().map(headers_of).transpose()?.unwrap_or_default();
        let tls = ca_file.as_deref().map(authorities_of).transpose()?.unwrap_or_default();
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .user_agent(concat!("snapback/", env!("CARGO_PKG_VERSION")))
            .tls_config(tls)
            .build()
            .into();
        Ok(Self { agent, url, headers })
    }

    fn answer(&self, request: &[u8], timeout: Duration) -> Result<Response<ureq::Body>, ureq::Error> {
        let mut message = Request::post(&self.url).header(header::CONTENT_TYPE, MEDIA_TYPE);
        for (name, value) in &self.headers {
            message = message.header(name, value);
        }
        let message = message.body(request)?;
        self.agent.run(self.agent.configure_request(message).timeout_global(Some(timeout)).build())
    }
}

impl Collector for HttpCollector {
    fn send(&mut self, request: &[u8], timeout: Duration) -> Delivery {
        let mut answer = match self.answer(request, timeout) {
            Ok(answer) => answer,
            Err(error) => return Delivery::Later { after: None, reason: error.to_string() },
        };
        let status = answer.status();
        if status.is_success() {
            // The status says that the spans were taken, even if the body cannot be read.
            let body = answer.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec();
            return Delivery::Taken { rejected: body.map_or(0, |body| rejected_spans(&body)) };
        }
        let reason = format!("it answers {}", status.as_u16());
        match status {
            StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => {
                let after = answer.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
                let after = after.and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
                Delivery::Later { after, reason }
            }
            _ => Delivery::Refused { reason },
        }
    }
}

/// Reads the file of headers: a line for each, and comments.
fn headers_of(path: &Path) -> Result<HeaderMap, CollectorError> {
    let failed = |reason: String| CollectorError::Headers { path: path.into(), reason };
    let file = fs::File::open(path).map_err(|error| failed(error.to_string()))?;
    let mode = file.metadata().map_err(|error| failed(error.to_string()))?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(failed(format!("others may read it (mode {:o}): chmod 600", mode & 0o777)));
    }
    let text = io::read_to_string(file).map_err(|error| failed(error.to_string()))?;
    let mut headers = HeaderMap::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        // The line may be a secret, so that only its number is told.
        let bad = |what: &str| failed(format!("line {}: {what}", number + 1));
        let (name, value) = line.split_once(':').ok_or_else(|| bad("`NAME: VALUE` is expected"))?;
        let name = HeaderName::try_from(name.trim()).map_err(|_| bad("this is no name of a header"))?;
        let mut value =
            HeaderValue::try_from(value.trim()).map_err(|_| bad("this is no value of a header"))?;
        if OWN_HEADERS.contains(&name) {
            return Err(bad("this header is set by the server"));
        }
        value.set_sensitive(true);
        headers.append(name, value);
    }
    Ok(headers)
}

fn authorities_of(path: &Path) -> Result<TlsConfig, CollectorError> {
    let failed = |reason: String| CollectorError::Authorities { path: path.into(), reason };
    let text = fs::read(path).map_err(|error| failed(error.to_string()))?;
    let items = parse_pem(&text).collect::<Result<Vec<_>, _>>().map_err(|error| failed(error.to_string()))?;
    let authorities = items.into_iter().filter_map(|item| match item {
        PemItem::Certificate(certificate) => Some(certificate),
        _ => None,
    });
    let authorities: Vec<_> = authorities.collect();
    if authorities.is_empty() {
        return Err(failed("there is no certificate in it".into()));
    }
    Ok(TlsConfig::builder().root_certs(RootCerts::new_with_certs(&authorities)).build())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs::Permissions, io::Write};

    fn file(text: &str, mode: u32) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(text.as_bytes()).expect("room for it");
        file.as_file().set_permissions(Permissions::from_mode(mode)).expect("it is ours");
        file
    }

    #[test]
    fn headers_are_read_and_a_bad_line_is_told_by_its_number_alone() {
        let good = file("# for the collector\n\nAuthorization: Bearer secret: x\nx-a:1\nx-a: 2\n", 0o600);
        let headers = headers_of(good.path()).expect("headers");
        assert_eq!(headers[header::AUTHORIZATION], "Bearer secret: x");
        assert!(headers[header::AUTHORIZATION].is_sensitive());
        assert_eq!(headers.get_all("x-a").iter().count(), 2);
        for (text, mode) in [
            ("x: secret", 0o640),
            ("# one\nsecret", 0o600),
            ("sec ret: x", 0o600),
            ("x: secret\u{1}", 0o600),
            ("Host: secret", 0o600),
            ("content-type: secret", 0o600),
        ] {
            let bad = file(text, mode);
            let error = headers_of(bad.path()).expect_err(text).to_string();
            assert!(error.contains("traces.headers_file") && !error.contains("secret"), "{error}");
        }
        assert!(headers_of(Path::new("/nonexistent")).is_err());
    }

    #[test]
    fn authorities_are_certificates() {
        let error = authorities_of(file("no PEM", 0o644).path()).expect_err("no certificate").to_string();
        assert!(error.contains("traces.ca_file"), "{error}");
    }
}
