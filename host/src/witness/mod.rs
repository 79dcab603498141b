//! From what a client knows to what is proven: inputs as JSON, and the circuit's own calculator that makes a witness of them.
//!
//! Invariant: values are overwritten when their call ends, and no message holds one.

mod calculator;
pub mod inputs;

pub use calculator::{Calculator, CalculatorError, CalculatorLimits};
