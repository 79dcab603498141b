//! TLS on the public listener: certificates that can be replaced, and handshakes.
//!
//! Invariant: a connection is encrypted with the certificate that was last read without an error. A client certificate
//! reaches a request only if it was verified in the handshake of its connection.

use super::{
    certificates::{Certificates, HTTP2, TlsError},
    protocol::Protocol,
    stream::Stream,
};
use crate::config::TlsFiles;
use arc_swap::ArcSwap;
use rustls::ServerConfig;
use sha2::{Digest, Sha256};
use std::{io, path::PathBuf, sync::Arc, time::Duration};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// Most bytes that are read of a client that does not use TLS, so that it sees the answer.
const UNREAD_BYTES_MAX: u64 = 64 << 10;

/// The SHA-256 of a client's certificate (DER), which one of `tls.client_ca` has signed. It is among the extensions of
/// every request of a connection whose client presented one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClientCertificate(pub [u8; 32]);

/// The certificates of the public listener.
pub struct Tls {
    files: TlsFiles,
    current: ArcSwap<Certificates>,
}

/// Which versions of HTTP a client is offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Offer {
    Both,
    Http1,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// Returns an error if a file cannot be read or used.
    pub fn open(files: TlsFiles) -> Result<Arc<Self>, TlsError> {
        let current = ArcSwap::from_pointee(Certificates::read(&files)?);
        Ok(Arc::new(Self { files, current }))
    }

    /// Reads the files again. Connections that begin from now on use what they hold.
    ///
    /// # Errors
    /// Returns an error if a file cannot be read or used; then nothing changes.
    pub fn reload(&self) -> Result<(), TlsError> {
        self.current.store(Arc::new(Certificates::read(&self.files)?));
        Ok(())
    }

    /// When the server's certificate expires, since 1970.
    #[must_use]
    pub fn not_after(&self) -> Duration {
        self.current.load().not_after
    }

    pub(super) fn config(&self, offer: Offer) -> Arc<ServerConfig> {
        let current = self.current.load();
        Arc::clone(match offer {
            Offer::Both => &current.both,
            Offer::Http1 => &current.http1,
        })
    }
}

/// Directories of files that may be replaced, also where a file is a link to one elsewhere. A file in the root directory
/// stands for itself.
#[must_use]
pub fn directories_of(files: &TlsFiles) -> Vec<PathBuf> {
    let files = [Some(&files.cert), Some(&files.key), files.client_ca.as_ref()];
    let ways = files.into_iter().flatten().flat_map(|file| [Some(file.clone()), file.canonicalize().ok()]);
    ways.flatten()
        .map(|file| match file.parent() {
            Some(parent) if parent.as_os_str().is_empty() => ".".into(),
            Some(parent) if parent.parent().is_some() => parent.into(),
            _ => file,
        })
        .collect()
}

/// Agrees with a client on keys and on the protocol.
pub(super) async fn handshake(
    stream: Stream,
    config: Arc<ServerConfig>,
) -> io::Result<(Box<TlsStream<Stream>>, Protocol, Option<ClientCertificate>)> {
    let stream = Box::new(TlsAcceptor::from(config).accept(stream).await?);
    let session = stream.get_ref().1;
    let protocol = if session.alpn_protocol() == Some(HTTP2) { Protocol::Http2 } else { Protocol::Http1 };
    let leaf = session.peer_certificates().and_then(|chain| chain.first());
    let client = leaf.map(|leaf| ClientCertificate(Sha256::digest(leaf).into()));
    Ok((stream, protocol, client))
}

/// Tells a client that does not use TLS that it has to.
pub(super) async fn refuse_plain(mut stream: Stream) -> io::Result<()> {
    let text = "This port takes TLS: begin the address with https://\n";
    let answer = format!(
        "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}",
        text.len()
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await?;
    // If the request stayed unread, the kernel would reset the connection, and the client might not see the answer.
    tokio::io::copy(&mut stream.take(UNREAD_BYTES_MAX), &mut tokio::io::sink()).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{super::connection::Connection, *};
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
    use rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::PrivateKeyDer};
    use std::{fs, os::unix::fs::PermissionsExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio_rustls::TlsConnector;

    #[tokio::test]
    async fn a_client_certificate_is_known_by_the_hash_of_its_der() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = |name: &str, text: String| {
            let path = dir.path().join(name);
            fs::write(&path, text).expect("written");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("the test owns it");
            path
        };
        let [ca_key, key] = [(); 2].map(|()| KeyPair::generate().expect("a key"));
        let mut ca = CertificateParams::default();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = ca.self_signed(&ca_key).expect("a certificate");
        let issuer = Issuer::new(ca, ca_key);
        let names = CertificateParams::new(["localhost".to_owned()]).expect("a name");
        let leaf = names.signed_by(&key, &issuer).expect("a certificate");
        let files = TlsFiles {
            cert: file("cert.pem", leaf.pem()),
            key: file("key.pem", key.serialize_pem()),
            client_ca: Some(file("ca.pem", authority.pem())),
        };
        let tls = Tls::open(files).expect("usable");

        let mut roots = RootCertStore::empty();
        roots.add(authority.der().clone()).expect("a certificate");
        let builder = || {
            ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
                .with_safe_default_protocol_versions()
                .expect("versions")
                .with_root_certificates(roots.clone())
        };
        let der = || PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
        let known =
            builder().with_client_auth_cert(vec![leaf.der().clone()], der()).expect("they belong together");
        let hash = ClientCertificate(Sha256::digest(leaf.der()).into());
        for (config, expected) in [(known, Some(hash)), (builder().with_no_client_auth(), None)] {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let client =
                TcpStream::connect(listener.local_addr().expect("an address")).await.expect("it listens");
            let (server, _) = listener.accept().await.expect("a connection");
            let server = Stream::new(server, &Connection::new(None), None);
            let name = "localhost".try_into().expect("a name");
            let connector = TlsConnector::from(Arc::new(config));
            let both =
                tokio::join!(handshake(server, tls.config(Offer::Both)), connector.connect(name, client));
            let (_, protocol, certificate) = both.0.expect("a handshake");
            assert_eq!((protocol, certificate), (Protocol::Http1, expected));
            assert!(both.1.is_ok());
        }
    }

    #[test]
    fn directories_hold_the_files_and_what_they_link_to() {
        let [live, archive] = [(); 2].map(|()| tempfile::tempdir().expect("a directory"));
        let cert = archive.path().join("cert1.pem");
        std::fs::write(&cert, "").expect("written");
        let link = live.path().join("cert.pem");
        std::os::unix::fs::symlink(&cert, &link).expect("a link");
        let files = TlsFiles { cert: link, key: "/key.pem".into(), client_ca: Some("ca.pem".into()) };
        let directories = directories_of(&files);
        let archive = archive.path().canonicalize().expect("it exists");
        for expected in [live.path(), &archive, "/key.pem".as_ref(), ".".as_ref()] {
            assert!(directories.iter().any(|known| known == expected), "{expected:?}: {directories:?}");
        }
        assert!(!directories.contains(&"/".into()));
    }
}
