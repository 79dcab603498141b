//! The certificate of the server, its key, and the authorities of its clients, from their files.
//!
//! Invariant: a key that others can read is not used, and its text is overwritten once it was read.

use crate::config::TlsFiles;
use rustls::{
    CertificateError, RootCertStore, ServerConfig,
    client::verify_server_cert_signed_by_trust_anchor,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, UnixTime, pem, pem::PemObject},
    server::{NoServerSessionStorage, ParsedCertificate, VerifierBuilderError, WebPkiClientVerifier},
};
use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use zeroize::Zeroizing;

/// Longest file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// What clients are offered, the preferred one first.
pub(super) const HTTP2: &[u8] = b"h2";
const HTTP1: &[u8] = b"http/1.1";

/// Why the files of TLS cannot be used. Each message names the setting.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("`{setting}` = {} cannot be read: {source}", path.display())]
    Read {
        /// The setting.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Others can read the key.
    #[error("`tls.key` = {} can be read by others (mode {mode:o}): chmod 600", path.display())]
    KeyIsOpen {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// A file does not hold what it should.
    #[error("`{setting}` = {} has no {what} in PEM: {source}", path.display())]
    Pem {
        /// The setting.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
        /// Why it does not.
        source: pem::Error,
    },
    /// A certificate cannot be used, or does not belong to the key.
    #[error("`tls.cert` and `tls.key` cannot be used: {0}")]
    Identity(rustls::Error),
    /// An authority cannot be used.
    #[error("`tls.client_ca` cannot be used: {0}")]
    ClientCa(rustls::Error),
    /// The authorities cannot be used together.
    #[error("`tls.client_ca` cannot be used: {0}")]
    Verifier(#[from] VerifierBuilderError),
}

/// What the files say, ready for handshakes.
pub(super) struct Certificates {
    /// For clients that may speak either version of HTTP.
    pub(super) both: Arc<ServerConfig>,
    /// For clients that shall speak HTTP/1.1.
    pub(super) http1: Arc<ServerConfig>,
    /// When the server's certificate expires, since 1970.
    pub(super) not_after: Duration,
}

impl Certificates {
    /// Reads the files.
    ///
    /// # Errors
    /// Returns an error if a file cannot be read or used.
    pub(super) fn read(files: &TlsFiles) -> Result<Self, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let chain = certificates("tls.cert", &files.cert)?;
        let key = key(&files.key)?;
        let not_after = not_after(&chain[0], &provider).map_err(TlsError::Identity)?;
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Identity)?;
        let builder = match &files.client_ca {
            None => builder.with_no_client_auth(),
            Some(file) => {
                let mut roots = RootCertStore::empty();
                for authority in certificates("tls.client_ca", file)? {
                    roots.add(authority).map_err(TlsError::ClientCa)?;
                }
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                builder.with_client_cert_verifier(verifier.allow_unauthenticated().build()?)
            }
        };
        let mut http1 = builder.with_single_cert(chain, key).map_err(TlsError::Identity)?;
        if files.client_ca.is_some() {
            // A session that is resumed brings its client's certificate along, however long ago that was verified.
            http1.session_storage = Arc::new(NoServerSessionStorage {});
            http1.send_tls13_tickets = 0;
        }
        http1.alpn_protocols = vec![HTTP1.into()];
        let mut both = http1.clone();
        both.alpn_protocols.insert(0, HTTP2.into());
        Ok(Self { both: Arc::new(both), http1: Arc::new(http1), not_after })
    }
}

/// Reads at least one certificate.
fn certificates(setting: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text = File::open(path).and_then(text);
    let text = text.map_err(|source| TlsError::Read { setting, path: path.into(), source })?;
    let found: Result<Vec<_>, pem::Error> = CertificateDer::pem_slice_iter(&text).collect();
    let found =
        found.and_then(|found| if found.is_empty() { Err(pem::Error::NoItemsFound) } else { Ok(found) });
    found.map_err(|source| TlsError::Pem { setting, path: path.into(), what: "certificate", source })
}

/// Reads the key from a file that only its owner can read.
fn key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let opened = File::open(path).and_then(|file| Ok((file.metadata()?.permissions().mode() & 0o777, file)));
    let refused = |source| TlsError::Read { setting: "tls.key", path: path.into(), source };
    let (mode, file) = opened.map_err(refused)?;
    if mode & 0o077 != 0 {
        return Err(TlsError::KeyIsOpen { path: path.into(), mode });
    }
    let text = text(file).map_err(refused)?;
    PrivateKeyDer::from_pem_slice(&text).map_err(|source| TlsError::Pem {
        setting: "tls.key",
        path: path.into(),
        what: "key",
        source,
    })
}

fn text(file: File) -> io::Result<Zeroizing<Vec<u8>>> {
    // As long as it can become, so that no copy stays behind.
    let mut text = Zeroizing::new(Vec::with_capacity(FILE_BYTES_MAX as usize + 1));
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut text)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is longer than 1 MiB"));
    }
    Ok(text)
}

/// Returns when a certificate expires. The verifier is asked whether it is valid at the end of time: the answer names
/// the last moment at which it is.
fn not_after(certificate: &CertificateDer<'_>, provider: &CryptoProvider) -> Result<Duration, rustls::Error> {
    let end = UnixTime::since_unix_epoch(Duration::from_secs(u64::MAX));
    let algorithms = provider.signature_verification_algorithms.all;
    let parsed = ParsedCertificate::try_from(certificate)?;
    let none = RootCertStore::empty();
    match verify_server_cert_signed_by_trust_anchor(&parsed, &none, &[], end, algorithms) {
        Err(rustls::Error::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. })) => {
            Ok(Duration::from_secs(not_after.as_secs()))
        }
        Err(error) => Err(error),
        Ok(()) => Err(CertificateError::BadEncoding.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};
    use std::fs;

    /// A directory with a certificate for localhost that expires at the end of February 2100, and its key.
    fn files() -> (tempfile::TempDir, TlsFiles) {
        let dir = tempfile::tempdir().expect("a directory");
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(["localhost".to_owned()]).expect("a name");
        params.not_after = date_time_ymd(2100, 2, 28);
        let certificate = params.self_signed(&key).expect("a certificate");
        let file = |name: &str, text: String| {
            let path = dir.path().join(name);
            fs::write(&path, text).expect("written");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("the test owns it");
            path
        };
        let files = TlsFiles {
            cert: file("cert.pem", certificate.pem()),
            key: file("key.pem", key.serialize_pem()),
            client_ca: None,
        };
        (dir, files)
    }

    #[test]
    fn the_time_at_which_a_certificate_expires_is_the_one_that_it_names() {
        let (_dir, files) = files();
        let read = Certificates::read(&files).expect("usable");
        assert_eq!(read.not_after, Duration::from_secs(4_107_456_000));
        assert_eq!(read.both.alpn_protocols, [b"h2".to_vec(), b"http/1.1".to_vec()]);
    }

    #[test]
    fn files_that_cannot_be_used_are_named_with_their_setting() {
        let refused = |files: &TlsFiles| Certificates::read(files).err().expect("refused").to_string();
        let (dir, good) = files();
        let missing = dir.path().join("missing");
        for (wrong, part) in [
            (TlsFiles { cert: missing.clone(), ..good.clone() }, "`tls.cert`"),
            (TlsFiles { key: missing.clone(), ..good.clone() }, "`tls.key`"),
            (TlsFiles { client_ca: Some(missing), ..good.clone() }, "`tls.client_ca`"),
            (TlsFiles { cert: good.key.clone(), ..good.clone() }, "no certificate"),
            (TlsFiles { key: good.cert.clone(), ..good.clone() }, "no key"),
            (TlsFiles { key: files().1.key, ..good.clone() }, "`tls.key`"),
        ] {
            let error = refused(&wrong);
            assert!(error.contains(part), "{part}: {error}");
        }
        let (_other_dir, other) = files();
        let error = refused(&TlsFiles { key: other.key, ..good.clone() });
        assert!(error.contains("cannot be used"), "{error}");
        fs::set_permissions(&good.key, fs::Permissions::from_mode(0o640)).expect("the test owns it");
        assert!(refused(&good).contains("chmod 600"));
    }
}
