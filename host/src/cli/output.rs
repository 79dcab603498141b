//! Standard output, which may be a pipe whose reader has gone, or a file on a full disk.
//!
//! Invariant: text that cannot be written causes no panic, and a reader that has left changes no exit code.

use super::exit::Exit;
use std::{
    fmt,
    io::{self, Write},
    process,
};

/// Prints text and a line break on standard output, as `println!` does.
macro_rules! outln {
    ($($text:tt)*) => {
        $crate::cli::output::print(format_args!("{}\n", format_args!($($text)*)))
    };
}
pub(super) use outln;

/// Prints text on standard output.
pub(super) fn print(text: fmt::Arguments<'_>) {
    write(text.to_string().as_bytes());
}

/// Writes bytes to standard output. If the reader has left, as `head` does, they are dropped, and the command goes on; if
/// they cannot be written for another reason, the program ends.
pub(super) fn write(bytes: &[u8]) {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            // Standard error may be the same full device.
            let _ = writeln!(io::stderr(), "snapback: cannot write to standard output: {error}");
            process::exit(Exit::Failed as i32)
        }
        _ => {}
    }
}
