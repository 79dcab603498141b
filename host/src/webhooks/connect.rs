//! Connections to addresses that were checked, with TLS where the URL asks for it.
//!
//! Invariant: the connection goes to one of the addresses that are given; the name of the host is only what its
//! certificate has to be for.

use super::attempt::SendError;
use crate::jobs::{Callback, CallbackHost, CallbackScheme};
use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, ServerName},
    },
};

/// Addresses of one host that are tried.
const ADDRESSES_TRIED: usize = 4;
/// How long one address may take to answer, if others follow.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// A connection, encrypted or not.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// Opens connections.
pub(super) struct Connect {
    tls: TlsConnector,
}

impl Connect {
    /// Trusts the certification authorities of Mozilla's programme, and the given ones. Those that cannot be read are
    /// counted in the error.
    pub(super) fn new(further: Vec<CertificateDer<'static>>) -> Result<Self, usize> {
        let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        let (_, refused) = roots.add_parsable_certificates(further);
        if refused > 0 {
            return Err(refused);
        }
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider has the suites of TLS 1.2 and 1.3");
        let mut config = config.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { tls: TlsConnector::from(Arc::new(config)) })
    }

    /// Connects to the first of the addresses that answers.
    pub(super) async fn open(
        &self,
        callback: &Callback,
        addresses: &[IpAddr],
    ) -> Result<Box<dyn Stream>, SendError> {
        let mut opened = Err(SendError::Connect);
        for address in addresses.iter().take(ADDRESSES_TRIED) {
            let address = SocketAddr::new(*address, callback.port());
            opened = match timeout(CONNECT_MAX, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => Ok(stream),
                Ok(Err(_)) | Err(_) => Err(SendError::Connect),
            };
            if opened.is_ok() {
                break;
            }
        }
        let stream = opened?;
        if callback.scheme() == CallbackScheme::Http {
            return Ok(Box::new(stream));
        }
        let name = match callback.host() {
            CallbackHost::Name(name) => ServerName::try_from(name.clone()).map_err(|_| SendError::Tls)?,
            CallbackHost::Address(address) => ServerName::from(*address),
        };
        let stream = self.tls.connect(name, stream).await.map_err(|error| {
            tracing::debug!(%error, "TLS with the receiver of a webhook");
            SendError::Tls
        })?;
        Ok(Box::new(stream))
    }
}
