//! Serves a connection over HTTP/2.
//!
//! Bounds beside those of every connection: `http.streams_max` requests at once, [`WINDOW_BYTES`] of bodies that nobody
//! has read yet, and what `h2` bounds by itself: frames of settings, pings and continuations, and streams that are opened
//! and reset at once.
//!
//! Invariant: a connection is closed only while no request is under way, unless its client takes too little of a reply or
//! does not answer a ping.

use super::{http1::HEAD_BYTES_MAX, pieces::Replies, requests::Requests, stream::Pace};
use hyper::{server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::{convert::Infallible, pin::pin, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::watch,
    time::{Instant, MissedTickBehavior, interval_at, sleep, timeout},
};

/// What clients may send of all bodies of a connection before it is read. It is not part of `http.buffered_bytes_max`.
const WINDOW_BYTES: u32 = 256 << 10;
/// How often a client with a request under way is pinged, and the least time that it has to answer.
const PING: Duration = Duration::from_secs(30);
/// How long refusals of requests that came while a connection was being closed may take.
const CLOSING: Duration = Duration::from_secs(1);

/// A time that does not come: no connection lasts so long.
const NEVER: Duration = Duration::from_secs(u32::MAX as u64);

/// Serves the requests of one connection.
pub(super) async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    requests: Requests,
    mut draining: watch::Receiver<bool>,
) {
    let (http, connection) = (requests.app.http.clone(), Arc::clone(&requests.connection));
    let pace = http.send_rate_min.map(Pace::new);
    let replies = Arc::new(Replies::default());
    let service = {
        let replies = Arc::clone(&replies);
        service_fn(move |request| {
            let (answer, replies) = (requests.answer(request), Arc::clone(&replies));
            async move {
                let (response, answered) = answer.await;
                Ok::<_, Infallible>(response.map(|body| replies.begin(body, answered)))
            }
        })
    };
    let served = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(http.streams_max)
        .max_header_list_size(HEAD_BYTES_MAX as u32)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        // A client that takes its replies slowly may take as long for what is sent before its answer to a ping.
        .keep_alive_interval(pace.map(|_| PING))
        .keep_alive_timeout(pace.map_or(PING, |pace| PING.max(2 * pace.window)))
        .serve_connection(TokioIo::new(stream), service);
    let mut served = pin!(served);

    let mut idle_checks = checks(http.header_timeout);
    let mut idle_after = Some(0);
    let mut pace_checks = checks(pace.map_or(NEVER, |pace| pace.window));
    // As over HTTP/1.1, an accepted connection has a request on its way.
    let mut may_close = pin!(async {
        let _ = draining.wait_for(|draining| *draining).await;
        connection.begun().await;
    });
    let mut last_call = pin!(sleep(NEVER));
    let mut closes = Closes::Not;
    loop {
        tokio::select! {
            ended = served.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "a connection ended early");
                }
                return;
            }
            () = &mut may_close, if closes == Closes::Not => {
                closes = Closes::ForDrain;
                served.as_mut().graceful_shutdown();
                last_call.as_mut().reset(Instant::now() + http.header_timeout);
            }
            () = connection.must_close(), if closes != Closes::ForRoom => {
                closes = Closes::ForRoom;
                served.as_mut().graceful_shutdown();
                // The client is told, and perhaps it has sent a request meanwhile.
                if timeout(Duration::ZERO, served.as_mut()).await.is_ok() || !connection.is_refusing() {
                    return;
                }
                last_call.as_mut().reset(Instant::now() + CLOSING);
            }
            () = last_call.as_mut(), if closes != Closes::Not => match closes {
                Closes::ForRoom => return,
                // A client that goes on with new requests would hold the drain up.
                _ => {
                    connection.take_no_more();
                    last_call.as_mut().reset(Instant::now() + NEVER);
                }
            },
            // The connection's task goes on, and notices that all was handed to the kernel.
            () = connection.settled() => {}
            _ = idle_checks.tick() => {
                let idle_now = connection.idle_after();
                if idle_now.is_some() && idle_now == idle_after {
                    served.as_mut().graceful_shutdown();
                    let _ = timeout(Duration::ZERO, served).await;
                    return;
                }
                idle_after = idle_now;
            }
            _ = pace_checks.tick() => {
                if pace.is_some_and(|pace| replies.are_too_slow(pace)) {
                    tracing::debug!("a connection ended early: its client takes too little of a reply");
                    return;
                }
            }
        }
    }
}

/// Whether a connection is being closed, and why.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Closes {
    Not,
    ForDrain,
    ForRoom,
}

/// Ticks once in each period, for the first time after one.
fn checks(period: Duration) -> tokio::time::Interval {
    let mut checks = interval_at(Instant::now() + period, period);
    checks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    checks
}
