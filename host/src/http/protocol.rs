//! What a client speaks, from the first bytes that it sends.

/// What every connection of HTTP/2 begins with; RFC 9113, section 3.4.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Most bytes that are needed to tell.
pub(super) const FIRST_BYTES_MAX: usize = PREFACE.len();
/// The first byte of TLS: a record of the handshake; RFC 8446, section 5.1.
const TLS_HANDSHAKE: u8 = 22;

/// What a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Tls,
    Http1,
    Http2,
}

impl Protocol {
    /// Returns what a client speaks that begins with these bytes; `None` if more of them are needed.
    pub(super) fn of(first: &[u8]) -> Option<Self> {
        match first {
            [] => None,
            [TLS_HANDSHAKE, ..] => Some(Self::Tls),
            _ if first.starts_with(PREFACE) => Some(Self::Http2),
            _ if PREFACE.starts_with(first) => None,
            _ => Some(Self::Http1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_tell_what_a_client_speaks() {
        assert_eq!(Protocol::of(PREFACE), Some(Protocol::Http2));
        assert!((0..PREFACE.len()).all(|len| Protocol::of(&PREFACE[..len]).is_none()));
        for request in [&b"GET / HTTP/1.1\r\n"[..], b"PO", b"PUT /", b"PRI * HTTP/1.1", b"\r\n", b"\0"] {
            assert_eq!(Protocol::of(request), Some(Protocol::Http1), "{request:?}");
        }
        assert_eq!(Protocol::of(&[22, 3, 1, 2, 0, 1]), Some(Protocol::Tls));
    }
}
