//! Admission of circuits: the one way in for every client.
//!
//! Invariant: a defect of a circuit itself is reported at once, not by a change that fails later; and a name is checked
//! against all images under one lock, so that two clients cannot both get it.

use super::{
    admission::{Admitted, Refused, Replace, Sender, Submitted},
    registry::Registry,
    upload::Upload,
};
use crate::{dispatch::Dispatcher, ids::ServiceId};
use snapback_abi::circuits::is_name;
use snapback_snapshot::{
    calculators,
    proof_systems::{
        CircuitError, CircuitFiles, Description, Estimate, FileKind, FileSpec, Presence, find_spec,
    },
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

/// The registries of a server, by service.
pub struct Registries {
    dispatcher: Arc<Dispatcher>,
    by_service: BTreeMap<ServiceId, Arc<Registry>>,
    /// Held while a name is checked and taken.
    names: Mutex<()>,
}

impl Registries {
    /// Collects the registries of a server.
    #[must_use]
    pub fn new(dispatcher: &Arc<Dispatcher>, registries: impl IntoIterator<Item = Arc<Registry>>) -> Self {
        let by_service = registries.into_iter().map(|registry| (registry.service().id(), registry));
        Self { dispatcher: Arc::clone(dispatcher), by_service: by_service.collect(), names: Mutex::new(()) }
    }

    /// The registry of a service, if its circuits come as data.
    #[must_use]
    pub fn get(&self, service: ServiceId) -> Option<&Arc<Registry>> {
        self.by_service.get(&service)
    }

    /// Every registry.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Registry>> {
        self.by_service.values()
    }

    /// Whether no service takes circuits as data.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_service.is_empty()
    }

    /// Number of changes that may wait, `circuits.changes_max`.
    #[must_use]
    pub fn changes_max(&self) -> usize {
        self.iter().map(|registry| registry.config.changes_max).max().unwrap_or(0)
    }

    /// Admits a circuit, and accepts the change.
    ///
    /// # Errors
    /// Returns why the circuit is refused.
    pub fn add(
        &self,
        registry: &Registry,
        name: &str,
        files: Upload,
        replace: Replace,
        sender: Sender,
    ) -> Result<Submitted, Refused> {
        if !is_name(name) || name.starts_with(['.', '-']) {
            return Err(Refused::Name(name.to_owned()));
        }
        let description = self.check(registry, files.files())?;
        check_size(registry, &description)?;
        let _names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(image) = self.owner_elsewhere(registry, name) {
            return Err(Refused::NameTakenElsewhere { name: name.to_owned(), image });
        }
        self.check_quota(&sender, files.files())?;
        registry.add(Admitted { name, description, files, sender }, replace)
    }

    /// Checks that the files of a tenant's circuits keep to its quota, these included.
    fn check_quota(&self, sender: &Sender, files: &CircuitFiles) -> Result<(), Refused> {
        let (Some(tenant), Some(max)) = (&sender.tenant, sender.stored_bytes_max) else { return Ok(()) };
        let stored: u64 = self.iter().map(|registry| registry.stored_bytes(tenant)).sum();
        let bytes = stored + files.iter().map(|(_, bytes)| bytes.len() as u64).sum::<u64>();
        if bytes > max { Err(Refused::StoredBytes { bytes, max }) } else { Ok(()) }
    }

    /// Checks the files as the bake will, and describes the circuit.
    fn check(&self, registry: &Registry, files: &CircuitFiles) -> Result<Description, CircuitError> {
        let specs = registry.system().files();
        check_kinds(specs, files)?;
        let description = registry.system().describe(files)?;
        if let Some(wasm) = files.get(&FileKind::WASM) {
            calculators::check(wasm, registry.config.calculators.memory_bytes_max)
                .map_err(|error| CircuitError::Malformed(format!("the part `wasm` is refused: {error}")))?;
        }
        Ok(description)
    }

    /// The other image that has a circuit of this name, or will have.
    fn owner_elsewhere(&self, registry: &Registry, name: &str) -> Option<String> {
        let services = self.dispatcher.services().iter();
        let mut others = services.filter(|service| service.id() != registry.service().id());
        let owner = others.find(|service| {
            service.current().has_circuit(name)
                || self.get(service.id()).is_some_and(|registry| registry.has_or_awaits(name))
        });
        owner.map(|service| service.name().to_owned())
    }
}

/// Checks that an image with a circuit alone keeps the limits, as far as that can be said before the bake.
///
/// # Errors
/// Returns an error if it would not.
fn check_size(registry: &Registry, description: &Description) -> Result<(), Refused> {
    let estimate = description.shape.as_ref().and_then(|shape| registry.system.estimate(shape));
    let Some(Estimate { rows, image_bytes, memory_bytes, .. }) = estimate else { return Ok(()) };
    let (image, memory) = (*image_bytes.start(), *memory_bytes.start());
    for (needed, setting, limit) in [
        (image, "bake.image_bytes_max", registry.bake_limits.image_bytes_max),
        (memory, "bake.memory_limit", registry.bake_limits.memory_bytes_max),
        (memory, "memory.limit", registry.service.policy().memory_limit_bytes),
    ] {
        if needed > limit {
            return Err(Refused::TooLarge { rows, needed, setting, limit });
        }
    }
    Ok(())
}

fn check_kinds(specs: &[FileSpec], files: &CircuitFiles) -> Result<(), CircuitError> {
    for (kind, _) in files.iter() {
        find_spec(specs, kind.as_str())?;
    }
    for spec in specs.iter().filter(|spec| spec.presence == Presence::Needed) {
        files.needed(&spec.kind)?;
    }
    Ok(())
}
