//! The image that is being served, and its replacement.
//!
//! A generation is everything that instances of one image share. It is made completely, then published with
//! one atomic store; a call keeps the one it began with for as long as it runs.
//!
//! Invariant: everything fallible happens before publication.

use crate::{breaker::Breaker, meter::Meter, policy::Policy, storm::StormGuard, witness::Calculator};
use arc_swap::ArcSwap;
use snapback_abi::{EXPORT_HEAP_USED, EXPORT_RETIRE, IMPORT_LOG, IMPORT_MODULE, is_method_name};
use snapback_snapshot::{LoadedImage, call::Doors};
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use wasmtime::{Engine, ExternType, InstancePre, Linker, ModuleExport, ValType};

/// An image, ready to be instantiated.
pub struct Generation {
    id: u64,
    image: LoadedImage,
    pre: InstancePre<Meter>,
    doors: Doors,
    methods: BTreeMap<String, ModuleExport>,
    heap_used: Option<ModuleExport>,
    retire: Option<ModuleExport>,
    calculators: BTreeMap<String, Calculator>,
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
    /// Prepares an image.
    ///
    /// # Errors
    /// When it imports something outside the contract, or does not keep it.
    pub fn new(image: LoadedImage) -> Result<Self, NotServable> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let mut linker = Linker::new(image.module.engine());
        // What a guest logs while serving may hold its input: it is taken and dropped.
        linker
            .func_wrap(IMPORT_MODULE, IMPORT_LOG, |_ptr: u32, _len: u32| {})
            .map_err(NotServable::Imports)?;
        let pre = linker.instantiate_pre(&image.module).map_err(NotServable::Imports)?;
        let doors = Doors::find(&image.module).ok_or(NotServable::Exports)?;
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
        // Relaxed: ids need to differ, nothing else hangs on their order.
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        Ok(Self { id, image, pre, doors, methods, heap_used, retire, calculators: BTreeMap::new() })
    }

    /// The same, with witness calculators for some of its circuits.
    #[must_use]
    pub fn with_calculators(self, calculators: BTreeMap<String, Calculator>) -> Self {
        Self { calculators, ..self }
    }

    /// The witness calculator of a circuit.
    #[must_use]
    pub fn calculator(&self, circuit: &str) -> Option<&Calculator> {
        self.calculators.get(circuit)
    }

    /// A number that no other generation of this process has.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The image.
    #[must_use]
    pub fn image(&self) -> &LoadedImage {
        &self.image
    }

    /// The names of the methods that clients may call.
    pub fn methods(&self) -> impl Iterator<Item = &str> {
        self.methods.keys().map(String::as_str)
    }

    pub(crate) fn method(&self, name: &str) -> Option<&ModuleExport> {
        self.methods.get(name)
    }

    /// The guest's own count of what its allocator holds.
    pub(crate) fn heap_used(&self) -> Option<&ModuleExport> {
        self.heap_used.as_ref()
    }

    /// The guest's wish to be replaced.
    pub(crate) fn retire(&self) -> Option<&ModuleExport> {
        self.retire.as_ref()
    }

    pub(crate) fn engine(&self) -> &Engine {
        self.image.module.engine()
    }

    pub(crate) fn pre(&self) -> &InstancePre<Meter> {
        &self.pre
    }

    pub(crate) fn doors(&self) -> &Doors {
        &self.doors
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

/// A name under which an image is served, the generation behind it now, and how it is served.
pub struct Service {
    name: String,
    current: ArcSwap<Generation>,
    policy: ArcSwap<Policy>,
    pub(crate) breaker: Breaker,
    pub(crate) storm: StormGuard,
}

impl Service {
    /// Serves a generation under a name.
    #[must_use]
    pub fn new(name: impl Into<String>, generation: Generation, policy: Policy) -> Self {
        Self {
            name: name.into(),
            current: ArcSwap::from_pointee(generation),
            policy: ArcSwap::from_pointee(policy),
            breaker: Breaker::new(),
            storm: StormGuard::new(),
        }
    }

    /// What clients call it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The generation that a call which begins now runs in.
    #[must_use]
    pub fn current(&self) -> Arc<Generation> {
        self.current.load_full()
    }

    /// How a call that begins now is served.
    #[must_use]
    pub fn policy(&self) -> Arc<Policy> {
        self.policy.load_full()
    }

    pub(crate) fn is_current(&self, generation: &Generation) -> bool {
        self.current.load().id == generation.id
    }

    pub(crate) fn publish(&self, generation: Generation) {
        self.current.store(Arc::new(generation));
    }

    pub(crate) fn serve_by(&self, policy: Policy) {
        self.policy.store(Arc::new(policy));
    }
}
