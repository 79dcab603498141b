//! Replies on their way to clients.
//!
//! A client may take its reply slowly. Until it has it, the reply is in memory, and counts like a body that arrives.
//!
//! Invariant: every reply has a share of `http.buffered_bytes_max`, from before it is sent until its last byte is handed
//! to the kernel; then its bytes are overwritten. Large replies that are equal are in memory once.

use super::{budget::Budget, error::ApiError, off_path::off_path};
use axum::body::Bytes;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};
use tokio::sync::OwnedSemaphorePermit;
use zeroize::Zeroizing;

/// Length from which a reply is compared with those that are being sent, in bytes. Comparing shorter ones would cost
/// more than it saves.
const SHARED_FROM: usize = 1 << 20;

/// A reply in memory.
pub(super) struct ReplyBytes {
    /// Overwritten once they are sent, as the request's body is.
    bytes: Zeroizing<Vec<u8>>,
    _share: OwnedSemaphorePermit,
}

/// A reply, or one of several that are equal.
#[derive(Clone)]
pub(super) struct HeldReply(Arc<ReplyBytes>);

impl AsRef<[u8]> for HeldReply {
    fn as_ref(&self) -> &[u8] {
        &self.0.bytes
    }
}

impl From<HeldReply> for Bytes {
    fn from(reply: HeldReply) -> Self {
        Self::from_owner(reply)
    }
}

/// Replies that are being sent.
pub(super) struct Replies {
    budget: Arc<Budget>,
    /// The large ones, by their digest.
    large: Mutex<HashMap<blake3::Hash, Weak<ReplyBytes>>>,
}

impl Replies {
    pub(super) fn new(budget: &Arc<Budget>) -> Self {
        Self { budget: Arc::clone(budget), large: Mutex::default() }
    }

    /// Takes a reply into the budget.
    ///
    /// # Errors
    /// Returns an error if bodies and replies fill the budget.
    pub(super) async fn hold(&self, bytes: Zeroizing<Vec<u8>>) -> Result<HeldReply, ApiError> {
        if bytes.len() < SHARED_FROM {
            return self.take(bytes);
        }
        // Taken first, so that the bytes count while they are hashed. Without room, they may still equal others.
        let share = self.budget.reserve(bytes.capacity());
        let (digest, bytes) = off_path(move || (blake3::hash(&bytes), bytes)).await?;
        let mut large = self.large.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(same) = large.get(&digest).and_then(Weak::upgrade) {
            return Ok(HeldReply(same));
        }
        let reply = HeldReply(Arc::new(ReplyBytes { bytes, _share: share? }));
        large.retain(|_, sent| sent.strong_count() > 0);
        large.insert(digest, Arc::downgrade(&reply.0));
        Ok(reply)
    }

    fn take(&self, bytes: Zeroizing<Vec<u8>>) -> Result<HeldReply, ApiError> {
        let share = self.budget.reserve(bytes.capacity())?;
        Ok(HeldReply(Arc::new(ReplyBytes { bytes, _share: share })))
    }
}
