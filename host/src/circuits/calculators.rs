//! Loads the witness calculators of a generation from the files of its catalogue.

use super::{
    change::Entry,
    shelf::{CatalogueError, Shelf},
};
use crate::witness::{Calculator, CalculatorError, CalculatorLimits};
use snapback_snapshot::{
    Digest, Error, ImageStore, NativeCache, calculators,
    proof_systems::{CircuitError, FileKind, ProofSystem},
};
use std::collections::BTreeMap;
use wasmtime::Engine;

/// Where calculators are loaded from.
pub(super) struct Source<'a> {
    pub(super) store: &'a ImageStore,
    pub(super) cache: &'a NativeCache,
    pub(super) engine: &'a Engine,
    pub(super) shelf: &'a Shelf,
    pub(super) system: &'a dyn ProofSystem,
    pub(super) limits: CalculatorLimits,
}

impl Source<'_> {
    /// Loads the calculator of every circuit that has one, and checks that each belongs to its circuit.
    ///
    /// # Errors
    /// Returns why a calculator cannot be used, with the name of its circuit.
    pub(super) fn load(
        &self,
        circuits: &BTreeMap<String, Entry>,
    ) -> Result<BTreeMap<String, Calculator>, Unusable> {
        let mut loaded = BTreeMap::new();
        for (name, entry) in circuits {
            let Some(wasm) = entry.files.get(&FileKind::WASM) else { continue };
            let calculator =
                self.load_one(wasm, entry).map_err(|cause| Unusable { circuit: name.clone(), cause })?;
            loaded.insert(name.clone(), calculator);
        }
        Ok(loaded)
    }

    fn load_one(&self, wasm: &Digest, entry: &Entry) -> Result<Calculator, Cause> {
        let image = match calculators::find(self.store, wasm) {
            Some(image) => image,
            None => {
                let bytes = self.shelf.get(wasm)?;
                calculators::keep(self.store, self.cache, &bytes, self.limits.memory_bytes_max)?
            }
        };
        let module = self.cache.load(self.engine, &self.store.open_image(&image)?)?.module;
        let shape = self.system.witness_shape(&self.shelf.map(entry)?)?;
        let calculator = Calculator::new(&module, shape, self.limits).map_err(Cause::Imports)?;
        calculator.check_circuit()?;
        Ok(calculator)
    }
}

/// A calculator that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the witness calculator of `{circuit}`: {cause}")]
pub(super) struct Unusable {
    pub(super) circuit: String,
    pub(super) cause: Cause,
}

/// Why a calculator cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum Cause {
    /// The store or the cache failed, or refused the module.
    #[error(transparent)]
    Store(#[from] Error),
    /// A file of the circuit cannot be read.
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
    /// A file of the circuit is malformed.
    #[error(transparent)]
    Circuit(#[from] CircuitError),
    /// The module imports something that circom's modules do not import.
    #[error("{0}")]
    Imports(wasmtime::Error),
    /// The calculator cannot be run, or belongs to another circuit.
    #[error(transparent)]
    Calculator(#[from] CalculatorError),
}

impl Unusable {
    /// The error as clients may see it, without paths of the server.
    pub(super) fn for_clients(&self) -> String {
        match &self.cause {
            Cause::Store(Error::Refused(_)) => self.to_string(),
            Cause::Store(_) | Cause::Catalogue(_) => {
                format!(
                    "the witness calculator of `{}` cannot be loaded: the server's log says why",
                    self.circuit
                )
            }
            Cause::Circuit(_) | Cause::Imports(_) | Cause::Calculator(_) => self.to_string(),
        }
    }
}
