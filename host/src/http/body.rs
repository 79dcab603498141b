//! Takes a request's body in: bounded in length, in time, and in what all bodies together may hold.
//!
//! Invariant: memory is reserved for bytes that came, never for a length that a client claims.

use super::{App, error::ApiError};
use crate::metrics::Limit;
use axum::body::{Body, HttpBody};
use std::{future::poll_fn, pin::Pin};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use zeroize::Zeroizing;

/// A body, and its share of `http.buffered_bytes_max`; both are given back when it is dropped.
pub(crate) struct Taken {
    pub(crate) bytes: Zeroizing<Vec<u8>>,
    pub(crate) share: Option<OwnedSemaphorePermit>,
}

/// Reads a body to its end.
pub(crate) async fn take(app: &App, mut body: Body) -> Result<Taken, ApiError> {
    let metrics = app.dispatcher.metrics();
    let read = tokio::time::timeout(app.http.body_timeout, read(app, &mut body)).await;
    let result = read.unwrap_or(Err(ApiError::BodyTooSlow));
    match &result {
        Err(ApiError::BodyTooLarge { .. }) => metrics.rejected(Limit::BodyBytes),
        Err(ApiError::Overloaded) => metrics.rejected(Limit::BufferedBytes),
        Err(ApiError::BodyTooSlow) => metrics.rejected(Limit::BodyTimeout),
        _ => {}
    }
    result
}

async fn read(app: &App, body: &mut Body) -> Result<Taken, ApiError> {
    let bytes_max = app.http.body_bytes_max;
    if body.size_hint().lower() > bytes_max {
        return Err(ApiError::BodyTooLarge { bytes_max });
    }
    let mut taken = Taken { bytes: Zeroizing::new(Vec::new()), share: None };
    while let Some(frame) = poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await {
        let frame = frame.map_err(|_| ApiError::BodyBroken)?;
        let Ok(data) = frame.into_data() else { continue };
        if (taken.bytes.len() + data.len()) as u64 > bytes_max {
            return Err(ApiError::BodyTooLarge { bytes_max });
        }
        let share = reserve(&app.buffered, data.len())?;
        match &mut taken.share {
            Some(whole) => whole.merge(share),
            None => taken.share = Some(share),
        }
        append(&mut taken.bytes, &data);
    }
    Ok(taken)
}

fn reserve(buffered: &std::sync::Arc<Semaphore>, bytes: usize) -> Result<OwnedSemaphorePermit, ApiError> {
    let bytes = u32::try_from(bytes).map_err(|_| ApiError::Overloaded)?;
    std::sync::Arc::clone(buffered).try_acquire_many_owned(bytes).map_err(|_| ApiError::Overloaded)
}

/// Appends without leaving a copy behind: a vector that grows on its own frees its old bytes as they are.
fn append(bytes: &mut Zeroizing<Vec<u8>>, data: &[u8]) {
    if bytes.capacity() - bytes.len() < data.len() {
        let mut larger =
            Zeroizing::new(Vec::with_capacity((bytes.len() + data.len()).max(2 * bytes.capacity())));
        larger.extend_from_slice(bytes);
        *bytes = larger;
    }
    bytes.extend_from_slice(data);
}
