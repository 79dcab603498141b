//! Standard output, which may be a pipe whose reader has gone, or a file on a full disk.
//!
//! Invariant: text that cannot be written ends the program with an exit code, not with a panic.

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

/// Writes bytes to standard output.
pub(super) fn write(bytes: &[u8]) {
    let mut stdout = io::stdout().lock();
    if let Err(error) = stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        end(&error);
    }
}

/// Ends the program. A reader that has read enough, such as `head`, is no failure.
fn end(error: &io::Error) -> ! {
    if error.kind() == io::ErrorKind::BrokenPipe {
        process::exit(0);
    }
    eprintln!("snapback: cannot write to standard output: {error}");
    process::exit(Exit::Failed as i32)
}
