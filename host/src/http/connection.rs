//! What a connection and its requests share: its place, and how many requests are under way.
//!
//! Over HTTP/1.1 requests come one after another. Over HTTP/2 several are under way at once, each with a task of its
//! own.
//!
//! Invariant: a connection waits for a request only while none is under way and all of the replies was handed to the
//! kernel.

use super::room::{Begin, Further, Place};
use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
};
use tokio::sync::{Notify, watch};

/// What a connection and its requests share.
pub(super) struct Connection {
    pub(super) place: Option<Place>,
    /// Requests whose replies are not yet in the connection's buffer.
    under_way: AtomicUsize,
    /// Number of requests that have begun.
    begun: AtomicU64,
    has_begun: watch::Sender<bool>,
    /// Whether a request has begun since the connection last waited for one. Only the connection's own task changes it.
    is_serving: AtomicBool,
    is_refusing: AtomicBool,
    takes_no_more: AtomicBool,
    /// Notified when no request is under way any more.
    settled: Notify,
}

impl Connection {
    pub(super) fn new(place: Option<Place>) -> Arc<Self> {
        Arc::new(Self {
            place,
            under_way: AtomicUsize::new(0),
            begun: AtomicU64::new(0),
            has_begun: watch::Sender::new(false),
            is_serving: AtomicBool::new(false),
            is_refusing: AtomicBool::new(false),
            takes_no_more: AtomicBool::new(false),
            settled: Notify::new(),
        })
    }

    /// Records that a request begins. It is under way until the returned value is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> (Begin, Answered) {
        self.is_serving.store(true, Ordering::Release);
        let others = self.under_way.fetch_add(1, Ordering::AcqRel);
        self.begun.fetch_add(1, Ordering::Relaxed);
        self.has_begun.send_if_modified(|begun| !std::mem::replace(begun, true));
        let mut answered = Answered { connection: Arc::clone(self), _further: None };
        let Some(place) = &self.place else { return (Begin::Yes, answered) };
        let begin = place.begin();
        self.is_refusing.store(begin == Begin::Closing, Ordering::Release);
        if others == 0 || begin == Begin::Closing {
            return (begin, answered);
        }
        match place.further() {
            Ok(further) => {
                answered._further = Some(further);
                (begin, answered)
            }
            Err(limit) => (Begin::NoRoom(limit), answered),
        }
    }

    /// Whether a request came while the connection was being closed to make room, and is refused.
    pub(super) fn is_refusing(&self) -> bool {
        self.is_refusing.load(Ordering::Acquire)
    }

    /// Refuses every request that begins from now on, because the server drains.
    pub(super) fn take_no_more(&self) {
        self.takes_no_more.store(true, Ordering::Release);
    }

    pub(super) fn takes_no_more(&self) -> bool {
        self.takes_no_more.load(Ordering::Acquire)
    }

    /// Records that all bytes were handed to the kernel.
    pub(super) fn flushed(&self) {
        if self.under_way.load(Ordering::Acquire) == 0
            && self.is_serving.load(Ordering::Acquire)
            && let Some(place) = &self.place
        {
            self.is_serving.store(false, Ordering::Release);
            place.wait();
        }
    }

    /// Waits for the first request.
    pub(super) async fn begun(&self) {
        let _ = self.has_begun.subscribe().wait_for(|begun| *begun).await;
    }

    /// Waits until the connection has to be closed to make room.
    pub(super) async fn must_close(&self) {
        match &self.place {
            Some(place) => place.must_close().await,
            None => std::future::pending().await,
        }
    }

    /// Waits until no request is under way.
    pub(super) async fn settled(&self) {
        self.settled.notified().await;
    }

    /// The number of requests that have begun, if none is under way.
    pub(super) fn idle_after(&self) -> Option<u64> {
        (self.under_way.load(Ordering::Acquire) == 0).then(|| self.begun.load(Ordering::Relaxed))
    }
}

/// A request that is under way. Dropped once its whole reply is in the connection's buffer, or given up.
pub(super) struct Answered {
    connection: Arc<Connection>,
    /// What a request beyond the first of its connection takes.
    _further: Option<Further>,
}

impl Drop for Answered {
    fn drop(&mut self) {
        if self.connection.under_way.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.connection.settled.notify_one();
        }
    }
}
