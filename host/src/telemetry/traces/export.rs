//! The queue of finished spans, and the thread that takes them to the collector.
//!
//! A batch that the collector does not take is tried again, with pauses that double. Meanwhile the queue fills, and spans
//! that find it full are dropped and counted.
//!
//! Invariant: nothing but this thread waits for the collector. Stopping waits for it until a deadline and no longer.

use super::{otlp::Resource, sample::SampleShare, span::Span, trace::Traces};
use crate::telemetry::metrics::{Metrics, SpanOutcome};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, select};
use std::{
    collections::hash_map::RandomState,
    hash::BuildHasher,
    io,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

/// Most spans of one request.
const BATCH_MAX: usize = 512;

/// Where spans go.
pub trait Collector: Send {
    /// Sends a request of OTLP, and returns what became of it within `timeout`.
    fn send(&mut self, request: &[u8], timeout: Duration) -> Delivery;
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// The collector has taken it.
    Taken {
        /// Number of spans that it has refused.
        rejected: u64,
    },
    /// It may be taken later.
    Later {
        /// How long the collector wants to be left alone, if it says so.
        after: Option<Duration>,
        /// Why it was not taken.
        reason: String,
    },
    /// It will never be taken.
    Refused {
        /// Why not.
        reason: String,
    },
}

/// How fast spans are exported.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// How long a span waits for others at most.
    pub linger: Duration,
    /// Pause after the first failure. It doubles with each further one.
    pub pause_min: Duration,
    /// Longest pause.
    pub pause_max: Duration,
    /// How often a batch is tried.
    pub tries: u32,
}

impl Pace {
    /// Returns the pause after this many failures in a row: as long as the collector asks for, if it does, and no longer
    /// than the longest.
    fn pause(self, failures: u32, after: Option<Duration>) -> Duration {
        let doubled = self.pause_min.saturating_mul(1 << failures.saturating_sub(1).min(16));
        after.unwrap_or(doubled).min(self.pause_max)
    }
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            linger: Duration::from_secs(1),
            pause_min: Duration::from_secs(1),
            pause_max: Duration::from_secs(30),
            tries: 5,
        }
    }
}

/// What is exported, and how.
pub struct ExportSettings {
    /// Name of the service.
    pub service_name: String,
    /// Share of the traces that begin here which is recorded.
    pub sample: SampleShare,
    /// Spans that may wait.
    pub queue_max: usize,
    /// How long the collector may take for a request.
    pub timeout: Duration,
    /// How fast spans are exported.
    pub pace: Pace,
}

/// The thread that exports spans.
pub struct Exporter {
    /// Takes the time until which what is in the queue may still be exported.
    stop: Sender<Instant>,
    /// Ends with the thread.
    ended: Receiver<()>,
}

impl Exporter {
    /// Starts the thread.
    ///
    /// # Errors
    /// Returns an error if it cannot be started.
    pub fn start(
        collector: Box<dyn Collector>,
        settings: ExportSettings,
        metrics: &Arc<Metrics>,
    ) -> io::Result<(Traces, Self)> {
        let ExportSettings { service_name, sample, queue_max, timeout, pace } = settings;
        let (sender, spans) = bounded(queue_max);
        let (stop, stopped) = bounded(1);
        let (running, ended) = bounded(0);
        metrics.register_spans();
        let traces = Traces::new(sender, sample, Arc::clone(metrics));
        let metrics = Arc::clone(metrics);
        let resource = Resource::new(service_name);
        let jitter = RandomState::new();
        let work = Work {
            collector,
            resource,
            spans,
            stopped,
            until: None,
            timeout,
            pace,
            failures: 0,
            jitter,
            metrics,
        };
        thread::Builder::new().name("traces".into()).spawn(move || {
            work.run();
            drop(running);
        })?;
        Ok((traces, Self { stop, ended }))
    }

    /// Exports what is in the queue, for `time` at most, and ends the thread. One that waits for its collector is left
    /// behind.
    pub fn stop(self, time: Duration) {
        let until = Instant::now() + time;
        // Both fail if the thread has ended.
        let _ = self.stop.send(until);
        if self.ended.recv_deadline(until) == Err(RecvTimeoutError::Timeout) {
            tracing::warn!("the last spans of traces were not exported in time");
        }
    }
}

/// What the thread works with.
struct Work {
    collector: Box<dyn Collector>,
    resource: Resource,
    spans: Receiver<Span>,
    stopped: Receiver<Instant>,
    /// Set once the thread is to end: until when it may export.
    until: Option<Instant>,
    timeout: Duration,
    pace: Pace,
    /// Failures since the collector last took something.
    failures: u32,
    jitter: RandomState,
    metrics: Arc<Metrics>,
}

impl Work {
    fn run(mut self) {
        while self.until.is_none() {
            let batch = self.gather();
            self.export(&batch);
        }
        loop {
            let batch: Vec<Span> = self.spans.try_iter().take(BATCH_MAX).collect();
            if batch.is_empty() {
                return;
            }
            self.export(&batch);
        }
    }

    /// Waits for a span, and for those that follow it soon.
    fn gather(&mut self) -> Vec<Span> {
        let mut batch = Vec::new();
        let mut linger = crossbeam_channel::never();
        while batch.len() < BATCH_MAX {
            select! {
                recv(self.spans) -> span => match span {
                    Ok(span) => batch.push(span),
                    // Nobody can record any more.
                    Err(_) => {
                        self.until = Some(Instant::now() + self.timeout);
                        break;
                    }
                },
                recv(self.stopped) -> until => {
                    self.until = Some(until.unwrap_or_else(|_| Instant::now()));
                    break;
                }
                recv(linger) -> _ => break,
            }
            if batch.len() == 1 {
                linger = crossbeam_channel::after(self.pace.linger);
            }
        }
        batch
    }

    /// Exports a batch, or gives it up.
    fn export(&mut self, batch: &[Span]) {
        if batch.is_empty() {
            return;
        }
        let spans = batch.len() as u64;
        let request = self.resource.request(batch);
        for attempt in 1..=self.pace.tries {
            let timeout = match self.until {
                None => self.timeout,
                Some(until) => until.saturating_duration_since(Instant::now()).min(self.timeout),
            };
            if timeout.is_zero() {
                break;
            }
            match self.collector.send(&request, timeout) {
                Delivery::Taken { rejected } => {
                    let rejected = rejected.min(spans);
                    self.metrics.spans_ended(SpanOutcome::Exported, spans - rejected);
                    self.metrics.spans_ended(SpanOutcome::Refused, rejected);
                    if std::mem::take(&mut self.failures) > 0 {
                        tracing::info!("the collector of traces takes spans again");
                    }
                    return;
                }
                Delivery::Refused { reason } => {
                    self.failed(&reason);
                    return self.metrics.spans_ended(SpanOutcome::Refused, spans);
                }
                Delivery::Later { after, reason } => {
                    self.failed(&reason);
                    // What time is left is for the other batches. A collector that asks for a pause gets one before the
                    // next batch, too.
                    if self.until.is_some() || (attempt == self.pace.tries && after.is_none()) {
                        break;
                    }
                    self.pause(after);
                }
            }
        }
        self.metrics.spans_ended(SpanOutcome::Failed, spans);
    }

    /// Counts a failure; the first is logged, and those that follow it are not.
    fn failed(&mut self, reason: &str) {
        self.failures = self.failures.saturating_add(1);
        if self.failures == 1 {
            tracing::warn!(reason, "the collector of traces takes no spans");
        }
    }

    /// Waits before the collector is asked again. A request to stop ends the pause.
    fn pause(&mut self, after: Option<Duration>) {
        let pause = self.pace.pause(self.failures, after);
        // Up to a quarter less, so that servers that lost a collector together do not come back together.
        let less = pause.mul_f64((self.jitter.hash_one(self.failures) % 256) as f64 / 1024.0);
        match self.stopped.recv_timeout(pause - less) {
            Ok(until) => self.until = Some(until),
            Err(RecvTimeoutError::Disconnected) => self.until = Some(Instant::now()),
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

#[cfg(test)]
mod tests;
