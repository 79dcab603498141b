//! What a bake is given, and its bounds.
//!
//! Invariant: an input is in memory from the moment it is hashed, so that what is hashed is what is fed.

use crate::{Digest, Error, manifest::InputId};
use std::{fs, path::Path, time::Duration};

/// A named input, in memory: what is hashed is what is fed, whatever happens to the file.
pub struct Input {
    /// The guest takes it with its method `bake_<name>`.
    pub name: String,
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
    /// Reads an input.
    ///
    /// # Errors
    /// When the file cannot be read or is larger than the limit.
    pub fn read(name: &str, path: &Path, limits: &BakeLimits) -> Result<Self, Error> {
        let len = fs::metadata(path).map_err(|source| Error::io("read the input", path, source))?.len();
        if len > limits.input_bytes_max {
            return Err(Error::Input {
                name: name.into(),
                reason: format!(
                    "{} has {len} bytes, more than bake.input_bytes_max = {}",
                    path.display(),
                    limits.input_bytes_max
                ),
            });
        }
        let bytes = fs::read(path).map_err(|source| Error::io("read the input", path, source))?;
        Ok(Self { name: name.into(), bytes })
    }

    pub(crate) fn id(&self) -> InputId {
        InputId { name: self.name.clone(), digest: Digest::of(&self.bytes), bytes: self.bytes.len() as u64 }
    }
}
