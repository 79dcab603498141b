//! Opens a connection: finds out what its client speaks, agrees on keys, and serves it.
//!
//! Invariant: until its first request begins, a connection waits for one: it can lose its place, and within twice
//! `http.header_timeout` it has a whole head or is closed.

use super::{
    App,
    connection::Connection,
    http1, http2,
    occupancy::Access,
    protocol::Protocol,
    requests::{Peer, Requests},
    stream::Stream,
    tls::{ClientCertificate, Offer, Tls, handshake, refuse_plain},
};
use crate::telemetry::metrics::Limit;
use hyper_util::service::TowerToHyperService;
use std::{io, sync::Arc};
use tokio::{net::TcpStream, sync::watch};
use tokio_rustls::server::TlsStream;

/// A connection whose protocol is known.
enum Opened {
    Plain(Stream, Protocol),
    Encrypted(Box<TlsStream<Stream>>, Protocol, Option<ClientCertificate>),
    /// It ended before its first request.
    Ended,
}

/// Serves one connection to its end.
pub(super) async fn serve(
    app: &Arc<App>,
    router: axum::Router,
    stream: TcpStream,
    peer: Peer,
    connection: Arc<Connection>,
    tls: Option<&Tls>,
    draining: watch::Receiver<bool>,
) {
    let stream = Stream::new(stream, &connection, app.http.send_rate_min);
    let is_probe = connection.place.as_ref().is_some_and(|place| place.access() == Access::Probes);
    // A probe is one request, after which HTTP/1.1 closes the connection.
    let offer = if is_probe { Offer::Http1 } else { Offer::Both };
    let opened = tokio::select! {
        opened = tokio::time::timeout(app.http.header_timeout, open(stream, tls, offer)) => opened,
        () = connection.must_close() => return,
    };
    let requests = |certificate| Requests {
        app: Arc::clone(app),
        router: TowerToHyperService::new(router),
        peer,
        certificate,
        connection: Arc::clone(&connection),
    };
    match opened {
        Ok(Ok(Opened::Plain(_, Protocol::Http2))) if is_probe => {
            app.dispatcher.metrics().request_rejected(Limit::Connections);
        }
        Ok(Ok(Opened::Plain(stream, Protocol::Http2))) => {
            http2::serve(stream, requests(None), draining).await
        }
        Ok(Ok(Opened::Plain(stream, _))) => http1::serve(stream, requests(None), draining).await,
        Ok(Ok(Opened::Encrypted(stream, Protocol::Http2, certificate))) => {
            http2::serve(stream, requests(certificate), draining).await;
        }
        Ok(Ok(Opened::Encrypted(stream, _, certificate))) => {
            http1::serve(stream, requests(certificate), draining).await;
        }
        Ok(Ok(Opened::Ended)) => {}
        Ok(Err(error)) => not_opened(app, tls, &error),
        Err(late) => not_opened(app, tls, &late),
    }
}

fn not_opened(app: &App, tls: Option<&Tls>, error: &dyn std::error::Error) {
    if tls.is_some() {
        app.dispatcher.metrics().handshake_failed();
    }
    tracing::debug!(%error, "a connection was not opened");
}

async fn open(mut stream: Stream, tls: Option<&Tls>, offer: Offer) -> io::Result<Opened> {
    match (stream.protocol().await?, tls) {
        (None, _) => Ok(Opened::Ended),
        (Some(protocol), None) => Ok(Opened::Plain(stream, protocol)),
        (Some(Protocol::Tls), Some(tls)) => {
            let (stream, protocol, certificate) = handshake(stream, tls.config(offer)).await?;
            Ok(Opened::Encrypted(stream, protocol, certificate))
        }
        (Some(_), Some(_)) => refuse_plain(stream).await.map(|()| Opened::Ended),
    }
}
