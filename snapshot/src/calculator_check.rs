//! Static check of a witness calculator: it has the exports of circom's calculators, and no imports but theirs.
//!
//! Invariant: no code of the calculator runs here.

use crate::{
    check::{FEATURES, WASM_PAGE_BYTES, is},
    error::Refusal,
    imports::{
        CALCULATOR_BUFFER_MESSAGE, CALCULATOR_ERROR_MESSAGE, CALCULATOR_EXCEPTION, CALCULATOR_MODULE,
        CALCULATOR_SHOW_MEMORY,
    },
};
use wasmparser::{ExternalKind, Parser, Payload, TypeRef, ValType, Validator};

const I32: ValType = ValType::I32;
/// Imports of calculators from circom 2.0 to 2.2, with their parameters. None of them returns a result.
const IMPORTS: [(&str, &[ValType]); 4] = [
    (CALCULATOR_EXCEPTION, &[I32]),
    (CALCULATOR_ERROR_MESSAGE, &[]),
    (CALCULATOR_BUFFER_MESSAGE, &[]),
    (CALCULATOR_SHOW_MEMORY, &[]),
];
/// Exports of a calculator that the host calls, with their parameters and results.
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

/// Checks that a module is a witness calculator of circom's. `memory_bytes_max` limits its initial memory, in bytes.
///
/// # Errors
/// Returns an error if the module is not a calculator of circom's, or its initial memory exceeds the limit.
pub fn check(wasm: &[u8], memory_bytes_max: u64) -> Result<(), Refusal> {
    let invalid = |error: wasmparser::BinaryReaderError| Refusal::Invalid(error.to_string());
    if !Parser::is_core_wasm(wasm) {
        return Err(Refusal::Invalid("it is a component, or not WebAssembly at all".into()));
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
                        (TypeRef::Func(index), Some((_, params))) if import.module == CALCULATOR_MODULE => {
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
        Some((_, (name, ..))) => Err(Refusal::Export { name, wanted: "that circom's calculators have" }),
        None => Ok(()),
    }
}
