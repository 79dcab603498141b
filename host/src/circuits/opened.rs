//! The circuits of an image before it is served: which generation it is, and what the last server left to be done.
//!
//! Invariant: a server that died at any moment is followed by one that serves the last published generation.

use super::{
    calculators,
    catalogue::{Catalogue, CatalogueError, Change, JobId, JobState, Shelf, of_manifest},
};
use crate::{
    config::Config,
    witness::{Calculator, CalculatorLimits},
};
use snapback_snapshot::{Digest, ImageStore, NativeCache, SealedImage};
use std::collections::BTreeMap;
use wasmtime::Engine;

/// The circuits of an image that is about to be served.
pub struct Opened {
    pub(super) shelf: Shelf,
    pub(super) catalogue: Catalogue,
    pub(super) given: Digest,
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
            let catalogue = Catalogue::new(digest, of_manifest(given.manifest()));
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
