//! Reads the body of a request, with limits on its length, on its time, and on the memory of all bodies together.
//!
//! Invariant: memory is reserved for bytes that have arrived, never for a length that a client claims.

use super::{App, error::ApiError};
use crate::{lanes::Body, telemetry::metrics::Limit};
use axum::body::HttpBody;
use std::{future::poll_fn, pin::Pin};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use zeroize::Zeroizing;

/// Reads a body to its end.
pub(super) async fn take(app: &App, mut body: axum::body::Body) -> Result<Body, ApiError> {
    let metrics = app.dispatcher.metrics();
    let read = tokio::time::timeout(app.http.body_timeout, read(app, &mut body)).await;
    let result = read.unwrap_or(Err(ApiError::BodyTooSlow));
    match &result {
        Err(ApiError::BodyTooLarge { .. }) => metrics.request_rejected(Limit::BodyBytes),
        Err(ApiError::Overloaded) => metrics.request_rejected(Limit::BufferedBytes),
        Err(ApiError::BodyTooSlow) => metrics.request_rejected(Limit::BodyTimeout),
        _ => {}
    }
    result
}

async fn read(app: &App, body: &mut axum::body::Body) -> Result<Body, ApiError> {
    let bytes_max = app.http.body_bytes_max;
    if body.size_hint().lower() > bytes_max {
        return Err(ApiError::BodyTooLarge { bytes_max });
    }
    let mut taken = Body::default();
    while let Some(frame) = poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await {
        let frame = frame.map_err(|_| ApiError::BodyBroken)?;
        let Ok(data) = frame.into_data() else { continue };
        if (taken.bytes.len() + data.len()) as u64 > bytes_max {
            return Err(ApiError::BodyTooLarge { bytes_max });
        }
        append(app, &mut taken, &data)?;
    }
    Ok(taken)
}

fn reserve(buffered: &std::sync::Arc<Semaphore>, bytes: usize) -> Result<OwnedSemaphorePermit, ApiError> {
    let bytes = u32::try_from(bytes).map_err(|_| ApiError::Overloaded)?;
    std::sync::Arc::clone(buffered).try_acquire_many_owned(bytes).map_err(|_| ApiError::Overloaded)
}

/// Appends without leaving a copy behind. A vector that grows by itself would free its old bytes without overwriting
/// them.
fn append(app: &App, body: &mut Body, data: &[u8]) -> Result<(), ApiError> {
    let (len, capacity) = (body.bytes.len() + data.len(), body.bytes.capacity());
    if len > capacity {
        let bytes_max = usize::try_from(app.http.body_bytes_max).unwrap_or(usize::MAX);
        let larger = len.max(2 * capacity).min(bytes_max.max(len));
        let share = reserve(&app.buffered, larger - capacity)?;
        match &mut body.share {
            Some(whole) => whole.merge(share),
            None => body.share = Some(share),
        }
        let mut bytes = Zeroizing::new(Vec::with_capacity(larger));
        bytes.extend_from_slice(&body.bytes);
        body.bytes = bytes;
    }
    body.bytes.extend_from_slice(data);
    Ok(())
}
