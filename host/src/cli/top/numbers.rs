//! Numbers, sizes and times as people read them, the same way as the page writes them.
//!
//! Invariant: every function is total; a value that makes no sense is shown as it is, or as `–`.

use std::time::{Duration, UNIX_EPOCH};

const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];

/// A size: `12.3 MB`.
pub(super) fn bytes(count: u64) -> String {
    if count < 1000 {
        return format!("{count} B");
    }
    let mut value = count as f64;
    let mut unit = 0;
    while value >= 999.5 && unit < UNITS.len() - 1 {
        value /= 1000.0;
        unit += 1;
    }
    format!("{} {}", digits(value), UNITS[unit])
}

/// Three digits that count.
pub(super) fn digits(value: f64) -> String {
    if !value.is_finite() {
        "–".into()
    } else if value.fract() == 0.0 || value >= 100.0 {
        count(value.round().max(0.0) as u64)
    } else if value >= 10.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    }
}

/// A count with its thousands apart: `12,345`.
pub(super) fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 call`, `2 calls`.
pub(super) fn plural(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", count(number), if number == 1 { "" } else { "s" })
}

/// A duration in milliseconds: `41.2 µs`, `3.10 ms`, `2.00 s`.
pub(super) fn milliseconds(ms: Option<f64>) -> String {
    match ms {
        None => "–".into(),
        Some(ms) if ms < 0.001 => "< 1 µs".into(),
        Some(ms) if ms < 1.0 => format!("{} µs", digits(ms * 1000.0)),
        Some(ms) if ms < 1000.0 => format!("{} ms", digits(ms)),
        Some(ms) if ms < 60_000.0 => format!("{} s", digits(ms / 1000.0)),
        Some(ms) => seconds(ms / 1000.0),
    }
}

/// A duration in seconds, in its two largest units: `3 h 12 min`.
pub(super) fn seconds(time: f64) -> String {
    if time < 0.0005 {
        return "< 1 ms".into();
    }
    let whole = time as u64;
    match whole {
        0 => format!("{} ms", (time * 1000.0).round() as u64),
        1..10 => format!("{time:.1} s"),
        10..60 => format!("{} s", time.round() as u64),
        60..3600 => format!("{} min {} s", whole / 60, whole % 60),
        3600..86400 => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
        _ => format!("{} d {} h", whole / 86400, whole % 86400 / 3600),
    }
}

/// A duration in its largest unit, for where there is little room: `12 s`.
pub(super) fn age(time: f64) -> String {
    let whole = time.max(0.0) as u64;
    match whole {
        0..60 => format!("{whole} s"),
        60..3600 => format!("{} min", whole / 60),
        3600..86400 => format!("{} h", whole / 3600),
        _ => format!("{} d", whole / 86400),
    }
}

/// The time of day in UTC: `14:03:22`.
pub(super) fn clock(at_ms: u64) -> String {
    text_of(at_ms).get(11..19).unwrap_or("–").to_owned()
}

/// A time of the day of `now_ms` as its time, and another one with its date, in UTC.
pub(super) fn moment(at_ms: u64, now_ms: u64) -> String {
    let (at, now) = (text_of(at_ms), text_of(now_ms));
    match (at.get(..10), at.get(11..16)) {
        (Some(day), Some(minute)) if now.get(..10) != Some(day) => format!("{day} {minute}"),
        _ => clock(at_ms),
    }
}

/// A time as RFC 3339 writes it, or nothing if its year has more than four digits.
fn text_of(at_ms: u64) -> String {
    // 9999-12-31T23:59:59Z, the last time that the format has.
    const LAST_MS: u64 = 253_402_300_799_000;
    if at_ms > LAST_MS {
        return String::new();
    }
    humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_millis(at_ms)).to_string()
}

/// The time that a text of RFC 3339 is, in milliseconds since 1970.
pub(super) fn parsed(text: &str) -> Option<u64> {
    let since = humantime::parse_rfc3339_weak(text).ok()?.duration_since(UNIX_EPOCH).ok()?;
    u64::try_from(since.as_millis()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_as_the_page_has_them() {
        let sizes = [0, 999, 1000, 12_345_678, 268_435_456, u64::MAX].map(bytes);
        assert_eq!(sizes, ["0 B", "999 B", "1 kB", "12.3 MB", "268 MB", "18,446,744 TB"]);
        assert_eq!(
            [0.0, 1.234, 12.34, 123.4, 1234.5, f64::NAN].map(digits),
            ["0", "1.23", "12.3", "123", "1,235", "–"]
        );
        assert_eq!([1, 1000, 1_234_567].map(count), ["1", "1,000", "1,234,567"]);
        assert_eq!([1, 2].map(|number| plural(number, "call")), ["1 call", "2 calls"]);
        let times =
            [None, Some(0.0), Some(0.0412), Some(3.1), Some(2500.0), Some(61_000.0)].map(milliseconds);
        assert_eq!(times, ["–", "< 1 µs", "41.2 µs", "3.10 ms", "2.50 s", "1 min 1 s"]);
        assert_eq!(
            [0.0, 0.25, 5.0, 59.9, 11_520.0, 90_000.0].map(seconds),
            ["< 1 ms", "250 ms", "5.0 s", "60 s", "3 h 12 min", "1 d 1 h"]
        );
        assert_eq!([-1.0, 59.0, 61.0, 7200.0, 1e6].map(age), ["0 s", "59 s", "1 min", "2 h", "11 d"]);
    }

    #[test]
    fn times_are_of_utc_and_have_a_date_on_other_days() {
        let noon = parsed("2026-11-27T12:00:01.500Z").expect("a time");
        assert_eq!(clock(noon), "12:00:01");
        assert_eq!(moment(noon, noon + 1000), "12:00:01");
        assert_eq!(moment(noon, noon + 86_400_000), "2026-11-27 12:00");
        assert_eq!((clock(u64::MAX), parsed("yesterday")), ("–".into(), None));
    }
}
