//! The body of an upload, of which the parser of its parts gets one piece at a time.
//!
//! The parser takes whatever there is at once, and keeps all of it until it finds the end of a part's head.
//!
//! Invariant: what has arrived of a body and is part of no file yet is bounded.

use axum::body::{Body, Bytes, HttpBody};
use http_body::{Frame, SizeHint};
use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
};

/// Most bytes beside those of files: heads of parts, and pieces on their way.
const AHEAD_BYTES_MAX: usize = 1 << 20;

/// Number of bytes that have arrived and were not delivered as those of a file.
#[derive(Clone, Default)]
pub(super) struct Ahead(Arc<AtomicUsize>);

impl Ahead {
    /// Counts the bytes of a body.
    pub(super) fn meter(&self, body: Body) -> Body {
        Body::new(Metered { body, ahead: self.clone(), was_taken: false })
    }

    /// Returns whether there was too much, so that the body failed.
    pub(super) fn is_exceeded(&self) -> bool {
        self.0.load(Ordering::Relaxed) > AHEAD_BYTES_MAX
    }

    /// Records that these bytes were delivered.
    pub(super) fn delivered(&self, bytes: usize) {
        self.0.fetch_sub(bytes, Ordering::Relaxed);
    }
}

struct Metered {
    body: Body,
    ahead: Ahead,
    /// Whether a piece was handed over since the parser last had to wait.
    was_taken: bool,
}

impl HttpBody for Metered {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if std::mem::take(&mut self.was_taken) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let polled = ready!(Pin::new(&mut self.body).poll_frame(context));
        if let Some(Ok(frame)) = &polled {
            self.was_taken = true;
            let bytes = frame.data_ref().map_or(0, Bytes::len);
            if self.ahead.0.fetch_add(bytes, Ordering::Relaxed) + bytes > AHEAD_BYTES_MAX {
                let error = axum::Error::new("the parts have too much beside their files");
                return Poll::Ready(Some(Err(error)));
            }
        }
        Poll::Ready(polled)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
