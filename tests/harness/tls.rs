//! Certificates that tests make, and clients that know them.

use crate::harness::{Answer, Server, snapback, state_with};
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, date_time_ymd,
};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};
use tempfile::TempDir;

/// An authority.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) pem: String,
}

/// A certificate and its key, as PEM.
pub(crate) struct Identity {
    pub(crate) cert: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// A certificate of localhost that expires at the beginning of a year.
    pub(crate) fn server(&self, year: i32) -> Identity {
        self.sign(ExtendedKeyUsagePurpose::ServerAuth, year)
    }

    pub(crate) fn client(&self) -> Identity {
        self.sign(ExtendedKeyUsagePurpose::ClientAuth, 4000)
    }

    fn sign(&self, usage: ExtendedKeyUsagePurpose, year: i32) -> Identity {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(["localhost".to_owned()]).expect("a name");
        params.extended_key_usages = vec![usage];
        params.not_after = date_time_ymd(year, 1, 1);
        let cert = params.signed_by(&key, &self.issuer).expect("a certificate").pem();
        Identity { cert, key: key.serialize_pem() }
    }

    /// What a client knows that trusts this authority, and that may present a certificate.
    pub(crate) fn client_config(&self, client: Option<&Identity>, protocols: &[&[u8]]) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(der(&self.pem)).expect("a certificate");
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots);
        let mut config = match client {
            None => builder.with_no_client_auth(),
            Some(Identity { cert, key }) => {
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("a key");
                builder.with_client_auth_cert(vec![der(cert)], key).expect("they belong together")
            }
        };
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        config
    }

    /// A client over HTTP/1.1 that trusts this authority.
    pub(crate) fn agent(&self) -> ureq::Agent {
        use ureq::tls::{Certificate, RootCerts, TlsConfig};
        let root = Certificate::from_pem(self.pem.as_bytes()).expect("a certificate");
        let tls = TlsConfig::builder().root_certs(RootCerts::new_with_certs(&[root])).build();
        ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_idle_connections(0)
            .tls_config(tls)
            .build()
            .into()
    }
}

/// A certificate in PEM as DER.
pub(crate) fn der(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).expect("a certificate")
}

/// A server with TLS, its authority, and the directory of its files.
pub(crate) struct Secure {
    pub(crate) server: Server,
    pub(crate) authority: Authority,
    pub(crate) dir: TempDir,
    agent: ureq::Agent,
}

impl Secure {
    /// Starts a server of the fixtures. Clients may present certificates of its own authority.
    pub(crate) fn start(args: &[&str]) -> Self {
        let (dir, authority) = (tempfile::tempdir().expect("a directory"), Authority::new());
        install(&dir, &authority.server(2300));
        let ca = dir.path().join("ca.pem");
        fs::write(&ca, &authority.pem).expect("written");
        let server = Server::of(serve(dir.path()).arg("--tls-client-ca").arg(ca).args(args));
        let agent = authority.agent();
        Self { server, authority, dir, agent }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.server.address.port())
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        Answer::to(self.agent.get(self.url(path)).call().expect("an answer"))
    }

    pub(crate) fn post(&self, path: &str, body: &[u8]) -> Answer {
        Answer::to(self.agent.post(self.url(path)).send(body).expect("an answer"))
    }

    pub(crate) fn metric(&self, name: &str) -> f64 {
        self.get("/metrics").metric(name)
    }
}

/// A command that serves the fixtures with the files that [`install`] has written.
pub(crate) fn serve(dir: &Path) -> std::process::Command {
    let mut command = snapback();
    command.args(["serve", "fixtures", "--state-dir"]).arg(state_with("fixtures"));
    command.arg("--tls-cert").arg(dir.join("cert.pem")).arg("--tls-key").arg(dir.join("key.pem"));
    command
}

/// Puts a certificate and its key into a directory, as programs that renew certificates do: each file at once.
pub(crate) fn install(dir: &TempDir, identity: &Identity) {
    replace(dir.path().join("cert.pem"), &identity.cert);
    replace(dir.path().join("key.pem"), &identity.key);
}

/// Replaces a file by another one.
pub(crate) fn replace(path: PathBuf, text: &str) {
    let new = path.with_extension("new");
    fs::write(&new, text).expect("written");
    fs::set_permissions(&new, fs::Permissions::from_mode(0o600)).expect("the test owns it");
    fs::rename(new, path).expect("renamed");
}
