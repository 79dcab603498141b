//! Spans as OTLP, and what a collector answers.
//!
//! Source: `opentelemetry/proto/collector/trace/v1/trace_service.proto` and what it imports, version 1.
//!
//! Invariant: a request holds the ids, names, times and attributes of its spans, and who exports them; nothing else.

use super::{
    span::{Kind, Span, Status, Value},
    wire::{Field, Fields, Message},
};
use std::{collections::hash_map::RandomState, hash::BuildHasher};

/// The media type of requests and answers.
pub(super) const MEDIA_TYPE: &str = "application/x-protobuf";
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Flag of spans of which it is known whether their parent is another program's.
const HAS_IS_REMOTE: u32 = 0x100;
const IS_REMOTE: u32 = 0x200;
/// The flag of traces that are recorded.
const SAMPLED: u32 = 1;

/// Who exports spans.
pub(super) struct Resource {
    service_name: String,
    /// Tells processes of the same name apart.
    instance: String,
}

impl Resource {
    pub(super) fn new(service_name: String) -> Self {
        let instance = format!("{:016x}", RandomState::new().hash_one(std::process::id()));
        Self { service_name, instance }
    }

    /// Returns the request that exports spans: an `ExportTraceServiceRequest`.
    pub(super) fn request(&self, spans: &[Span]) -> Vec<u8> {
        let mut request = Message::default();
        request.message(1, |of_resource| {
            of_resource.message(1, |resource| {
                let text = |text: &str| Value::Text(text.to_owned().into());
                key_value(resource, 1, "service.name", &text(&self.service_name));
                key_value(resource, 1, "service.version", &text(VERSION));
                key_value(resource, 1, "service.instance.id", &text(&self.instance));
            });
            of_resource.message(2, |of_scope| {
                of_scope.message(1, |scope| {
                    scope.bytes(1, b"snapback");
                    scope.bytes(2, VERSION.as_bytes());
                });
                spans.iter().for_each(|span| of_scope.message(2, |message| fill(message, span)));
            });
        });
        request.into_bytes()
    }
}

fn fill(message: &mut Message, span: &Span) {
    message.bytes(1, span.trace.as_bytes());
    message.bytes(2, span.id.as_bytes());
    if let Some(state) = &span.state {
        message.bytes(3, state.as_str().as_bytes());
    }
    if let Some(parent) = &span.parent {
        message.bytes(4, parent.as_bytes());
    }
    message.bytes(5, span.name.as_bytes());
    message.number(
        6,
        match span.kind {
            Kind::Internal => 1,
            Kind::Server => 2,
            Kind::Consumer => 5,
        },
    );
    message.fixed64(7, span.began_ns);
    message.fixed64(8, span.ended_ns);
    for (key, value) in &span.attributes {
        key_value(message, 9, key, value);
    }
    if span.status == Status::Error {
        message.message(15, |status| status.number(3, 2));
    }
    let remote = if span.kind == Kind::Internal || span.parent.is_none() { 0 } else { IS_REMOTE };
    message.fixed32(16, SAMPLED | HAS_IS_REMOTE | remote);
}

fn key_value(message: &mut Message, field: u64, key: &str, value: &Value) {
    message.message(field, |pair| {
        pair.bytes(1, key.as_bytes());
        pair.message(2, |any| match value {
            Value::Text(text) => any.bytes(1, text.as_bytes()),
            // A negative number is written as the 64 bits that it has.
            Value::Number(number) => any.number(3, *number as u64),
        });
    });
}

/// Number of spans that a collector refuses in an answer of success: the field of an `ExportTraceServiceResponse`.
pub(super) fn rejected_spans(answer: &[u8]) -> u64 {
    let partial = Fields(answer).find_map(|field| match field {
        (1, Field::Bytes(partial)) => Some(partial),
        _ => None,
    });
    let rejected = partial.and_then(|partial| {
        Fields(partial).find_map(|field| match field {
            (1, Field::Number(number)) => Some(number),
            _ => None,
        })
    });
    rejected.unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::traces::{SpanId, TraceId, TraceState, attribute};
    use opentelemetry_proto::tonic::{
        collector::trace::v1::{
            ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
        },
        common::v1::{KeyValue, any_value},
    };
    use prost::Message as _;
    use std::sync::Arc;

    fn text_of<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a any_value::Value> {
        let found = attributes.iter().find(|attribute| attribute.key == key)?;
        found.value.as_ref()?.value.as_ref()
    }

    #[test]
    fn a_request_is_what_the_types_of_opentelemetry_read() {
        let span = Span {
            trace: TraceId::from_bytes([7; 16]).expect("not zero"),
            id: SpanId::from_bytes([8; 8]).expect("not zero"),
            parent: SpanId::from_bytes([9; 8]),
            state: TraceState::of(["a=1"].into_iter()).map(Arc::new),
            name: "POST /v1/x".into(),
            kind: Kind::Server,
            began_ns: 1,
            ended_ns: u64::MAX,
            attributes: vec![
                attribute("text", "t"),
                attribute("number", 300u64),
                ("negative", Value::Number(-1)),
            ],
            status: Status::Error,
        };
        let bytes = Resource::new("prover".into()).request(&[span.clone(), span]);
        let request = ExportTraceServiceRequest::decode(&bytes[..]).expect("a request");
        let [of_resource] = &request.resource_spans[..] else { panic!("one resource") };
        let resource = of_resource.resource.as_ref().expect("a resource");
        let name = any_value::Value::StringValue("prover".into());
        assert_eq!(text_of(&resource.attributes, "service.name"), Some(&name));
        assert!(text_of(&resource.attributes, "service.instance.id").is_some());
        let [of_scope] = &of_resource.scope_spans[..] else { panic!("one scope") };
        assert_eq!(of_scope.scope.as_ref().map(|scope| &*scope.name), Some("snapback"));
        let [read, _] = &of_scope.spans[..] else { panic!("two spans") };
        assert_eq!((&read.trace_id[..], &read.span_id[..]), (&[7; 16][..], &[8; 8][..]));
        assert_eq!((&read.parent_span_id[..], &*read.trace_state), (&[9; 8][..], "a=1"));
        assert_eq!((&*read.name, read.kind, read.flags), ("POST /v1/x", 2, 0x301));
        assert_eq!((read.start_time_unix_nano, read.end_time_unix_nano), (1, u64::MAX));
        assert_eq!(read.status.as_ref().map(|status| status.code), Some(2));
        for (key, value) in [
            ("text", any_value::Value::StringValue("t".into())),
            ("number", any_value::Value::IntValue(300)),
            ("negative", any_value::Value::IntValue(-1)),
        ] {
            assert_eq!(text_of(&read.attributes, key), Some(&value));
        }
    }

    #[test]
    fn the_number_of_refused_spans_is_read() {
        let partial = ExportTracePartialSuccess { rejected_spans: 300, error_message: "too old".into() };
        let answer = ExportTraceServiceResponse { partial_success: Some(partial) }.encode_to_vec();
        assert_eq!(rejected_spans(&answer), 300);
        for other in [&b""[..], b"{}", b"\x0a\xff", b"<html>"] {
            assert_eq!(rejected_spans(other), 0);
        }
    }
}
