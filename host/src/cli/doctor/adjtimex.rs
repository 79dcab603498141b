//! Whether the kernel takes the wall clock for synchronised: adjtimex(2).
//!
//! Invariant: the clock is read and never adjusted. This file has the only `unsafe` call of the command line.

use std::io;

/// How far the wall clock can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Synchronisation {
    /// A service keeps it; the kernel expects it to be off by this many microseconds at most.
    Kept { error_us_max: i64 },
    /// Nothing keeps it.
    Free,
}

/// Asks the kernel about the wall clock.
///
/// # Errors
/// Returns an error if this process may not ask, as in some containers.
#[expect(unsafe_code, reason = "no safe interface reads the state of the clock")]
pub(super) fn synchronisation() -> io::Result<Synchronisation> {
    // SAFETY: `timex` is a structure of the C interface that holds integers alone, for which all zeros are valid.
    let mut timex: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a structure that this function owns. Its `modes` are zero, so the kernel fills it and
    // changes nothing else.
    let state = unsafe { libc::adjtimex(&raw mut timex) };
    if state < 0 {
        return Err(io::Error::last_os_error());
    }
    let is_free = state == libc::TIME_ERROR || timex.status & libc::STA_UNSYNC != 0;
    Ok(if is_free {
        Synchronisation::Free
    } else {
        // The field is narrower on some architectures.
        #[expect(clippy::useless_conversion, reason = "the type of the field differs between architectures")]
        Synchronisation::Kept { error_us_max: i64::from(timex.maxerror) }
    })
}
