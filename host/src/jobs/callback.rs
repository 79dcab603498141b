//! The URL that is told about the end of a job.
//!
//! Invariant: a callback that exists is an absolute URL of HTTP that a client can call. Its path and query may carry
//! secrets: no `Debug` output shows them, and no engine keeps them unsealed.

use hyper::Uri;
use std::{fmt, net::IpAddr, str::FromStr};
use zeroize::Zeroizing;

/// Longest URL, in bytes.
const URL_BYTES_MAX: usize = 2048;
/// Longest name of a host, in bytes. Source: RFC 1035.
const NAME_BYTES_MAX: usize = 253;

/// Why a text is no callback. The message does not quote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCallback {
    /// It is too long.
    #[error("at most {URL_BYTES_MAX} bytes")]
    TooLong,
    /// It is no URL of HTTP.
    #[error("an absolute URL that begins with https:// or http://")]
    NotHttp,
    /// It has a name or a password before the host.
    #[error("a URL without user information: put secrets into the path or the query")]
    UserInfo,
    /// It has a part that is never sent.
    #[error("a URL without a fragment")]
    Fragment,
    /// Its host is neither a name nor an address.
    #[error("a URL whose host is a name or an IP address in its usual form")]
    Host,
    /// Its port is no port.
    #[error("a URL whose port is a number from 1 to 65535")]
    Port,
}

/// How a callback is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallbackScheme {
    /// Without encryption.
    Http,
    /// With TLS.
    Https,
}

/// Where a callback is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallbackHost {
    /// At what this name resolves to. It is in lower case.
    Name(String),
    /// At this address.
    Address(IpAddr),
}

impl fmt::Display for CallbackHost {
    /// Writes the host as URLs and the header `Host` have it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(IpAddr::V4(address)) => address.fmt(f),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

/// The URL that is told about the end of a job.
#[derive(Clone, PartialEq, Eq)]
pub struct Callback {
    url: Zeroizing<String>,
    scheme: CallbackScheme,
    host: CallbackHost,
    port: u16,
    /// Where the path begins in the URL.
    path: usize,
}

impl Callback {
    /// The URL as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.url
    }

    /// How it is called.
    #[must_use]
    pub fn scheme(&self) -> CallbackScheme {
        self.scheme
    }

    /// Where it is called.
    #[must_use]
    pub fn host(&self) -> &CallbackHost {
        &self.host
    }

    /// The port, which is that of the scheme unless the URL has another one.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The host, and the port unless it is that of the scheme.
    #[must_use]
    pub fn authority(&self) -> String {
        match (self.scheme, self.port) {
            (CallbackScheme::Http, 80) | (CallbackScheme::Https, 443) => self.host.to_string(),
            (_, port) => format!("{}:{port}", self.host),
        }
    }

    /// The scheme, host and port: what may be shown.
    #[must_use]
    pub fn origin(&self) -> String {
        let scheme = match self.scheme {
            CallbackScheme::Http => "http",
            CallbackScheme::Https => "https",
        };
        format!("{scheme}://{}", self.authority())
    }

    /// The path and the query as they are sent.
    #[must_use]
    pub fn target(&self) -> Zeroizing<String> {
        let rest = &self.url[self.path..];
        Zeroizing::new(if rest.starts_with('/') { rest.to_owned() } else { format!("/{rest}") })
    }
}

impl fmt::Debug for Callback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Callback").field(&self.origin()).finish()
    }
}

impl FromStr for Callback {
    type Err = InvalidCallback;

    fn from_str(url: &str) -> Result<Self, InvalidCallback> {
        if url.len() > URL_BYTES_MAX {
            return Err(InvalidCallback::TooLong);
        }
        if url.contains('#') {
            return Err(InvalidCallback::Fragment);
        }
        // Checks every character, so that what is sent later has one meaning.
        let uri: Uri = url.parse().map_err(|_| InvalidCallback::NotHttp)?;
        let scheme = match uri.scheme_str() {
            Some("http") => CallbackScheme::Http,
            Some("https") => CallbackScheme::Https,
            _ => return Err(InvalidCallback::NotHttp),
        };
        let authority = uri.authority().ok_or(InvalidCallback::NotHttp)?;
        if authority.as_str().contains('@') {
            return Err(InvalidCallback::UserInfo);
        }
        let port = match (authority.as_str().strip_prefix(authority.host()), scheme) {
            (Some(""), CallbackScheme::Http) => 80,
            (Some(""), CallbackScheme::Https) => 443,
            (Some(rest), _) => {
                let digits = rest.strip_prefix(':').filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
                let port = digits.and_then(|digits| digits.parse().ok()).filter(|port| *port > 0);
                port.ok_or(InvalidCallback::Port)?
            }
            (None, _) => return Err(InvalidCallback::Host),
        };
        let host = host(authority.host()).ok_or(InvalidCallback::Host)?;
        let begin = url.find("://").map_or(0, |at| at + 3);
        let path = begin + authority.as_str().len();
        Ok(Self { url: Zeroizing::new(url.to_owned()), scheme, host, port, path })
    }
}

/// Reads a host. Numbers that some resolvers take for an address, such as `127.1`, are refused.
fn host(text: &str) -> Option<CallbackHost> {
    if let Some(address) = text.strip_prefix('[') {
        let address = address.strip_suffix(']')?.parse().ok()?;
        return Some(CallbackHost::Address(IpAddr::V6(address)));
    }
    if let Ok(address) = text.parse() {
        return Some(CallbackHost::Address(IpAddr::V4(address)));
    }
    let name = text.strip_suffix('.').unwrap_or(text);
    let is_name = !name.is_empty()
        && name.len() <= NAME_BYTES_MAX
        && name.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        });
    // No domain of the top level begins with a digit.
    let is_number =
        name.rsplit('.').next().is_some_and(|last| last.starts_with(|c: char| c.is_ascii_digit()));
    (is_name && !is_number).then(|| CallbackHost::Name(name.to_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn callback(url: &str) -> Callback {
        url.parse().unwrap_or_else(|error| panic!("{url}: {error}"))
    }

    #[test]
    fn a_callback_is_taken_apart() {
        for (url, origin, port, target) in [
            ("https://hooks.example/a?b=c", "https://hooks.example", 443, "/a?b=c"),
            ("HTTP://Hooks.Example.:8080", "http://hooks.example:8080", 8080, "/"),
            ("http://192.0.2.1:80?x", "http://192.0.2.1", 80, "/?x"),
            ("https://[2001:db8::1]:8443/x", "https://[2001:db8::1]:8443", 8443, "/x"),
        ] {
            let callback = callback(url);
            assert_eq!((&*callback.origin(), callback.port(), &**callback.target()), (origin, port, target));
            assert_eq!(callback.as_str(), url);
        }
        let secret = callback("https://hooks.example/token-7?key=secret");
        assert!(!format!("{secret:?}").contains("token-7") && !format!("{secret:?}").contains("secret"));
    }

    #[test]
    fn what_has_two_meanings_is_refused() {
        use InvalidCallback::{Fragment, Host, NotHttp, Port, TooLong, UserInfo};
        let long = format!("https://hooks.example/{}", "x".repeat(URL_BYTES_MAX));
        for (url, expected) in [
            ("", NotHttp),
            ("hooks.example", NotHttp),
            ("/path", NotHttp),
            ("ftp://hooks.example", NotHttp),
            ("file:///etc/passwd", NotHttp),
            ("https:///path", NotHttp),
            ("https://hooks.example/a b", NotHttp),
            ("https://hooks.example/a\r\nx: y", NotHttp),
            ("https://hooks\\.example/", NotHttp),
            ("https://a@hooks.example/", UserInfo),
            ("https://a:b@hooks.example/", UserInfo),
            ("https://hooks.example/#a", Fragment),
            ("https://hooks.example:0/", Port),
            ("https://hooks.example:/", Port),
            ("https://127.1/", Host),
            ("https://2130706433/", Host),
            ("https://0x7f.0.0.0x1/", Host),
            ("https://a..example/", Host),
            ("https://[::ffff:7f00:1%25lo]/", Host),
            (&long, TooLong),
        ] {
            let refused = url.parse::<Callback>().expect_err(url);
            assert!(refused == expected || refused == NotHttp, "{url}: {refused:?}");
        }
    }
}
