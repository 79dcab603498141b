//! Publication of generations: prepares one completely, serves it, and removes files that are no longer needed.

use super::{
    admission::Refused,
    calculators::Source,
    catalogue::Catalogue,
    change::{Entry, owners},
    change_error::NotPrepared,
    registry::Registry,
    scrub::scrub,
    shelf::named_by_any,
};
use crate::{ids::GenerationId, instance::Generation, telemetry::events::EventKind};
use snapback_snapshot::{Digest, Error, calculators};
use std::{collections::BTreeMap, sync::PoisonError};

impl Registry {
    /// Serves a generation that is kept, from the lanes' next calls on. This is free if it is served already.
    ///
    /// # Errors
    /// Returns an error if the generation is not kept, or cannot be served.
    pub fn activate(&self, id: GenerationId) -> Result<(), Refused> {
        if self.serves(id) {
            return Ok(());
        }
        let _publishing = self.publishing.lock().unwrap_or_else(PoisonError::into_inner);
        // Another request may have activated it meanwhile.
        if self.serves(id) {
            return Ok(());
        }
        let record = self.state().catalogue.generation(id).cloned().ok_or(Refused::NoSuchGeneration(id))?;
        let _policies = self.dispatcher.lock_policies();
        let generation = self.prepare(id, &record.image, &record.circuits).map_err(|error| {
            tracing::error!(image = self.service.name(), generation = id.get(), %error, "a generation cannot be served");
            Refused::NotServable { id, reason: error.for_clients() }
        })?;
        let mut state = self.state();
        let mut next = state.catalogue.clone();
        next.activate(id);
        self.shelf.save(&next)?;
        state.catalogue = next;
        self.publish(generation);
        drop(state);
        self.notify();
        Ok(())
    }

    /// Whether a generation is the active one, and its image the one that is served.
    fn serves(&self, id: GenerationId) -> bool {
        let state = self.state();
        let active = state.catalogue.active();
        active.id == id && active.image == self.service.current().image().digest
    }

    /// Does everything about a generation that can fail, before it is published.
    pub(super) fn prepare(
        &self,
        id: GenerationId,
        image: &Digest,
        circuits: &BTreeMap<String, Entry>,
    ) -> Result<Generation, NotPrepared> {
        let generation = self.load(id, image, circuits);
        // Whether or not all of it could be loaded.
        scrub(Vec::new(), self.cache.take_confirmations());
        generation
    }

    fn load(
        &self,
        id: GenerationId,
        image: &Digest,
        circuits: &BTreeMap<String, Entry>,
    ) -> Result<Generation, NotPrepared> {
        let sealed = self.store.open_image(image).map_err(|error| match error {
            Error::NoSuchImage(_) => NotPrepared::ImageRemoved,
            error => NotPrepared::Store(error),
        })?;
        let loaded = self.cache.load(&self.engine, &sealed).map_err(NotPrepared::Store)?;
        self.dispatcher.metrics().native_code_loaded(&loaded);
        if !loaded.copy_on_write().map_err(NotPrepared::Store)?.holds() {
            return Err(NotPrepared::NoCopyOnWrite);
        }
        let initial_memory_bytes = loaded.manifest.memory_bytes;
        let generation = Generation::new(id, loaded)?;
        let standby_max = self.dispatcher.config().standby_max;
        self.service.policy().check(initial_memory_bytes, standby_max).map_err(NotPrepared::Policy)?;
        Ok(generation.with_calculators(self.calculators().load(circuits)?).with_owners(owners(circuits)))
    }

    /// Where this registry's calculators are loaded from.
    pub(super) fn calculators(&self) -> Source<'_> {
        Source {
            store: &self.store,
            cache: &self.cache,
            engine: &self.engine,
            shelf: &self.shelf,
            system: &*self.system,
            limits: self.config.calculators,
        }
    }

    /// Removes everything that nothing names any more: files, images that were baked for this catalogue, calculators.
    pub(super) fn sweep(&self) {
        self.without_storing(|| {
            // A copy, so that clients can ask about changes meanwhile.
            let Some(catalogue) = self.saved_catalogue() else { return };
            self.shelf.sweep(&catalogue);
            let named = match named_by_any(self.shelf.state_dir()) {
                Ok(named) => named,
                Err(error) => {
                    tracing::warn!(%error, "unused images stay, because a catalogue cannot be read");
                    return;
                }
            };
            let is_unused = |image: &Digest| *image != self.started_with && !named.contains(image);
            let baked = catalogue.baked.into_iter().filter(is_unused);
            let unused = calculators::kept(&self.store).into_iter().filter(|(wasm, _)| !named.contains(wasm));
            for image in baked.chain(unused.map(|(_, image)| image)) {
                // The native code is removed first, because nothing would find it without the image.
                match self.cache.remove(&image).and_then(|()| self.store.remove(&image)) {
                    Ok(()) | Err(Error::NoSuchImage(_)) => drop(self.state().catalogue.baked.remove(&image)),
                    Err(error) => tracing::warn!(%image, %error, "an unused image cannot be removed"),
                }
            }
        });
    }

    /// The catalogue, as it is on disk too; `None` if it cannot be written, and files may be needed that it no longer
    /// names.
    fn saved_catalogue(&self) -> Option<Catalogue> {
        let mut state = self.state();
        if state.is_unsaved {
            self.shelf.save(&state.catalogue).ok()?;
            state.is_unsaved = false;
        }
        Some(state.catalogue.clone())
    }

    pub(super) fn publish(&self, generation: Generation) {
        let (metrics, name) = (self.dispatcher.metrics(), self.service.name());
        let (id, digest) = (generation.id(), generation.image().digest);
        let before = self.service.current();
        if before.image().digest != digest {
            metrics.image_replaced(name, before.image());
        }
        metrics.image_served(name, generation.image());
        self.dispatcher.publish(&self.service, generation);
        tracing::info!(image = name, generation = id.get(), %digest, "published");
        self.dispatcher.events().emit(name, None, EventKind::Published { generation: id });
    }
}
