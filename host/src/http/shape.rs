//! The shape of a circuit, as clients see it.
//!
//! Invariant: it has every field of the shape that the proof system knows, which the compiler checks.

use serde::Serialize;
use snapback_snapshot::proof_systems::CircuitShape;
use utoipa::ToSchema;

/// The shape of a circuit; nothing of it where the proof system knows none.
#[derive(Default, Serialize, ToSchema)]
#[schema(as = CircuitShape)]
pub(super) struct Shape {
    /// Circom's name for the prime of its field.
    #[serde(skip_serializing_if = "Option::is_none")]
    prime: Option<String>,
    /// Number of rows of its arithmetisation, as a power of two.
    #[serde(skip_serializing_if = "Option::is_none")]
    k: Option<u32>,
    /// Number of constraints.
    #[serde(skip_serializing_if = "Option::is_none")]
    constraints: Option<u32>,
    /// Number of wires, the constant one included.
    #[serde(skip_serializing_if = "Option::is_none")]
    wires: Option<u32>,
    /// Number of public signals, where it is not known which of them are outputs.
    #[serde(skip_serializing_if = "Option::is_none")]
    publics: Option<u32>,
    /// Number of public outputs, if it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    outputs: Option<u32>,
    /// Number of public inputs, if it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    public_inputs: Option<u32>,
    /// Number of private inputs, if it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    private_inputs: Option<u32>,
    /// Names of the public signals, in their order in proofs, if they are known and not too many.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    public: Vec<String>,
    /// Names of all inputs, without indices, if they are known and not too many.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    inputs: Vec<String>,
}

impl From<CircuitShape> for Shape {
    fn from(shape: CircuitShape) -> Self {
        let CircuitShape {
            prime,
            k,
            constraints,
            wires,
            publics,
            outputs,
            public_inputs,
            private_inputs,
            public,
            inputs,
        } = shape;
        Self {
            prime: Some(prime),
            k: Some(k),
            constraints: Some(constraints),
            wires: Some(wires),
            publics,
            outputs,
            public_inputs,
            private_inputs,
            public,
            inputs,
        }
    }
}
