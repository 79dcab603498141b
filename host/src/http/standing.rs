//! Whether the caller of a request that lasts is still admitted.
//!
//! Invariant: a stream or a long poll sends nothing more once its key is not accepted any longer.

use super::App;
use crate::access::{Caller, Denied};
use std::sync::Arc;

/// Waits until the caller is not admitted any longer: its key has expired, was revoked, or is another's by now. Never
/// ends for a caller without a key.
pub(super) async fn ended(app: Arc<App>, caller: Arc<Caller>) -> Denied {
    let ring = app.gate.ring();
    let mut changes = ring.watch();
    loop {
        changes.mark_unchanged();
        if let Err(denied) = ring.check(&caller) {
            return denied;
        }
        if caller.key.is_none() || changes.changed().await.is_err() {
            // The other end lives as long as the server.
            return std::future::pending().await;
        }
    }
}
