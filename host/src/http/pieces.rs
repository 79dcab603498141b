//! Replies over HTTP/2, in pieces that say when they were sent.
//!
//! A client of HTTP/2 says for each reply how much of it it takes. It can take nothing of one and still take others, or
//! none, without the kernel's buffer ever being full. So what it takes is measured for each reply, by the same rule that
//! `stream` applies to a connection.
//!
//! Invariant: a reply is under way until its last piece was handed to the connection, and a client that takes less than
//! `http.send_rate_min` of one over a window is found out, unless the server has nothing to send.

use super::{connection::Answered, stream::Pace};
use axum::body::{Body, Bytes, HttpBody};
use http_body::{Frame, SizeHint};
use std::{
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

/// Longest piece, in bytes: a frame of HTTP/2 holds no more unless its reader says so.
const PIECE_BYTES_MAX: usize = 16 << 10;

/// The replies of one connection that are under way.
#[derive(Default)]
pub(super) struct Replies(Mutex<Vec<Arc<Progress>>>);

/// How far a reply has come.
#[derive(Default)]
struct Progress {
    /// Bytes that were sent since the last check.
    sent: AtomicU64,
    /// Pieces that were made and not sent.
    unsent: AtomicUsize,
    /// Whether the rest of the reply is not there yet.
    awaits_server: AtomicBool,
    /// Whether the server had nothing to send at some time since the last check.
    is_excused: AtomicBool,
    /// Whether there was a check since the reply began.
    is_known: AtomicBool,
}

impl Replies {
    /// Begins a reply.
    pub(super) fn begin(&self, body: Body, answered: Answered) -> Pieces {
        let progress = Arc::<Progress>::default();
        let mut replies = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that are over go before the list grows, so it is at most twice as long as replies are under way.
        if replies.len() == replies.capacity() {
            replies.retain(is_under_way);
        }
        replies.push(Arc::clone(&progress));
        drop(replies);
        Pieces { body, rest: Bytes::new(), reply: Arc::new(Reply { progress, _answered: answered }) }
    }

    /// Whether the client took too little of a reply since the last call, one window ago.
    pub(super) fn are_too_slow(&self, pace: Pace) -> bool {
        let mut replies = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        replies.retain(is_under_way);
        // All of them are looked at, since each look begins a window.
        replies.iter().filter(|progress| progress.is_too_slow(pace)).count() > 0
    }
}

fn is_under_way(progress: &Arc<Progress>) -> bool {
    Arc::strong_count(progress) > 1
}

impl Progress {
    fn is_too_slow(&self, pace: Pace) -> bool {
        let is_excused =
            self.awaits_server.load(Ordering::Acquire) && self.unsent.load(Ordering::Acquire) == 0;
        let was_excused = self.is_excused.swap(is_excused, Ordering::AcqRel);
        let sent = self.sent.swap(0, Ordering::AcqRel);
        let was_known = self.is_known.swap(true, Ordering::AcqRel);
        was_known && !is_excused && !was_excused && sent < pace.bytes_min
    }

    /// Excuses the client of this window if all that the server has was sent.
    fn excuse(&self) {
        if self.awaits_server.load(Ordering::Acquire) && self.unsent.load(Ordering::Acquire) == 0 {
            self.is_excused.store(true, Ordering::Release);
        }
    }
}

/// What all pieces of a reply share.
struct Reply {
    progress: Arc<Progress>,
    _answered: Answered,
}

/// A reply as HTTP/2 sends it.
pub(super) struct Pieces {
    body: Body,
    /// What of the body's last frame is left.
    rest: Bytes,
    reply: Arc<Reply>,
}

/// A piece of a reply. It is dropped when it was written to the connection.
struct Piece {
    bytes: Bytes,
    reply: Arc<Reply>,
}

impl Piece {
    fn new(bytes: Bytes, reply: &Arc<Reply>) -> Self {
        reply.progress.unsent.fetch_add(1, Ordering::AcqRel);
        Self { bytes, reply: Arc::clone(reply) }
    }
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        let progress = &self.reply.progress;
        progress.sent.fetch_add(self.bytes.len() as u64, Ordering::AcqRel);
        progress.unsent.fetch_sub(1, Ordering::AcqRel);
        progress.excuse();
    }
}

impl HttpBody for Pieces {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        let progress = &this.reply.progress;
        while this.rest.is_empty() {
            let polled = Pin::new(&mut this.body).poll_frame(context);
            progress.awaits_server.store(polled.is_pending(), Ordering::Release);
            match polled {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => this.rest = data,
                    Err(other) => return Poll::Ready(Some(Ok(other))),
                },
                Poll::Pending => {
                    progress.excuse();
                    return Poll::Pending;
                }
                ended => return ended,
            }
        }
        let piece = this.rest.split_to(this.rest.len().min(PIECE_BYTES_MAX));
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_owner(Piece::new(piece, &this.reply))))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (body, rest) = (self.body.size_hint(), self.rest.len() as u64);
        let mut hint = SizeHint::new();
        hint.set_lower(body.lower().saturating_add(rest));
        if let Some(upper) = body.upper() {
            hint.set_upper(upper.saturating_add(rest));
        }
        hint
    }
}

#[cfg(test)]
mod tests {
    use super::{super::connection::Connection, *};
    use std::{convert::Infallible, time::Duration};

    const PACE: Pace = Pace { bytes_min: 1000, window: Duration::from_secs(1) };

    fn begin(replies: &Replies, body: Body) -> Pieces {
        replies.begin(body, Connection::new(None).begin().1)
    }

    fn next(pieces: &mut Pieces) -> Poll<Option<Bytes>> {
        let mut context = Context::from_waker(std::task::Waker::noop());
        let polled = Pin::new(pieces).poll_frame(&mut context);
        polled.map(|frame| frame.map(|frame| frame.expect("no error").into_data().expect("data")))
    }

    fn piece(pieces: &mut Pieces) -> Bytes {
        match next(pieces) {
            Poll::Ready(Some(piece)) => piece,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn pieces_make_the_whole_reply_and_are_not_longer_than_a_frame() {
        let whole: Vec<u8> = (0..40_000_u32).map(|index| index as u8).collect();
        let mut pieces = begin(&Replies::default(), whole.clone().into());
        let mut taken = Vec::new();
        while !pieces.is_end_stream() {
            assert_eq!(pieces.size_hint().exact(), Some((whole.len() - taken.len()) as u64));
            let piece = piece(&mut pieces);
            assert!(piece.len() <= PIECE_BYTES_MAX);
            taken.extend_from_slice(&piece);
        }
        assert_eq!(taken, whole);
    }

    #[test]
    fn a_request_is_under_way_until_its_last_piece_is_sent() {
        let connection = Connection::new(None);
        let mut pieces = Replies::default().begin("reply".into(), connection.begin().1);
        let last = piece(&mut pieces);
        drop(pieces);
        assert_eq!(connection.idle_after(), None);
        drop(last);
        assert_eq!(connection.idle_after(), Some(1));
    }

    #[test]
    fn a_client_that_takes_nothing_of_one_reply_is_found_out_although_it_takes_another() {
        let replies = Replies::default();
        let mut stalled = begin(&replies, vec![0; 100_000].into());
        let mut taken = begin(&replies, vec![0; 100_000].into());
        let held = piece(&mut stalled);
        assert!(!replies.are_too_slow(PACE), "it had no whole window");
        drop(piece(&mut taken));
        assert!(replies.are_too_slow(PACE));
        drop(held);
        drop(piece(&mut taken));
        assert!(!replies.are_too_slow(PACE));
        drop((stalled, taken));
        assert!(!replies.are_too_slow(PACE));
    }

    #[test]
    fn a_client_is_not_blamed_while_the_server_has_nothing_to_send() {
        let replies = Replies::default();
        let (send, receive) = tokio::sync::mpsc::unbounded_channel();
        let stream = futures_util::stream::unfold(receive, async |mut receive| {
            let event: &'static str = receive.recv().await?;
            Some((Ok::<_, Infallible>(event), receive))
        });
        let mut events = begin(&replies, Body::from_stream(stream));
        assert!(next(&mut events).is_pending());
        for _ in 0..3 {
            assert!(!replies.are_too_slow(PACE));
        }
        send.send("event").expect("it listens");
        let event = piece(&mut events);
        assert!(next(&mut events).is_pending());
        assert!(!replies.are_too_slow(PACE), "it had no whole window");
        assert!(replies.are_too_slow(PACE));
        drop(event);
        assert!(!replies.are_too_slow(PACE));
    }
}
