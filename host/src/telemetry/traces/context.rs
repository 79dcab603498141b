//! Ids of traces and spans, and the headers that carry them from one program to the next.
//!
//! Source: W3C Trace Context, Level 1, <https://www.w3.org/TR/trace-context/>.
//!
//! Invariant: an id is never all zeroes, and what is not written as the standard has it is no context.

use std::{fmt, str::FromStr};

/// Length of a `traceparent` of version 00, and of the part of later versions that this program reads.
const PARENT_LEN: usize = 55;
/// Longest `tracestate` that is carried on, in bytes, and the most members that it may have.
const STATE_BYTES_MAX: usize = 512;
const STATE_MEMBERS_MAX: usize = 32;
/// The flag of traces that are recorded.
const SAMPLED: u8 = 1;

/// Identifies a trace.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId([u8; 16]);

/// Identifies a span of a trace.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpanId([u8; 8]);

/// Implements what the two ids have in common.
macro_rules! id {
    ($id:ident, $bytes:literal) => {
        impl $id {
            /// Returns the id with these bytes; `None` if all are zero.
            #[must_use]
            pub fn from_bytes(bytes: [u8; $bytes]) -> Option<Self> {
                (bytes != [0; $bytes]).then_some(Self(bytes))
            }

            /// The bytes of the id.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; $bytes] {
                &self.0
            }

            /// Reads an id as headers write it.
            fn from_hex(text: &[u8]) -> Option<Self> {
                let mut bytes = [0; $bytes];
                if text.len() != 2 * $bytes {
                    return None;
                }
                for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
                    *byte = byte_of(pair)?;
                }
                Self::from_bytes(bytes)
            }
        }

        impl fmt::Display for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}

id!(TraceId, 16);
id!(SpanId, 8);

/// Reads two digits. Upper-case ones are refused, as the standard has it.
fn byte_of(pair: &[u8]) -> Option<u8> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let [high, low] = *pair else { return None };
    Some(digit(high)? << 4 | digit(low)?)
}

/// Where a trace is continued: the trace, the span that what follows belongs to, and whether it is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceParent {
    /// The trace.
    pub trace: TraceId,
    /// The span that what follows belongs to.
    pub span: SpanId,
    /// Whether the trace is recorded.
    pub is_sampled: bool,
}

/// Why a text is no `traceparent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a traceparent as W3C Trace Context writes it")]
pub struct InvalidTraceParent;

impl FromStr for TraceParent {
    type Err = InvalidTraceParent;

    /// Reads `00-TRACE-SPAN-FLAGS`, and of later versions the part that they have in common with it.
    fn from_str(text: &str) -> Result<Self, InvalidTraceParent> {
        parse(text.as_bytes()).ok_or(InvalidTraceParent)
    }
}

fn parse(text: &[u8]) -> Option<TraceParent> {
    let (head, rest) = text.split_at_checked(PARENT_LEN)?;
    match (byte_of(&head[..2])?, rest) {
        // The standard forbids it.
        (0xff, _) => return None,
        (0, rest) if !rest.is_empty() => return None,
        // What a later version adds begins with another dash.
        (_, [first, ..]) if *first != b'-' => return None,
        _ => {}
    }
    if [2, 35, 52].iter().any(|at| head[*at] != b'-') {
        return None;
    }
    let trace = TraceId::from_hex(&head[3..35])?;
    let span = SpanId::from_hex(&head[36..52])?;
    let flags = byte_of(&head[53..])?;
    Some(TraceParent { trace, span, is_sampled: flags & SAMPLED != 0 })
}

impl fmt::Display for TraceParent {
    /// Writes version 00, and no flag but the one that it has.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flags = if self.is_sampled { SAMPLED } else { 0 };
        write!(f, "00-{}-{}-{flags:02x}", self.trace, self.span)
    }
}

/// What other systems of tracing have to say about a trace. It is carried on as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceState(String);

impl TraceState {
    /// Returns the state that several headers make together; `None` if there is none, or it is longer than what has to be
    /// carried on, or is not a list of members.
    #[must_use]
    pub fn of<'a>(headers: impl Iterator<Item = &'a str>) -> Option<Self> {
        let mut text = String::new();
        for header in headers {
            if header.len() > STATE_BYTES_MAX || text.len() > STATE_BYTES_MAX {
                return None;
            }
            if !text.is_empty() {
                text.push(',');
            }
            text.push_str(header);
        }
        let is_member = |member: &str| {
            let is_plain = member.bytes().all(|byte| (b' '..=b'~').contains(&byte));
            is_plain
                && member.split_once('=').is_some_and(|(key, value)| !key.is_empty() && !value.is_empty())
        };
        let mut members = text.split(',').map(str::trim).filter(|member| !member.is_empty());
        let is_list = members.clone().count() <= STATE_MEMBERS_MAX && members.all(is_member);
        (!text.is_empty() && text.len() <= STATE_BYTES_MAX && is_list).then_some(Self(text))
    }

    /// The state as headers write it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    const SPAN: &str = "b7ad6b7169203331";

    fn read(text: &str) -> Option<TraceParent> {
        text.parse().ok()
    }

    #[test]
    fn a_traceparent_is_read_as_the_standard_writes_it() {
        let zeroes = ["0".repeat(32), "0".repeat(16)];
        for (text, sampled) in [
            (format!("00-{TRACE}-{SPAN}-01"), Some(true)),
            (format!("00-{TRACE}-{SPAN}-00"), Some(false)),
            // Other flags are ignored.
            (format!("00-{TRACE}-{SPAN}-02"), Some(false)),
            (format!("00-{TRACE}-{SPAN}-ff"), Some(true)),
            // Later versions may go on behind another dash, and only they.
            (format!("01-{TRACE}-{SPAN}-01"), Some(true)),
            (format!("cc-{TRACE}-{SPAN}-01-what-comes"), Some(true)),
            (format!("cc-{TRACE}-{SPAN}-01-"), Some(true)),
            (format!("cc-{TRACE}-{SPAN}-01.what"), None),
            (format!("cc-{TRACE}-{SPAN}-011"), None),
            (format!("00-{TRACE}-{SPAN}-01-what"), None),
            (format!("00-{TRACE}-{SPAN}-01-"), None),
            (format!("ff-{TRACE}-{SPAN}-01"), None),
            // Ids are not zero.
            (format!("00-{}-{SPAN}-01", zeroes[0]), None),
            (format!("00-{TRACE}-{}-01", zeroes[1]), None),
            // Digits are lower-case.
            (format!("00-{}-{SPAN}-01", TRACE.to_uppercase()), None),
            (format!("00-{TRACE}-{}-01", SPAN.to_uppercase()), None),
            (format!("0A-{TRACE}-{SPAN}-01"), None),
            (format!("00-{TRACE}-{SPAN}-0A"), None),
            // Every part has its length.
            (format!("00-{}-{SPAN}-01", &TRACE[1..]), None),
            (format!("00-{TRACE}0-{SPAN}-01"), None),
            (format!("00-{TRACE}-{SPAN}-1"), None),
            (format!("0-{TRACE}-{SPAN}-01"), None),
            (format!("00{TRACE}-{SPAN}--01"), None),
            (format!("00_{TRACE}_{SPAN}_01"), None),
            (format!(" 0-{TRACE}-{SPAN}-01"), None),
            (format!("00-{TRACE}-{SPAN}-01 "), None),
            (format!("00-{TRACE}-{SPAN}-0\u{e9}"), None),
            (format!("00-g{}-{SPAN}-01", &TRACE[1..]), None),
            (String::new(), None),
        ] {
            assert_eq!(read(&text).map(|parent| parent.is_sampled), sampled, "{text}");
        }
        let parent = read(&format!("cc-{TRACE}-{SPAN}-03-more")).expect("a later version");
        assert_eq!(
            parent.to_string(),
            format!("00-{TRACE}-{SPAN}-01"),
            "this program's version, and its flag"
        );
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(trace in any::<[u8; 16]>(), span in any::<[u8; 8]>(), is_sampled: bool) {
            if let (Some(trace), Some(span)) = (TraceId::from_bytes(trace), SpanId::from_bytes(span)) {
                let parent = TraceParent { trace, span, is_sampled };
                prop_assert_eq!(read(&parent.to_string()), Some(parent));
            }
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".{0,80}") {
            let _ = read(&text);
        }

        #[test]
        fn one_changed_byte_never_panics_and_never_makes_an_id_of_zeroes(at in 0..PARENT_LEN, byte: u8) {
            let mut text = format!("00-{TRACE}-{SPAN}-01").into_bytes();
            text[at] = byte;
            if let Some(parent) = parse(&text) {
                prop_assert!(parent.trace.0 != [0; 16] && parent.span.0 != [0; 8]);
                prop_assert_eq!(parse(parent.to_string().as_bytes()), Some(parent));
            }
        }
    }

    #[test]
    fn a_state_is_carried_on_within_its_limits() {
        let of = |headers: &[&str]| TraceState::of(headers.iter().copied()).map(|state| state.0);
        assert_eq!(of(&["rojo=00f067,congo=t61"]).as_deref(), Some("rojo=00f067,congo=t61"));
        assert_eq!(of(&["a=1", "b=2"]).as_deref(), Some("a=1,b=2"), "several headers are one list");
        let longest = format!("a={}", "x".repeat(STATE_BYTES_MAX - 2));
        assert_eq!(of(&[&longest]).as_deref(), Some(&*longest));
        let many = |members: usize| vec!["a=1"; members].join(",");
        assert!(of(&[&many(STATE_MEMBERS_MAX)]).is_some());
        let too_long = format!("{longest}x");
        let too_many = many(STATE_MEMBERS_MAX + 1);
        for dropped in [
            &[][..],
            &[""],
            &[&too_long],
            &[&longest, "b=2"],
            &[&too_many],
            &["a"],
            &["=1"],
            &["a="],
            &["a=\u{7f}"],
        ] {
            assert_eq!(of(dropped), None, "{dropped:?}");
        }
    }
}
