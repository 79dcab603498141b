//! What a keeper's own thread does: takes the changes that wait, has them baked, and publishes what came of it.
//!
//! Invariant: everything about a generation that can fail is done before it is named in the catalogue, and it is named
//! there before a lane serves it.

use super::{
    baker::{Order, Step, Unbaked},
    calculators,
    catalogue::{Change, Edition, Entry, GenerationId, Job, JobId, JobState, named_by_any, of_manifest},
    keeper::{Keeper, wanted},
};
use crate::{events::What, generation::Generation};
use snapback_snapshot::{Digest, Error};
use std::{
    collections::BTreeMap,
    ops::ControlFlow,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::PoisonError,
    time::Duration,
};

impl Keeper {
    pub(super) fn run(&self) {
        while let Some(batch) = self.next_batch() {
            // What rebuilds comes first: the others go on top of it.
            let (rebuild, rest): (Vec<Job>, Vec<Job>) =
                batch.into_iter().partition(|job| job.change == Change::Rebuild);
            let together: Vec<Job> = rebuild.iter().chain(&rest).cloned().collect();
            // What was interrupted comes with the next batch, in its order.
            let _ = self.settle(&together);
        }
    }

    /// Does all of it, but for those that fail by themselves.
    fn settle(&self, jobs: &[Job]) -> ControlFlow<()> {
        match self.try_together(jobs) {
            Ok(()) => {}
            Err(Unbaked::Interrupted) => {
                self.pause();
                return ControlFlow::Break(());
            }
            Err(Unbaked::Failed(reason)) if jobs.len() == 1 => self.fail(jobs, reason),
            // One of them is at fault: it is found in a few bakes, and the others stay together as far as can be.
            Err(Unbaked::Failed(_)) => {
                let (first, second) = jobs.split_at(jobs.len() / 2);
                self.settle(first)?;
                self.settle(second)?;
            }
        }
        ControlFlow::Continue(())
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
            let is_rebuild =
                jobs.iter().any(|job| job.change == Change::Rebuild) || !self.is_base(&active.image);
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
        let changing = self.dispatcher.changing();
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
        drop(changing);
        self.tell();
        self.sweep();
        self.dispatcher.metrics().circuits_changed(self.name(), "done");
        Ok(true)
    }

    /// Whether a bake can go on from an image: it is there, and of the version of the guest that is given.
    fn is_base(&self, image: &Digest) -> bool {
        let guest = |image| self.store.open_image(image).map(|image| image.manifest().guest.digest);
        matches!((guest(image), guest(&self.given)), (Ok(image), Ok(given)) if image == given)
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
    pub(super) fn prepare(
        &self,
        image: &Digest,
        circuits: &BTreeMap<String, Entry>,
    ) -> Result<Generation, String> {
        let sealed = self.store.open_image(image).map_err(|error| match error {
            Error::NoSuchImage(_) => "its image was removed from the store: add its circuits again".into(),
            error => error.to_string(),
        })?;
        let loaded = self.cache.load(&self.engine, &sealed).map_err(|error| error.to_string())?;
        self.dispatcher.metrics().native_code_loaded(&loaded.origin);
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
    pub(super) fn sweep(&self) {
        let _files = self.files.write().unwrap_or_else(PoisonError::into_inner);
        // Nobody waits for this: what is asked about jobs is answered meanwhile.
        let catalogue = self.kept().catalogue.clone();
        self.shelf.sweep(&catalogue);
        let named = named_by_any(self.shelf.state_dir());
        let is_garbage = |image: &Digest| *image != self.given && !named.contains(image);
        let baked = catalogue.baked.into_iter().filter(is_garbage);
        let calculators = snapback_snapshot::calculators::kept(&self.store);
        let calculators = calculators.into_iter().filter(|(wasm, _)| !named.contains(wasm));
        for image in baked.chain(calculators.map(|(_, image)| image)) {
            // The code first: without its image nobody would find it again.
            match self.cache.remove(&image).and_then(|()| self.store.remove(&image)) {
                Ok(()) | Err(Error::NoSuchImage(_)) => drop(self.kept().catalogue.baked.remove(&image)),
                Err(error) => tracing::warn!(%image, %error, "an image that nothing needs is still there"),
            }
        }
    }

    pub(super) fn publish(&self, id: GenerationId, generation: Generation) {
        let digest = generation.image().digest;
        let before = self.dispatcher.services()[self.service].current().image().digest;
        if before != digest {
            self.dispatcher.metrics().image_left(self.name(), &before.to_string());
        }
        self.dispatcher.metrics().image_served(self.name(), &digest.to_string());
        self.dispatcher.publish(self.service, generation);
        tracing::info!(image = self.name(), generation = id, %digest, "published");
        self.dispatcher.events().tell(self.name(), None, What::Published { generation: id });
    }
}
