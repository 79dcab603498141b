//! Runs a circuit's witness calculator: an untrusted module of circom's, in an instance of its own for each call, with
//! its own deadline and memory limit.
//!
//! Source of the protocol: circom 2, `witness_calculator.js`, which the compiler writes beside every module.
//!
//! Invariant: nothing that a calculator does outlives its call, and no message of it holds a value.

use super::{
    calculator_error::CalculatorError,
    inputs::{self, printable},
};
use crate::memory::meter::{Meter, OutOfMemory};
use snapback_circom::{FIELD_BYTES, wtns};
use snapback_snapshot::{
    epochs,
    imports::{self, CalculatorException, CalculatorState, MESSAGE_BYTES_MAX},
    proof_systems::WitnessShape,
};
use std::time::Duration;
use wasmtime::{Instance, InstancePre, Module, Store, Trap, TypedFunc, WasmParams, WasmResults};
use zeroize::Zeroizing;

/// Most signals that a message names.
const SIGNALS_NAMED_MAX: usize = 8;
/// Longest line of a message, in characters. The line number comes after the name of the template.
const LINE_CHARS_MAX: usize = 256;
/// Words of a field element in the calculator's shared memory.
const WORDS: u32 = 8;

/// Bounds of one run.
#[derive(Clone, Copy, Debug)]
pub struct CalculatorLimits {
    /// How long it may run.
    pub deadline: Duration,
    /// Linear memory that the calculator may have, in bytes.
    pub memory_bytes_max: u64,
}

/// A calculator that is ready to be instantiated.
pub struct Calculator {
    pre: InstancePre<State>,
    shape: WitnessShape,
    limits: CalculatorLimits,
}

/// State of the store of one run.
struct State {
    meter: Meter,
    message: Vec<u8>,
}

impl CalculatorState for State {
    fn message(&mut self, line: &[u8]) {
        if !self.message.is_empty() {
            self.message.push(b'\n');
        }
        let room = MESSAGE_BYTES_MAX.saturating_sub(self.message.len());
        self.message.extend_from_slice(&line[..line.len().min(room)]);
    }
}

impl Calculator {
    /// Prepares the module of a calculator for a circuit with witnesses of this shape.
    ///
    /// # Errors
    /// Returns an error if the module imports something that circom's modules do not import.
    pub fn new(module: &Module, shape: WitnessShape, limits: CalculatorLimits) -> wasmtime::Result<Self> {
        let linker = imports::calculator::<State>(module.engine())?;
        Ok(Self { pre: linker.instantiate_pre(module)?, shape, limits })
    }

    /// Computes the witness of inputs in JSON, as a `.wtns` file.
    ///
    /// # Errors
    /// Returns why there is no witness.
    pub fn run(&self, json: &[u8]) -> Result<Zeroizing<Vec<u8>>, CalculatorError> {
        let WitnessShape { prime, inputs, .. } = self.shape;
        // The calculator has to keep them all, so more than fit its memory are too many.
        let values_max = inputs.min(self.limits.memory_bytes_max / FIELD_BYTES as u64);
        let values_max = usize::try_from(values_max).unwrap_or(usize::MAX);
        let inputs = inputs::read(json, prime, values_max).map_err(CalculatorError::Inputs)?;
        self.with_instance(|run| self.witness(run, &inputs))
    }

    /// Checks that the calculator belongs to the circuit, as far as it can tell.
    ///
    /// # Errors
    /// Returns why it does not, or cannot be run.
    pub fn check_circuit(&self) -> Result<(), CalculatorError> {
        self.with_instance(|run| self.check(run))
    }

    /// Runs `work` with an instance, which is dropped afterwards.
    fn with_instance<T>(
        &self,
        work: impl FnOnce(&mut Live) -> Result<T, Stop>,
    ) -> Result<T, CalculatorError> {
        let meter = Meter::new(self.limits.memory_bytes_max);
        let mut store = Store::new(self.pre.module().engine(), State { meter, message: Vec::new() });
        store.limiter(|state| &mut state.meter);
        store.set_epoch_deadline(epochs(self.limits.deadline));
        let run = self.pre.instantiate(&mut store).and_then(|instance| Run { store, instance }.open());
        let mut run = run.map_err(|error| self.classify(error, &[]))?;
        work(&mut run).map_err(|stop| match stop {
            Stop::Known(error) => error,
            Stop::Engine(error) => self.classify(error, &run.store.data().message),
        })
    }

    fn witness(&self, run: &mut Live, inputs: &inputs::Inputs) -> Result<Zeroizing<Vec<u8>>, Stop> {
        self.check(run)?;
        run.call::<i32, ()>("init", 1)?;
        let mut set = 0;
        for (name, values) in inputs {
            let hash = fnv1a(name);
            let (high, low) = ((hash >> 32) as i32, hash as i32);
            let size: i32 = run.call("getInputSignalSize", (high, low))?;
            // Circom's modules return zero or minus one for an unknown signal.
            let known = usize::try_from(size).unwrap_or(0);
            if known == 0 && !values.is_empty() {
                let message = format!("the circuit has no input signal `{}`", printable(name));
                return Err(CalculatorError::Inputs(message).into());
            }
            if values.len() != known {
                return Err(CalculatorError::Inputs(format!(
                    "input signal `{}` has {known} values, {} were sent",
                    printable(name),
                    values.len()
                ))
                .into());
            }
            for (position, value) in (0..).zip(values.iter()) {
                for (word, bytes) in (0..).zip(value.as_chunks::<4>().0) {
                    run.call::<_, ()>("writeSharedRWMemory", (word, i32::from_le_bytes(*bytes)))?;
                }
                run.call::<_, ()>("setInputSignal", (high, low, position))?;
                set += 1;
            }
        }
        let wanted: i32 = run.call("getInputSize", ())?;
        if set != wanted {
            let missing: Vec<&str> = self
                .shape
                .signals
                .iter()
                .filter(|name| !inputs.contains_key(*name))
                .map(String::as_str)
                .collect();
            let named = match missing.as_slice() {
                [] if self.shape.signals.is_empty() => {
                    " (a circuit that was added with its .sym names them)".into()
                }
                [] => String::new(),
                names => format!(": `{}`", names[..names.len().min(SIGNALS_NAMED_MAX)].join("`, `")),
            };
            return Err(CalculatorError::Inputs(format!(
                "{set} of the circuit's {wanted} input values were sent, signals are missing{named}"
            ))
            .into());
        }
        let mut values = Zeroizing::new(Vec::with_capacity(self.shape.wires as usize));
        for wire in 0..self.shape.wires {
            run.call::<_, ()>("getWitness", wire as i32)?;
            values.push(run.shared()?);
        }
        let modulus = self.shape.prime.modulus();
        Ok(Zeroizing::new(wtns::write(&modulus, values.len(), values.iter().copied())))
    }

    /// Compares field and number of wires with those of the circuit.
    fn check(&self, run: &mut Live) -> Result<(), Stop> {
        let mismatch = |reason: String| Stop::Known(CalculatorError::Mismatch(reason));
        let words: i32 = run.call("getFieldNumLen32", ())?;
        if words != WORDS as i32 {
            return Err(mismatch(format!("its field elements have {words} words")));
        }
        run.call::<_, ()>("getRawPrime", ())?;
        if run.shared()? != self.shape.prime.modulus() {
            return Err(mismatch(format!("it does not compute over {}", self.shape.prime)));
        }
        let wires: i32 = run.call("getWitnessSize", ())?;
        if i64::from(wires) != i64::from(self.shape.wires) {
            return Err(mismatch(format!("it has {wires} wires, the circuit {}", self.shape.wires)));
        }
        Ok(())
    }

    fn classify(&self, error: wasmtime::Error, message: &[u8]) -> CalculatorError {
        if let Some(CalculatorException(code)) = error.downcast_ref() {
            let message = trace(message);
            return match code {
                1..=3 | 6 => CalculatorError::Inputs(format!("the circuit's inputs do not fit ({code})")),
                4 if message.is_empty() => CalculatorError::Unsatisfied("an assertion failed".into()),
                4 => CalculatorError::Unsatisfied(message),
                _ => CalculatorError::Mismatch(format!("it gave up ({code})")),
            };
        }
        if let Some(out_of_memory) = error.downcast_ref::<OutOfMemory>() {
            return CalculatorError::OutOfMemory(*out_of_memory);
        }
        match error.downcast_ref::<Trap>() {
            Some(Trap::Interrupt) => CalculatorError::Deadline(self.limits.deadline),
            Some(trap) => CalculatorError::Trap(*trap),
            None => CalculatorError::Engine(error),
        }
    }
}

/// An instance with its store.
struct Run {
    store: Store<State>,
    instance: Instance,
}

/// An instance with its store, whose shared memory can be read.
struct Live {
    store: Store<State>,
    instance: Instance,
    read: TypedFunc<i32, i32>,
}

/// Why a run ended early.
enum Stop {
    Known(CalculatorError),
    Engine(wasmtime::Error),
}

impl From<CalculatorError> for Stop {
    fn from(error: CalculatorError) -> Self {
        Self::Known(error)
    }
}

impl From<wasmtime::Error> for Stop {
    fn from(error: wasmtime::Error) -> Self {
        Self::Engine(error)
    }
}

impl Run {
    fn open(self) -> wasmtime::Result<Live> {
        let Self { mut store, instance } = self;
        let read = instance.get_typed_func(&mut store, "readSharedRWMemory")?;
        Ok(Live { store, instance, read })
    }
}

impl Live {
    fn call<P: WasmParams, R: WasmResults>(&mut self, name: &str, params: P) -> wasmtime::Result<R> {
        self.instance.get_typed_func::<P, R>(&mut self.store, name)?.call(&mut self.store, params)
    }

    /// Reads the field element in shared memory, little-endian.
    fn shared(&mut self) -> wasmtime::Result<[u8; 32]> {
        let mut element = [0; 32];
        for (word, bytes) in (0..).zip(element.as_chunks_mut::<4>().0) {
            *bytes = self.read.call(&mut self.store, word)?.to_le_bytes();
        }
        Ok(element)
    }
}

/// The lines of a message, each as a message may hold it. Circom prints one line for each component in which a failed
/// assertion is nested, the innermost first.
fn trace(message: &[u8]) -> String {
    let message = String::from_utf8_lossy(message);
    let shown =
        |line: &str| -> String { line.chars().filter(|c| !c.is_control()).take(LINE_CHARS_MAX).collect() };
    let lines: Vec<String> = message.lines().map(shown).filter(|line| !line.is_empty()).collect();
    lines.join("\n")
}

/// Hash of a signal's name, by which circom's modules know the signal: FNV-1a of 64 bits.
fn fnv1a(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_keeps_the_line_number_of_a_template_with_a_long_name() {
        let line = format!("Error in template {}_12 line: 34", "Long".repeat(40));
        let trace = trace(format!("{line}\n\n\u{7}Error in template Main_0 line: 5\n").as_bytes());
        assert_eq!(trace, format!("{line}\nError in template Main_0 line: 5"));
        assert!(super::trace("x".repeat(9999).as_bytes()).len() <= LINE_CHARS_MAX);
    }
}
