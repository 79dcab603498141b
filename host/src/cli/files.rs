//! Reads and writes the files of commands; `-` stands for the standard streams.

use super::output;
use anyhow::Context;
use std::{
    fs,
    io::{self, Read, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::Path,
};
use zeroize::Zeroizing;

/// Reads a file. Its bytes are overwritten when they are dropped, because most of them are secrets.
pub(super) fn read(path: &Path) -> anyhow::Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::new());
    let read = if path.as_os_str() == "-" {
        io::stdin().read_to_end(&mut bytes)
    } else {
        fs::File::open(path).and_then(|mut file| file.read_to_end(&mut bytes))
    };
    read.with_context(|| format!("cannot read {}", path.display()))?;
    Ok(bytes)
}

/// Writes a result to a file that only its owner can read, or without a path to standard output.
pub(super) fn write(path: Option<&Path>, bytes: &[u8]) -> anyhow::Result<()> {
    match path.filter(|path| path.as_os_str() != "-") {
        Some(path) => fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(path)
            .and_then(|mut file| {
                // The mode above is for a new file.
                file.set_permissions(fs::Permissions::from_mode(0o600)).and_then(|()| file.write_all(bytes))
            })
            .with_context(|| format!("cannot write {}", path.display())),
        None => {
            output::write(bytes);
            Ok(())
        }
    }
}
