//! Decodes a document whose encoding may be declared, or not, or wrongly.
//!
//! Precedence, as in browsers: a byte order mark, the charset of the `Content-Type`, a `meta` element near the start.
//! Without any, the document is UTF-8 if its bytes are, and otherwise what `chardetng` guesses from them, which is what
//! Firefox does.
//!
//! Invariant: every sequence of bytes decodes; what its encoding does not allow becomes U+FFFD.

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252, X_USER_DEFINED};
use std::borrow::Cow;

/// Bytes at the start of a document that are searched for a declaration; browsers search 1,024.
const DECLARATION_BYTES: usize = 4 << 10;
/// Bytes that the guess is made from, since pages that long do not change their encoding.
const GUESS_BYTES: usize = 256 << 10;

/// Returns the text of a document and the name of its encoding. `host` is the host of its URL.
#[must_use]
pub(crate) fn decode<'a>(
    bytes: &'a [u8],
    content_type: Option<&str>,
    host: Option<&str>,
) -> (Cow<'a, str>, &'static str) {
    let encoding = Encoding::for_bom(bytes)
        .map(|(encoding, _)| encoding)
        .or_else(|| content_type.and_then(|value| charset(value.as_bytes())))
        .or_else(|| declared(&bytes[..bytes.len().min(DECLARATION_BYTES)]))
        .unwrap_or_else(|| guess(bytes, host));
    let (text, used, _) = encoding.decode(bytes);
    (text, used.name())
}

/// Returns the encoding that a `Content-Type` names.
fn charset(value: &[u8]) -> Option<&'static Encoding> {
    let at = find_ignoring_case(value, b"charset")? + b"charset".len();
    let rest = value[at..].trim_ascii_start().strip_prefix(b"=")?.trim_ascii_start();
    let quote = rest.first().filter(|byte| matches!(byte, b'"' | b'\''));
    let label = match quote {
        Some(quote) => rest[1..].split(|byte| byte == quote).next(),
        None => rest.split(|byte| matches!(byte, b';' | b' ' | b'"' | b'\'' | b'>' | b'/' | b'\t')).next(),
    };
    Encoding::for_label_no_replacement(label?)
}

/// Returns the encoding that a `meta` element or an XML declaration names.
fn declared(start: &[u8]) -> Option<&'static Encoding> {
    let mut rest = start;
    if let Some(xml) = rest.strip_prefix(b"<?xml") {
        let declaration = xml.split(|byte| *byte == b'>').next()?;
        if let Some(at) = find_ignoring_case(declaration, b"encoding") {
            let value = declaration[at + b"encoding".len()..].trim_ascii_start();
            let label = value.split(|byte| matches!(byte, b'"' | b'\'')).nth(1);
            if let Some(encoding) = label.and_then(Encoding::for_label_no_replacement) {
                return Some(as_declared(encoding));
            }
        }
    }
    while let Some(at) = find_ignoring_case(rest, b"<meta") {
        rest = &rest[at + b"<meta".len()..];
        let tag = rest.split(|byte| *byte == b'>').next()?;
        if let Some(encoding) = charset(tag) {
            return Some(as_declared(encoding));
        }
    }
    None
}

/// Corrects a declaration that was read as ASCII, so that it cannot be in UTF-16.
fn as_declared(encoding: &'static Encoding) -> &'static Encoding {
    if encoding == UTF_16LE || encoding == UTF_16BE {
        UTF_8
    } else if encoding == X_USER_DEFINED {
        WINDOWS_1252
    } else {
        encoding
    }
}

fn guess(bytes: &[u8], host: Option<&str>) -> &'static Encoding {
    // The standard library looks at the bytes without vectors, whatever this guest is compiled with.
    let valid = Encoding::utf8_valid_up_to(bytes);
    // An incomplete character at the end does not make the rest another encoding.
    let is_utf8 = match str::from_utf8(&bytes[valid..]) {
        Ok(_) => true,
        Err(error) => error.error_len().is_none() && valid > 0,
    };
    if is_utf8 {
        return UTF_8;
    }
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Deny);
    detector.feed(&bytes[..bytes.len().min(GUESS_BYTES)], true);
    let domain = host.and_then(|host| host.rsplit('.').next());
    // The detector panics on a domain with upper-case letters or bytes beyond ASCII.
    let domain = domain.filter(|domain| domain.bytes().all(|byte| byte.is_ascii_lowercase()));
    detector.guess(domain.map(str::as_bytes), Utf8Detection::Allow)
}

fn find_ignoring_case(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window.eq_ignore_ascii_case(needle))
}

#[cfg(test)]
mod tests {
    use super::decode;

    #[test]
    fn the_mark_precedes_the_header_which_precedes_the_declaration() {
        let page = "<meta charset=koi8-r>caf\u{e9}".as_bytes();
        let marked = [b"\xef\xbb\xbf", page].concat();
        assert_eq!(decode(&marked, Some("text/html; charset=big5"), None).1, "UTF-8");
        assert_eq!(decode(page, Some("text/html; charset=\"Big5\""), None).1, "Big5");
        assert_eq!(decode(page, Some("text/html"), None).1, "KOI8-R");
        assert_eq!(
            decode(b"<META http-equiv=x content='text/html; charset=sjis'>", None, None).1,
            "Shift_JIS"
        );
        assert_eq!(decode(b"<?xml version='1.0' encoding='euc-kr'?><p>", None, None).1, "EUC-KR");
        assert_eq!(decode(b"<meta charset=utf-16>", None, None).1, "UTF-8");
        assert_eq!(decode(b"\xff\xfe<\0p\0>\0", None, None), ("<p>".into(), "UTF-16LE"));
    }

    #[test]
    fn without_a_declaration_the_bytes_decide() {
        assert_eq!(decode("na\u{ef}ve".as_bytes(), None, None), ("na\u{ef}ve".into(), "UTF-8"));
        assert_eq!(
            decode(b"le caf\xe9 est ferm\xe9", None, Some("example.fr")).0,
            "le caf\u{e9} est ferm\u{e9}"
        );
        assert_eq!(decode(b"", None, None), ("".into(), "UTF-8"));
        assert_eq!(decode(b"\xe9", None, Some("EXAMPLE.\u{e9}")).1, "windows-1252");
    }

    #[test]
    fn labels_that_mean_nothing_are_ignored() {
        for value in
            ["charset", "charset=", "charset=\"", "charset=;", "charset=no-such", "charset=replacement"]
        {
            assert_eq!(decode(b"a", Some(value), None).1, "UTF-8", "{value}");
        }
    }
}
