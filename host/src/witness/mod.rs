//! Makes witnesses from the inputs of clients: reads inputs as JSON, and runs the circuit's own calculator, which
//! computes the witness.
//!
//! ```text
//! inputs             reads circom's input.json    calculator   runs circom's module
//! calculator_error   why there is no witness
//! ```
//!
//! Invariant: values are overwritten when their call ends, and a message quotes at most the one that is refused.

mod calculator;
mod calculator_error;
pub mod inputs;

pub use calculator::{Calculator, CalculatorLimits};
pub use calculator_error::CalculatorError;
