//! What a bake is given, and its bounds.
//!
//! Invariant: an input is in memory from the moment it is hashed, so that what is hashed is what is fed.

use crate::{Digest, Error, manifest::InputId};
use std::{fs, path::Path, time::Duration};

/// A named input, in memory: what is hashed is what is fed, whatever happens to the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// The guest takes it with its method `bake_<name>`.
    pub name: String,
    /// What of the guest's it concerns, such as a circuit; often nothing.
    pub of: String,
    /// Its contents.
    pub bytes: Vec<u8>,
}

/// Bounds of a bake.
#[derive(Clone, Copy, Debug)]
pub struct BakeLimits {
    /// Largest image, in bytes.
    pub image_bytes_max: u64,
    /// Largest input, in bytes.
    pub input_bytes_max: u64,
    /// Most linear memory that the initialiser may use, in bytes.
    pub memory_bytes_max: u64,
    /// Longest run of all bake methods together.
    pub deadline: Duration,
}

impl Default for BakeLimits {
    fn default() -> Self {
        Self {
            image_bytes_max: 1 << 30,
            input_bytes_max: 1 << 30,
            memory_bytes_max: 2 << 30,
            deadline: Duration::from_mins(30),
        }
    }
}

impl Input {
    /// An input of that name, or of a name and what it concerns with a slash between them.
    #[must_use]
    pub fn new(label: &str, bytes: Vec<u8>) -> Self {
        let (name, of) = label.split_once('/').unwrap_or((label, ""));
        Self { name: name.into(), of: of.into(), bytes }
    }

    /// Name, and what it concerns.
    #[must_use]
    pub fn label(&self) -> String {
        if self.of.is_empty() { self.name.clone() } else { format!("{}/{}", self.name, self.of) }
    }

    /// Reads an input.
    ///
    /// # Errors
    /// When the file cannot be read or is larger than the limit.
    pub fn read(label: &str, path: &Path, limits: &BakeLimits) -> Result<Self, Error> {
        let len = fs::metadata(path).map_err(|source| Error::io("read the input", path, source))?.len();
        if len > limits.input_bytes_max {
            return Err(Error::Input {
                name: label.into(),
                reason: format!(
                    "{} has {len} bytes, more than bake.input_bytes_max = {}",
                    path.display(),
                    limits.input_bytes_max
                ),
            });
        }
        let bytes = fs::read(path).map_err(|source| Error::io("read the input", path, source))?;
        Ok(Self::new(label, bytes))
    }

    pub(crate) fn id(&self) -> InputId {
        InputId {
            name: self.name.clone(),
            of: self.of.clone(),
            digest: Digest::of(&self.bytes),
            bytes: self.bytes.len() as u64,
        }
    }
}
