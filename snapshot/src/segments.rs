//! Removes data segments that a snapshot no longer needs.
//!
//! Wizer writes the memory into new segments, and keeps every earlier active segment as an empty passive one, because
//! code may refer to segments by number. Each bake leaves some ten thousand of them: after ten bakes, each starting
//! from the image of the one before, the module would have more segments than an engine accepts.
//!
//! Invariant: the module keeps its meaning. If its code refers to segments by number, nothing is removed.

use wasm_encoder::{ConstExpr, DataSection, Module, RawSection};
use wasmparser::{BinaryReaderError, DataKind, DataSectionReader, Operator, Parser, Payload};

/// Returns the module with its active segments only, or unchanged if its code refers to segments by number.
///
/// # Errors
/// Returns an error if the bytes are not a module.
pub(crate) fn active_only(wasm: Vec<u8>) -> Result<Vec<u8>, BinaryReaderError> {
    if refers_to_segments(&wasm)? {
        return Ok(wasm);
    }
    let mut module = Module::new();
    for payload in Parser::new(0).parse_all(&wasm) {
        match payload? {
            Payload::DataSection(segments) => {
                module.section(&active(segments)?);
            }
            // Only code that refers to segments by number needs their count.
            Payload::DataCountSection { .. } => {}
            payload => {
                if let Some((id, range)) = payload.as_section() {
                    module.section(&RawSection { id, data: &wasm[range] });
                }
            }
        }
    }
    Ok(module.finish())
}

fn refers_to_segments(wasm: &[u8]) -> Result<bool, BinaryReaderError> {
    for payload in Parser::new(0).parse_all(wasm) {
        if let Payload::CodeSectionEntry(body) = payload? {
            for operator in body.get_operators_reader()? {
                if matches!(operator?, Operator::MemoryInit { .. } | Operator::DataDrop { .. }) {
                    return Ok(true);
                }
            }
        }
    }
    Ok(false)
}

fn active(segments: DataSectionReader<'_>) -> Result<DataSection, BinaryReaderError> {
    let mut section = DataSection::new();
    for segment in segments {
        let segment = segment?;
        if let DataKind::Active { memory_index, offset_expr } = segment.kind {
            let mut offset = offset_expr.get_binary_reader();
            // The last byte ends the expression; the encoder writes it.
            let offset = offset.read_bytes(offset.bytes_remaining().saturating_sub(1))?;
            section.active(
                memory_index,
                &ConstExpr::raw(offset.iter().copied()),
                segment.data.iter().copied(),
            );
        }
    }
    Ok(section)
}

#[cfg(test)]
mod tests {
    use super::active_only;
    use wasmparser::{DataKind, Parser, Payload, Validator};

    fn segments(wasm: &[u8]) -> Vec<(bool, Vec<u8>)> {
        let sections =
            Parser::new(0).parse_all(wasm).filter_map(|payload| match payload.expect("a payload") {
                Payload::DataSection(segments) => Some(segments),
                _ => None,
            });
        sections
            .flatten()
            .map(|segment| {
                let segment = segment.expect("a segment");
                (matches!(segment.kind, DataKind::Active { .. }), segment.data.to_vec())
            })
            .collect()
    }

    fn module(body: &str) -> Vec<u8> {
        wat::parse_str(format!(
            r#"(module (memory (export "memory") 1)
                (data "") (data (i32.const 65535) "z") (data "") (data (offset (i32.const 8)) "abc")
                (func (export "f") {body})
                (@custom "kept" (after data) "as it is"))"#
        ))
        .expect("a module")
    }

    #[test]
    fn unused_passive_segments_are_removed_and_the_rest_stays() {
        let before = module("(drop (i32.load (i32.const 0)))");
        let after = active_only(before.clone()).expect("a module");
        Validator::new().validate_all(&after).expect("valid");
        assert_eq!(segments(&after), [(true, b"z".to_vec()), (true, b"abc".to_vec())]);
        assert!(after.windows(8).any(|bytes| bytes == b"as it is"));
        assert_eq!(active_only(after.clone()).expect("a module"), after);
    }

    #[test]
    fn code_that_refers_to_segments_keeps_them_all() {
        let before = module("(memory.init 2 (i32.const 0) (i32.const 0) (i32.const 0))");
        assert_eq!(active_only(before.clone()).expect("a module"), before);
    }

    #[test]
    fn a_module_without_memory_is_unchanged() {
        let before = wat::parse_str("(module (func (export \"f\")))").expect("a module");
        assert_eq!(active_only(before.clone()).expect("a module"), before);
        assert!(active_only(b"\0asm".to_vec()).is_err());
    }
}
