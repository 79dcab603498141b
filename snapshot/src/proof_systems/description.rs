//! What a circuit is, as people and clients read it.
//!
//! Invariant: a description is small, whatever the circuit: lists of names are bounded.

use super::{CircuitError, CircuitFiles, FileKind};
use crate::Digest;
use serde::{Deserialize, Serialize};
use snapback_circom::{
    r1cs::Header,
    sym::{Names, input_names, public_names},
};
use std::{ops::RangeInclusive, time::Duration};

/// Length of all names of a list, in bytes. Signals of a circuit with more have numbers only.
const NAMES_BYTES_MAX: usize = 16 << 10;

/// A circuit that a proof system has read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// The digest that identifies the circuit, as proofs carry it.
    pub circuit: Digest,
    /// Its shape; `None` where the proof system knows no constraints and signals.
    pub shape: Option<CircuitShape>,
}

/// The shape of a circuit of constraints over signals.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CircuitShape {
    /// Circom's name for the prime of its field.
    pub prime: String,
    /// Number of rows of its arithmetisation, as a power of two.
    pub k: u32,
    /// Number of constraints.
    pub constraints: u32,
    /// Number of wires, the constant one included.
    pub wires: u32,
    /// Number of public signals, where it is not known which of them are outputs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub publics: Option<u32>,
    /// Number of public outputs, if it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outputs: Option<u32>,
    /// Number of public inputs, if it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_inputs: Option<u32>,
    /// Number of private inputs, those that the compiler optimised away included, if it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private_inputs: Option<u32>,
    /// Names of the public signals, in their order in proofs: outputs, then public inputs. Empty if they are not known,
    /// or too many.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub public: Vec<String>,
    /// Names of all inputs, without indices. Empty if they are not known, or too many.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<String>,
}

/// What a circuit will take. All but `rows` is approximate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Estimate {
    /// Rows of the arithmetisation.
    pub rows: u64,
    /// Size of the file of an image with this circuit alone, in bytes.
    pub image_bytes: RangeInclusive<u64>,
    /// Linear memory with which instances of that image start, in bytes.
    pub memory_bytes: RangeInclusive<u64>,
    /// Resident memory of the bake, in bytes.
    pub bake_bytes: u64,
    /// Time to generate the reference string, which is done once for each size.
    pub reference: Duration,
    /// Time of the bake without that.
    pub bake: Duration,
    /// Time of one proof.
    pub proof: Duration,
}

impl CircuitShape {
    /// Describes a circuit of 2^k rows by the header of its `.r1cs`, and by its `.sym`, if it has one.
    ///
    /// # Errors
    /// Returns an error if the `.sym` is malformed.
    pub fn of_r1cs(header: &Header, k: u32, files: &CircuitFiles) -> Result<Self, CircuitError> {
        let (mut public, mut inputs) = (Vec::new(), Vec::new());
        if let Some(sym) = files.get(&FileKind::SYM) {
            Names::read(sym, header.wires)?;
            public = public_names(sym, header)?;
            inputs = input_names(sym, header)?.into_iter().collect();
        }
        let bounded = |names: Vec<String>| {
            let bytes: usize = names.iter().map(|name| name.len() + 1).sum();
            if bytes > NAMES_BYTES_MAX { Vec::new() } else { names }
        };
        Ok(Self {
            prime: header.prime.to_string(),
            k,
            constraints: header.constraints,
            wires: header.wires,
            publics: None,
            outputs: Some(header.public_outputs),
            public_inputs: Some(header.public_inputs),
            private_inputs: Some(header.private_inputs),
            public: bounded(public),
            inputs: bounded(inputs),
        })
    }
}
