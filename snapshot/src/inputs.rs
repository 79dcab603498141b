//! Inputs and limits of a bake.
//!
//! Invariant: an input is held in memory from the moment it is hashed, so that the hashed bytes are the ones that are
//! fed.

use crate::{Digest, Error, manifest::InputId};
use std::{fs, path::Path, time::Duration};

/// A named input of a bake, held in memory. Later changes of its file have no effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// Name of the input. The guest takes it with its method `bake_<name>`.
    pub name: String,
    /// Name of the object that the input concerns, such as a circuit; empty if it concerns the whole guest.
    pub of: String,
    /// Contents of the input.
    pub bytes: Vec<u8>,
}

/// Limits of a bake.
#[derive(Clone, Copy, Debug)]
pub struct BakeLimits {
    /// Largest image, in bytes.
    pub image_bytes_max: u64,
    /// Largest input, in bytes.
    pub input_bytes_max: u64,
    /// Most linear memory that the initialiser may use, in bytes.
    pub memory_bytes_max: u64,
    /// Longest time that all bake methods of one run may take together.
    pub deadline: Duration,
    /// Whether a guest is refused if it has exports that are not methods.
    pub extra_exports: ExtraExports,
}

/// Treatment of a guest that exports functions which the contract does not know and clients cannot call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ExtraExports {
    /// The exports are reported.
    #[default]
    Report,
    /// The guest is refused.
    Refuse,
}

impl Default for BakeLimits {
    fn default() -> Self {
        Self {
            image_bytes_max: 1 << 30,
            input_bytes_max: 1 << 30,
            memory_bytes_max: 2 << 30,
            deadline: Duration::from_mins(30),
            extra_exports: ExtraExports::Report,
        }
    }
}

impl Input {
    /// Creates an input from its label: `NAME`, or `NAME/OF`.
    #[must_use]
    pub fn new(label: &str, bytes: Vec<u8>) -> Self {
        let (name, of) = label.split_once('/').unwrap_or((label, ""));
        Self { name: name.into(), of: of.into(), bytes }
    }

    /// Returns the label: `NAME`, or `NAME/OF`.
    #[must_use]
    pub fn label(&self) -> String {
        if self.of.is_empty() { self.name.clone() } else { format!("{}/{}", self.name, self.of) }
    }

    /// Reads an input from a file.
    ///
    /// # Errors
    /// Returns an error if the file cannot be read or is larger than the limit.
    pub fn read(label: &str, path: &Path, limits: &BakeLimits) -> Result<Self, Error> {
        let len = fs::metadata(path).map_err(|source| Error::io("read the input", path, source))?.len();
        if len > limits.input_bytes_max {
            return Err(Error::Input {
                name: label.into(),
                reason: format!(
                    "it has {len} bytes, more than bake.input_bytes_max = {}",
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
