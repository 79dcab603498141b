//! Keeps the circuits of one served image: takes changes in, for its own thread to bake and publish; see `rounds`.
//!
//! Invariant: one bake at a time; changes that come meanwhile are baked together, the next time. A change that fails
//! takes no other with it.

use super::{
    baker::{Baker, Step},
    catalogue::{
        Catalogue, CatalogueError, Change, Edition, Entry, GenerationId, Job, JobId, JobState, Shelf,
    },
    opened::Opened,
};
use crate::{
    config::{CircuitSettings, Config},
    dispatch::Dispatcher,
};
use snapback_snapshot::{Digest, Error, ImageStore, NativeCache};
use std::{
    collections::BTreeMap,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock},
    thread,
};
use tokio::sync::watch;
use wasmtime::Engine;

/// Keeps the circuits of one served image.
pub struct Keeper {
    pub(super) service: usize,
    pub(super) dispatcher: Arc<Dispatcher>,
    pub(super) engine: Engine,
    pub(super) store: ImageStore,
    pub(super) cache: NativeCache,
    pub(super) shelf: Shelf,
    /// The image that the server was started with.
    pub(super) given: Digest,
    pub(super) baker: Baker,
    pub(super) config: CircuitSettings,
    kept: Mutex<Kept>,
    pub(super) work: Condvar,
    /// Held from the moment a generation is chosen until it is published.
    pub(super) publishing: Mutex<()>,
    changed: watch::Sender<u64>,
    /// Read by who stores files to name them, written by who removes those that nothing names.
    pub(super) files: RwLock<()>,
}

pub(super) struct Kept {
    pub(super) catalogue: Catalogue,
    /// How far the bake under way is.
    pub(super) step: Option<Step>,
    pub(super) stopping: bool,
}

/// What a circuit consists of, as it was sent and read.
pub struct Files {
    /// What identifies the circuit.
    pub circuit: Digest,
    /// The `.r1cs`.
    pub r1cs: Vec<u8>,
    /// The `.sym`, for messages.
    pub sym: Option<Vec<u8>>,
    /// The witness calculator.
    pub wasm: Option<Vec<u8>>,
}

/// What became of a change that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Submitted {
    /// It is on disk, and will be done.
    Accepted(JobId),
    /// It is so already.
    Unchanged(GenerationId),
}

/// Why a change is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// The name is another circuit's.
    #[error("`{0}` is another circuit: ?replace=true (--replace) puts this one in its place")]
    NameTaken(String),
    /// There is no such circuit.
    #[error("no circuit `{0}`: GET /v1/circuits (`snapback circuits list`) lists them")]
    NoSuchCircuit(String),
    /// There is no such generation.
    #[error(
        "no generation {0}: GET /v1/generations (`snapback circuits generations`) lists those that are kept"
    )]
    NoSuchGeneration(GenerationId),
    /// Too many wait.
    #[error("{0} changes wait already (circuits.changes_max)")]
    TooMany(usize),
    /// The generation cannot be served.
    #[error("generation {id} cannot be served: {reason}")]
    NotServable {
        /// Its number.
        id: GenerationId,
        /// Why not.
        reason: String,
    },
    /// It cannot be made durable.
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
}

impl Keeper {
    /// Begins to work on what waits, and to take changes in.
    ///
    /// # Errors
    /// When the store cannot be opened, or no thread can be had.
    pub fn start(
        Opened { shelf, catalogue, given }: Opened,
        service: usize,
        dispatcher: &Arc<Dispatcher>,
        engine: &Engine,
        config: &Config,
    ) -> Result<Arc<Self>, Error> {
        let keeper = Arc::new(Self {
            service,
            dispatcher: Arc::clone(dispatcher),
            engine: engine.clone(),
            store: ImageStore::open(&config.state_dir)?,
            cache: NativeCache::open(&config.state_dir, &config.key_file, config.bake.memory_bytes_max),
            shelf,
            given,
            baker: Baker::new(config),
            config: config.circuits,
            kept: Mutex::new(Kept { catalogue, step: None, stopping: false }),
            work: Condvar::new(),
            publishing: Mutex::new(()),
            changed: watch::Sender::new(0),
            files: RwLock::new(()),
        });
        dispatcher.metrics().circuits_change(dispatcher.services()[service].name());
        let worker = Arc::clone(&keeper);
        thread::Builder::new()
            .name("keeper".into())
            .spawn(move || worker.run())
            .map_err(|source| Error::Io { action: "start the thread", path: "keeper".into(), source })?;
        Ok(keeper)
    }

    pub(super) fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its bounds.
    #[must_use]
    pub fn config(&self) -> &CircuitSettings {
        &self.config
    }

    /// Told whenever a job or a generation changes.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    pub(super) fn tell(&self) {
        self.changed.send_modify(|count| *count += 1);
    }

    /// A job, and how far its bake is: a stage and a percentage.
    #[must_use]
    pub fn job(&self, id: JobId) -> Option<(Job, Option<(String, u32)>)> {
        let kept = self.kept();
        let job = kept.catalogue.jobs.iter().find(|job| job.id == id)?.clone();
        let step = kept.step.as_ref().filter(|_| job.state == JobState::Baking);
        let step =
            step.map(|step| (step.stage.clone(), (step.step.saturating_sub(1)) * 100 / step.steps.max(1)));
        Some((job, step))
    }

    /// Every job that is remembered.
    #[must_use]
    pub fn jobs(&self) -> Vec<JobId> {
        self.kept().catalogue.jobs.iter().map(|job| job.id).collect()
    }

    /// Every generation that is kept, and the active one's number.
    #[must_use]
    pub fn generations(&self) -> (Vec<Edition>, GenerationId) {
        let kept = self.kept();
        (kept.catalogue.generations.clone(), kept.catalogue.active)
    }

    /// Keeps the files of a circuit, and takes it in.
    ///
    /// # Errors
    /// See [`Refused`].
    pub fn add(&self, name: &str, files: &Files, may_replace: bool) -> Result<Submitted, Refused> {
        let storing = self.files.read().unwrap_or_else(PoisonError::into_inner);
        let put = |bytes: &Option<Vec<u8>>| bytes.as_ref().map(|bytes| self.shelf.put(bytes)).transpose();
        let entry = Entry {
            circuit: Some(files.circuit),
            r1cs: Some(self.shelf.put(&files.r1cs)?),
            sym: put(&files.sym)?,
            wasm: put(&files.wasm)?,
        };
        let submitted = self.submit(Change::Add { name: name.into(), entry }, may_replace);
        drop(storing);
        if !matches!(submitted, Ok(Submitted::Accepted(_))) {
            self.sweep();
        }
        submitted
    }

    /// Takes a circuit out.
    ///
    /// # Errors
    /// See [`Refused`].
    pub fn remove(&self, name: &str) -> Result<Submitted, Refused> {
        self.submit(Change::Remove { name: name.into() }, false)
    }

    fn submit(&self, mut change: Change, may_replace: bool) -> Result<Submitted, Refused> {
        let mut kept = self.kept();
        let catalogue = &mut kept.catalogue;
        let wanted = wanted(&catalogue.active().circuits, catalogue.open_jobs().map(|job| &job.change));
        match &mut change {
            Change::Add { name, entry } => match wanted.get(name) {
                // What was not sent again stays, unless all of it is to be replaced.
                Some(there) if there.circuit == entry.circuit && !may_replace && there != entry => {
                    entry.sym = entry.sym.or(there.sym);
                    entry.wasm = entry.wasm.or(there.wasm);
                }
                _ => {}
            },
            Change::Remove { .. } | Change::Rebuild => {}
        }
        match &change {
            Change::Add { name, entry } => match wanted.get(name) {
                Some(there) if there == entry => {
                    let same = catalogue.open_jobs().filter(|job| job.change == change).last();
                    let same = same.map(|job| Submitted::Accepted(job.id));
                    return Ok(same.unwrap_or(Submitted::Unchanged(catalogue.active)));
                }
                Some(there) if there.circuit != entry.circuit && !may_replace => {
                    return Err(Refused::NameTaken(name.clone()));
                }
                _ => {}
            },
            Change::Remove { name } if !wanted.contains_key(name) => {
                return Err(Refused::NoSuchCircuit(name.clone()));
            }
            Change::Remove { .. } | Change::Rebuild => {}
        }
        if catalogue.open_jobs().count() >= self.config.changes_max {
            return Err(Refused::TooMany(self.config.changes_max));
        }
        let before = catalogue.clone();
        let id = catalogue.submit(change);
        if let Err(error) = self.shelf.save(catalogue) {
            *catalogue = before;
            return Err(error.into());
        }
        drop(kept);
        self.work.notify_all();
        self.tell();
        Ok(Submitted::Accepted(id))
    }

    /// Serves a generation that is kept, at the lanes' next calls.
    ///
    /// # Errors
    /// When it is not kept, or cannot be served.
    pub fn activate(&self, id: GenerationId) -> Result<(), Refused> {
        let _publishing = self.publishing.lock().unwrap_or_else(PoisonError::into_inner);
        let edition = self.kept().catalogue.generation(id).cloned().ok_or(Refused::NoSuchGeneration(id))?;
        let _changing = self.dispatcher.changing();
        let generation = self
            .prepare(&edition.image, &edition.circuits)
            .map_err(|reason| Refused::NotServable { id, reason })?;
        let mut kept = self.kept();
        let mut next = kept.catalogue.clone();
        next.activate(id);
        self.shelf.save(&next)?;
        kept.catalogue = next;
        self.publish(id, generation);
        drop(kept);
        self.tell();
        Ok(())
    }

    /// Ends the bake under way; its changes stay on disk, and begin again at the next start.
    pub fn stop(&self) {
        self.kept().stopping = true;
        self.work.notify_all();
    }
}

/// The circuits once these changes are done.
pub(super) fn wanted<'a>(
    circuits: &BTreeMap<String, Entry>,
    changes: impl Iterator<Item = &'a Change>,
) -> BTreeMap<String, Entry> {
    let mut circuits = circuits.clone();
    for change in changes {
        match change {
            Change::Add { name, entry } => drop(circuits.insert(name.clone(), entry.clone())),
            Change::Remove { name } => drop(circuits.remove(name)),
            Change::Rebuild => {}
        }
    }
    circuits
}
