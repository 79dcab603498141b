//! The catalogue and the files of circuits, on disk.
//!
//! ```text
//! <state>/circuits/<image>/catalogue.json    the catalogue, replaced as a whole
//! <state>/circuits/<image>/files/<sha256>    files of circuits, as they were sent
//! <state>/circuits/<image>/lock              held by the server that keeps the circuits
//! ```
//!
//! Invariant: everything that the catalogue names was on disk before it. A process that dies at any moment leaves the
//! last published generation and the accepted changes.

use super::catalogue::{Catalogue, Entry, FORMAT_VERSION};
use snapback_snapshot::{Digest, Error, files, proof_systems::CircuitFiles};
use std::{
    collections::BTreeSet,
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
};

/// Name of the directory of catalogues, in the state directory.
const CIRCUITS: &str = "circuits";

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
}

/// The directory of a catalogue, locked for the one server that may write to it.
pub(super) struct Shelf {
    state_dir: PathBuf,
    dir: PathBuf,
    files: PathBuf,
    _lock: File,
}

impl Shelf {
    pub(super) fn open(state_dir: &Path, image: &str) -> Result<Self, CatalogueError> {
        let dir = state_dir.join(CIRCUITS).join(image);
        let files = dir.join("files");
        snapback_snapshot::files::make_private_dir(&files)?;
        let path = dir.join("lock");
        let io = |source| Error::Io { action: "lock", path: path.clone(), source };
        let lock = File::create(&path).map_err(io)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { state_dir: state_dir.into(), dir, files, _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(CatalogueError::InUse(dir)),
            Err(TryLockError::Error(source)) => Err(io(source).into()),
        }
    }

    pub(super) fn state_dir(&self) -> &Path {
        &self.state_dir
    }

    fn catalogue_path(&self) -> PathBuf {
        self.dir.join("catalogue.json")
    }

    pub(super) fn load(&self) -> Result<Option<Catalogue>, CatalogueError> {
        let path = self.catalogue_path();
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(source) if source.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(Error::Io { action: "read", path, source }.into()),
        };
        let damaged = |reason: String| CatalogueError::Damaged { path: path.clone(), reason };
        let json: serde_json::Value =
            serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
        // The version first: a file of another version has other fields.
        if json["format_version"] != FORMAT_VERSION {
            return Err(damaged(format!(
                "format version {}, this server reads {FORMAT_VERSION}",
                json["format_version"]
            )));
        }
        let catalogue: Catalogue =
            serde_json::from_value(json).map_err(|error| damaged(error.to_string()))?;
        if catalogue.generation(catalogue.active).is_none() {
            return Err(damaged("it lacks the generation that is active".into()));
        }
        Ok(Some(catalogue))
    }

    pub(super) fn save(&self, catalogue: &Catalogue) -> Result<(), CatalogueError> {
        let json = serde_json::to_vec_pretty(catalogue).expect("a catalogue has string keys only");
        Ok(files::publish(&self.catalogue_path(), &json)?)
    }

    /// Writes a file under its digest.
    pub(super) fn put(&self, bytes: &[u8]) -> Result<Digest, CatalogueError> {
        let digest = Digest::of(bytes);
        files::publish(&self.path(&digest), bytes)?;
        Ok(digest)
    }

    pub(super) fn path(&self, digest: &Digest) -> PathBuf {
        self.files.join(digest.to_string())
    }

    pub(super) fn get(&self, digest: &Digest) -> Result<Vec<u8>, CatalogueError> {
        let path = self.path(digest);
        match fs::read(&path) {
            Ok(bytes) if Digest::of(&bytes) == *digest => Ok(bytes),
            _ => Err(CatalogueError::FileDamaged(path)),
        }
    }

    /// Reads the files of a circuit.
    pub(super) fn read(&self, entry: &Entry) -> Result<CircuitFiles, CatalogueError> {
        let mut files = CircuitFiles::default();
        for (kind, digest) in &entry.files {
            files.insert(kind.clone(), self.get(digest)?);
        }
        Ok(files)
    }

    /// Removes files that nothing names any more, such as those of a change that was not accepted.
    pub(super) fn sweep(&self, catalogue: &Catalogue) {
        let needed = catalogue.files();
        let Ok(entries) = fs::read_dir(&self.files) else { return };
        for path in entries.flatten().map(|entry| entry.path()) {
            let digest = path.file_name().and_then(|name| name.to_str()?.parse::<Digest>().ok());
            if digest.is_none_or(|digest| !needed.contains(&digest))
                && let Err(error) = fs::remove_file(&path)
            {
                tracing::warn!(path = %path.display(), %error, "a file that nothing needs is still there");
            }
        }
    }
}

/// Returns every digest that any catalogue of a state directory names in generations and open changes: of images, files
/// and circuits.
///
/// # Errors
/// Returns an error if a catalogue cannot be read. What it names is unknown then, and nothing may be removed.
pub fn named_by_any(state_dir: &Path) -> io::Result<BTreeSet<Digest>> {
    let mut named = BTreeSet::new();
    let Some(entries) = if_found(fs::read_dir(state_dir.join(CIRCUITS)))? else { return Ok(named) };
    for entry in entries {
        let Some(text) = if_found(fs::read(entry?.path().join("catalogue.json")))? else { continue };
        let mut json: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(&text)?;
        // Images that were baked for the catalogue may go unless something else names them.
        json.remove("baked");
        if let Some(serde_json::Value::Array(changes)) = json.get_mut("changes") {
            changes.retain(|change| matches!(change["state"]["state"].as_str(), Some("waiting" | "baking")));
        }
        json.values().for_each(|value| collect(value, &mut named));
    }
    Ok(named)
}

fn if_found<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn collect(json: &serde_json::Value, digests: &mut BTreeSet<Digest>) {
    match json {
        serde_json::Value::String(text) => digests.extend(text.parse::<Digest>()),
        serde_json::Value::Array(values) => values.iter().for_each(|value| collect(value, digests)),
        serde_json::Value::Object(values) => values.values().for_each(|value| collect(value, digests)),
        _ => {}
    }
}
