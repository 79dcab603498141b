//! Witness calculators: modules of circom's, which speak its own protocol and not the guest contract.
//!
//! One is kept as an image that was never baked: in the store under its digest, its native code in the cache, by the
//! same rules as every image's.
//!
//! Invariant: a calculator that was kept imports nothing but circom's four functions, and has what a witness takes.

use crate::{
    Digest, Error, ImageStore,
    check::{FEATURES, WASM_PAGE_BYTES, is},
    engine::engine,
    error::Refusal,
    manifest::{FORMAT_VERSION, GuestId, Manifest, Tools},
    native::{self, NativeCache},
};
use snapback_abi::ABI_VERSION;
use wasmparser::{ExternalKind, Parser, Payload, TypeRef, ValType, Validator};

/// What a calculator's manifest names as its guest.
pub(crate) const GUEST_NAME: &str = "circom witness calculator";
/// The module that a calculator imports from.
pub const IMPORT_MODULE: &str = "runtime";
/// Import `(code: i32)`: the calculator gives up.
pub const IMPORT_EXCEPTION: &str = "exceptionHandler";
/// Import `()`: a message can be read with `getMessageChar`.
pub const IMPORT_ERROR_MESSAGE: &str = "printErrorMessage";
/// Import `()`: a line that the circuit logs is at an end.
pub const IMPORT_BUFFER_MESSAGE: &str = "writeBufferMessage";
/// Import `()`: a value that the circuit logs can be read.
pub const IMPORT_SHOW_MEMORY: &str = "showSharedRWMemory";

const I32: ValType = ValType::I32;
/// Imports of circom's from version 2.0 to 2.2, all without results.
const IMPORTS: [(&str, &[ValType]); 4] = [
    (IMPORT_EXCEPTION, &[I32]),
    (IMPORT_ERROR_MESSAGE, &[]),
    (IMPORT_BUFFER_MESSAGE, &[]),
    (IMPORT_SHOW_MEMORY, &[]),
];
/// What is called of a calculator.
const EXPORTS: [(&str, &[ValType], &[ValType]); 10] = [
    ("init", &[I32], &[]),
    ("getFieldNumLen32", &[], &[I32]),
    ("getRawPrime", &[], &[]),
    ("getWitnessSize", &[], &[I32]),
    ("getInputSize", &[], &[I32]),
    ("getInputSignalSize", &[I32, I32], &[I32]),
    ("setInputSignal", &[I32, I32, I32], &[]),
    ("getWitness", &[I32], &[]),
    ("readSharedRWMemory", &[I32], &[I32]),
    ("writeSharedRWMemory", &[I32, I32], &[]),
];

/// Checks a calculator; no code of it runs.
///
/// # Errors
/// When it is none of circom's, or starts with more memory than that.
pub fn check(wasm: &[u8], memory_bytes_max: u64) -> Result<(), Refusal> {
    let invalid = |error: wasmparser::BinaryReaderError| Refusal::Invalid(error.to_string());
    if !Parser::is_core_wasm(wasm) {
        return Err(Refusal::Invalid("a component, or no WebAssembly at all".into()));
    }
    let types = Validator::new_with_features(FEATURES).validate_all(wasm).map_err(invalid)?;
    let types = types.as_ref();
    let mut found = [false; EXPORTS.len()];
    let mut memories = 0;
    for payload in Parser::new(0).parse_all(wasm) {
        match payload.map_err(invalid)? {
            Payload::ImportSection(imports) => {
                for import in imports.into_imports() {
                    let import = import.map_err(invalid)?;
                    let known = IMPORTS.iter().find(|(name, _)| *name == import.name);
                    let fits = match (import.ty, known) {
                        (TypeRef::Func(index), Some((_, params))) if import.module == IMPORT_MODULE => {
                            is(types, types.core_type_at_in_module(index), (params, &[]))
                        }
                        _ => false,
                    };
                    if !fits {
                        let (module, name) = (import.module.into(), import.name.into());
                        return Err(Refusal::CalculatorImport { module, name });
                    }
                }
            }
            Payload::MemorySection(section) => {
                for memory in section {
                    let memory = memory.map_err(invalid)?;
                    let bytes = memory.initial.saturating_mul(WASM_PAGE_BYTES);
                    memories += 1;
                    if memory.shared || memory.memory64 || memories > 1 {
                        return Err(Refusal::Unsupported("a second, a shared or a 64-bit memory".into()));
                    }
                    if bytes > memory_bytes_max {
                        return Err(Refusal::Memory { bytes, bytes_max: memory_bytes_max });
                    }
                }
            }
            Payload::ExportSection(exports) => {
                for export in exports {
                    let export = export.map_err(invalid)?;
                    let known = EXPORTS.iter().position(|(name, ..)| *name == export.name);
                    if let (ExternalKind::Func, Some(known)) = (export.kind, known) {
                        let (_, params, results) = EXPORTS[known];
                        found[known] = is(types, types.core_function_at(export.index), (params, results));
                    }
                }
            }
            Payload::StartSection { .. } => return Err(Refusal::Unsupported("a start function".into())),
            _ => {}
        }
    }
    match found.iter().zip(EXPORTS).find(|(found, _)| !**found) {
        Some((_, (name, ..))) => Err(Refusal::Export { name, wanted: "circom's witness calculators have" }),
        None => Ok(()),
    }
}

/// The image of a calculator that was kept before.
#[must_use]
pub fn find(store: &ImageStore, wasm: &Digest) -> Option<Digest> {
    store.baked(&key(wasm))
}

/// Checks a calculator, compiles it, and keeps both.
///
/// # Errors
/// When it is refused, or the store cannot be written.
pub fn keep(
    store: &ImageStore,
    cache: &NativeCache,
    wasm: &[u8],
    memory_bytes_max: u64,
) -> Result<Digest, Error> {
    check(wasm, memory_bytes_max)?;
    let engine = engine(1)?;
    let native = native::compile(&engine, wasm)?;
    // Within the bounds of the pool, or a server would find out.
    native::load_bytes(&engine, &native)?;
    let guest = GuestId { name: GUEST_NAME.into(), digest: Digest::of(wasm) };
    let manifest = Manifest {
        format_version: FORMAT_VERSION,
        abi_version: ABI_VERSION,
        base: None,
        inputs: Vec::new(),
        circuits: Vec::new(),
        methods: Vec::new(),
        memory_bytes: 0,
        trial: None,
        tools: Tools::current(),
        guest,
    };
    let digest = store.publish(&manifest.embed(wasm))?;
    store.remember_bake(&key(&manifest.guest.digest), &digest)?;
    if let Err(error) = cache.keep(&engine, digest, &manifest, &native) {
        tracing::warn!(%error, "native code cannot be kept: every start compiles the calculator");
    }
    Ok(digest)
}

/// Every calculator in the store: its module's digest, and its image's.
#[must_use]
pub fn kept(store: &ImageStore) -> Vec<(Digest, Digest)> {
    let stored = store.list().unwrap_or_default();
    let calculators = stored.into_iter().filter_map(|stored| {
        let guest = stored.manifest.ok()?.guest;
        (guest.name == GUEST_NAME).then_some((guest.digest, stored.digest))
    });
    calculators.collect()
}

fn key(wasm: &Digest) -> Digest {
    let parts = (FORMAT_VERSION, GUEST_NAME, wasm, Tools::current());
    Digest::of(&serde_json::to_vec(&parts).expect("no maps with odd keys"))
}
