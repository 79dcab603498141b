//! Reads the files of a circuit from a multipart body, and writes them to disk while they arrive.
//!
//! Invariant: each part is a file of a kind that the proof system takes, and each kind comes once. A share of the budget
//! is reserved for bytes that have arrived, never for a length that a client claims, and memory holds a few pieces of each
//! file.

use super::{budget::Budget, error::ApiError, off_path::off_path};
use crate::{
    circuits::{CatalogueError, Incoming, Received, Refused, Upload},
    config::HttpConfig,
    telemetry::metrics::{Limit, Metrics},
};
use axum::{
    body::Bytes,
    extract::{
        FromRequest, Multipart, Request,
        multipart::{Field, MultipartError},
    },
    http::{StatusCode, header},
};
use snapback_snapshot::{
    Dir, Error,
    proof_systems::{FileSpec, find_spec},
};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc},
    time::{Instant, timeout_at},
};

/// Pieces of a file that wait to be written.
const PIECES_MAX: usize = 4;

/// What an upload has to keep to.
pub(super) struct Terms<'a> {
    budget: &'a Budget,
    specs: &'a [FileSpec],
    bytes_max: u64,
    /// Within this time, the rate does not matter.
    grace: Duration,
    /// In bytes a second.
    rate_min: u64,
}

impl<'a> Terms<'a> {
    pub(super) fn new(budget: &'a Budget, http: &HttpConfig, specs: &'a [FileSpec]) -> Self {
        let &HttpConfig { upload_bytes_max, upload_rate_min, body_timeout, .. } = http;
        Self { budget, specs, bytes_max: upload_bytes_max, grace: body_timeout, rate_min: upload_rate_min }
    }
}

/// An upload on its way.
struct Reading<'a> {
    terms: &'a Terms<'a>,
    begun: Instant,
    bytes: u64,
    shares: Vec<OwnedSemaphorePermit>,
}

/// Reads the parts of an upload. `receive` returns an empty file on disk. Returns the files with their share of the budget.
///
/// # Errors
/// Returns an error if a part is no file that the specs name, comes twice, is too large, comes too slowly, does not arrive,
/// or cannot be written.
pub(super) async fn read(
    terms: &Terms<'_>,
    receive: impl Fn() -> Result<Incoming, Refused> + Clone + Send + 'static,
    mut parts: Multipart,
) -> Result<(Upload, Vec<OwnedSemaphorePermit>), ApiError> {
    let mut reading = Reading { terms, begun: Instant::now(), bytes: 0, shares: Vec::new() };
    let mut upload = Upload::default();
    while let Some(field) = reading.in_time(parts.next_field()).await? {
        let name = field.name().unwrap_or_default().to_owned();
        let spec = find_spec(terms.specs, &name).map_err(|error| ApiError::BadUpload(error.to_string()))?;
        let received = reading.file(receive.clone(), field).await?;
        if !upload.insert(spec.kind.clone(), received).map_err(failed)? {
            return Err(ApiError::BadUpload(format!("part `{name}` comes twice")));
        }
    }
    Ok((upload, reading.shares))
}

impl Reading<'_> {
    /// Reads a file, which a thread of its own writes.
    async fn file(
        &mut self,
        receive: impl Fn() -> Result<Incoming, Refused> + Send + 'static,
        mut field: Field<'_>,
    ) -> Result<Received, ApiError> {
        let (sender, mut pieces) = mpsc::channel::<Bytes>(PIECES_MAX);
        let write = off_path(move || {
            let mut incoming = receive()?;
            while let Some(piece) = pieces.blocking_recv() {
                incoming.append(&piece).map_err(CatalogueError::from)?;
            }
            Ok::<_, Refused>(incoming.end())
        });
        let send = async {
            while let Some(piece) = self.in_time(field.chunk()).await? {
                self.take(piece.len())?;
                if sender.send(piece).await.is_err() {
                    // The writer failed, and says why.
                    break;
                }
            }
            drop(sender);
            Ok::<_, ApiError>(())
        };
        // Ends early if the client fails: the writer then ends by itself, and its file goes.
        let (written, ()) = tokio::try_join!(write, send)?;
        Ok(written?)
    }

    /// Waits for the next part or piece, at most until the mean rate is too low.
    async fn in_time<T>(&self, next: impl Future<Output = Result<T, MultipartError>>) -> Result<T, ApiError> {
        let Terms { budget, bytes_max, grace, rate_min, .. } = *self.terms;
        let end = self.begun + grace + Duration::from_secs(self.bytes / rate_min);
        match timeout_at(end, next).await {
            Ok(next) => next.map_err(|error| broken(&error, bytes_max)),
            Err(_) => {
                budget.count(Limit::UploadRate);
                Err(ApiError::UploadTooSlow { rate_min })
            }
        }
    }

    /// Reserves a share for a piece that has arrived.
    fn take(&mut self, bytes: usize) -> Result<(), ApiError> {
        self.bytes += bytes as u64;
        let Terms { budget, bytes_max, .. } = *self.terms;
        if self.bytes > bytes_max {
            return Err(ApiError::UploadTooLarge { bytes_max });
        }
        let share = budget.reserve(bytes)?;
        match self.shares.last_mut() {
            // One permit counts up to 2^32 - 1.
            Some(last) if last.num_permits() < 1 << 30 => last.merge(share),
            _ => self.shares.push(share),
        }
        Ok(())
    }
}

/// Returns the error of a file that cannot be read or written.
fn failed(error: Error) -> ApiError {
    Refused::from(CatalogueError::from(error)).into()
}

fn broken(error: &MultipartError, bytes_max: u64) -> ApiError {
    if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
        return ApiError::UploadTooLarge { bytes_max };
    }
    ApiError::BadUpload(error.body_text())
}

/// Reads a multipart body that has arrived, whose parts are separated by `boundary`, as the server reads an upload of at
/// most `bytes_max` bytes into a directory.
///
/// # Errors
/// Returns the code of the error that the client would see.
pub fn parse_upload(
    body: &[u8],
    boundary: &str,
    specs: &[FileSpec],
    bytes_max: u64,
    dir: &Arc<Dir>,
) -> Result<Upload, &'static str> {
    let budget = Budget::new(bytes_max, Limit::UploadBytes, &Arc::new(Metrics::default()));
    let terms = Terms {
        budget: &budget,
        specs,
        bytes_max,
        grace: Duration::from_hours(1),
        rate_min: bytes_max.max(1),
    };
    let no_multipart = ApiError::NotMultipart { parts: Vec::new() }.code();
    let request = Request::post("/")
        .header(header::CONTENT_TYPE, format!("multipart/form-data; boundary={boundary}"))
        .body(axum::body::Body::from(body.to_vec()))
        .map_err(|_| no_multipart)?;
    let dir = Arc::clone(dir);
    let read = async {
        let parts = Multipart::from_request(request, &()).await.map_err(|_| no_multipart)?;
        let receive = move || Ok(Incoming::new(&dir).map_err(CatalogueError::from)?);
        let (upload, _shares) = read(&terms, receive, parts).await.map_err(|error| error.code())?;
        Ok(upload)
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    runtime.map_err(|_| "lost")?.block_on(read)
}
