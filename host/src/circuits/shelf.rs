//! The catalogue and the files of circuits, on disk.
//!
//! ```text
//! <state>/circuits/<image>/catalogue.json    the catalogue, replaced as a whole
//! <state>/circuits/<image>/files/<sha256>    files of circuits, as they were sent
//! <state>/circuits/<image>/lock              held by the server that keeps the circuits
//! ```
//!
//! Invariant: everything that the catalogue names was on disk before it. A process that dies at any moment leaves the
//! last published generation and the accepted changes. Nothing is removed but files whose names are digests.

use super::{
    catalogue::{Catalogue, FORMAT_VERSION},
    change::Entry,
    upload::{Incoming, Received},
};
use serde::{Deserialize, Serialize};
use snapback_snapshot::{Digest, Dir, Error, proof_systems::CircuitFiles};
use std::{
    collections::BTreeSet,
    fs::File,
    path::{Path, PathBuf},
};

/// Name of the directory of catalogues, in the state directory.
const CIRCUITS: &str = "circuits";
const CATALOGUE: &str = "catalogue.json";
/// Longest catalogue, in bytes.
const CATALOGUE_BYTES_MAX: u64 = 64 << 20;
/// Longest file of a circuit, in bytes; `circuits.upload_bytes_max` is at most that.
const FILE_BYTES_MAX: u64 = 2 << 30;

/// Why a catalogue cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CatalogueError {
    /// A file cannot be read or written.
    #[error(transparent)]
    Store(#[from] Error),
    /// Another server keeps these circuits.
    #[error("another server keeps the circuits in {}: give this one a `state_dir` of its own", .0.display())]
    InUse(PathBuf),
    /// The file is not a catalogue, or of another version.
    #[error("{} cannot be read: {reason}. Move it away to begin with the image alone", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// A file that the catalogue names is gone or has other bytes.
    #[error("{} is gone, or is not what was stored", .0.display())]
    FileDamaged(PathBuf),
    /// The active generation has an image of another guest.
    #[error("the image {image} is of the guest `{found}`, not `{wanted}`")]
    AnotherGuest {
        /// The image.
        image: Digest,
        /// Its guest.
        found: String,
        /// The guest of the image that the server was started with.
        wanted: String,
    },
}

/// The file of a catalogue, with a digest that shows damage which is still valid JSON.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CatalogueFile<C> {
    sha256: Digest,
    catalogue: C,
}

/// The directory of a catalogue, locked for the one server that may write to it.
pub(super) struct Shelf {
    state_dir: PathBuf,
    dir: Dir,
    files: Dir,
    _lock: File,
}

impl Shelf {
    pub(super) fn open(state_dir: &Path, image: &str) -> Result<Self, CatalogueError> {
        let dir = Dir::open(state_dir)?.sub(CIRCUITS)?.sub(image)?;
        let lock = dir.lock("lock")?.ok_or_else(|| CatalogueError::InUse(dir.path_of("")))?;
        let files = dir.sub("files")?;
        // The lock is held, so their writers have ended.
        dir.sweep_all_temporary();
        files.sweep_all_temporary();
        Ok(Self { state_dir: state_dir.into(), dir, files, _lock: lock })
    }

    pub(super) fn state_dir(&self) -> &Path {
        &self.state_dir
    }

    pub(super) fn load(&self) -> Result<Option<Catalogue>, CatalogueError> {
        read_catalogue(&self.dir)
    }

    /// Warns that there are files of circuits and no catalogue that names them, so that they are not served.
    pub(super) fn warn_of_files(&self) {
        if self.files.names().is_ok_and(|names| !names.is_empty()) {
            let path = self.dir.path_of(CATALOGUE);
            tracing::warn!(path = %path.display(), "files of circuits are here, and no catalogue that names them: only the circuits of the image are served");
        }
    }

    pub(super) fn save(&self, catalogue: &Catalogue) -> Result<(), CatalogueError> {
        Ok(self.dir.publish(CATALOGUE, &write_catalogue(catalogue))?)
    }

    /// Returns a file to which is written what arrives.
    pub(super) fn receive(&self) -> Result<Incoming, CatalogueError> {
        Ok(Incoming::new(&self.files)?)
    }

    /// Stores a file under its digest. A file that is there already is not replaced: a bake that is allowed to read it
    /// would not be allowed to read another in its place.
    pub(super) fn put(&self, received: Received) -> Result<Digest, CatalogueError> {
        let digest = received.digest;
        let name = digest.to_string();
        if self.check(&digest).is_err() {
            let file = received.into_file();
            match self.files.open_file(&name) {
                Ok(None) => file.publish_new(&name)?,
                // Something else has the name, such as a damaged file.
                Ok(Some(_)) | Err(_) => file.publish(&name)?,
            }
        }
        Ok(digest)
    }

    /// The path of a file, for processes that read it.
    pub(super) fn path(&self, digest: &Digest) -> PathBuf {
        self.files.path_of(&digest.to_string())
    }

    /// Length of a file, in bytes; zero if it is not there.
    pub(super) fn bytes_of(&self, digest: &Digest) -> u64 {
        std::fs::metadata(self.path(digest)).map_or(0, |file| file.len())
    }

    pub(super) fn get(&self, digest: &Digest) -> Result<Vec<u8>, CatalogueError> {
        match self.files.read(&digest.to_string(), FILE_BYTES_MAX)? {
            Some(bytes) if Digest::of(&bytes) == *digest => Ok(bytes),
            _ => Err(CatalogueError::FileDamaged(self.path(digest))),
        }
    }

    /// Checks that a file is there and has its digest.
    pub(super) fn check(&self, digest: &Digest) -> Result<(), CatalogueError> {
        let name = digest.to_string();
        let failed = |source| Error::Io { action: "read", path: self.path(digest), source };
        if let Some(file) = self.files.open_file(&name)?
            && file.metadata().map_err(failed)?.len() <= FILE_BYTES_MAX
            && Digest::of_file(&file).map_err(failed)? == *digest
        {
            return Ok(());
        }
        Err(CatalogueError::FileDamaged(self.path(digest)))
    }

    /// Maps the files of a circuit. What is in them is not compared with their digests.
    pub(super) fn map(&self, entry: &Entry) -> Result<CircuitFiles, CatalogueError> {
        let mut files = CircuitFiles::default();
        for (kind, digest) in &entry.files {
            let mapped = self.files.map(&digest.to_string())?;
            files.insert(kind.clone(), mapped.ok_or_else(|| CatalogueError::FileDamaged(self.path(digest)))?);
        }
        Ok(files)
    }

    /// Removes files that nothing names any more, such as those of a change that was not accepted.
    pub(super) fn sweep(&self, catalogue: &Catalogue) {
        let needed = catalogue.files();
        for name in self.files.names().unwrap_or_default() {
            // Whatever has another name was not put here by a server, and stays.
            let Ok(digest) = name.parse::<Digest>() else { continue };
            if !needed.contains(&digest)
                && let Err(error) = self.files.remove(&name)
            {
                tracing::warn!(%error, "a file that nothing needs is still there");
            }
        }
    }
}

/// Reads the catalogue in a directory; returns `None` if there is none.
fn read_catalogue(dir: &Dir) -> Result<Option<Catalogue>, CatalogueError> {
    let Some(bytes) = dir.read(CATALOGUE, CATALOGUE_BYTES_MAX)? else { return Ok(None) };
    let damaged = |reason| CatalogueError::Damaged { path: dir.path_of(CATALOGUE), reason };
    parse_catalogue(&bytes).map(Some).map_err(damaged)
}

/// Reads the file of a catalogue.
///
/// # Errors
/// Returns why it is none, or none of this version, or damaged.
pub fn parse_catalogue(file: &[u8]) -> Result<Catalogue, String> {
    let json: serde_json::Value = serde_json::from_slice(file).map_err(|error| error.to_string())?;
    // The version first: a file of another version has other fields.
    let version = &json["catalogue"]["format_version"];
    if *version != FORMAT_VERSION {
        return Err(format!("format version {version}, this server reads {FORMAT_VERSION}"));
    }
    let CatalogueFile::<Catalogue> { sha256, catalogue } =
        serde_json::from_value(json).map_err(|error| error.to_string())?;
    if digest_of(&catalogue) != sha256 {
        return Err("its contents do not have the digest that it names".into());
    }
    if catalogue.generation(catalogue.active).is_none() {
        return Err("it lacks the generation that is active".into());
    }
    Ok(catalogue)
}

/// Returns the file of a catalogue.
#[must_use]
pub fn write_catalogue(catalogue: &Catalogue) -> Vec<u8> {
    let file = CatalogueFile { sha256: digest_of(catalogue), catalogue };
    serde_json::to_vec_pretty(&file).expect("a catalogue has string keys only")
}

fn digest_of(catalogue: &Catalogue) -> Digest {
    Digest::of(&serde_json::to_vec(catalogue).expect("a catalogue has string keys only"))
}

/// Returns the digests of every image and file that a catalogue of a state directory needs. Images that were baked for a
/// catalogue and that no generation has are not among them.
///
/// # Errors
/// Returns an error if a catalogue cannot be read. What it names is unknown then, and nothing may be removed.
pub fn named_by_any(state_dir: &Path) -> Result<BTreeSet<Digest>, CatalogueError> {
    let mut named = BTreeSet::new();
    let Some(circuits) = Dir::open(state_dir)?.existing_sub(CIRCUITS)? else { return Ok(named) };
    for image in circuits.names()?.iter().filter(|image| circuits.contains_dir(image)) {
        let Some(dir) = circuits.existing_sub(image)? else { continue };
        let Some(catalogue) = read_catalogue(&dir)? else { continue };
        named.insert(catalogue.from);
        named.extend(catalogue.generations.iter().map(|generation| generation.image));
        named.extend(catalogue.files());
    }
    Ok(named)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::MetadataExt};

    fn put(shelf: &Shelf, bytes: &[u8]) -> Digest {
        let mut incoming = shelf.receive().expect("a file");
        incoming.append(bytes).expect("written");
        shelf.put(incoming.end()).expect("stored")
    }

    #[test]
    fn a_file_that_is_sent_again_stays_the_same_file() {
        let state = tempfile::tempdir().expect("a directory");
        let shelf = Shelf::open(state.path(), "plonk").expect("a shelf");
        let digest = put(&shelf, b"a circuit");
        let inode = || fs::metadata(shelf.path(&digest)).expect("it is there").ino();
        let first = inode();
        assert_eq!(put(&shelf, b"a circuit"), digest);
        assert_eq!(inode(), first);
    }

    #[test]
    fn a_damaged_file_is_replaced() {
        let state = tempfile::tempdir().expect("a directory");
        let shelf = Shelf::open(state.path(), "plonk").expect("a shelf");
        let digest = put(&shelf, b"a circuit");
        let path = shelf.path(&digest);
        fs::remove_file(&path).expect("removed");
        fs::write(&path, b"something else").expect("written");
        assert!(shelf.get(&digest).is_err() && shelf.check(&digest).is_err());
        put(&shelf, b"a circuit");
        assert_eq!(shelf.get(&digest).expect("whole"), b"a circuit");
    }

    #[test]
    fn what_is_not_stored_leaves_nothing_behind() {
        let state = tempfile::tempdir().expect("a directory");
        let shelf = Shelf::open(state.path(), "plonk").expect("a shelf");
        let mut incoming = shelf.receive().expect("a file");
        incoming.append(b"half of a circuit").expect("written");
        assert_eq!(shelf.files.names().expect("a list").len(), 1);
        drop(incoming);
        let received = shelf.receive().expect("a file").end();
        drop(received);
        put(&shelf, b"a circuit");
        put(&shelf, b"a circuit");
        assert_eq!(shelf.files.names().expect("a list").len(), 1);
    }
}
