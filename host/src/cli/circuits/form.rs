//! The files of a circuit, as a multipart body.

use anyhow::Context;
use std::{fs, path::Path};

/// A multipart body of files.
pub(super) struct MultipartForm {
    boundary: String,
    body: Vec<u8>,
}

impl MultipartForm {
    pub(super) fn new() -> Self {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).expect("the operating system provides entropy");
        let boundary = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        Self { boundary, body: Vec::new() }
    }

    pub(super) fn file(&mut self, part: &str, file: &Path) -> anyhow::Result<()> {
        let bytes = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        let Self { boundary, body } = self;
        let head = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"{part}\"; filename=\"{part}\"\r\n\r\n"
        );
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(&bytes);
        body.extend_from_slice(b"\r\n");
        Ok(())
    }

    pub(super) fn content_type(&self) -> String {
        format!("multipart/form-data; boundary={}", self.boundary)
    }

    pub(super) fn end(mut self) -> Vec<u8> {
        self.body.extend_from_slice(format!("--{}--\r\n", self.boundary).as_bytes());
        self.body
    }
}
