//! Files that are read through a mapping, so that those of hundreds of megabytes take page cache and no memory.
//!
//! Invariant: only files that nobody writes any more are mapped: this program made them in a directory in which nobody else
//! can write, with a mode that lets nobody open them for writing. A disk that fails under a mapping ends the process, as it
//! does under the mapped code of images.

use std::{fs::File, io, ops::Deref};

/// The bytes of a file.
pub struct Mapped(Option<memmap2::Mmap>);

impl Mapped {
    /// Maps an open file of a private directory, whose mode lets nobody write into it.
    ///
    /// # Errors
    /// Returns an error if the kernel refuses.
    pub(crate) fn of(file: &File) -> io::Result<Self> {
        if file.metadata()?.len() == 0 {
            return Ok(Self(None));
        }
        // SAFETY: the bytes behind the mapping have to stay as they are. Callers pass files with mode 0400 in a directory
        // that no other user can write into, which this program created and does not write after they were mapped.
        // Whoever could change them has this user's rights, and could change this process too.
        #[expect(unsafe_code, reason = "a mapping is sound only while nobody changes the file")]
        let map = unsafe { memmap2::Mmap::map(file) }?;
        Ok(Self(Some(map)))
    }
}

impl Deref for Mapped {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.0.as_deref().unwrap_or_default()
    }
}
