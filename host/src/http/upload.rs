//! Reads the files of a circuit from a multipart body.
//!
//! Invariant: each part is a file of a kind that the proof system takes, each kind comes once, and memory is reserved for
//! bytes that have arrived, never for a length that a client claims.

use super::{body, budget::Budget, error::ApiError};
use crate::{lanes::Body, telemetry::metrics::Metrics};
use axum::{
    extract::{
        FromRequest, Multipart, Request,
        multipart::{Field, MultipartError},
    },
    http::{StatusCode, header},
};
use futures_util::FutureExt;
use snapback_snapshot::proof_systems::{CircuitFiles, FileSpec, find_spec};
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;

/// Reads the parts of an upload of at most `bytes_max` bytes. Returns the files with their share of the budget for bytes
/// in memory.
///
/// # Errors
/// Returns an error if a part is no file that the specs name, comes twice, is too large, or does not arrive.
pub(super) async fn read(
    budget: &Budget,
    bytes_max: u64,
    specs: &[FileSpec],
    mut parts: Multipart,
) -> Result<(CircuitFiles, Vec<OwnedSemaphorePermit>), ApiError> {
    let mut files = CircuitFiles::default();
    let mut shares = Vec::new();
    let mut left = bytes_max;
    while let Some(field) = parts.next_field().await.map_err(|error| broken(&error, bytes_max))? {
        let name = field.name().unwrap_or_default().to_owned();
        let spec = find_spec(specs, &name).map_err(|error| ApiError::BadUpload(error.to_string()))?;
        let mut file = bytes(budget, field, &mut left, bytes_max).await?;
        shares.extend(file.share.take());
        if !files.insert(spec.kind.clone(), std::mem::take(&mut *file.bytes)) {
            return Err(ApiError::BadUpload(format!("part `{name}` comes twice")));
        }
    }
    Ok((files, shares))
}

async fn bytes(
    budget: &Budget,
    mut field: Field<'_>,
    left: &mut u64,
    bytes_max: u64,
) -> Result<Body, ApiError> {
    let mut bytes = Body::default();
    while let Some(chunk) = field.chunk().await.map_err(|error| broken(&error, bytes_max))? {
        *left = left.checked_sub(chunk.len() as u64).ok_or(ApiError::UploadTooLarge { bytes_max })?;
        body::append(budget, &mut bytes, &chunk, bytes_max)?;
    }
    Ok(bytes)
}

fn broken(error: &MultipartError, bytes_max: u64) -> ApiError {
    if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
        return ApiError::UploadTooLarge { bytes_max };
    }
    ApiError::BadUpload(error.body_text())
}

/// Reads a multipart body that has arrived, whose parts are separated by `boundary`, as the server reads an upload of at
/// most `bytes_max` bytes.
///
/// # Errors
/// Returns the code of the error that the client would see.
pub fn parse_upload(
    body: &[u8],
    boundary: &str,
    specs: &[FileSpec],
    bytes_max: u64,
) -> Result<CircuitFiles, &'static str> {
    let budget = Budget::new(bytes_max.saturating_mul(2), &Arc::new(Metrics::default()));
    let no_multipart = ApiError::NotMultipart { parts: Vec::new() }.code();
    let request = Request::post("/")
        .header(header::CONTENT_TYPE, format!("multipart/form-data; boundary={boundary}"))
        .body(axum::body::Body::from(body.to_vec()))
        .map_err(|_| no_multipart)?;
    let read = async {
        let parts = Multipart::from_request(request, &()).await.map_err(|_| no_multipart)?;
        read(&budget, bytes_max, specs, parts).await.map_err(|error| error.code())
    };
    let (files, _shares) = read.now_or_never().expect("all of the body is there")?;
    Ok(files)
}
