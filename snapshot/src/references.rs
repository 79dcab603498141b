//! Reference strings on disk. Circuits need one of their size; each is generated once.
//!
//! ```text
//! <state>/srs/<name>-<sha256>
//! ```
//!
//! Invariant: the store returns bytes only if they have the digest that is asked for; it removes others.

use crate::{Digest, Error, dir::Dir};
use std::time::Duration;

/// Longest reference string, in bytes. Those of the largest circuits, with 2^18 rows, have a sixteenth of that.
const BYTES_MAX: u64 = 1 << 28;

/// Where reference strings are kept, and who is told how far a missing one has come.
#[derive(Clone, Copy)]
pub struct References<'a> {
    /// The reference strings of a state directory; `None` to generate what is needed each time.
    pub store: Option<&'a ReferenceStore>,
    /// Called while a reference string is generated.
    pub progress: &'a dyn Fn(Portion),
}

/// How far a stage has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Portion {
    /// Units of work that are done.
    pub done: u64,
    /// Units of work in all.
    pub of: u64,
    /// How long the stage has taken.
    pub took: Duration,
}

impl Portion {
    /// Returns the share that is done, from 0 to 1.
    #[must_use]
    pub fn share(&self) -> f64 {
        self.done as f64 / self.of.max(1) as f64
    }

    /// Returns how long the rest takes at the same speed.
    #[must_use]
    pub fn left(&self) -> Duration {
        let left = self.of.saturating_sub(self.done) as f64 / self.done.max(1) as f64;
        self.took.mul_f64(left)
    }
}

/// The reference strings of a state directory.
pub struct ReferenceStore {
    dir: Dir,
}

impl ReferenceStore {
    pub(crate) fn open(state: &Dir) -> Result<Self, Error> {
        let dir = state.sub("srs")?;
        dir.sweep_temporary();
        Ok(Self { dir })
    }

    /// Returns the reference string of this name and digest, if the store has it undamaged. A damaged one is removed.
    ///
    /// # Errors
    /// Returns an error if the store cannot be read, or a damaged string cannot be removed.
    pub fn find(&self, name: &str, digest: &Digest) -> Result<Option<Vec<u8>>, Error> {
        let file = file_name(name, digest);
        match self.dir.read(&file, BYTES_MAX) {
            Ok(None) => return Ok(None),
            Ok(Some(bytes)) if *digest == Digest::of(&bytes) => return Ok(Some(bytes)),
            Ok(Some(_)) => {}
            // Something else has its name: a link, a FIFO, a file without end.
            Err(error) => tracing::warn!(%error, "a reference string cannot be read"),
        }
        let path = self.dir.path_of(&file);
        tracing::warn!(path = %path.display(), "a reference string is damaged and is generated again");
        self.dir.remove(&file)?;
        Ok(None)
    }

    /// Stores a reference string under this name and its digest.
    ///
    /// # Errors
    /// Returns an error if the file cannot be written.
    pub fn keep(&self, name: &str, digest: &Digest, bytes: &[u8]) -> Result<(), Error> {
        self.dir.publish(&file_name(name, digest), bytes)
    }
}

fn file_name(name: &str, digest: &Digest) -> String {
    format!("{name}-{digest}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_portion_tells_how_long_the_rest_takes() {
        let portion = Portion { done: 25, of: 100, took: Duration::from_secs(2) };
        assert_eq!((portion.share(), portion.left()), (0.25, Duration::from_secs(6)));
        let none = Portion { done: 0, of: 0, took: Duration::ZERO };
        assert_eq!((none.share(), none.left()), (0.0, Duration::ZERO));
    }

    #[test]
    fn a_damaged_string_is_removed() {
        let state = tempfile::tempdir().expect("a directory");
        let store = ReferenceStore::open(&Dir::open(state.path()).expect("a directory")).expect("a store");
        let digest = Digest::of(b"a reference string");
        let find = |name| store.find(name, &digest).expect("read");
        store.keep("pallas-4", &digest, b"a reference string").expect("written");
        assert_eq!(find("pallas-4").as_deref(), Some(&b"a reference string"[..]));
        assert!(find("pallas-5").is_none() && find("pallas").is_none());
        assert!(store.find("pallas-4", &Digest::of(b"another string")).expect("read").is_none());
        let path = store.dir.path_of(&store.dir.names().expect("read")[0]);
        fs::remove_file(&path).expect("removed");
        fs::write(&path, b"another string").expect("written");
        assert!(find("pallas-4").is_none() && !path.exists());
    }
}
