//! TLS of `snapback serve`: its files at the start and at SIGHUP.
//!
//! Invariant: an error in a file stops a start, and changes nothing for a server that runs.

use crate::{
    config::Config,
    http::{Tls, TlsError},
    telemetry::metrics::Metrics,
};
use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// How long before a certificate expires the log begins to say so.
const WARNING: Duration = Duration::from_hours(14 * 24);

/// Reads the files, if TLS is on.
pub(super) fn open(config: &Config) -> Result<Option<Arc<Tls>>, TlsError> {
    config.tls.files().map(Tls::open).transpose()
}

/// Reads the files again.
pub(super) fn reload(tls: &Tls, metrics: &Metrics) {
    match tls.reload() {
        Ok(()) => {
            tracing::info!("the files of TLS were read again; connections that begin from now on use them");
            report(tls, metrics);
        }
        Err(error) => tracing::error!(
            %error,
            "the files of TLS were read again and cannot be used: the old ones stay; correct them and send SIGHUP"
        ),
    }
}

/// Reports when the certificate expires.
pub(super) fn report(tls: &Tls, metrics: &Metrics) {
    let not_after = tls.not_after();
    metrics.set_certificate_not_after(not_after);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    if let Some(warning) = warning(not_after, now) {
        tracing::warn!(not_after = not_after.as_secs(), "{warning}: replace tls.cert and send SIGHUP");
    }
}

/// Returns what is wrong with the time at which a certificate expires, if something is.
fn warning(not_after: Duration, now: Duration) -> Option<&'static str> {
    if not_after < now {
        return Some("the certificate has expired, and clients refuse it");
    }
    (not_after - now < WARNING).then_some("the certificate expires within 14 days")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_that_expire_soon_or_have_are_warned_of() {
        let now = Duration::from_secs(1_800_000_000);
        assert_eq!(warning(now + WARNING, now), None);
        let soon = warning(now + WARNING - Duration::from_secs(1), now).expect("a warning");
        assert!(soon.contains("14 days"));
        let late = warning(now - Duration::from_secs(1), now).expect("a warning");
        assert!(late.contains("has expired"));
    }
}
