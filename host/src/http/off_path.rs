//! Work off the runtime's threads.

use super::error::ApiError;

/// Runs work that waits for disks or locks, or computes, on a thread of its own.
pub(super) async fn off_path<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ApiError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| ApiError::Lost)
}
