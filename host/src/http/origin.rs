//! Which names the server answers to, and which web pages may use it.
//!
//! A page of any site can make a browser send requests to this server: by a form, which needs nobody's leave, or under
//! a host name of its own that it lets point to the server's address once the page is loaded (DNS rebinding).
//!
//! Invariant: a request that changes or computes comes from no page but the server's own or one that `http.origins`
//! names, and a request under a host name that `http.hosts` does not name is not carried out.

use super::{App, call::SERVER_TIMING, error::ApiError, request_id};
use axum::{
    extract::Request,
    http::{HeaderName, HeaderValue, Method, Version, header, uri::Authority},
};
use std::time::Duration;
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

/// Says whether the page that made a browser send a request is of the same site.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// Routes that answer under every host name: probes use names that nobody configures, and the answers are no secret.
const PROBES: [&str; 2] = ["/healthz", "/readyz"];
/// How long a browser may remember what it is allowed.
const PREFLIGHT_AGE: Duration = Duration::from_hours(1);

/// Checks under which host name a request comes, and from which page.
///
/// # Errors
/// Returns an error if the server does not answer to the name, or the page is of another site.
pub(super) fn check(app: &App, request: &Request) -> Result<(), ApiError> {
    let host = authority(request)?;
    if let Some(host) = &host
        && !app.http.hosts.include(host.host())
        && !PROBES.contains(&request.uri().path())
    {
        return Err(ApiError::UnknownHost(host.host().to_owned()));
    }
    if matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS) {
        return Ok(());
    }
    let text = |name| request.headers().get(name).map(|value| value.to_str().unwrap_or_default());
    let origin = text(header::ORIGIN);
    if origin.is_some_and(|origin| app.http.origins.iter().any(|allowed| allowed == origin)) {
        return Ok(());
    }
    let is_own_page = text(SEC_FETCH_SITE).is_none_or(|site| ["same-origin", "none"].contains(&site));
    let is_own_origin = origin.is_none_or(|origin| host.is_some_and(|host| is_of(origin, &host)));
    if is_own_page && is_own_origin { Ok(()) } else { Err(ApiError::ForeignOrigin) }
}

/// Returns the host and port that a request is for. Only a request of HTTP/1.0 may leave them out.
fn authority(request: &Request) -> Result<Option<Authority>, ApiError> {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let (first, second) = (hosts.next(), hosts.next());
    if second.is_some() {
        return Err(ApiError::BadHost);
    }
    // RFC 9112: the host of an absolute target goes before the header.
    if let Some(authority) = request.uri().authority() {
        return Ok(Some(authority.clone()));
    }
    let Some(host) = first else {
        return if request.version() == Version::HTTP_10 { Ok(None) } else { Err(ApiError::BadHost) };
    };
    let authority = Authority::try_from(host.as_bytes()).ok();
    // RFC 9110: the header has a host and a port, and nobody's name.
    authority.filter(|authority| !authority.as_str().contains('@')).map(Some).ok_or(ApiError::BadHost)
}

/// Whether an origin, such as `https://proofs.example:8443`, is of this host and port.
fn is_of(origin: &str, host: &Authority) -> bool {
    let rest = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    rest.is_some_and(|rest| rest.eq_ignore_ascii_case(host.as_str()))
}

/// Lets browsers hand the answers to pages of `http.origins`; `None` if there are none.
pub(super) fn cors(app: &App) -> Option<CorsLayer> {
    let origins: Vec<HeaderValue> =
        app.http.origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok()).collect();
    if origins.is_empty() {
        return None;
    }
    let exposed = [header::LOCATION, header::RETRY_AFTER, request_id::HEADER, SERVER_TIMING];
    Some(
        CorsLayer::new()
            .allow_origin(AllowOrigin::list(origins))
            .allow_methods([Method::GET, Method::POST, Method::PUT, Method::DELETE, Method::PATCH])
            .allow_headers(AllowHeaders::mirror_request())
            .expose_headers(exposed)
            .max_age(PREFLIGHT_AGE),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_of_the_host_and_port_that_it_names() {
        let host = Authority::from_static("localhost:8080");
        assert!(is_of("http://localhost:8080", &host) && is_of("https://LOCALHOST:8080", &host));
        for other in ["http://localhost", "http://localhost:80801", "null", "ftp://localhost:8080", ""] {
            assert!(!is_of(other, &host), "{other}");
        }
    }
}
