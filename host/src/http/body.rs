//! Reads the body of a request, with limits on its length, on its time, and on the memory of all bodies together.
//!
//! Invariant: memory is reserved for bytes that have arrived, never for a length that a client claims.

use super::{App, budget::Budget, error::ApiError};
use crate::{lanes::Body, telemetry::metrics::Limit};
use axum::body::HttpBody;
use std::{future::poll_fn, pin::Pin};
use zeroize::Zeroizing;

/// Reads a body to its end.
pub(super) async fn take(app: &App, body: axum::body::Body) -> Result<Body, ApiError> {
    take_after(app, &[], body).await
}

/// Reads a body to its end, and returns it with `head` before it.
pub(super) async fn take_after(app: &App, head: &[u8], mut body: axum::body::Body) -> Result<Body, ApiError> {
    if body.is_end_stream() && head.is_empty() {
        return Ok(Body::default());
    }
    let metrics = app.dispatcher.metrics();
    let read = tokio::time::timeout(app.http.body_timeout, read(app, head, &mut body)).await;
    let result = read.unwrap_or(Err(ApiError::BodyTooSlow));
    match &result {
        Err(ApiError::BodyTooLarge { .. }) => metrics.request_rejected(Limit::BodyBytes),
        Err(ApiError::BodyTooSlow) => metrics.request_rejected(Limit::BodyTimeout),
        _ => {}
    }
    result
}

async fn read(app: &App, head: &[u8], body: &mut axum::body::Body) -> Result<Body, ApiError> {
    let bytes_max = app.http.body_bytes_max;
    if body.size_hint().lower() > bytes_max {
        return Err(ApiError::BodyTooLarge { bytes_max });
    }
    let mut taken = Body::default();
    if !head.is_empty() {
        append(&app.buffered, &mut taken, head, head.len() as u64 + body.size_hint().lower())?;
    }
    while let Some(frame) = poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await {
        let frame = frame.map_err(|_| ApiError::BodyBroken)?;
        let Ok(data) = frame.into_data() else { continue };
        if (taken.bytes.len() - head.len() + data.len()) as u64 > bytes_max {
            return Err(ApiError::BodyTooLarge { bytes_max });
        }
        append(&app.buffered, &mut taken, &data, bytes_max + head.len() as u64)?;
    }
    Ok(taken)
}

/// Appends to a body of at most `bytes_max` bytes without leaving a copy behind. A vector that grows by itself would
/// free its old bytes without overwriting them.
pub(super) fn append(budget: &Budget, body: &mut Body, data: &[u8], bytes_max: u64) -> Result<(), ApiError> {
    let (len, capacity) = (body.bytes.len() + data.len(), body.bytes.capacity());
    if len > capacity {
        let bytes_max = usize::try_from(bytes_max).unwrap_or(usize::MAX);
        let larger = len.max(2 * capacity).min(bytes_max.max(len));
        let share = budget.reserve(larger - capacity)?;
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
