//! The value that travels with a request, and that its stages are recorded on.
//!
//! Invariant: a trace that is off holds nothing. One that is not recorded holds its ids, so that they are carried on.

use super::{
    context::{SpanId, TraceId, TraceParent, TraceState},
    sample::SampleShare,
    span::{Attribute, Kind, Span, Status},
};
use crate::telemetry::metrics::{Metrics, SpanOutcome};
use crossbeam_channel::Sender;
use std::{
    borrow::Cow,
    collections::hash_map::RandomState,
    hash::BuildHasher,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// Begins traces; off by default.
#[derive(Clone, Default)]
pub struct Traces(Option<Arc<Tracer>>);

/// Whether a request that belongs to no trace yet may begin one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Roots {
    /// It may, if `traces.sample` includes it.
    Sampled,
    /// It may not: nobody looks for it.
    None,
}

struct Tracer {
    spans: Sender<Span>,
    sample: SampleShare,
    metrics: Arc<Metrics>,
    ids: Ids,
}

impl Traces {
    pub(super) fn new(spans: Sender<Span>, sample: SampleShare, metrics: Arc<Metrics>) -> Self {
        Self(Some(Arc::new(Tracer { spans, sample, metrics, ids: Ids::default() })))
    }

    /// Whether traces are exported.
    #[must_use]
    pub fn are_on(&self) -> bool {
        self.0.is_some()
    }

    /// Begins a span: in the trace that `parent` names, which also decides whether it is recorded, or in one of its own.
    #[must_use]
    pub fn begin(&self, parent: Option<TraceParent>, state: Option<TraceState>, roots: Roots) -> Trace {
        let Some(tracer) = &self.0 else { return Trace::default() };
        let (trace, is_sampled) = match parent {
            Some(parent) => (parent.trace, parent.is_sampled),
            None if roots == Roots::None => return Trace::default(),
            None => {
                let trace = tracer.ids.trace();
                (trace, tracer.sample.includes(trace))
            }
        };
        let state = parent.and(state).map(Arc::new);
        let context = TraceParent { trace, span: tracer.ids.span(), is_sampled };
        let parent = parent.map(|parent| parent.span);
        Trace(Some(Arc::new(Open {
            tracer: Arc::clone(tracer),
            parent,
            context,
            state,
            clock: Clock::now(),
        })))
    }
}

/// A span that has begun, and the trace that it is a part of; nothing where traces are off.
#[derive(Clone, Default)]
pub struct Trace(Option<Arc<Open>>);

struct Open {
    tracer: Arc<Tracer>,
    parent: Option<SpanId>,
    context: TraceParent,
    state: Option<Arc<TraceState>>,
    clock: Clock,
}

impl Trace {
    /// Whether there is a trace, recorded or not.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Whether spans are recorded.
    #[must_use]
    pub fn is_recorded(&self) -> bool {
        self.recorded().is_some()
    }

    /// What carries the trace on, to what follows from this span.
    #[must_use]
    pub fn parent(&self) -> Option<TraceParent> {
        self.0.as_ref().map(|open| open.context)
    }

    /// The trace, for log lines.
    #[must_use]
    pub fn id(&self) -> Option<TraceId> {
        self.parent().map(|parent| parent.trace)
    }

    /// Records a stage of this span, which has ended. `attributes` is called if the trace is recorded.
    pub fn stage(
        &self,
        name: &'static str,
        (began, ended): (Instant, Instant),
        status: Status,
        attributes: impl FnOnce() -> Vec<Attribute>,
    ) {
        if let Some(open) = self.recorded() {
            let id = open.tracer.ids.span();
            let parent = Some(open.context.span);
            open.record(
                Shape { id, parent, name: name.into(), kind: Kind::Internal },
                (began, ended),
                status,
                attributes(),
            );
        }
    }

    /// Records the span itself, which has ended. `describe` is called if the trace is recorded, and returns the name and the
    /// attributes.
    pub fn end(
        &self,
        kind: Kind,
        (began, ended): (Instant, Instant),
        status: Status,
        describe: impl FnOnce() -> (Cow<'static, str>, Vec<Attribute>),
    ) {
        if let Some(open) = self.recorded() {
            let (name, attributes) = describe();
            let (id, parent) = (open.context.span, open.parent);
            open.record(Shape { id, parent, name, kind }, (began, ended), status, attributes);
        }
    }

    fn recorded(&self) -> Option<&Open> {
        self.0.as_deref().filter(|open| open.context.is_sampled)
    }
}

/// What a span is, beside its times and what happened in it.
struct Shape {
    id: SpanId,
    parent: Option<SpanId>,
    name: Cow<'static, str>,
    kind: Kind,
}

impl Open {
    fn record(
        &self,
        shape: Shape,
        (began, ended): (Instant, Instant),
        status: Status,
        attributes: Vec<Attribute>,
    ) {
        let Shape { id, parent, name, kind } = shape;
        let span = Span {
            trace: self.context.trace,
            id,
            parent,
            state: self.state.clone(),
            name,
            kind,
            began_ns: self.clock.unix_ns(began),
            ended_ns: self.clock.unix_ns(ended),
            attributes,
            status,
        };
        if self.tracer.spans.try_send(span).is_err() {
            self.tracer.metrics.spans_ended(SpanOutcome::QueueFull, 1);
        }
    }
}

/// The wall clock when a span began: all spans that follow are dated by it, so that a clock that is set meanwhile does not
/// tear them apart.
struct Clock {
    at: Instant,
    unix: Duration,
}

impl Clock {
    fn now() -> Self {
        Self { at: Instant::now(), unix: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default() }
    }

    fn unix_ns(&self, time: Instant) -> u64 {
        let before = self.at.saturating_duration_since(time);
        let unix = (self.unix + time.saturating_duration_since(self.at)).saturating_sub(before);
        u64::try_from(unix.as_nanos()).unwrap_or(u64::MAX)
    }
}

/// Makes ids: keyed hashes of a counter, since asking the kernel for entropy would be a system call for every span.
#[derive(Default)]
struct Ids {
    keys: [RandomState; 3],
    next: AtomicU64,
}

impl Ids {
    fn trace(&self) -> TraceId {
        let number = self.number();
        let halves = [&self.keys[0], &self.keys[1]].map(|key| key.hash_one(number).to_be_bytes());
        let mut bytes = [0; 16];
        bytes.copy_from_slice(halves.as_flattened());
        // Once in 2^128 ids.
        TraceId::from_bytes(bytes).unwrap_or_else(|| self.trace())
    }

    fn span(&self) -> SpanId {
        let bytes = self.keys[2].hash_one(self.number()).to_be_bytes();
        // Once in 2^64 ids.
        SpanId::from_bytes(bytes).unwrap_or_else(|| self.span())
    }

    /// Relaxed: the number only has to be another one each time.
    fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::traces::attribute;
    use crossbeam_channel::{Receiver, bounded};

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0";

    fn traces(sample: &str, room: usize) -> (Traces, Receiver<Span>, Arc<Metrics>) {
        let (sender, spans) = bounded(room);
        let metrics = Arc::<Metrics>::default();
        (Traces::new(sender, sample.parse().expect("a share"), Arc::clone(&metrics)), spans, metrics)
    }

    fn parent(flag: u8) -> Option<TraceParent> {
        Some(format!("{PARENT}{flag}").parse().expect("a traceparent"))
    }

    fn now() -> (Instant, Instant) {
        (Instant::now(), Instant::now())
    }

    fn end(trace: &Trace) {
        trace.end(Kind::Server, now(), Status::Unset, || ("s".into(), Vec::new()));
    }

    #[test]
    fn the_parent_decides_and_else_the_share() {
        for (sample, incoming, roots, is_on, is_recorded) in [
            ("0%", parent(1), Roots::None, true, true),
            ("100%", parent(0), Roots::Sampled, true, false),
            ("100%", None, Roots::Sampled, true, true),
            ("0%", None, Roots::Sampled, true, false),
            ("100%", None, Roots::None, false, false),
        ] {
            let (traces, spans, _) = traces(sample, 9);
            let trace = traces.begin(incoming, None, roots);
            assert_eq!((trace.is_on(), trace.is_recorded()), (is_on, is_recorded), "{sample} {incoming:?}");
            assert_eq!(trace.parent().map(|parent| parent.is_sampled), is_on.then_some(is_recorded));
            end(&trace);
            trace.stage("stage", now(), Status::Unset, Vec::new);
            assert_eq!(spans.len(), if is_recorded { 2 } else { 0 });
        }
        let off = Traces::default().begin(parent(1), None, Roots::Sampled);
        assert!(!off.is_on() && off.parent().is_none());
        off.stage("stage", now(), Status::Unset, || unreachable!("nothing is recorded"));
    }

    #[test]
    fn stages_belong_to_their_span_and_that_to_its_parent() {
        let (traces, spans, _) = traces("0%", 9);
        let state = TraceState::of(["a=1"].into_iter());
        let trace = traces.begin(parent(1), state.clone(), Roots::None);
        trace.stage("queue", now(), Status::Error, || vec![attribute("k", 7u64)]);
        end(&trace);
        let [stage, span] = [spans.recv().expect("a stage"), spans.recv().expect("a span")];
        assert_eq!(span.parent, parent(1).map(|parent| parent.span));
        assert_eq!((stage.parent, trace.parent().map(|parent| parent.span)), (Some(span.id), Some(span.id)));
        assert!(stage.id != span.id && stage.trace == span.trace && Some(span.trace) == trace.id());
        assert_eq!((stage.name.as_ref(), stage.status), ("queue", Status::Error));
        assert_eq!(stage.state.as_deref(), state.as_ref());
    }

    #[test]
    fn a_full_queue_drops_spans_and_counts_them() {
        let (traces, spans, metrics) = traces("100%", 1);
        let trace = traces.begin(None, None, Roots::Sampled);
        (0..3).for_each(|_| end(&trace));
        assert_eq!(spans.len(), 1);
        let text = String::from_utf8(metrics.render()).expect("text");
        assert!(text.contains("snapback_trace_spans_total{outcome=\"queue_full\"} 2"), "{text}");
    }

    #[test]
    fn spans_are_dated_by_one_clock() {
        let (at, unix) = (Instant::now() + Duration::from_secs(10), Duration::from_secs(1000));
        let clock = Clock { at, unix };
        assert_eq!(clock.unix_ns(at - Duration::from_secs(1)), 999_000_000_000);
        assert_eq!(clock.unix_ns(at + Duration::from_nanos(5)), 1_000_000_000_005);
    }

    #[test]
    fn ids_do_not_repeat() {
        let ids = Ids::default();
        let made: std::collections::HashSet<_> = (0..1000).map(|_| (ids.trace(), ids.span())).collect();
        assert_eq!(made.len(), 1000);
    }
}
