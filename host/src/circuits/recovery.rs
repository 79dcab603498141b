//! The circuits of an image before it is served: the generation to serve, and the changes that the last server did not
//! finish.
//!
//! Invariant: after a server that died at any moment, the next one serves the last published generation.

use super::{
    calculators::Source,
    catalogue::{Catalogue, of_manifest},
    change::{ChangeKind, ChangeState, Sent, owners},
    shelf::{CatalogueError, Shelf},
};
use crate::{
    config::Config,
    ids::{ChangeId, GenerationId, Tenant},
    witness::{Calculator, CalculatorLimits},
};
use snapback_snapshot::{Digest, ImageStore, NativeCache, SealedImage, proof_systems::ProofSystem};
use std::{collections::BTreeMap, sync::Arc};
use wasmtime::Engine;

/// The circuits of an image that is about to be served.
pub struct Recovery {
    pub(super) shelf: Shelf,
    pub(super) catalogue: Catalogue,
    pub(super) started_with: Digest,
    pub(super) system: Arc<dyn ProofSystem>,
}

impl Recovery {
    /// Opens the catalogue of a service. Returns it with the image to serve: that of the active generation, or the one
    /// that was given if there is none.
    ///
    /// # Errors
    /// Returns an error if another server has the catalogue, or it cannot be read.
    pub fn open(
        config: &Config,
        store: &ImageStore,
        name: &str,
        given: SealedImage,
        system: &Arc<dyn ProofSystem>,
    ) -> Result<(Self, SealedImage), CatalogueError> {
        let shelf = Shelf::open(&config.state_dir, name)?;
        let started_with = given.digest();
        // Bakes start from images in the store.
        store.import(&given)?;
        let recovery = |shelf, catalogue| Self { shelf, catalogue, started_with, system: Arc::clone(system) };
        // A catalogue with nothing but the circuits of another image has nothing to carry over to this one.
        let kept = shelf.load()?.filter(|kept| kept.from == started_with || kept.has_own());
        let Some(mut catalogue) = kept else {
            shelf.warn_of_files();
            let catalogue = Catalogue::new(started_with, of_manifest(given.manifest()));
            shelf.save(&catalogue)?;
            return Ok((recovery(shelf, catalogue), given));
        };
        shelf.sweep(&catalogue);
        // Changes that were being baked begin again.
        let open: Vec<ChangeId> = catalogue.open_changes().map(|change| change.id).collect();
        catalogue.set_state(&open, &ChangeState::Waiting);
        let active = active_image(store, &catalogue, &given);
        let is_outdated = catalogue.from != started_with || active.is_err();
        let is_ordered = catalogue.open_changes().any(|change| change.kind == ChangeKind::Rebuild);
        if is_outdated && !is_ordered {
            tracing::info!(image = name, "all circuits are built again, from the image that was given");
            catalogue.submit(ChangeKind::Rebuild, Sent::default());
            shelf.save(&catalogue)?;
        }
        let served = active.unwrap_or_else(|error| {
            tracing::error!(image = name, %error, "the active generation cannot be served: serving the image that was given");
            given
        });
        Ok((recovery(shelf, catalogue), served))
    }

    /// Number of the generation that is about to be served.
    #[must_use]
    pub fn active(&self) -> GenerationId {
        self.catalogue.active
    }

    /// The tenants that the circuits of the generation belong to which is about to be served.
    #[must_use]
    pub fn owners(&self) -> BTreeMap<String, Tenant> {
        owners(&self.catalogue.active().circuits)
    }

    /// Loads the calculators of the generation that is about to be served. Circuits whose calculator cannot be loaded
    /// are served without it: they are proven from witnesses.
    #[must_use]
    pub fn calculators(
        &self,
        store: &ImageStore,
        cache: &NativeCache,
        engine: &Engine,
        limits: CalculatorLimits,
    ) -> BTreeMap<String, Calculator> {
        let source = Source { store, cache, engine, shelf: &self.shelf, system: &*self.system, limits };
        let mut loaded = BTreeMap::new();
        for (name, entry) in &self.catalogue.active().circuits {
            match source.load(&BTreeMap::from([(name.clone(), entry.clone())])) {
                Ok(calculators) => loaded.extend(calculators),
                Err(error) => tracing::error!(circuit = name, %error, "served without a witness calculator"),
            }
        }
        loaded
    }
}

/// Opens the image of the active generation. A catalogue from elsewhere may name an image of another guest.
fn active_image(
    store: &ImageStore,
    catalogue: &Catalogue,
    given: &SealedImage,
) -> Result<SealedImage, CatalogueError> {
    let image = store.open_image(&catalogue.active().image)?;
    let (found, wanted) = (image.manifest(), given.manifest());
    if found.guest.name != wanted.guest.name || found.kind != wanted.kind {
        return Err(CatalogueError::AnotherGuest {
            image: image.digest(),
            found: found.guest.name.clone(),
            wanted: wanted.guest.name.clone(),
        });
    }
    Ok(image)
}
