//! A generation: one image that is being served, with everything that its instances share.
//!
//! A generation is prepared completely and then published with one atomic store. A call keeps the generation that it
//! began with for as long as it runs.
//!
//! Invariant: everything that can fail happens before publication.

use super::state::HostState;
use crate::{
    ids::{GenerationId, Tenant},
    witness::Calculator,
};
use snapback_abi::{EXPORT_HEAP_USED, EXPORT_RETIRE, is_method_name, methods};
use snapback_snapshot::{LoadedImage, call::ContractExports, imports};
use std::collections::BTreeMap;
use wasmtime::{Engine, ExternType, InstancePre, ModuleExport, ValType};

/// An image that is ready to be instantiated.
pub struct Generation {
    id: GenerationId,
    image: LoadedImage,
    pre: InstancePre<HostState>,
    exports: ContractExports,
    methods: BTreeMap<String, ModuleExport>,
    heap_used: Option<ModuleExport>,
    retire: Option<ModuleExport>,
    calculators: BTreeMap<String, Calculator>,
    owners: BTreeMap<String, Tenant>,
}

/// Why an image cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum NotServable {
    /// It imports something outside the contract.
    #[error("the image imports something outside the contract: {0}")]
    Imports(wasmtime::Error),
    /// It lacks an export of the contract.
    #[error("the image lacks the exports of the contract")]
    Exports,
}

impl Generation {
    /// Prepares an image as the generation with this number.
    ///
    /// # Errors
    /// Returns an error if the image imports something outside the contract, or lacks an export of it.
    pub fn new(id: GenerationId, image: LoadedImage) -> Result<Self, NotServable> {
        let linker = imports::contract::<HostState>(image.module.engine()).map_err(NotServable::Imports)?;
        let pre = linker.instantiate_pre(&image.module).map_err(NotServable::Imports)?;
        let exports = ContractExports::find(&image.module).ok_or(NotServable::Exports)?;
        let methods = image
            .module
            .exports()
            .filter(|export| is_method_name(export.name()) && is(&export.ty(), METHOD.0, METHOD.1))
            .filter_map(|export| {
                Some((export.name().to_owned(), image.module.get_export_index(export.name())?))
            })
            .collect();
        let hook = |name: &str, results: &[TypeTest]| {
            let export = image.module.get_export(name)?;
            is(&export, &[], results).then(|| image.module.get_export_index(name)).flatten()
        };
        let heap_used = hook(EXPORT_HEAP_USED, &[ValType::is_i64]);
        let retire = hook(EXPORT_RETIRE, &[ValType::is_i32]);
        Ok(Self {
            id,
            image,
            pre,
            exports,
            methods,
            heap_used,
            retire,
            calculators: BTreeMap::new(),
            owners: BTreeMap::new(),
        })
    }

    /// Adds witness calculators, by the name of their circuit.
    #[must_use]
    pub fn with_calculators(self, calculators: BTreeMap<String, Calculator>) -> Self {
        Self { calculators, ..self }
    }

    /// Sets the tenants that circuits belong to, by the name of the circuit.
    #[must_use]
    pub fn with_owners(self, owners: BTreeMap<String, Tenant>) -> Self {
        Self { owners, ..self }
    }

    /// Whether circuits belong to tenants.
    #[must_use]
    pub fn has_owners(&self) -> bool {
        !self.owners.is_empty()
    }

    /// The tenant that a circuit belongs to; `None` if it is for all.
    #[must_use]
    pub fn owner(&self, circuit: &str) -> Option<&Tenant> {
        self.owners.get(circuit)
    }

    /// The witness calculator of a circuit, if it has one.
    #[must_use]
    pub fn calculator(&self, circuit: &str) -> Option<&Calculator> {
        self.calculators.get(circuit)
    }

    /// Number of the generation in the catalogue of its service; the first where there is no catalogue.
    #[must_use]
    pub fn id(&self) -> GenerationId {
        self.id
    }

    /// The image.
    #[must_use]
    pub fn image(&self) -> &LoadedImage {
        &self.image
    }

    /// Names of the methods that clients may call.
    pub fn methods(&self) -> impl Iterator<Item = &str> {
        self.methods.keys().map(String::as_str)
    }

    /// Whether any method exists under this name.
    #[must_use]
    pub fn has_method(&self, name: &str) -> bool {
        self.methods.contains_key(name)
    }

    /// The media type of a method's reply, as the manifest of the image has it.
    #[must_use]
    pub fn reply_type(&self, method: &str) -> &str {
        let methods = &self.image.manifest.methods;
        methods.iter().find(|known| known.name == method).map_or(methods::DEFAULT, |known| &known.reply)
    }

    /// Whether the guest declares of a method that equal requests have equal replies.
    #[must_use]
    pub fn is_pure(&self, method: &str) -> bool {
        self.image.manifest.methods.iter().any(|known| known.name == method && known.is_pure)
    }

    /// Whether the image can prove a circuit of this name.
    #[must_use]
    pub fn has_circuit(&self, name: &str) -> bool {
        self.image.manifest.circuits.iter().any(|circuit| circuit.name == name)
    }

    pub(crate) fn method(&self, name: &str) -> Option<&ModuleExport> {
        self.methods.get(name)
    }

    /// The optional export that reports what the guest's allocator holds.
    pub(crate) fn heap_used(&self) -> Option<&ModuleExport> {
        self.heap_used.as_ref()
    }

    /// The optional export through which the guest asks to be replaced.
    pub(crate) fn retire(&self) -> Option<&ModuleExport> {
        self.retire.as_ref()
    }

    pub(crate) fn engine(&self) -> &Engine {
        self.image.module.engine()
    }

    pub(crate) fn pre(&self) -> &InstancePre<HostState> {
        &self.pre
    }

    pub(crate) fn contract_exports(&self) -> &ContractExports {
        &self.exports
    }
}

type TypeTest = fn(&ValType) -> bool;

/// The signature of a method.
const METHOD: (&[TypeTest], &[TypeTest]) = (&[ValType::is_i32, ValType::is_i32], &[ValType::is_i64]);

fn is(ty: &ExternType, params: &[TypeTest], results: &[TypeTest]) -> bool {
    let ExternType::Func(ty) = ty else { return false };
    let fits = |mut types: Box<dyn Iterator<Item = ValType> + '_>, wanted: &[TypeTest]| {
        wanted.iter().all(|is| types.next().is_some_and(|ty| is(&ty))) && types.next().is_none()
    };
    fits(Box::new(ty.params()), params) && fits(Box::new(ty.results()), results)
}
