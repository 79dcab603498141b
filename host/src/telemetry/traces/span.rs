//! One finished span.
//!
//! Invariant: names and keys are this program's own, and no text is longer than [`TEXT_BYTES_MAX`].

use super::context::{SpanId, TraceId, TraceState};
use std::{borrow::Cow, sync::Arc};

/// Longest text of an attribute, in bytes. It bounds what the queue of spans takes.
const TEXT_BYTES_MAX: usize = 256;

/// What a span stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Work within this program.
    Internal,
    /// The answer to a request.
    Server,
    /// Work that was asked for earlier.
    Consumer,
}

/// Whether what a span stands for went wrong, as far as this program is to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It did not.
    Unset,
    /// It did.
    Error,
}

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A text.
    Text(Cow<'static, str>),
    /// A number.
    Number(i64),
}

impl From<&'static str> for Value {
    fn from(text: &'static str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for Value {
    /// Takes a text, or the beginning of one that is too long.
    fn from(mut text: String) -> Self {
        text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
        Self::Text(text.into())
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Number(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

/// Something that is known about a span.
pub type Attribute = (&'static str, Value);

/// Returns an attribute.
pub fn attribute(key: &'static str, value: impl Into<Value>) -> Attribute {
    (key, value.into())
}

/// One finished span.
#[derive(Clone, Debug)]
pub struct Span {
    /// The trace.
    pub trace: TraceId,
    /// The span.
    pub id: SpanId,
    /// The span that it belongs to; `None` if the trace begins with it.
    pub parent: Option<SpanId>,
    /// What other systems of tracing have to say about the trace.
    pub state: Option<Arc<TraceState>>,
    /// Its name.
    pub name: Cow<'static, str>,
    /// What it stands for.
    pub kind: Kind,
    /// When it began, in nanoseconds since 1970.
    pub began_ns: u64,
    /// When it ended, in nanoseconds since 1970.
    pub ended_ns: u64,
    /// What is known about it.
    pub attributes: Vec<Attribute>,
    /// Whether it went wrong.
    pub status: Status,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_between_characters() {
        let text = "\u{e9}".repeat(TEXT_BYTES_MAX);
        assert_eq!(Value::from(text), Value::Text("\u{e9}".repeat(TEXT_BYTES_MAX / 2).into()));
        assert_eq!(Value::from(u64::MAX), Value::Number(i64::MAX));
    }
}
