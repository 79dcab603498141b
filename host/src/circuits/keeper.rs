//! Keeps the circuits of one served image: takes changes in, has them baked one after another, publishes.
//!
//! Invariant: one bake at a time; changes that come meanwhile are baked together, the next time. A change that fails
//! takes no other with it.

use super::{
    baker::{Baker, Order, Step, Unbaked},
    calculator::{Calculator, CalculatorLimits},
    calculators,
    catalogue::{
        Catalogue, CatalogueError, Change, Edition, Entry, GenerationId, Job, JobId, JobState, Shelf,
        of_manifest,
    },
};
use crate::{config::Config, dispatch::Dispatcher, events::What, generation::Generation};
use snapback_snapshot::{Digest, Error, ImageStore, NativeCache, SealedImage};
use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    slice,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock},
    thread,
    time::Duration,
};
use tokio::sync::watch;
use wasmtime::Engine;

/// Bounds of a keeper.
#[derive(Clone, Copy, Debug)]
pub struct KeeperConfig {
    /// Most generations that are kept for going back.
    pub generations_kept: usize,
    /// How old a generation gets that is not the active one.
    pub generation_age_max: Duration,
    /// Most changes that wait.
    pub changes_max: usize,
    /// Longest bake.
    pub bake_deadline: Duration,
    /// Bounds of witness calculators.
    pub calculators: CalculatorLimits,
}

/// The circuits of an image that is about to be served.
pub struct Opened {
    shelf: Shelf,
    catalogue: Catalogue,
    given: Digest,
}

impl Opened {
    /// Opens the catalogue of a served image, and says which image to serve: the active generation's, or, where there
    /// is none, the one that was given.
    ///
    /// # Errors
    /// When another server has it, or it cannot be read.
    pub fn open(
        config: &Config,
        store: &ImageStore,
        name: &str,
        given: SealedImage,
    ) -> Result<(Self, SealedImage), CatalogueError> {
        let shelf = Shelf::open(&config.state_dir, name)?;
        let digest = given.digest();
        // A bake goes on from what is in the store.
        store.import(&given)?;
        // One that holds nothing but what came with another image has nothing to carry over to this one.
        let kept = shelf.load()?.filter(|kept| kept.from == digest || kept.has_own());
        let Some(mut catalogue) = kept else {
            let catalogue = Catalogue::new(digest, given.manifest());
            shelf.save(&catalogue)?;
            return Ok((Self { shelf, catalogue, given: digest }, given));
        };
        shelf.sweep(&catalogue);
        // What was under way when the last server ended begins again.
        let open: Vec<JobId> = catalogue.open_jobs().map(|job| job.id).collect();
        catalogue.set_state(&open, &JobState::Waiting);
        let active = store.open_image(&catalogue.active().image);
        let is_outdated = catalogue.from != digest || active.is_err();
        let is_ordered = catalogue.open_jobs().any(|job| job.change == Change::Rebuild);
        if is_outdated && !is_ordered {
            tracing::info!(image = name, "every circuit is built anew, from the image that was given");
            catalogue.submit(Change::Rebuild);
            shelf.save(&catalogue)?;
        }
        let served = active.unwrap_or_else(|error| {
            tracing::error!(image = name, %error, "the active generation is gone: serving the image that was given");
            given
        });
        Ok((Self { shelf, catalogue, given: digest }, served))
    }
}

impl Opened {
    /// The calculators of the generation that is about to be served. One that cannot be loaded is left out: its circuit
    /// is proven from witnesses.
    #[must_use]
    pub fn calculators(
        &self,
        store: &ImageStore,
        cache: &NativeCache,
        engine: &Engine,
        limits: CalculatorLimits,
    ) -> BTreeMap<String, Calculator> {
        let circuits = &self.catalogue.active().circuits;
        let mut loaded = BTreeMap::new();
        for (name, entry) in circuits {
            let one = BTreeMap::from([(name.clone(), entry.clone())]);
            match calculators::load(store, cache, engine, &self.shelf, limits, &one) {
                Ok(calculators) => loaded.extend(calculators),
                Err(error) => tracing::error!(circuit = name, error, "its witness calculator is left out"),
            }
        }
        loaded
    }
}

/// Keeps the circuits of one served image.
pub struct Keeper {
    service: usize,
    dispatcher: Arc<Dispatcher>,
    engine: Engine,
    store: ImageStore,
    cache: NativeCache,
    shelf: Shelf,
    /// The image that the server was started with.
    given: Digest,
    baker: Baker,
    config: KeeperConfig,
    kept: Mutex<Kept>,
    work: Condvar,
    /// Held from the moment a generation is chosen until it is published.
    publishing: Mutex<()>,
    changed: watch::Sender<u64>,
    /// Read by who stores files to name them, written by who removes those that nothing names.
    files: RwLock<()>,
}

struct Kept {
    catalogue: Catalogue,
    /// How far the bake under way is.
    step: Option<Step>,
    stopping: bool,
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
    #[error("`{0}` is another circuit: send ?replace=true to put this one in its place")]
    NameTaken(String),
    /// There is no such circuit.
    #[error("no circuit `{0}`")]
    NoSuchCircuit(String),
    /// There is no such generation.
    #[error("no generation {0}: GET /v1/generations lists those that are kept")]
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
            baker: Baker::new(config, config.circuits.bake_deadline),
            config: config.circuits,
            kept: Mutex::new(Kept { catalogue, step: None, stopping: false }),
            work: Condvar::new(),
            publishing: Mutex::new(()),
            changed: watch::Sender::new(0),
            files: RwLock::new(()),
        });
        let worker = Arc::clone(&keeper);
        thread::Builder::new()
            .name("keeper".into())
            .spawn(move || worker.run())
            .map_err(|source| Error::Io { action: "start the thread", path: "keeper".into(), source })?;
        Ok(keeper)
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its bounds.
    #[must_use]
    pub fn config(&self) -> &KeeperConfig {
        &self.config
    }

    /// Told whenever a job or a generation changes.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    fn tell(&self) {
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

    fn submit(&self, change: Change, may_replace: bool) -> Result<Submitted, Refused> {
        let mut kept = self.kept();
        let catalogue = &mut kept.catalogue;
        let wanted = wanted(&catalogue.active().circuits, catalogue.open_jobs().map(|job| &job.change));
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
        let before = std::mem::replace(&mut kept.catalogue.active, id);
        if let Err(error) = self.shelf.save(&kept.catalogue) {
            kept.catalogue.active = before;
            return Err(error.into());
        }
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

    fn run(&self) {
        while let Some(batch) = self.next_batch() {
            // What rebuilds comes first: the others go on top of it.
            let (rebuild, rest): (Vec<Job>, Vec<Job>) =
                batch.into_iter().partition(|job| job.change == Change::Rebuild);
            let together: Vec<Job> = rebuild.iter().chain(&rest).cloned().collect();
            match self.try_together(&together) {
                Ok(()) => {}
                Err(Unbaked::Interrupted) => self.pause(),
                Err(Unbaked::Failed(reason)) => match together.as_slice() {
                    [_] => self.fail(&together, reason),
                    // One of them is at fault: each on its own.
                    several => several.iter().for_each(|job| {
                        if let Err(Unbaked::Failed(reason)) = self.try_together(slice::from_ref(job)) {
                            self.fail(slice::from_ref(job), reason);
                        }
                    }),
                },
            }
        }
    }

    /// Does it; a panic costs these changes, and not the keeper.
    fn try_together(&self, jobs: &[Job]) -> Result<(), Unbaked> {
        catch_unwind(AssertUnwindSafe(|| self.do_together(jobs)))
            .unwrap_or_else(|_| Err(Unbaked::Failed("the keeper panicked: please report this".into())))
    }

    /// After a bake was interrupted: the server is about to stop, or the bake begins again.
    fn pause(&self) {
        const PAUSE: Duration = Duration::from_secs(1);
        let mut kept = self.kept();
        kept.step = None;
        // Nothing else to do than to look again.
        let _ = self.work.wait_timeout_while(kept, PAUSE, |kept| !kept.stopping);
    }

    /// Waits for changes; takes all there are.
    fn next_batch(&self) -> Option<Vec<Job>> {
        let kept = self.kept();
        let mut kept = self
            .work
            .wait_while(kept, |kept| !kept.stopping && kept.catalogue.open_jobs().next().is_none())
            .unwrap_or_else(PoisonError::into_inner);
        if kept.stopping {
            return None;
        }
        let batch: Vec<Job> = kept.catalogue.open_jobs().cloned().collect();
        let ids: Vec<JobId> = batch.iter().map(|job| job.id).collect();
        kept.catalogue.set_state(&ids, &JobState::Baking);
        drop(kept);
        self.tell();
        Some(batch)
    }

    fn fail(&self, jobs: &[Job], reason: String) {
        let mut kept = self.kept();
        kept.step = None;
        if kept.stopping {
            return;
        }
        tracing::warn!(image = self.name(), reason, "a change of circuits failed; what is served stays");
        self.dispatcher.metrics().circuits_changed(self.name(), "failed");
        let ids: Vec<JobId> = jobs.iter().map(|job| job.id).collect();
        kept.catalogue.set_state(&ids, &JobState::Failed { reason });
        if let Err(error) = self.shelf.save(&kept.catalogue) {
            tracing::error!(%error, "the catalogue cannot be written");
        }
        drop(kept);
        self.sweep();
        self.tell();
    }

    fn name(&self) -> &str {
        self.dispatcher.services()[self.service].name()
    }

    /// Bakes what the changes need, and publishes it.
    fn do_together(&self, jobs: &[Job]) -> Result<(), Unbaked> {
        loop {
            let active = self.kept().catalogue.active().clone();
            let is_gone = self.store.open_image(&active.image).is_err();
            let is_rebuild = is_gone || jobs.iter().any(|job| job.change == Change::Rebuild);
            let (base, there) = if is_rebuild {
                (self.given, self.given_circuits()?)
            } else {
                (active.image, active.circuits.clone())
            };
            // What came with a former image goes with it.
            let own = active.circuits.iter().filter(|(name, entry)| self.is_whole(name, entry));
            let mut circuits = there.clone();
            circuits.extend(own.map(|(name, entry)| (name.clone(), entry.clone())));
            let circuits = wanted(&circuits, jobs.iter().map(|job| &job.change));
            self.keep_calculators(&circuits)?;
            let image = self.bake(&base, &there, &circuits)?;
            match self.publish_baked(&active, jobs, image, circuits, is_rebuild) {
                Ok(true) => return Ok(()),
                unused => {
                    if image != base {
                        self.kept().catalogue.baked.insert(image);
                    }
                    unused?;
                }
            }
        }
    }

    /// Publishes an image, unless an operator went to another generation meanwhile: the changes then go on top of that.
    fn publish_baked(
        &self,
        active: &Edition,
        jobs: &[Job],
        image: Digest,
        circuits: BTreeMap<String, Entry>,
        is_rebuild: bool,
    ) -> Result<bool, String> {
        let _publishing = self.publishing.lock().unwrap_or_else(PoisonError::into_inner);
        if self.kept().catalogue.active != active.id {
            return Ok(false);
        }
        // Limits that change between the check and the publication would be checked against the wrong image.
        let _changing = self.dispatcher.changing();
        let generation = self.prepare(&image, &circuits)?;
        let mut kept = self.kept();
        let mut next = kept.catalogue.clone();
        if image != active.image {
            next.baked.insert(image);
        }
        let id = next.publish(image, circuits);
        if is_rebuild {
            next.from = self.given;
        }
        let ids: Vec<JobId> = jobs.iter().map(|job| job.id).collect();
        next.set_state(&ids, &JobState::Done { generation: id });
        next.prune(self.config.generations_kept, self.config.generation_age_max);
        self.shelf.save(&next).map_err(|error| error.to_string())?;
        kept.catalogue = next;
        kept.step = None;
        // Before anybody can see that it is done.
        self.publish(id, generation);
        drop(kept);
        self.tell();
        self.sweep();
        self.dispatcher.metrics().circuits_changed(self.name(), "done");
        Ok(true)
    }

    /// Whether a circuit can be built anew.
    fn is_whole(&self, name: &str, entry: &Entry) -> bool {
        let Some(r1cs) = &entry.r1cs else { return false };
        let files = [Some(r1cs), entry.sym.as_ref(), entry.wasm.as_ref()];
        let damaged = files.into_iter().flatten().find_map(|file| self.shelf.get(file).err());
        if let Some(error) = &damaged {
            tracing::error!(circuit = name, %error, "a circuit is left out: send it again");
        }
        damaged.is_none()
    }

    /// The circuits that came with the image that the server was started with.
    fn given_circuits(&self) -> Result<BTreeMap<String, Entry>, String> {
        let given = self.store.open_image(&self.given).map_err(|error| error.to_string())?;
        Ok(of_manifest(given.manifest()))
    }

    /// Has the calculators compiled that are new.
    fn keep_calculators(&self, circuits: &BTreeMap<String, Entry>) -> Result<(), Unbaked> {
        let new = circuits.values().filter_map(|entry| entry.wasm);
        for wasm in new.filter(|wasm| snapback_snapshot::calculators::find(&self.store, wasm).is_none()) {
            self.baker.keep_calculator(&self.shelf.path(&wasm), || self.kept().stopping)?;
        }
        Ok(())
    }

    fn bake(
        &self,
        base: &Digest,
        there: &BTreeMap<String, Entry>,
        wanted: &BTreeMap<String, Entry>,
    ) -> Result<Digest, Unbaked> {
        let is_same = |name: &String, entry: &Entry| {
            there.get(name).is_some_and(|there| (there.r1cs, there.sym) == (entry.r1cs, entry.sym))
        };
        let add: Vec<(&str, &Entry)> = wanted
            .iter()
            .filter(|(name, entry)| !is_same(name, entry))
            .map(|(name, entry)| (name.as_str(), entry))
            .collect();
        if let Some((name, _)) = add.iter().find(|(_, entry)| entry.r1cs.is_none()) {
            return Err(
                format!("`{name}` came with an earlier image: send its .r1cs again, or remove it").into()
            );
        }
        let goes = |name: &String| wanted.get(name).is_none_or(|entry| !is_same(name, entry));
        let remove: Vec<&str> = there.keys().filter(|name| goes(name)).map(String::as_str).collect();
        if add.is_empty() && remove.is_empty() {
            return Ok(*base);
        }
        let tell = |step: Step| {
            self.kept().step = Some(step);
            self.tell();
        };
        let order = Order { base: *base, remove, add };
        self.baker.bake(&order, |digest| self.shelf.path(digest), tell, || self.kept().stopping)
    }

    /// Everything about a generation that can fail, before it is published.
    fn prepare(&self, image: &Digest, circuits: &BTreeMap<String, Entry>) -> Result<Generation, String> {
        let sealed = self.store.open_image(image).map_err(|error| error.to_string())?;
        let loaded = self.cache.load(&self.engine, &sealed).map_err(|error| error.to_string())?;
        self.dispatcher.metrics().image_loaded(self.name(), &loaded.digest.to_string(), &loaded.origin);
        let cow = loaded.copy_on_write().map_err(|error| error.to_string())?;
        if !cow.holds() {
            return Err("copy-on-write does not hold for its image".into());
        }
        let generation = Generation::new(loaded).map_err(|error| error.to_string())?;
        self.dispatcher.services()[self.service].policy().check(&generation)?;
        let calculators = calculators::load(
            &self.store,
            &self.cache,
            &self.engine,
            &self.shelf,
            self.config.calculators,
            circuits,
        )?;
        Ok(generation.with_calculators(calculators))
    }

    /// Removes what nothing names any more: files, images of this catalogue's own bakes, calculators.
    fn sweep(&self) {
        let _files = self.files.write().unwrap_or_else(PoisonError::into_inner);
        let mut kept = self.kept();
        self.shelf.sweep(&kept.catalogue);
        let named = self.shelf.named_by_any();
        let is_garbage = |image: &Digest| *image != self.given && !named.contains(image);
        let baked: Vec<Digest> = kept.catalogue.baked.iter().copied().filter(is_garbage).collect();
        let calculators = snapback_snapshot::calculators::kept(&self.store);
        let calculators = calculators.into_iter().filter(|(wasm, _)| !named.contains(wasm));
        for image in baked.iter().copied().chain(calculators.map(|(_, image)| image)) {
            match self.store.remove(&image).and_then(|()| self.cache.remove(&image)) {
                Ok(()) | Err(Error::NoSuchImage(_)) => drop(kept.catalogue.baked.remove(&image)),
                Err(error) => tracing::warn!(%image, %error, "an image that nothing needs is still there"),
            }
        }
    }

    fn publish(&self, id: GenerationId, generation: Generation) {
        let digest = generation.image().digest;
        let before = self.dispatcher.services()[self.service].current().image().digest;
        if before != digest {
            self.dispatcher.metrics().image_left(self.name(), &before.to_string());
        }
        self.dispatcher.publish(self.service, generation);
        tracing::info!(image = self.name(), generation = id, %digest, "published");
        self.dispatcher.events().tell(self.name(), None, What::Published { generation: id });
    }
}

/// The circuits once these changes are done.
fn wanted<'a>(
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
