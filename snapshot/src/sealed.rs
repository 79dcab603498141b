//! Memory behind a descriptor that nobody can write into any more.

use memfd::{FileSeal, MemfdOptions};
use std::{
    fs::File,
    io::{self, Write},
};

/// Returns a descriptor of memory that can no longer be written, not even by this process.
pub(crate) fn sealed_memory(bytes: &[u8]) -> io::Result<File> {
    let other = |error: memfd::Error| io::Error::other(error);
    let memory = MemfdOptions::default().allow_sealing(true).create("snapback-native").map_err(other)?;
    memory.as_file().write_all(bytes)?;
    memory
        .add_seals(&[FileSeal::SealShrink, FileSeal::SealGrow, FileSeal::SealWrite, FileSeal::SealSeal])
        .map_err(other)?;
    Ok(memory.into_file())
}
