//! The features of WebAssembly that the code of a module uses, and whether vectors are among them.
//!
//! Invariant: a feature is listed if, and only if, one of its instructions is in the code; what a module says of itself does
//! not count.

use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, fmt};
use wasmparser::{Operator, Parser, Payload};

/// A feature that the first version of WebAssembly did not have. Its name is the compiler's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Feature {
    /// Copies and fills of memory.
    #[serde(rename = "bulk-memory")]
    BulkMemory,
    /// Conversions of floating-point numbers that do not trap.
    #[serde(rename = "nontrapping-fptoint")]
    SaturatingConversions,
    /// Tables that are read and grown, and references.
    #[serde(rename = "reference-types")]
    ReferenceTypes,
    /// Vectors with operations whose results depend on the processor.
    #[serde(rename = "relaxed-simd")]
    RelaxedSimd,
    /// Extensions of the sign of an integer.
    #[serde(rename = "sign-ext")]
    SignExtension,
    /// Vectors of 128 bits.
    #[serde(rename = "simd128")]
    Simd128,
    /// Calls in place of returns.
    #[serde(rename = "tail-call")]
    TailCall,
    /// Products of 64-bit integers, and sums of 128-bit ones.
    #[serde(rename = "wide-arithmetic")]
    WideArithmetic,
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// Whether code has vector instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Simd {
    /// It has.
    On,
    /// It has none.
    Off,
}

impl Simd {
    /// Returns whether vectors are among these features.
    #[must_use]
    pub fn of(features: &[Feature]) -> Self {
        let has = |feature: &Feature| matches!(feature, Feature::Simd128 | Feature::RelaxedSimd);
        if features.iter().any(has) { Self::On } else { Self::Off }
    }

    /// Returns the name of the value.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::On => "on",
            Self::Off => "off",
        }
    }
}

/// Features of operators by the names that the parser has for proposals.
macro_rules! feature {
    (bulk_memory) => {
        Some(Feature::BulkMemory)
    };
    (saturating_float_to_int) => {
        Some(Feature::SaturatingConversions)
    };
    (reference_types) => {
        Some(Feature::ReferenceTypes)
    };
    (relaxed_simd) => {
        Some(Feature::RelaxedSimd)
    };
    (sign_extension) => {
        Some(Feature::SignExtension)
    };
    (simd) => {
        Some(Feature::Simd128)
    };
    (tail_call) => {
        Some(Feature::TailCall)
    };
    (wide_arithmetic) => {
        Some(Feature::WideArithmetic)
    };
    ($other:ident) => {
        None
    };
}

macro_rules! define_feature_of {
    ($(@$proposal:ident $op:ident $({ $($field:ident: $type:ty),* })? => $visit:ident ($($rest:tt)*))*) => {
        /// Returns the feature that an instruction belongs to, unless every module may have the instruction.
        fn feature_of(operator: &Operator<'_>) -> Option<Feature> {
            match operator {
                $(Operator::$op { .. } => feature!($proposal),)*
                _ => None,
            }
        }
    };
}

wasmparser::for_each_operator!(define_feature_of);

/// Returns the features of a module in the order of their names.
pub(crate) fn features(wasm: &[u8]) -> wasmparser::Result<Vec<Feature>> {
    let mut found = BTreeSet::new();
    for payload in Parser::new(0).parse_all(wasm) {
        if let Payload::CodeSectionEntry(body) = payload? {
            let mut operators = body.get_operators_reader()?;
            while !operators.eof() {
                found.extend(feature_of(&operators.read()?));
            }
        }
    }
    Ok(found.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Guest;

    fn of_text(body: &str) -> Vec<Feature> {
        let wasm = wat::parse_str(format!("(module (memory 1) (func {body}))")).expect("a module");
        features(&wasm).expect("a module")
    }

    #[test]
    fn each_instruction_tells_its_feature() {
        let vector = "(drop (v128.not (v128.const i64x2 1 2)))";
        for (body, found) in [
            ("nop", vec![]),
            (vector, vec![Feature::Simd128]),
            ("(memory.fill (i32.const 0) (i32.const 0) (i32.const 1))", vec![Feature::BulkMemory]),
            ("(drop (i32.extend8_s (i32.const 1)))", vec![Feature::SignExtension]),
            ("(drop (i32.trunc_sat_f32_s (f32.const 1)))", vec![Feature::SaturatingConversions]),
            ("(i64.mul_wide_u (i64.const 1) (i64.const 2)) drop drop", vec![Feature::WideArithmetic]),
            ("(drop (ref.null func))", vec![Feature::ReferenceTypes]),
        ] {
            assert_eq!(of_text(body), found, "{body}");
            assert_eq!(Simd::of(&found), if body == vector { Simd::On } else { Simd::Off });
        }
    }

    #[test]
    fn features_come_in_the_order_of_their_names() {
        let body = "(drop (v128.const i64x2 1 2)) (memory.fill (i32.const 0) (i32.const 0) (i32.const 1))
            (drop (i8x16.relaxed_swizzle (v128.const i64x2 1 2) (v128.const i64x2 1 2)))";
        let found = of_text(body);
        assert_eq!(found, [Feature::BulkMemory, Feature::RelaxedSimd, Feature::Simd128]);
        let names: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(serde_json::json!(names), serde_json::json!(found));
        assert!(names.is_sorted());
    }

    fn vector_instructions(wasm: &[u8]) -> usize {
        let bodies = Parser::new(0).parse_all(wasm).filter_map(|payload| match payload.expect("a module") {
            Payload::CodeSectionEntry(body) => Some(body),
            _ => None,
        });
        let operators = bodies.flat_map(|body| body.get_operators_reader().expect("code"));
        operators
            .filter(|operator| {
                matches!(
                    feature_of(operator.as_ref().expect("an instruction")),
                    Some(Feature::Simd128 | Feature::RelaxedSimd)
                )
            })
            .count()
    }

    /// Both builds of the guest are embedded, one has vectors throughout, and the other has not one.
    #[test]
    fn only_the_build_with_vectors_has_any() {
        let build = |simd| Guest::build("extract", simd).expect("two builds");
        let (with, without) = (build(Simd::On), build(Simd::Off));
        let count = vector_instructions(&with.wasm);
        assert!(count > 1_000, "{count} vector instructions");
        assert_eq!(vector_instructions(&without.wasm), 0);
        assert_ne!(with.digest, without.digest);
        assert_eq!((&with.name, &without.name), (&"extract".into(), &"extract".into()));
        assert_eq!(Guest::find("extract").map(|guest| guest.digest), Some(with.digest), "the faster one");

        // Provers have none, because theirs take longer with them.
        for guest in Guest::all().iter().filter(|guest| guest.name != "extract") {
            assert_eq!(vector_instructions(&guest.wasm), 0, "{}", guest.name);
            assert!(Guest::build(&guest.name, Simd::Off).is_none(), "{} has one build", guest.name);
        }
    }
}
