//! Reads on after an early answer.
//!
//! A request may be answered before its body has arrived: it is refused, or its path does not exist. If the server then
//! closed the connection with unread bytes, the kernel would reset it, and many clients would report a broken pipe
//! instead of the answer. So the rest of the body is read and dropped while the client takes its answer.
//!
//! Invariant: what is read and dropped is bounded in bytes (`http.unread_bytes_max`), in time (`http.body_timeout`) and
//! ends when the server drains; none of it is kept. Whoever was admitted is charged for it as for a body that is used.

use super::{App, guarded::Guarded};
use crate::access::Account;
use axum::{
    body::{Body, Bytes, HttpBody},
    extract::Request,
    http::StatusCode,
    response::Response,
};
use http_body::{Frame, SizeHint};
use std::{
    future::poll_fn,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

/// Where a request's body is left when its handler drops it.
pub(super) type Slot = Arc<Mutex<Option<Rest>>>;

/// What is left of a request's body.
pub(super) struct Rest {
    body: Body,
    /// What is charged for the bytes that arrive.
    account: Option<Account>,
}

/// Returns the request with a body that is not lost when its handler drops it, and where the body is then; `None` for a
/// request without a body.
pub(super) fn keep(request: Request, account: Option<Account>) -> (Request, Option<Slot>) {
    if request.body().is_end_stream() {
        return (request, None);
    }
    let slot = Slot::default();
    let watched = |body| Body::new(Watched { body: Some(body), slot: Arc::clone(&slot), account });
    (request.map(watched), Some(slot))
}

/// Returns a response after which what is left of the request's body is read.
pub(super) fn read_after(response: Response, slot: Option<Slot>, app: &Arc<App>) -> Response {
    let rest = slot.and_then(|slot| slot.lock().unwrap_or_else(PoisonError::into_inner).take());
    match rest {
        // A client that was too slow with its body gets no more time.
        Some(rest) if response.status() != StatusCode::REQUEST_TIMEOUT => {
            let unread = Unread(Some((rest, Arc::clone(app))));
            response.map(|body| Body::new(Guarded::new(body, unread)))
        }
        _ => response,
    }
}

/// A request's body that goes into its slot when it is dropped before its end.
struct Watched {
    body: Option<Body>,
    slot: Slot,
    account: Option<Account>,
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let polled = Pin::new(body).poll_frame(context);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                charge(self.account.as_ref(), frame);
            }
            Poll::Ready(None | Some(Err(_))) => self.body = None,
            Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), HttpBody::size_hint)
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if let Some(body) = self.body.take().filter(|body| !body.is_end_stream()) {
            let rest = Rest { body, account: self.account.take() };
            *self.slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(rest);
        }
    }
}

/// Charges what has arrived, and returns how many bytes that are.
fn charge(account: Option<&Account>, frame: &Frame<Bytes>) -> u64 {
    let bytes = frame.data_ref().map_or(0, Bytes::len) as u64;
    if let Some(account) = account {
        account.charge(bytes);
    }
    bytes
}

/// What is left of a request's body. It is read once the answer has been written and is dropped.
struct Unread(Option<(Rest, Arc<App>)>);

impl Drop for Unread {
    fn drop(&mut self) {
        if let (Some((rest, app)), Ok(runtime)) = (self.0.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(discard(rest, app));
        }
    }
}

/// Reads and drops, within the bounds.
async fn discard(rest: Rest, app: Arc<App>) {
    let Rest { mut body, account } = rest;
    let mut draining = app.draining.subscribe();
    let mut left = app.http.unread_bytes_max;
    let read = async {
        while let Some(Ok(frame)) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
            let bytes = charge(account.as_ref(), &frame);
            app.dispatcher.metrics().unread_discarded(bytes);
            left = match left.checked_sub(bytes) {
                Some(left) => left,
                None => return,
            };
        }
    };
    tokio::select! {
        _ = tokio::time::timeout(app.http.body_timeout, read) => {}
        _ = draining.wait_for(|draining| *draining) => {}
    }
}
