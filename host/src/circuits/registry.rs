//! The circuits of one service: accepts changes, and serves an earlier generation again. The registry's own thread
//! bakes and publishes; see `reconciler`.
//!
//! Invariant: one bake at a time. Changes that are accepted meanwhile are baked together afterwards, and a change that
//! fails takes no other with it.

use super::{
    admission::{Admitted, Refused, Replace, Sender, Submitted},
    bake_process::{BakeProcess, Step},
    catalogue::{Catalogue, GenerationRecord, now},
    change::{Added, Change, ChangeKind, ChangeState, Entry, Party, Sent, party},
    recovery::Recovery,
    shelf::{CatalogueError, Shelf},
    upload::Incoming,
};
use crate::{
    config::{CircuitSettings, Config},
    dispatch::Dispatcher,
    ids::{ChangeId, GenerationId, ServiceId, Tenant},
    service::Service,
};
use snapback_snapshot::{
    BakeLimits, Digest, Error, ImageStore, NativeCache,
    proof_systems::{Description, FileKind, ProofSystem},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock},
    thread,
};
use tokio::sync::watch;
use wasmtime::Engine;

/// The circuits of one service.
pub struct Registry {
    pub(super) service: Arc<Service>,
    pub(super) system: Arc<dyn ProofSystem>,
    pub(super) dispatcher: Arc<Dispatcher>,
    pub(super) engine: Engine,
    pub(super) store: ImageStore,
    pub(super) cache: NativeCache,
    pub(super) shelf: Shelf,
    /// The image that the server was started with.
    pub(super) started_with: Digest,
    pub(super) bake_process: BakeProcess,
    pub(super) config: CircuitSettings,
    pub(super) bake_limits: BakeLimits,
    state: Mutex<State>,
    /// Notified when there is a change to work on, or when the registry stops.
    pub(super) work: Condvar,
    /// Held from the moment a generation is chosen until it is published.
    pub(super) publishing: Mutex<()>,
    changed: watch::Sender<u64>,
    /// Read while files are stored that the catalogue does not name yet; written while files are removed that nothing
    /// names.
    files: RwLock<()>,
}

pub(super) struct State {
    pub(super) catalogue: Catalogue,
    /// Progress of the current bake.
    pub(super) step: Option<Step>,
    pub(super) is_stopping: bool,
    /// Whether the catalogue on disk is older than this one, because it could not be written.
    pub(super) is_unsaved: bool,
}

/// Progress of the bake of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The stage, in words.
    pub stage: String,
    /// Share of the bake that is done, in percent.
    pub percent: u32,
    /// How long the rest of the stage is likely to take, in seconds, where that is known.
    pub left_s: Option<u64>,
}

impl Registry {
    /// Starts to work on the changes that wait, and to accept more.
    ///
    /// # Errors
    /// Returns an error if the store cannot be opened, or no thread can be started.
    pub fn start(
        recovery: Recovery,
        service: ServiceId,
        dispatcher: &Arc<Dispatcher>,
        engine: &Engine,
        config: &Config,
    ) -> Result<Arc<Self>, Error> {
        let Recovery { shelf, catalogue, started_with, system } = recovery;
        let service = Arc::clone(dispatcher.service(service).expect("a service of this dispatcher"));
        let registry = Arc::new(Self {
            service,
            system,
            dispatcher: Arc::clone(dispatcher),
            engine: engine.clone(),
            store: ImageStore::open(&config.state_dir)?,
            cache: config.native_cache(),
            shelf,
            started_with,
            bake_process: BakeProcess::new(config),
            config: config.circuits,
            bake_limits: config.bake,
            state: Mutex::new(State { catalogue, step: None, is_stopping: false, is_unsaved: false }),
            work: Condvar::new(),
            publishing: Mutex::new(()),
            changed: watch::Sender::new(0),
            files: RwLock::new(()),
        });
        dispatcher.metrics().register_changes(registry.service.name());
        let worker = Arc::clone(&registry);
        thread::Builder::new()
            .name("reconciler".into())
            .spawn(move || worker.reconcile())
            .map_err(|source| Error::Io { action: "start the thread", path: "reconciler".into(), source })?;
        Ok(registry)
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The service whose circuits these are.
    #[must_use]
    pub fn service(&self) -> &Arc<Service> {
        &self.service
    }

    /// The proof system of the circuits.
    #[must_use]
    pub fn system(&self) -> &dyn ProofSystem {
        &*self.system
    }

    /// Returns a receiver that is notified whenever a change or a generation changes.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    pub(super) fn notify(&self) {
        self.changed.send_modify(|count| *count += 1);
    }

    /// A change, and the progress of its bake while it is baked.
    #[must_use]
    pub fn change(&self, id: ChangeId) -> Option<(Change, Option<Progress>)> {
        let state = self.state();
        let change = state.catalogue.changes.iter().find(|change| change.id == id)?.clone();
        let step = state.step.as_ref().filter(|_| change.state == ChangeState::Baking);
        let progress = step.map(|step| Progress {
            stage: step.stage.clone(),
            percent: step.percent(),
            left_s: step.left_s,
        });
        Some((change, progress))
    }

    /// Numbers of all changes that are remembered.
    #[must_use]
    pub fn changes(&self) -> Vec<ChangeId> {
        self.state().catalogue.changes.iter().map(|change| change.id).collect()
    }

    /// The circuits of a generation that is kept, by name.
    #[must_use]
    pub fn circuits_of(&self, generation: GenerationId) -> BTreeMap<String, Entry> {
        let state = self.state();
        state.catalogue.generation(generation).map(|record| record.circuits.clone()).unwrap_or_default()
    }

    /// Names of the public signals of a circuit that is served; empty if they are not known, or the circuit of this name
    /// has another digest by now.
    #[must_use]
    pub fn public_names(&self, name: &str, circuit: &str) -> Vec<String> {
        let state = self.state();
        let entry = state.catalogue.active().circuits.get(name);
        let entry = entry.filter(|entry| entry.circuit.is_some_and(|digest| digest.to_string() == circuit));
        entry.and_then(|entry| entry.shape.as_ref()).map_or_else(Vec::new, |shape| shape.public.clone())
    }

    /// Size of an image and its native code on disk, in bytes.
    #[must_use]
    pub fn disk_bytes(&self, image: &Digest) -> u64 {
        self.store.bytes_of(image) + self.cache.bytes_of(image)
    }

    /// All generations that are kept, and the number of the active one.
    #[must_use]
    pub fn generations(&self) -> (Vec<GenerationRecord>, GenerationId) {
        let state = self.state();
        (state.catalogue.generations.clone(), state.catalogue.active)
    }

    /// Length of the files of a tenant's circuits once the accepted changes are done, in bytes. Files that several
    /// circuits share count once.
    pub(super) fn stored_bytes(&self, tenant: &Tenant) -> u64 {
        let wanted = self.state().catalogue.wanted();
        let own = wanted.values().filter(|entry| entry.owner() == Some(tenant));
        let files: BTreeSet<Digest> = own.flat_map(|entry| entry.files.values().copied()).collect();
        files.iter().map(|file| self.shelf.bytes_of(file)).sum()
    }

    /// Whether a circuit of this name is served, or will be once the accepted changes are done.
    pub(super) fn has_or_awaits(&self, name: &str) -> bool {
        self.state().catalogue.wanted().contains_key(name)
    }

    /// Returns a file to which a client's file is written while it arrives.
    ///
    /// # Errors
    /// Returns an error if it cannot be created.
    pub fn receive(&self) -> Result<Incoming, Refused> {
        Ok(self.shelf.receive()?)
    }

    /// Stores the files of a circuit that [`intake`](super::intake) has admitted, and accepts the change.
    pub(super) fn add(&self, admitted: Admitted<'_>, replace: Replace) -> Result<Submitted, Refused> {
        let storing = self.files.read().unwrap_or_else(PoisonError::into_inner);
        let Admitted { name, description: Description { circuit, shape }, files, sender } = admitted;
        let baked = files.files().iter().filter(|(kind, _)| self.is_baked(kind));
        let bytes = baked.map(|(_, bytes)| bytes.len() as u64).sum();
        let files = files.into_received().map(|(kind, received)| Ok((kind, self.shelf.put(received)?)));
        let files = files.collect::<Result<BTreeMap<_, _>, CatalogueError>>()?;
        let added = Some(Added { at: now(), by: sender.address, tenant: sender.tenant.clone() });
        let entry = Entry { circuit: Some(circuit), files, shape, added };
        let submitted = self.submit_add(name, entry, replace, &sender, bytes);
        drop(storing);
        if !matches!(submitted, Ok(Submitted::Accepted(_))) {
            self.sweep();
        }
        submitted
    }

    /// Whether files of this kind become part of an image.
    pub(super) fn is_baked(&self, kind: &FileKind) -> bool {
        self.system.files().iter().any(|spec| spec.kind == *kind && spec.input.is_some())
    }

    fn submit_add(
        &self,
        name: &str,
        mut entry: Entry,
        replace: Replace,
        sender: &Sender,
        bytes: u64,
    ) -> Result<Submitted, Refused> {
        let mut state = self.state();
        let catalogue = &mut state.catalogue;
        let wanted = catalogue.wanted();
        let there = wanted.get(name);
        if let Some(there) = there {
            sender.check(name, there)?;
            // Whoever replaces a circuit, it stays its owner's.
            if let Some(added) = &mut entry.added {
                added.tenant = there.owner().cloned();
            }
        }
        let has_names = entry.files.contains_key(&FileKind::SYM);
        if let Some(there) = there.filter(|there| there.circuit == entry.circuit)
            && replace == Replace::No
        {
            // Files that were not sent again stay, unless all of them are to be replaced.
            for (kind, digest) in &there.files {
                entry.files.entry(kind.clone()).or_insert(*digest);
            }
            // A shape that was read without names keeps those of the file that stays.
            if !has_names && there.shape.is_some() {
                entry.shape.clone_from(&there.shape);
            }
        }
        match there {
            Some(there) if there.has_files_of(&entry) => {
                let adds_it = |change: &&Change| matches!(&change.kind, ChangeKind::Add { name: of, entry: added } if of == name && added.has_files_of(&entry));
                let same = catalogue.open_changes().filter(adds_it).last();
                let same = same.map(|change| Submitted::Accepted(change.id));
                return Ok(same.unwrap_or(Submitted::Unchanged(catalogue.active)));
            }
            Some(there) if there.circuit != entry.circuit && replace == Replace::No => {
                return Err(Refused::NameTaken(name.to_owned()));
            }
            _ => {}
        }
        let sent = Sent { by: sender.address, tenant: entry.owner().cloned(), bytes };
        let id =
            self.accept(catalogue, ChangeKind::Add { name: name.to_owned(), entry: Box::new(entry) }, sent)?;
        drop(state);
        self.wake();
        Ok(Submitted::Accepted(id))
    }

    /// Removes a circuit.
    ///
    /// # Errors
    /// Returns why the change is not accepted.
    pub fn remove(&self, name: &str, sender: &Sender) -> Result<Submitted, Refused> {
        let mut state = self.state();
        let wanted = state.catalogue.wanted();
        let there = wanted.get(name).ok_or_else(|| Refused::NoSuchCircuit(name.to_owned()))?;
        sender.check(name, there).map_err(|refused| match refused {
            // Another tenant's circuit does not exist for this one.
            Refused::NameTakenByOther(name) => Refused::NoSuchCircuit(name),
            refused => refused,
        })?;
        let tenant = there.owner().cloned();
        let kind = ChangeKind::Remove { name: name.to_owned() };
        let id = self.accept(&mut state.catalogue, kind, Sent { by: sender.address, tenant, bytes: 0 })?;
        drop(state);
        self.wake();
        Ok(Submitted::Accepted(id))
    }

    /// Makes a change durable.
    fn accept(&self, catalogue: &mut Catalogue, kind: ChangeKind, sent: Sent) -> Result<ChangeId, Refused> {
        let changes_max = self.config.changes_max;
        // A quarter is left for others, whoever floods the server.
        let of_sender_max = changes_max - changes_max / 4;
        let party = party(sent.tenant.as_ref(), sent.by);
        let of_sender = catalogue.open_changes().filter(|change| change.party() == party).count();
        if party != Party::default() && of_sender >= of_sender_max {
            return Err(Refused::TooMany(of_sender_max));
        }
        if catalogue.open_changes().count() >= changes_max {
            return Err(Refused::TooMany(changes_max));
        }
        let mut next = catalogue.clone();
        let id = next.submit(kind, sent);
        self.shelf.save(&next)?;
        *catalogue = next;
        Ok(id)
    }

    pub(super) fn wake(&self) {
        self.work.notify_all();
        self.notify();
    }

    /// Ends the current bake. Its changes stay on disk, and begin again at the next start.
    pub fn stop(&self) {
        self.state().is_stopping = true;
        self.work.notify_all();
    }

    /// Runs `sweep` while no files are being stored that the catalogue does not name yet.
    pub(super) fn without_storing(&self, sweep: impl FnOnce()) {
        let _files = self.files.write().unwrap_or_else(PoisonError::into_inner);
        sweep();
    }
}
