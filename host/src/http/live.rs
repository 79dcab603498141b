//! What streams to pages: the status once a second, and events between.
//!
//! One task makes each message once for all streams, so that what it costs to watch the server does not depend on how many
//! watch it. The task also takes the samples of the history.
//!
//! Invariant: without streams nobody listens to events. Streams hold at most a quarter of `http.connections_max`, and end
//! when the server drains or their key is no longer accepted. A busy server sends at most [`FREQUENT_MAX`] of the events
//! that calls cause in a second, and says how many it left out.

use super::{App, error::ApiError, standing, status::LiveStatus};
use crate::{
    access::Caller,
    telemetry::{
        events::{Event, EventKind},
        metrics::{Limit, Start},
    },
};
use axum::{
    Extension,
    extract::State,
    response::sse::{self, KeepAlive, Sse},
};
use futures_util::{Stream, StreamExt as _, stream};
use serde::Serialize;
use std::{
    convert::Infallible,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use tokio::{
    sync::{
        OwnedSemaphorePermit,
        broadcast::{self, error::RecvError},
        watch,
    },
    time::{MissedTickBehavior, interval},
};

/// Time between two messages with the status.
const PULSE: Duration = Duration::from_secs(1);
/// Most events of kinds that calls cause, between two messages with the status.
const FREQUENT_MAX: u64 = 40;

/// The status, as a message.
#[derive(Serialize)]
struct Message {
    /// Milliseconds since 1970.
    at_ms: u64,
    #[serde(flatten)]
    status: LiveStatus,
    start: Start,
    /// Events that were left out since the last message.
    events_left_out: u64,
}

fn status(app: &App, events_left_out: u64) -> sse::Event {
    let at_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let message = Message {
        at_ms: u64::try_from(at_ms).unwrap_or(u64::MAX),
        status: LiveStatus::of(app),
        start: app.dispatcher.metrics().start(),
        events_left_out,
    };
    sse::Event::default().event("status").data(serde_json::to_string(&message).expect("string keys only"))
}

/// Samples the history once a second, and sends messages while there are streams. Ends when the server drains.
pub(super) async fn pulse(app: Arc<App>) {
    let mut draining = app.draining.subscribe();
    let mut ticks = interval(PULSE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut pulse = Pulse { app: &app, events: None, frequent: 0, left_out: 0 };
    loop {
        tokio::select! {
            _ = ticks.tick() => pulse.beat(),
            () = app.watchers.opened.notified() => pulse.listen(),
            event = next(&mut pulse.events) => pulse.pass_on(event),
            _ = draining.wait_for(|draining| *draining) => return,
        }
    }
}

/// What the task knows between two messages with the status.
struct Pulse<'a> {
    app: &'a App,
    /// Where events come from, while there are streams.
    events: Option<broadcast::Receiver<Event>>,
    /// Frequent events that were sent.
    frequent: u64,
    left_out: u64,
}

impl Pulse<'_> {
    fn beat(&mut self) {
        let dispatcher = &self.app.dispatcher;
        let troubles = dispatcher.metrics().troubles();
        dispatcher.history().sample(Instant::now(), dispatcher.queue_len(), troubles);
        if self.app.watchers.messages.receiver_count() == 0 {
            self.events = None;
        } else {
            self.send(status(self.app, self.left_out));
        }
        (self.frequent, self.left_out) = (0, 0);
    }

    fn listen(&mut self) {
        self.events.get_or_insert_with(|| self.app.dispatcher.events().listen());
    }

    /// Passes an event on, or counts those that were missed.
    fn pass_on(&mut self, event: Result<Event, u64>) {
        let event = match event {
            Ok(event) => event,
            Err(missed) => {
                self.app.dispatcher.metrics().events_missed(missed);
                self.left_out += missed;
                return;
            }
        };
        match Interest::of(&event.kind) {
            Interest::None => return,
            Interest::Frequent if self.frequent == FREQUENT_MAX => {
                self.left_out += 1;
                return;
            }
            Interest::Frequent => self.frequent += 1,
            Interest::Rare => {}
        }
        self.send(sse::Event::default().event(event.name()).data(event.to_string()));
    }

    fn send(&self, message: sse::Event) {
        // Fails if the last stream has just ended, which loses nothing.
        let _ = self.app.watchers.messages.send(message);
    }
}

/// Returns the next event, or how many were missed; never without a listener.
async fn next(events: &mut Option<broadcast::Receiver<Event>>) -> Result<Event, u64> {
    if let Some(listener) = events {
        match listener.recv().await {
            Ok(event) => return Ok(event),
            Err(RecvError::Lagged(missed)) => return Err(missed),
            Err(RecvError::Closed) => {}
        }
    }
    std::future::pending().await
}

/// What pages want to know of an event.
enum Interest {
    /// The status tells them.
    None,
    /// It happens with calls, so that a part of it is enough.
    Frequent,
    /// They want every one.
    Rare,
}

impl Interest {
    fn of(kind: &EventKind) -> Self {
        match kind {
            EventKind::MemoryCheck { .. }
            | EventKind::SwapStart { .. }
            | EventKind::StandbyPrepareStart
            | EventKind::StandbyPrepareComplete { .. }
            // Why a standby cannot be made is for operators.
            | EventKind::StandbyPrepareError { .. } => Self::None,
            EventKind::SwapComplete { .. } | EventKind::SwapError { .. } | EventKind::Pressure { .. } => {
                Self::Frequent
            }
            EventKind::Breaker { .. }
            | EventKind::Stall { .. }
            | EventKind::Policy
            | EventKind::Published { .. } => Self::Rare,
        }
    }
}

/// One stream.
struct Following {
    messages: broadcast::Receiver<sse::Event>,
    draining: watch::Receiver<bool>,
    /// The message that the stream begins with.
    first: Option<sse::Event>,
    _place: OwnedSemaphorePermit,
}

impl Following {
    /// Waits for the next message; returns `None` once the server drains.
    async fn next(&mut self) -> Option<sse::Event> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        loop {
            tokio::select! {
                message = self.messages.recv() => match message {
                    Ok(message) => return Some(message),
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return None,
                },
                _ = self.draining.wait_for(|draining| *draining) => return None,
            }
        }
    }
}

/// Sends the status once a second and events as they happen, until the client disconnects, its key is no longer accepted
/// or the server drains.
pub(super) async fn events(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Arc<Caller>>,
) -> Result<Sse<impl Stream<Item = Result<sse::Event, Infallible>> + Send>, ApiError> {
    let place = app.watchers.place().ok_or_else(|| {
        app.dispatcher.metrics().request_rejected(Limit::Connections);
        ApiError::ConnectionsFull
    })?;
    let messages = app.watchers.messages.subscribe();
    app.watchers.opened.notify_one();
    let following = Following {
        messages,
        draining: app.draining.subscribe(),
        first: Some(status(&app, 0)),
        _place: place,
    };
    let stream = stream::unfold(following, |mut following| async {
        let message = following.next().await?;
        Some((Ok(message), following))
    });
    let stream = stream.take_until(standing::ended(app, caller));
    Ok(Sse::new(stream).keep_alive(KeepAlive::default()))
}
