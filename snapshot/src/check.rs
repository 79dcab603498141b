//! Static check of a guest: it follows the contract, and a snapshot can hold its state.
//!
//! Invariant: no code of the guest runs here, and every refusal carries its reason.

use crate::{Feature, error::Refusal, features::features, manifest::MethodInfo};
use snapback_abi::{
    BAKE_PREFIX, EXPORT_ABI, EXPORT_ALLOC, EXPORT_MEMORY, IMPORT_LOG, IMPORT_MODULE, METHOD_PROVE,
    METHODS_SECTION, RESERVED_PREFIX, is_method_name,
    methods::{self, MethodTypes},
};
use std::collections::BTreeMap;
use wasmparser::{
    ExternalKind, FuncType, Parser, Payload, TypeRef, ValType, Validator, WasmFeatures,
    types::{CoreTypeId, TypesRef},
};

/// Size of a page of linear memory, in bytes.
pub(crate) const WASM_PAGE_BYTES: u64 = 1 << 16;

/// Features that guests may use: WebAssembly 2.0, wide arithmetic, extended constants, tail calls and relaxed SIMD.
/// Exceptions, threads and garbage collection keep state that a snapshot cannot hold.
pub(crate) const FEATURES: WasmFeatures = WasmFeatures::WASM2
    .union(WasmFeatures::WIDE_ARITHMETIC)
    .union(WasmFeatures::EXTENDED_CONST)
    .union(WasmFeatures::TAIL_CALL)
    .union(WasmFeatures::RELAXED_SIMD);

const CALL: (&[ValType], &[ValType]) = (&[ValType::I32, ValType::I32], &[ValType::I64]);
const ALLOC: (&[ValType], &[ValType]) = (&[ValType::I32], &[ValType::I32]);
const ABI: (&[ValType], &[ValType]) = (&[], &[ValType::I32]);
const LOG: (&[ValType], &[ValType]) = (&[ValType::I32, ValType::I32], &[]);

/// Properties of a checked guest that the bake uses.
#[derive(Debug)]
pub(crate) struct Checked {
    /// Exports that clients may call, in alphabetical order.
    pub(crate) methods: Vec<MethodInfo>,
    /// Exports that only the bake calls.
    pub(crate) bake_methods: Vec<String>,
    /// Features that the code uses.
    pub(crate) features: Vec<Feature>,
    /// Exported functions that are neither methods nor known to the contract.
    pub(crate) extra_exports: Vec<String>,
}

/// Checks an image before it is compiled. It may come from anywhere: its digest shows only that it is undamaged.
pub(crate) fn check_image(wasm: &[u8], memory_bytes_max: u64) -> Result<(), Refusal> {
    check(wasm, memory_bytes_max)?;
    let starts =
        Parser::new(0).parse_all(wasm).any(|payload| matches!(payload, Ok(Payload::StartSection { .. })));
    // A snapshot has no start function, because that has run already.
    if starts { Err(Refusal::Unsupported("a start function".into())) } else { Ok(()) }
}

/// Checks a guest. `memory_bytes_max` limits its initial memory, because the engine reserves it while compiling.
pub(crate) fn check(wasm: &[u8], memory_bytes_max: u64) -> Result<Checked, Refusal> {
    if !Parser::is_core_wasm(wasm) {
        return Err(Refusal::Invalid("it is a component, or not WebAssembly at all".into()));
    }
    let types = Validator::new_with_features(FEATURES)
        .validate_all(wasm)
        .map_err(|error| Refusal::Invalid(error.to_string()))?;
    let types = types.as_ref();

    let mut functions = BTreeMap::new();
    let mut has_memory = false;
    let mut declared = Declarations::default();
    for payload in Parser::new(0).parse_all(wasm) {
        match payload.map_err(|error| Refusal::Invalid(error.to_string()))? {
            Payload::ImportSection(imports) => {
                for import in imports.into_imports() {
                    let import = import.map_err(|error| Refusal::Invalid(error.to_string()))?;
                    check_import(import.module, import.name, import.ty, types)?;
                }
            }
            Payload::MemorySection(memories) => {
                if memories.count() > 1 {
                    return Err(Refusal::Unsupported("more than one memory".into()));
                }
                for memory in memories {
                    let memory = memory.map_err(|error| Refusal::Invalid(error.to_string()))?;
                    if memory.memory64 || memory.shared {
                        return Err(Refusal::Unsupported("a shared or 64-bit memory".into()));
                    }
                    let bytes = memory.initial.saturating_mul(WASM_PAGE_BYTES);
                    if bytes > memory_bytes_max {
                        return Err(Refusal::Memory { bytes, bytes_max: memory_bytes_max });
                    }
                }
            }
            Payload::ExportSection(exports) => {
                for export in exports {
                    let export = export.map_err(|error| Refusal::Invalid(error.to_string()))?;
                    match export.kind {
                        ExternalKind::Memory if export.name == EXPORT_MEMORY => has_memory = true,
                        ExternalKind::Func => {
                            functions.insert(export.name.to_owned(), types.core_function_at(export.index));
                        }
                        _ => {}
                    }
                }
            }
            Payload::CustomSection(section) if section.name() == METHODS_SECTION => {
                declared.read(section.data())?;
            }
            _ => {}
        }
    }

    let features = features(wasm).map_err(|error| Refusal::Invalid(error.to_string()))?;
    let has = |name: &str, signature| functions.get(name).is_some_and(|id| is(types, *id, signature));
    if !has_memory {
        return Err(Refusal::Export { name: EXPORT_MEMORY, wanted: "memory" });
    }
    if !has(EXPORT_ABI, ABI) {
        return Err(Refusal::Export { name: EXPORT_ABI, wanted: "() -> i32" });
    }
    if !has(EXPORT_ALLOC, ALLOC) {
        return Err(Refusal::Export { name: EXPORT_ALLOC, wanted: "(i32) -> i32" });
    }
    let callable: Vec<&String> =
        functions.iter().filter(|(_, id)| is(types, **id, CALL)).map(|(name, _)| name).collect();
    if callable.iter().any(|name| *name == METHOD_PROVE) && !features.contains(&Feature::WideArithmetic) {
        return Err(Refusal::NoWideArithmetic);
    }
    let methods = callable.iter().filter(|name| is_method_name(name)).map(|name| declared.of(name));
    let bake_methods = callable.iter().filter(|name| name.starts_with(BAKE_PREFIX));
    let extra_exports =
        functions.keys().filter(|name| !name.starts_with(RESERVED_PREFIX) && !callable.contains(name));
    Ok(Checked {
        methods: methods.collect(),
        bake_methods: bake_methods.map(|name| (*name).clone()).collect(),
        features,
        extra_exports: extra_exports.cloned().collect(),
    })
}

/// What the guest declares of its methods in a custom section.
#[derive(Default)]
struct Declarations(BTreeMap<String, MethodInfo>);

impl Declarations {
    fn read(&mut self, section: &[u8]) -> Result<(), Refusal> {
        for declared in methods::decode(section) {
            let MethodTypes { name, request, reply, is_pure } =
                declared.map_err(|error| Refusal::MediaTypes(error.to_string()))?;
            let (request, reply) = (request.into(), reply.into());
            self.0.insert(name.into(), MethodInfo { name: name.into(), request, reply, is_pure });
        }
        Ok(())
    }

    fn of(&self, name: &str) -> MethodInfo {
        self.0.get(name).cloned().unwrap_or_else(|| MethodInfo {
            name: name.to_owned(),
            request: methods::DEFAULT.to_owned(),
            reply: methods::DEFAULT.to_owned(),
            is_pure: false,
        })
    }
}

fn check_import(module: &str, name: &str, ty: TypeRef, types: TypesRef<'_>) -> Result<(), Refusal> {
    match ty {
        TypeRef::Func(index)
            if (module, name) == (IMPORT_MODULE, IMPORT_LOG)
                && is(types, types.core_type_at_in_module(index), LOG) =>
        {
            Ok(())
        }
        _ => Err(Refusal::Import { module: module.into(), name: name.into() }),
    }
}

/// Returns whether a function has these parameters and results.
pub(crate) fn is(types: TypesRef<'_>, id: CoreTypeId, (params, results): (&[ValType], &[ValType])) -> bool {
    let ty: &FuncType = types[id].unwrap_func();
    ty.params() == params && ty.results() == results
}
