//! Why a witness calculator returned no witness.

use crate::memory::meter::OutOfMemory;
use std::time::Duration;
use wasmtime::Trap;

/// Why there is no witness.
#[derive(Debug, thiserror::Error)]
pub enum CalculatorError {
    /// The circuit has no calculator.
    #[error(
        "the circuit has no witness calculator: add it with its calculator, or prove a .wtns file from elsewhere"
    )]
    Missing,
    /// The inputs are not those of the circuit.
    #[error("{0}")]
    Inputs(String),
    /// The inputs do not satisfy the circuit.
    #[error("the inputs do not satisfy the circuit: {0}")]
    Unsatisfied(String),
    /// The calculator belongs to another circuit.
    #[error("the witness calculator is of another circuit: {0}; add the circuit with its own")]
    Mismatch(String),
    /// The calculator trapped.
    #[error("the witness calculator trapped: {0}")]
    Trap(Trap),
    /// The calculator needs more memory than it may have.
    #[error("the witness calculator ran out of memory: {0}: see circuits.calculator_memory_limit")]
    OutOfMemory(#[from] OutOfMemory),
    /// The calculator ran longer than it may.
    #[error("the witness calculator ran longer than circuits.calculator_deadline = {} ms", .0.as_millis())]
    Deadline(Duration),
    /// The calculator could not be run.
    #[error("the witness calculator cannot be run: {0}")]
    Engine(wasmtime::Error),
}
