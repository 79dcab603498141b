//! The settings of TLS: `tls.*`.

use super::values::path;
use std::path::PathBuf;

/// The settings of TLS on the public listener.
#[derive(Clone, Debug, Default)]
pub struct TlsSettings {
    /// `tls.cert`
    cert: Option<PathBuf>,
    /// `tls.key`
    key: Option<PathBuf>,
    /// `tls.client_ca`
    client_ca: Option<PathBuf>,
}

/// The files of TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The server's certificate, and those between it and its authority.
    pub cert: PathBuf,
    /// The key of the certificate.
    pub key: PathBuf,
    /// The authorities whose certificates clients may present.
    pub client_ca: Option<PathBuf>,
}

impl TlsSettings {
    pub(super) fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        let file = if value == "none" { None } else { Some(path(value)?) };
        match key {
            "tls.cert" => self.cert = file,
            "tls.key" => self.key = file,
            "tls.client_ca" => self.client_ca = file,
            _ => return Err("a setting of TLS".into()),
        }
        Ok(())
    }

    /// The files, if TLS is on.
    #[must_use]
    pub fn files(&self) -> Option<TlsFiles> {
        let (cert, key) = (self.cert.clone()?, self.key.clone()?);
        Some(TlsFiles { cert, key, client_ca: self.client_ca.clone() })
    }

    /// Returns what is missing, if the settings do not agree with each other.
    pub(super) fn contradiction(&self) -> Option<String> {
        let message = match (&self.cert, &self.key, &self.client_ca) {
            (Some(_), None, _) => "`tls.cert` needs `tls.key`: the file with the key of the certificate",
            (None, Some(_), _) => "`tls.key` needs `tls.cert`: the file with the certificate of the key",
            (None, None, Some(_)) => "`tls.client_ca` needs `tls.cert` and `tls.key`",
            _ => return None,
        };
        Some(message.into())
    }
}
