//! Asks the kernel whether anybody has a file open for writing, or mapped for writing.
//!
//! Invariant: no lease outlives the question, and a lease that somebody breaks meanwhile sends no signal that ends the
//! process.

use std::{fs::File, io, os::fd::AsRawFd};

/// `F_SETSIG` of fcntl(2), which the crate `libc` lacks. Source: Linux, `include/uapi/asm-generic/fcntl.h`.
const F_SETSIG: libc::c_int = 10;

/// Returns whether nobody has a file open for writing. A shared mapping that can be written counts, also after its
/// descriptor was closed. The file has to be open for reading alone, and has to belong to this user.
///
/// # Errors
/// Returns an error if the file system has no leases.
pub(crate) fn is_written_by_nobody(file: &File) -> io::Result<bool> {
    // Whoever opens the file for writing while the lease is held breaks it, of which the kernel tells by `SIGIO`. That
    // would end this process, and `SIGURG` is ignored.
    fcntl(file, F_SETSIG, libc::SIGURG)?;
    // The kernel refuses a lease for reading on a file that is open for writing anywhere.
    match fcntl(file, libc::F_SETLEASE, libc::F_RDLCK) {
        Ok(()) => fcntl(file, libc::F_SETLEASE, libc::F_UNLCK).map(|()| true),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
        Err(error) => Err(error),
    }
}

#[expect(unsafe_code, reason = "no safe interface has leases")]
fn fcntl(file: &File, command: libc::c_int, argument: libc::c_int) -> io::Result<()> {
    // SAFETY: both commands take an integer and touch no memory of this process. The descriptor is open, because `file`
    // is borrowed.
    let result = unsafe { libc::fcntl(file.as_raw_fd(), command, argument) };
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::is_written_by_nobody;
    use std::fs::{File, OpenOptions};

    #[test]
    fn a_writer_is_seen_until_it_closes_the_file() {
        let written = tempfile::NamedTempFile::new().expect("a file");
        let path = written.into_temp_path();
        let file = File::open(&path).expect("readable");
        assert!(is_written_by_nobody(&file).expect("leases"));
        let writer = OpenOptions::new().write(true).open(&path).expect("writable");
        assert!(!is_written_by_nobody(&file).expect("leases"));
        drop(writer);
        assert!(is_written_by_nobody(&file).expect("leases"));
    }

    #[test]
    #[expect(unsafe_code, reason = "mappings are what is tested")]
    fn a_mapping_that_can_be_written_is_seen_after_its_file_was_closed() {
        let written = tempfile::NamedTempFile::new().expect("a file");
        written.as_file().set_len(4096).expect("long enough to map");
        let path = written.into_temp_path();
        let file = File::open(&path).expect("readable");
        let writer = OpenOptions::new().read(true).write(true).open(&path).expect("writable");
        // SAFETY: nothing refers to the bytes of the mapping.
        let mapping = unsafe { memmap2::MmapMut::map_mut(&writer) }.expect("mapped");
        drop(writer);
        assert!(!is_written_by_nobody(&file).expect("leases"));
        drop(mapping);
        assert!(is_written_by_nobody(&file).expect("leases"));
    }
}
