//! Reads the files of a circuit from a multipart body, and writes them to disk while they arrive.
//!
//! Invariant: each part is a file of a kind that the proof system takes, and each kind comes once. A share of the budget
//! is reserved for bytes that have arrived, never for a length that a client claims, and memory holds one piece of each file.

use super::{App, budget::Budget, error::ApiError, metered::Ahead, off_path::off_path};
use crate::{
    circuits::{CatalogueError, Incoming, Received, Refused, Upload},
    config::HttpConfig,
    dispatch::Rejected,
    telemetry::metrics::{Limit, Metrics},
};
use axum::{
    body::HttpBody,
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
    sync::{OwnedSemaphorePermit, watch},
    time::{Instant, timeout_at},
};

/// Length of everything in a multipart body beside the files, in bytes.
pub(super) const ENVELOPE_BYTES_MAX: u64 = 64 << 10;
/// Longest name of a part that is looked for, in characters.
const NAME_CHARS_MAX: usize = 64;

/// What an upload has to keep to.
pub(super) struct Terms<'a> {
    budget: &'a Budget,
    specs: &'a [FileSpec],
    bytes_max: u64,
    /// Within this time, the rate does not matter; nothing may be missing for longer.
    grace: Duration,
    /// In bytes a second.
    rate_min: u64,
    /// True once the server drains.
    draining: watch::Receiver<bool>,
    ahead: Ahead,
}

impl<'a> Terms<'a> {
    pub(super) fn new(app: &'a App, specs: &'a [FileSpec]) -> Self {
        let HttpConfig { upload_bytes_max, upload_rate_min, body_timeout, .. } = app.http;
        Self {
            budget: &app.uploaded,
            specs,
            bytes_max: upload_bytes_max,
            grace: body_timeout,
            rate_min: upload_rate_min,
            draining: app.draining.subscribe(),
            ahead: Ahead::default(),
        }
    }

    /// Opens a multipart body. One that is too long is refused before it is sent, if its length was announced.
    pub(super) async fn open(&self, request: Request) -> Result<Multipart, ApiError> {
        let announced = request.body().size_hint().lower().saturating_sub(ENVELOPE_BYTES_MAX);
        if announced > self.bytes_max {
            return Err(ApiError::UploadTooLarge { bytes_max: self.bytes_max });
        }
        self.budget.check(announced)?;
        let request = request.map(|body| self.ahead.meter(body));
        Multipart::from_request(request, &()).await.map_err(|_| {
            let kinds = self.specs.iter().map(|spec| spec.kind.as_str());
            ApiError::NotMultipart { parts: kinds.map(str::to_owned).collect() }
        })
    }
}

/// An upload on its way.
struct Reading<'a> {
    terms: Terms<'a>,
    /// When it began, later by the time for which the disk was waited for.
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
    terms: Terms<'_>,
    receive: impl Fn() -> Result<Incoming, Refused> + Clone + Send + 'static,
    mut parts: Multipart,
) -> Result<(Upload, Vec<OwnedSemaphorePermit>), ApiError> {
    let mut reading = Reading { terms, begun: Instant::now(), bytes: 0, shares: Vec::new() };
    let mut upload = Upload::default();
    match reading.files(&mut upload, receive, &mut parts).await {
        Ok(()) => Ok((upload, reading.shares)),
        Err(error) => {
            // Removing large files takes a while, and they count until they are gone.
            let shares = reading.shares;
            let _ = off_path(move || drop((upload, shares))).await;
            Err(error)
        }
    }
}

impl Reading<'_> {
    async fn files(
        &mut self,
        upload: &mut Upload,
        receive: impl Fn() -> Result<Incoming, Refused> + Clone + Send + 'static,
        parts: &mut Multipart,
    ) -> Result<(), ApiError> {
        while let Some(field) = self.in_time(parts.next_field()).await? {
            let name: String = field.name().unwrap_or_default().chars().take(NAME_CHARS_MAX).collect();
            let spec = find_spec(self.terms.specs, &name);
            let spec = spec.map_err(|error| ApiError::BadUpload(error.to_string()))?;
            let received = self.file(receive.clone(), field).await?;
            if !upload.insert(spec.kind.clone(), received).map_err(failed)? {
                return Err(ApiError::BadUpload(format!("part `{name}` comes twice")));
            }
        }
        Ok(())
    }

    /// Reads a file. No thread is held while its next piece is on its way, however many clients send one.
    async fn file(
        &mut self,
        receive: impl Fn() -> Result<Incoming, Refused> + Send + 'static,
        mut field: Field<'_>,
    ) -> Result<Received, ApiError> {
        let mut incoming = off_path(receive).await??;
        while let Some(piece) = self.in_time(field.chunk()).await? {
            self.take(piece.len())?;
            let waits = Instant::now();
            let write = move || incoming.append(&piece).map(|()| incoming);
            incoming = off_path(write).await?.map_err(failed)?;
            self.begun += waits.elapsed();
        }
        Ok(incoming.end())
    }

    /// Waits for the next part or piece, at most until the mean rate is too low.
    async fn in_time<T>(
        &mut self,
        next: impl Future<Output = Result<T, MultipartError>>,
    ) -> Result<T, ApiError> {
        let Terms { budget, bytes_max, grace, rate_min, .. } = self.terms;
        // What came fast does not buy a pause.
        let end = self.begun + grace + Duration::from_secs(self.bytes / rate_min);
        let end = end.min(Instant::now() + grace);
        tokio::select! {
            next = timeout_at(end, next) => match next {
                Ok(next) => next.map_err(|error| broken(&error, &self.terms.ahead, bytes_max)),
                Err(_) => {
                    budget.count(Limit::UploadRate);
                    Err(ApiError::UploadTooSlow { rate_min })
                }
            },
            _ = self.terms.draining.wait_for(|draining| *draining) => Err(ApiError::Rejected(Rejected::Draining)),
        }
    }

    /// Reserves a share for a piece that has arrived.
    fn take(&mut self, bytes: usize) -> Result<(), ApiError> {
        self.terms.ahead.delivered(bytes);
        self.bytes += bytes as u64;
        let Terms { budget, bytes_max, .. } = self.terms;
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

fn broken(error: &MultipartError, ahead: &Ahead, bytes_max: u64) -> ApiError {
    if ahead.is_exceeded() {
        let reason = "the body has too much beside its files: its parts begin with the boundary that its Content-Type names";
        return ApiError::BadUpload(reason.into());
    }
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
    let (_drain, draining) = watch::channel(false);
    let terms = Terms {
        budget: &budget,
        specs,
        bytes_max,
        grace: Duration::from_hours(1),
        rate_min: bytes_max.max(1),
        draining,
        ahead: Ahead::default(),
    };
    let request = Request::post("/")
        .header(header::CONTENT_TYPE, format!("multipart/form-data; boundary={boundary}"))
        .body(axum::body::Body::from(body.to_vec()))
        .map_err(|_| ApiError::NotMultipart { parts: Vec::new() }.code())?;
    let dir = Arc::clone(dir);
    let read = async {
        let parts = terms.open(request).await.map_err(|error| error.code())?;
        let receive = move || Ok(Incoming::new(&dir).map_err(CatalogueError::from)?);
        let (upload, _shares) = read(terms, receive, parts).await.map_err(|error| error.code())?;
        Ok(upload)
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    runtime.map_err(|_| "lost")?.block_on(read)
}
