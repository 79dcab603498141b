//! Traces: what a request went through, as spans that a collector of OpenTelemetry takes.
//!
//! ```text
//! context    ids, and the headers that carry them      sample     which traces that begin here are recorded
//! span       one finished span                          trace      the value that travels with a request
//! wire       Protocol Buffers                           otlp       spans as OTLP, and the collector's answer
//! export     the queue, and the thread behind it        collector  the collector, over HTTP
//! ```
//!
//! The SDK of OpenTelemetry is not used: it keeps the current span in the thread, which a call that travels from a task to
//! a lane does not have, and it would bring a second generator of random numbers, a code generator and an HTTP client along.
//! What is needed of OTLP are six messages. The tests read them with the types that the SDK is made of.
//!
//! Sources: W3C Trace Context, Level 1; the OpenTelemetry Protocol 1.x.
//!
//! Invariant: recording a span never waits. Where traces are off it costs one branch, and where the queue is full the span
//! is dropped and counted.

mod collector;
mod context;
mod export;
mod otlp;
mod sample;
mod span;
mod trace;
mod wire;

pub use collector::{CollectorError, CollectorSettings, HttpCollector};
pub use context::{InvalidTraceParent, SpanId, TraceId, TraceParent, TraceState};
pub use export::{Collector, Delivery, ExportSettings, Exporter, Pace};
pub use sample::SampleShare;
pub use span::{Attribute, Kind, Span, Status, Value, attribute};
pub use trace::{Roots, Trace, Traces};
