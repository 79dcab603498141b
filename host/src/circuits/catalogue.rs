//! What is served and what is wanted, on disk: generations, the active one, and changes that are not done yet.
//!
//! ```text
//! <state>/circuits/<image>/catalogue.json    all of it, replaced as a whole
//! <state>/circuits/<image>/files/<sha256>    circuits, calculators and names as they were sent
//! <state>/circuits/<image>/lock              held by the server that keeps it
//! ```
//!
//! Invariant: whatever is named in the catalogue was on disk before it, so that a process that dies at any moment
//! finds the last published generation, and the changes that were accepted.

use serde::{Deserialize, Serialize};
use snapback_snapshot::{Digest, Error, files, manifest::Manifest};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

const FORMAT_VERSION: u32 = 1;
/// Where catalogues are, below the state directory.
const CIRCUITS: &str = "circuits";
/// Finished jobs that are remembered.
const JOBS_KEPT: usize = 64;

/// Number of a generation, for as long as the catalogue lives.
pub type GenerationId = u64;
/// Number of a job, for as long as the catalogue lives.
pub type JobId = u64;

/// The catalogue of one served image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Catalogue {
    format_version: u32,
    /// The image that the server was started with when the circuits were last built.
    pub(crate) from: Digest,
    pub(crate) active: GenerationId,
    next_generation: GenerationId,
    next_job: JobId,
    pub(crate) generations: Vec<Edition>,
    /// Images that were baked for it, and may go when nothing names them.
    #[serde(default)]
    pub(crate) baked: BTreeSet<Digest>,
    pub(crate) jobs: Vec<Job>,
}

/// One generation, as the catalogue knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Edition {
    /// Its number.
    pub id: GenerationId,
    /// Its image.
    pub image: Digest,
    /// When it was published, in seconds since 1970.
    pub created: u64,
    /// When another took its place, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left: Option<u64>,
    /// Its circuits, by name.
    pub circuits: BTreeMap<String, Entry>,
}

/// A circuit in the catalogue.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// What identifies the circuit; unknown where it came with the first image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub circuit: Option<Digest>,
    /// SHA-256 of its `.r1cs`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub r1cs: Option<Digest>,
    /// SHA-256 of its `.sym`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sym: Option<Digest>,
    /// SHA-256 of its witness calculator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wasm: Option<Digest>,
}

/// A change of the circuits, accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Job {
    /// Its number.
    pub id: JobId,
    /// What is to be done.
    pub change: Change,
    /// How far it is.
    pub state: JobState,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Change {
    /// A circuit comes, or takes the place of another of its name.
    Add {
        /// Its name.
        name: String,
        /// What it consists of.
        entry: Entry,
    },
    /// A circuit goes.
    Remove {
        /// Its name.
        name: String,
    },
    /// Every circuit is built anew, from the image that the server was started with.
    Rebuild,
}

/// How far a job is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state", deny_unknown_fields)]
pub enum JobState {
    /// It waits for the bake before it.
    Waiting,
    /// It is being baked.
    Baking,
    /// It is published.
    Done {
        /// The generation that has it.
        generation: GenerationId,
    },
    /// Nothing changed.
    Failed {
        /// Why.
        reason: String,
    },
}

impl JobState {
    pub(crate) fn is_open(&self) -> bool {
        matches!(self, Self::Waiting | Self::Baking)
    }
}

impl Catalogue {
    /// The first: one generation, the image as it was given.
    pub(crate) fn new(from: Digest, circuits: BTreeMap<String, Entry>) -> Self {
        let first = Edition { id: 1, image: from, created: now(), left: None, circuits };
        Self {
            format_version: FORMAT_VERSION,
            from,
            active: 1,
            next_generation: 2,
            next_job: 1,
            generations: vec![first],
            baked: BTreeSet::new(),
            jobs: Vec::new(),
        }
    }

    /// Whether it holds circuits that came to the server, or changes that are to bring some.
    pub(crate) fn has_own(&self) -> bool {
        let mut circuits = self.generations.iter().flat_map(|edition| edition.circuits.values());
        circuits.any(|entry| entry.r1cs.is_some()) || self.open_jobs().next().is_some()
    }

    pub(crate) fn generation(&self, id: GenerationId) -> Option<&Edition> {
        self.generations.iter().find(|edition| edition.id == id)
    }

    /// The generation that is served.
    pub(crate) fn active(&self) -> &Edition {
        self.generation(self.active).expect("the active generation is kept")
    }

    pub(crate) fn open_jobs(&self) -> impl Iterator<Item = &Job> {
        self.jobs.iter().filter(|job| job.state.is_open())
    }

    pub(crate) fn submit(&mut self, change: Change) -> JobId {
        let id = self.next_job;
        self.next_job += 1;
        self.jobs.push(Job { id, change, state: JobState::Waiting });
        let finished = self.jobs.iter().filter(|job| !job.state.is_open()).count();
        let mut surplus = finished.saturating_sub(JOBS_KEPT);
        self.jobs.retain(|job| {
            let goes = surplus > 0 && !job.state.is_open();
            surplus -= usize::from(goes);
            !goes
        });
        id
    }

    pub(crate) fn set_state(&mut self, jobs: &[JobId], state: &JobState) {
        for job in self.jobs.iter_mut().filter(|job| jobs.contains(&job.id)) {
            job.state = state.clone();
        }
    }

    /// Takes in a generation and makes it the active one.
    pub(crate) fn publish(&mut self, image: Digest, circuits: BTreeMap<String, Entry>) -> GenerationId {
        let id = self.next_generation;
        self.next_generation += 1;
        self.generations.push(Edition { id, image, created: now(), left: None, circuits });
        self.activate(id);
        id
    }

    /// Makes a generation the active one.
    pub(crate) fn activate(&mut self, id: GenerationId) {
        if id == self.active {
            return;
        }
        for edition in &mut self.generations {
            match edition.id {
                edition_id if edition_id == id => edition.left = None,
                edition_id if edition_id == self.active => edition.left = Some(now()),
                _ => {}
            }
        }
        self.active = id;
    }

    /// Forgets generations that are not served, but for so many that were last; those that were left too long ago go
    /// all the same. The one that was active before the active one stays whatever its age.
    pub(crate) fn prune(&mut self, keep: usize, age_max: Duration) {
        let oldest = now().saturating_sub(age_max.as_secs());
        let active = self.active;
        let mut idle: Vec<(u64, GenerationId)> = self
            .generations
            .iter()
            .filter(|edition| edition.id != active)
            .map(|edition| (edition.left.unwrap_or(edition.created), edition.id))
            .collect();
        idle.sort_unstable_by(|a, b| b.cmp(a));
        let kept: BTreeSet<GenerationId> = (0..keep)
            .zip(idle)
            .filter(|(position, (left, _))| *position == 0 || *left >= oldest)
            .map(|(_, (_, id))| id)
            .collect();
        self.generations.retain(|edition| edition.id == active || kept.contains(&edition.id));
    }

    /// Every file that is still needed.
    fn files(&self) -> BTreeSet<Digest> {
        let in_generations = self.generations.iter().flat_map(|edition| edition.circuits.values());
        let in_jobs = self.open_jobs().filter_map(|job| match &job.change {
            Change::Add { entry, .. } => Some(entry),
            _ => None,
        });
        in_generations
            .chain(in_jobs)
            .flat_map(|entry| [entry.r1cs, entry.sym, entry.wasm])
            .flatten()
            .collect()
    }
}

/// Every digest that a catalogue of a state directory names, in generations and open jobs: images, files and what
/// identifies circuits.
#[must_use]
pub fn named_by_any(state_dir: &Path) -> BTreeSet<Digest> {
    let mut named = BTreeSet::new();
    for catalogue in fs::read_dir(state_dir.join(CIRCUITS)).into_iter().flatten().flatten() {
        let text = fs::read(catalogue.path().join("catalogue.json")).unwrap_or_default();
        let Ok(mut json) = serde_json::from_slice::<serde_json::Value>(&text) else { continue };
        // What it baked is what may go.
        json["baked"] = serde_json::Value::Null;
        if let Some(jobs) = json["jobs"].as_array_mut() {
            jobs.retain(|job| matches!(job["state"]["state"].as_str(), Some("waiting" | "baking")));
        }
        collect(&json, &mut named);
    }
    named
}

/// The circuits that came with an image: nothing is known of them but their names.
pub(crate) fn of_manifest(manifest: &Manifest) -> BTreeMap<String, Entry> {
    manifest.circuits.iter().map(|circuit| (circuit.name.clone(), Entry::default())).collect()
}

fn collect(json: &serde_json::Value, digests: &mut BTreeSet<Digest>) {
    match json {
        serde_json::Value::String(text) => digests.extend(text.parse::<Digest>()),
        serde_json::Value::Array(values) => values.iter().for_each(|value| collect(value, digests)),
        serde_json::Value::Object(values) => values.values().for_each(|value| collect(value, digests)),
        _ => {}
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Why a catalogue cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CatalogueError {
    /// The operating system refused.
    #[error(transparent)]
    Store(#[from] Error),
    /// Another server has it.
    #[error("another server keeps the circuits in {}: give this one a `state_dir` of its own", .0.display())]
    InUse(PathBuf),
    /// It is none, or of another version.
    #[error("{} cannot be read: {reason}. Move it away to begin with the image alone", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        reason: String,
    },
    /// A file that it names is gone or has other bytes.
    #[error("{} is gone, or is not what was stored", .0.display())]
    FileDamaged(PathBuf),
}

/// The directory of a catalogue, and the one server that may write to it.
pub(crate) struct Shelf {
    state_dir: PathBuf,
    dir: PathBuf,
    files: PathBuf,
    _lock: File,
}

impl Shelf {
    pub(crate) fn open(state_dir: &Path, image: &str) -> Result<Self, CatalogueError> {
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

    pub(crate) fn state_dir(&self) -> &Path {
        &self.state_dir
    }

    fn catalogue_path(&self) -> PathBuf {
        self.dir.join("catalogue.json")
    }

    pub(crate) fn load(&self) -> Result<Option<Catalogue>, CatalogueError> {
        let path = self.catalogue_path();
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(source) if source.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(Error::Io { action: "read", path, source }.into()),
        };
        let damaged = |reason: String| CatalogueError::Damaged { path: path.clone(), reason };
        let catalogue: Catalogue =
            serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
        if catalogue.format_version != FORMAT_VERSION {
            return Err(damaged(format!("format version {}", catalogue.format_version)));
        }
        if catalogue.generation(catalogue.active).is_none() {
            return Err(damaged("it lacks the generation that is active".into()));
        }
        Ok(Some(catalogue))
    }

    pub(crate) fn save(&self, catalogue: &Catalogue) -> Result<(), CatalogueError> {
        let json = serde_json::to_vec_pretty(catalogue).expect("a catalogue has string keys only");
        Ok(files::publish(&self.catalogue_path(), &json)?)
    }

    /// Keeps a file under its digest.
    pub(crate) fn put(&self, bytes: &[u8]) -> Result<Digest, CatalogueError> {
        let digest = Digest::of(bytes);
        files::publish(&self.path(&digest), bytes)?;
        Ok(digest)
    }

    pub(crate) fn path(&self, digest: &Digest) -> PathBuf {
        self.files.join(digest.to_string())
    }

    pub(crate) fn get(&self, digest: &Digest) -> Result<Vec<u8>, CatalogueError> {
        let path = self.path(digest);
        match fs::read(&path) {
            Ok(bytes) if Digest::of(&bytes) == *digest => Ok(bytes),
            _ => Err(CatalogueError::FileDamaged(path)),
        }
    }

    /// Removes files that nothing names any more, such as those of a change that was never accepted.
    pub(crate) fn sweep(&self, catalogue: &Catalogue) {
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Generations 1 to `count`, the last one active.
    fn catalogue(count: u64) -> Catalogue {
        let image = Digest::of(b"an image");
        let mut catalogue = Catalogue::new(image, BTreeMap::new());
        for _ in 1..count {
            catalogue.publish(image, BTreeMap::new());
        }
        catalogue
    }

    fn ids(catalogue: &Catalogue) -> Vec<GenerationId> {
        catalogue.generations.iter().map(|edition| edition.id).collect()
    }

    const LONG: Duration = Duration::from_hours(24);

    #[test]
    fn so_many_are_kept_beside_the_active_one() {
        let mut five = catalogue(5);
        five.prune(2, LONG);
        assert_eq!(ids(&five), [3, 4, 5]);
        five.prune(0, LONG);
        assert_eq!(ids(&five), [5]);
    }

    #[test]
    fn the_one_that_was_just_left_stays_whatever_its_age() {
        let mut five = catalogue(5);
        // Back to the first, and on from there: the first is what people would go back to.
        five.activate(1);
        five.publish(Digest::of(b"another"), BTreeMap::new());
        for edition in &mut five.generations {
            edition.created -= 2 * LONG.as_secs();
            let later = u64::from(edition.id == 1);
            edition.left = edition.left.map(|left| left - 2 * LONG.as_secs() + later);
        }
        five.prune(3, LONG);
        assert_eq!(ids(&five), [1, 6]);
    }

    #[test]
    fn age_counts_from_when_another_took_its_place() {
        let mut three = catalogue(3);
        three.generations.iter_mut().for_each(|edition| edition.created -= 2 * LONG.as_secs());
        three.prune(8, LONG);
        assert_eq!(ids(&three), [1, 2, 3]);
        three.generations[0].left = Some(now() - 2 * LONG.as_secs());
        three.prune(8, LONG);
        assert_eq!(ids(&three), [2, 3]);
    }
}
