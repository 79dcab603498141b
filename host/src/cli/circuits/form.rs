//! The files of a circuit, as a multipart body that is read from disk while it is sent.
//!
//! Invariant: the body has the length that was announced, whatever happens to the files meanwhile, or sending it fails.

use crate::cli::progress::Counted;
use anyhow::Context;
use snapback_snapshot::Portion;
use std::{
    fs::File,
    io::{self, Cursor, Read},
    path::Path,
    time::Instant,
};

/// Bodies from this length on are sent with a display of the progress, in bytes.
const PROGRESS_FROM: u64 = 16 << 20;

/// A multipart body of files.
pub(super) struct MultipartForm {
    boundary: String,
    parts: Vec<Part>,
}

struct Part {
    head: String,
    file: File,
    bytes: u64,
}

impl MultipartForm {
    pub(super) fn new() -> Self {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).expect("the operating system provides entropy");
        let boundary = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        Self { boundary, parts: Vec::new() }
    }

    pub(super) fn file(&mut self, part: &str, path: &Path) -> anyhow::Result<()> {
        let open = || -> io::Result<(File, u64)> {
            let file = File::open(path)?;
            let metadata = file.metadata()?;
            if metadata.is_file() {
                Ok((file, metadata.len()))
            } else {
                Err(io::Error::other("it is not a regular file"))
            }
        };
        let (file, bytes) = open().with_context(|| format!("cannot read {}", path.display()))?;
        let boundary = &self.boundary;
        let head = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"{part}\"; filename=\"{part}\"\r\n\r\n"
        );
        self.parts.push(Part { head, file, bytes });
        Ok(())
    }

    pub(super) fn content_type(&self) -> String {
        format!("multipart/form-data; boundary={}", self.boundary)
    }

    /// Returns the body, and its length in bytes.
    pub(super) fn into_body(self) -> (impl Read, u64) {
        let Self { boundary, parts } = self;
        let end = format!("--{boundary}--\r\n");
        let mut of = end.len() as u64;
        let mut body: Box<dyn Read> = Box::new(io::empty());
        for Part { head, file, bytes } in parts {
            of += head.len() as u64 + bytes + 2;
            body = Box::new(body.chain(Cursor::new(head)).chain(file.take(bytes)).chain(&b"\r\n"[..]));
        }
        let shown = (of >= PROGRESS_FROM).then(|| Counted::new("sending the circuit"));
        (Sending { body: body.chain(Cursor::new(end)), of, done: 0, begun: Instant::now(), shown }, of)
    }
}

/// A body that is being sent.
struct Sending<R> {
    body: R,
    of: u64,
    done: u64,
    begun: Instant,
    shown: Option<Counted>,
}

impl<R: Read> Read for Sending<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.body.read(buffer)?;
        if read == 0 && !buffer.is_empty() && self.done < self.of {
            return Err(io::Error::other("a file became shorter while it was sent"));
        }
        self.done += read as u64;
        if let Some(shown) = &self.shown {
            shown.show(Portion { done: self.done, of: self.of, took: self.begun.elapsed() });
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn the_body_has_its_length_or_fails() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("squares.r1cs");
        fs::write(&path, b"four").expect("written");
        let form = || {
            let mut form = MultipartForm::new();
            form.file("r1cs", &path).expect("readable");
            form
        };
        let (mut body, len) = form().into_body();
        let mut bytes = Vec::new();
        body.read_to_end(&mut bytes).expect("whole");
        assert_eq!(bytes.len() as u64, len);
        for (contents, is_whole) in [(&b"longer"[..], true), (b"two", false)] {
            fs::write(&path, b"four").expect("written");
            let form = form();
            fs::write(&path, contents).expect("written");
            let (mut body, len) = form.into_body();
            let mut bytes = Vec::new();
            assert_eq!(body.read_to_end(&mut bytes).is_ok(), is_whole);
            assert!(!is_whole || bytes.len() as u64 == len);
        }
    }
}
