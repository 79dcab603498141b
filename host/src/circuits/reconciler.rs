//! The registry's own thread: takes the changes that wait, has them baked, and publishes the result.
//!
//! Invariant: everything about a generation that can fail is done before the catalogue names the generation, and the
//! catalogue names it before a lane serves it.

use super::{
    bake_process::{BakeError, Order, Step},
    catalogue::{GenerationRecord, of_manifest},
    change::{Change, ChangeKind, ChangeState, Entry, wanted},
    change_error::{ChangeError, NotPrepared},
    registry::Registry,
    shelf::CatalogueError,
    turn::next_batch,
};
use crate::ids::ChangeId;
use snapback_snapshot::{Digest, Error, calculators, proof_systems::FileKind};
use std::{
    collections::BTreeMap,
    ops::ControlFlow,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::PoisonError,
    time::Duration,
};

/// Whether a baked image was published.
enum Published {
    Yes,
    /// An operator activated another generation meanwhile: the changes have to be applied to that one.
    Superseded,
}

impl Registry {
    /// Works on changes until the registry stops.
    pub(super) fn reconcile(&self) {
        while let Some(batch) = self.next_batch() {
            // A rebuild comes first, and the other changes are applied to its result.
            let (rebuild, rest): (Vec<Change>, Vec<Change>) =
                batch.into_iter().partition(|change| change.kind == ChangeKind::Rebuild);
            let together: Vec<Change> = rebuild.iter().chain(&rest).cloned().collect();
            // Interrupted changes come with the next batch, in their order.
            let _ = self.apply(&together);
        }
    }

    /// Carries out all changes except those that fail by themselves.
    fn apply(&self, changes: &[Change]) -> ControlFlow<()> {
        match self.try_together(changes) {
            Ok(()) => {}
            Err(ChangeError::Bake(BakeError::Interrupted)) => {
                self.pause(changes);
                return ControlFlow::Break(());
            }
            // What fails because a change was cancelled, and its files are gone, is no failure.
            Err(_) if !self.state().catalogue.are_open(&ids(changes)) => return ControlFlow::Break(()),
            Err(error) if changes.len() == 1 => self.fail(changes, &error),
            // Bisecting finds the change that fails in a few bakes, and keeps the others together as far as possible.
            Err(_) => {
                let (first, second) = changes.split_at(changes.len() / 2);
                self.apply(first)?;
                self.apply(second)?;
            }
        }
        ControlFlow::Continue(())
    }

    /// Carries the changes out together. A panic costs these changes, not the thread.
    fn try_together(&self, changes: &[Change]) -> Result<(), ChangeError> {
        catch_unwind(AssertUnwindSafe(|| self.bake_and_publish(changes)))
            .unwrap_or(Err(ChangeError::Panicked))
    }

    /// Waits after an interrupted bake: either the server is about to stop, or the bake begins again. If a change of the
    /// bake was cancelled, the others need not wait.
    fn pause(&self, changes: &[Change]) {
        const PAUSE: Duration = Duration::from_secs(1);
        let mut state = self.state();
        state.step = None;
        if !state.catalogue.are_open(&ids(changes)) {
            return;
        }
        // The caller reads the state again, whether the wait timed out or not.
        let _ = self.work.wait_timeout_while(state, PAUSE, |state| !state.is_stopping);
    }

    /// Waits for changes and takes those whose turn it is; returns `None` when the registry stops.
    fn next_batch(&self) -> Option<Vec<Change>> {
        let state = self.state();
        let mut state = self
            .work
            .wait_while(state, |state| !state.is_stopping && state.catalogue.open_changes().next().is_none())
            .unwrap_or_else(PoisonError::into_inner);
        if state.is_stopping {
            return None;
        }
        let batch = next_batch(&state.catalogue.changes);
        state.catalogue.set_state(&ids(&batch), &ChangeState::Baking);
        drop(state);
        self.notify();
        Some(batch)
    }

    fn fail(&self, changes: &[Change], error: &ChangeError) {
        let mut state = self.state();
        state.step = None;
        if state.is_stopping {
            return;
        }
        tracing::warn!(image = self.service.name(), %error, "a change of circuits failed; the served generation stays");
        self.dispatcher.metrics().change_ended(self.service.name(), "failed");
        for change in changes {
            let reason = error.for_clients_of(change, &state.catalogue);
            state.catalogue.set_state(&[change.id], &ChangeState::Failed { reason });
        }
        if changes.iter().any(|change| change.kind == ChangeKind::Compact) {
            // It is tried again only once more is unused.
            state.catalogue.forget_unused();
        }
        let saved = self.shelf.save(&state.catalogue);
        state.is_unsaved = saved.is_err();
        drop(state);
        match saved {
            Ok(()) => self.sweep(),
            // On disk the changes are still open, and begin again at the next start: their files have to stay.
            Err(error) => tracing::error!(%error, "the catalogue cannot be written"),
        }
        self.notify();
    }

    /// Bakes the image that the changes need, and publishes it.
    fn bake_and_publish(&self, changes: &[Change]) -> Result<(), ChangeError> {
        let is = |kind: ChangeKind| changes.iter().any(|change| change.kind == kind);
        let mut is_compacted = is(ChangeKind::Compact);
        loop {
            let (active, unused_rows) = {
                let state = self.state();
                (state.catalogue.active().clone(), state.catalogue.unused_rows())
            };
            let is_outdated = is(ChangeKind::Rebuild) || !self.is_base(&active.image)?;
            let is_rebuild = is_outdated || is_compacted;
            let (base, there) = if is_rebuild {
                (self.started_with, self.circuits_started_with()?)
            } else {
                (active.image, active.circuits.clone())
            };
            let circuits = if is_outdated {
                self.carried_over(&there, &active.circuits)?
            } else {
                active.circuits.clone()
            };
            let circuits = wanted(&circuits, changes.iter().map(|change| &change.kind));
            self.keep_calculators(changes, &circuits)?;
            self.check_calculators(changes)?;
            let image = match self.bake(changes, &base, &there, &circuits) {
                // What is too large beside the remains of removed circuits may fit without them.
                Err(ChangeError::Bake(BakeError::Refused(_)))
                    if !is_rebuild && unused_rows > 0 && changes.len() == 1 =>
                {
                    is_compacted = true;
                    continue;
                }
                baked => baked?,
            };
            let published = self.publish_baked(&active, changes, image, circuits, is_rebuild);
            if let Ok(Published::Yes) = published {
                return Ok(());
            }
            if image != base {
                self.state().catalogue.baked.insert(image);
            }
            published?;
        }
    }

    /// The circuits of an earlier version of the image that are built again with this one, which has those of `there`.
    fn carried_over(
        &self,
        there: &BTreeMap<String, Entry>,
        active: &BTreeMap<String, Entry>,
    ) -> Result<BTreeMap<String, Entry>, CatalogueError> {
        let mut circuits = there.clone();
        // Circuits that came with an earlier image go with it; those that were added stay.
        for (name, entry) in active {
            if self.is_complete(name, entry)? {
                circuits.insert(name.clone(), entry.clone());
            }
        }
        Ok(circuits)
    }

    /// Publishes an image, unless another generation than `active` is active by now.
    fn publish_baked(
        &self,
        active: &GenerationRecord,
        changes: &[Change],
        image: Digest,
        circuits: BTreeMap<String, Entry>,
        is_rebuild: bool,
    ) -> Result<Published, ChangeError> {
        let _publishing = self.publishing.lock().unwrap_or_else(PoisonError::into_inner);
        let id = {
            let state = self.state();
            if state.catalogue.active != active.id {
                return Ok(Published::Superseded);
            }
            // Generations are numbered only while `publishing` is held, so this one keeps its number.
            state.catalogue.next_generation()
        };
        // A policy that changed between the check and the publication would have been checked against the wrong image.
        let policies = self.dispatcher.lock_policies();
        let generation = self.prepare(id, &image, &circuits)?;
        let mut state = self.state();
        if !state.catalogue.are_open(&ids(changes)) {
            return Err(BakeError::Interrupted.into());
        }
        let mut next = state.catalogue.clone();
        if image != active.image {
            next.baked.insert(image);
        }
        next.publish(image, circuits);
        if is_rebuild {
            next.built_from(self.started_with);
        }
        next.set_state(&ids(changes), &ChangeState::Done { generation: id });
        next.compact(self.config.compact_at);
        next.prune(self.config.generations_kept, self.config.generation_age_max);
        self.shelf.save(&next)?;
        state.catalogue = next;
        state.step = None;
        // Published before anybody can see that the changes are done.
        self.publish(generation);
        drop(state);
        drop(policies);
        self.notify();
        self.sweep();
        for _ in changes {
            self.dispatcher.metrics().change_ended(self.service.name(), "done");
        }
        Ok(Published::Yes)
    }

    /// Whether a bake can start from an image: it is there, and of the version of the guest that the server was started
    /// with.
    fn is_base(&self, image: &Digest) -> Result<bool, Error> {
        let given = self.store.open_image(&self.started_with)?.manifest().guest.digest;
        match self.store.open_image(image) {
            Ok(image) => Ok(image.manifest().guest.digest == given),
            Err(Error::NoSuchImage(_) | Error::Manifest { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether all files of a circuit are there, so that it can be built again. A file that cannot be read for another
    /// reason, such as a disk that fails, is an error: the circuit must not go because of it.
    fn is_complete(&self, name: &str, entry: &Entry) -> Result<bool, CatalogueError> {
        for file in entry.files.values() {
            match self.shelf.check(file) {
                Ok(()) => {}
                Err(error @ CatalogueError::FileDamaged(_)) => {
                    tracing::error!(circuit = name, %error, "a circuit is left out: add it again");
                    return Ok(false);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(!entry.files.is_empty())
    }

    /// The circuits that came with the image that the server was started with.
    fn circuits_started_with(&self) -> Result<BTreeMap<String, Entry>, Error> {
        Ok(of_manifest(self.store.open_image(&self.started_with)?.manifest()))
    }

    /// Whether work on these changes is to end: the server stops, or one of them was cancelled.
    fn is_cancelled(&self, changes: &[Change]) -> bool {
        let state = self.state();
        state.is_stopping || !state.catalogue.are_open(&ids(changes))
    }

    /// Compiles the calculators that are new.
    fn keep_calculators(
        &self,
        changes: &[Change],
        circuits: &BTreeMap<String, Entry>,
    ) -> Result<(), BakeError> {
        for wasm in circuits.values().filter_map(|entry| entry.files.get(&FileKind::WASM)) {
            if calculators::find(&self.store, wasm).is_none() {
                let is_cancelled = || self.is_cancelled(changes);
                self.bake_process.keep_calculator(&self.shelf.path(wasm), is_cancelled)?;
            }
        }
        Ok(())
    }

    /// Asks each calculator that comes with these changes whether it belongs to its circuit, before a bake that may
    /// take minutes.
    fn check_calculators(&self, changes: &[Change]) -> Result<(), NotPrepared> {
        let added = changes.iter().filter_map(|change| match &change.kind {
            ChangeKind::Add { name, entry } => Some((name.clone(), (**entry).clone())),
            ChangeKind::Remove { .. } | ChangeKind::Rebuild | ChangeKind::Compact => None,
        });
        self.calculators().load(&added.collect()).map(drop).map_err(NotPrepared::Calculator)
    }

    fn bake(
        &self,
        changes: &[Change],
        base: &Digest,
        there: &BTreeMap<String, Entry>,
        wanted: &BTreeMap<String, Entry>,
    ) -> Result<Digest, ChangeError> {
        let is_same = |name: &String, entry: &Entry| {
            there.get(name).is_some_and(|there| self.baked_files(there).eq(self.baked_files(entry)))
        };
        let add: Vec<(&str, &Entry)> = wanted
            .iter()
            .filter(|(name, entry)| !is_same(name, entry))
            .map(|(name, entry)| (name.as_str(), entry))
            .collect();
        if let Some((name, _)) = add.iter().find(|(_, entry)| entry.files.is_empty()) {
            return Err(ChangeError::NoFiles((*name).to_owned()));
        }
        let goes = |name: &String| wanted.get(name).is_none_or(|entry| !is_same(name, entry));
        let remove: Vec<&str> = there.keys().filter(|name| goes(name)).map(String::as_str).collect();
        if add.is_empty() && remove.is_empty() {
            return Ok(*base);
        }
        // The bake reads the files by their paths, and takes what it finds.
        for file in add.iter().flat_map(|(_, entry)| entry.files.values()) {
            self.shelf.check(file)?;
        }
        let progress = |step: Step| {
            self.state().step = Some(step);
            self.notify();
        };
        let order = Order { base: *base, remove, add };
        let file = |digest: &Digest| self.shelf.path(digest);
        let is_cancelled = || self.is_cancelled(changes);
        Ok(self.bake_process.bake(&order, &*self.system, file, progress, is_cancelled)?)
    }

    /// The files of a circuit that are baked into the image.
    fn baked_files<'a>(&'a self, entry: &'a Entry) -> impl Iterator<Item = (&'a FileKind, &'a Digest)> {
        entry.files.iter().filter(|(kind, _)| self.is_baked(kind))
    }
}

fn ids(changes: &[Change]) -> Vec<ChangeId> {
    changes.iter().map(|change| change.id).collect()
}
