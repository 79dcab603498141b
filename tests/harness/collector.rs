//! A collector of OpenTelemetry that keeps what arrives, read with the types of OpenTelemetry itself.

use crate::harness::receiver::Receiver;
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{KeyValue, any_value},
    trace::v1,
};
use prost::Message;
use std::{collections::BTreeMap, sync::mpsc, thread, time::Duration};

/// Far longer than a machine under any load needs, so that only a defect ends here.
const PATIENCE: Duration = Duration::from_mins(20);

/// A span, with its ids as headers write them.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    pub(crate) name: String,
    pub(crate) trace: String,
    pub(crate) id: String,
    pub(crate) parent: String,
    pub(crate) state: String,
    pub(crate) kind: v1::span::SpanKind,
    pub(crate) is_error: bool,
    pub(crate) began_ns: u64,
    pub(crate) ended_ns: u64,
    pub(crate) attributes: BTreeMap<String, String>,
    /// The attributes of the process that exported it.
    pub(crate) resource: BTreeMap<String, String>,
}

impl Span {
    pub(crate) fn get(&self, key: &str) -> &str {
        self.attributes.get(key).map_or("", String::as_str)
    }

    /// Returns an attribute that is a number.
    pub(crate) fn number(&self, key: &str) -> u64 {
        self.get(key).parse().unwrap_or_else(|_| panic!("{key} of {self:?}"))
    }
}

/// One request to the collector.
struct Export {
    line: String,
    headers: [String; 2],
    body: Vec<u8>,
}

/// A collector on a port of its own, which takes everything.
pub(crate) struct Collector {
    pub(crate) url: String,
    exports: mpsc::Receiver<Export>,
    pub(crate) spans: Vec<Span>,
    /// The bytes of all requests.
    pub(crate) bytes: Vec<u8>,
}

impl Collector {
    /// Starts a collector that expects this in `authorization`.
    pub(crate) fn start(authorization: &'static str) -> Self {
        let receiver = Receiver::start();
        let url = receiver.url("");
        let (sender, exports) = mpsc::channel();
        thread::spawn(move || {
            loop {
                let request = receiver.next();
                let headers = ["content-type", "authorization"].map(|name| request.header(name).to_owned());
                assert_eq!(headers, ["application/x-protobuf", authorization]);
                let export = Export { line: request.line.clone(), headers, body: request.body.clone() };
                // Told before it is answered: a server that has stopped has told everything.
                if sender.send(export).is_err() {
                    return;
                }
                request.answer("200 OK", "content-type: application/x-protobuf\r\n");
            }
        });
        Self { url, exports, spans: Vec::new(), bytes: Vec::new() }
    }

    /// Waits until the spans that have arrived are what a test waits for.
    pub(crate) fn until(&mut self, what: &str, is_so: impl Fn(&[Span]) -> bool) {
        while !is_so(&self.spans) {
            match self.exports.recv_timeout(PATIENCE) {
                Ok(export) => self.take(&export),
                Err(error) => panic!("{what}: {error}; there are {:#?}", self.spans),
            }
        }
    }

    /// Takes what has arrived by now.
    pub(crate) fn refresh(&mut self) {
        while let Ok(export) = self.exports.try_recv() {
            self.take(&export);
        }
    }

    /// The only span with this name.
    pub(crate) fn one(&self, name: &str) -> &Span {
        let mut found = self.spans.iter().filter(|span| span.name == name);
        match (found.next(), found.next()) {
            (Some(span), None) => span,
            found => panic!("{name}: {found:?} of {:#?}", self.spans),
        }
    }

    fn take(&mut self, export: &Export) {
        assert_eq!(export.line, "POST /v1/traces HTTP/1.1", "{:?}", export.headers);
        let request = ExportTraceServiceRequest::decode(&export.body[..]).expect("a request of OTLP");
        self.bytes.extend_from_slice(&export.body);
        for of_resource in request.resource_spans {
            let resource = texts(&of_resource.resource.expect("a resource").attributes);
            for span in of_resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
                self.spans.push(Span {
                    kind: span.kind(),
                    is_error: span.status.as_ref().is_some_and(|status| status.code == 2),
                    name: span.name,
                    trace: hex(&span.trace_id),
                    id: hex(&span.span_id),
                    parent: hex(&span.parent_span_id),
                    state: span.trace_state,
                    began_ns: span.start_time_unix_nano,
                    ended_ns: span.end_time_unix_nano,
                    attributes: texts(&span.attributes),
                    resource: resource.clone(),
                });
            }
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn texts(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |attribute: &KeyValue| {
        let value = attribute.value.clone().and_then(|value| value.value);
        let value = match value.expect("a value") {
            any_value::Value::StringValue(text) => text,
            any_value::Value::IntValue(number) => number.to_string(),
            other => panic!("{other:?}"),
        };
        (attribute.key.clone(), value)
    };
    let texts: BTreeMap<_, _> = attributes.iter().map(text).collect();
    assert_eq!(texts.len(), attributes.len(), "no attribute occurs twice");
    texts
}
