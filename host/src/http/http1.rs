//! Serves a connection over HTTP/1.1.
//!
//! Invariant: a connection is closed between two requests only, unless its client takes too long.

use super::{guarded::Guarded, requests::Requests};
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{convert::Infallible, pin::pin};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::watch,
};

/// Longest head of a request, and largest piece in which a body is read, in bytes.
pub(super) const HEAD_BYTES_MAX: usize = 64 << 10;

/// Serves the requests of one connection.
pub(super) async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    requests: Requests,
    mut draining: watch::Receiver<bool>,
) {
    let connection = &requests.connection;
    let service = service_fn(|request| {
        let answer = requests.answer(request);
        async move {
            let (response, answered) = answer.await;
            Ok::<_, Infallible>(response.map(|body| Guarded::new(body, answered)))
        }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(requests.app.http.header_timeout)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let mut served = pin!(served);
    // An accepted connection has a request on its way. Closing it before that came would lose the request;
    // `http.header_timeout` bounds the wait.
    let may_close = async {
        let _ = draining.wait_for(|draining| *draining).await;
        connection.begun().await;
    };
    let ended = tokio::select! {
        ended = served.as_mut() => ended,
        () = may_close => {
            served.as_mut().graceful_shutdown();
            served.await
        }
        () = connection.must_close() => {
            if !connection.is_refusing() {
                return;
            }
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}
