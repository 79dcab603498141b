//! Runs a circuit's witness calculator: an untrusted module of circom's, in an instance of its own for each call, with its
//! own deadline and memory limit.
//!
//! Source of the protocol: circom 2, `witness_calculator.js`, as the compiler writes it beside every module.
//!
//! Invariant: what a calculator does ends with its call, and nothing that it says holds a value.

use super::inputs::{self, shown};
use crate::meter::{Meter, OutOfMemory};
use snapback_guest_plonk::{r1cs::Header, wtns};
use snapback_snapshot::{
    calculators::{
        IMPORT_BUFFER_MESSAGE, IMPORT_ERROR_MESSAGE, IMPORT_EXCEPTION, IMPORT_MODULE, IMPORT_SHOW_MEMORY,
    },
    epochs,
};
use std::{collections::BTreeSet, fmt, time::Duration};
use wasmtime::{
    Caller, Instance, InstancePre, Linker, Module, Store, Trap, TypedFunc, WasmParams, WasmResults,
};
use zeroize::Zeroizing;

/// Longest message of a calculator that is kept.
const MESSAGE_BYTES_MAX: usize = 512;
/// Most signals that a message names.
const SIGNALS_NAMED_MAX: usize = 8;
/// Words of a field element in the calculator's shared memory.
const WORDS: u32 = 8;

/// Bounds of one run.
#[derive(Clone, Copy, Debug)]
pub struct CalculatorLimits {
    /// How long it may run.
    pub deadline: Duration,
    /// Linear memory that it may have, in bytes.
    pub memory_bytes_max: u64,
}

/// A calculator, ready to be instantiated.
pub struct Calculator {
    pre: InstancePre<State>,
    header: Header,
    /// Names of the input signals, where they are known: to say which one is missing.
    signals: BTreeSet<String>,
    limits: CalculatorLimits,
}

struct State {
    meter: Meter,
    message: Vec<u8>,
}

/// The calculator gave up, with circom's number for why.
#[derive(Debug)]
struct Exception(i32);

impl fmt::Display for Exception {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "exception {}", self.0)
    }
}

impl std::error::Error for Exception {}

/// Why there is no witness.
#[derive(Debug, thiserror::Error)]
pub enum CalculatorError {
    /// There is none.
    #[error(
        "the circuit has no witness calculator: send a .wtns file, or add the circuit with its calculator"
    )]
    Missing,
    /// The inputs are not what the circuit has.
    #[error("{0}")]
    Inputs(String),
    /// The inputs do not satisfy the circuit.
    #[error("the inputs do not satisfy the circuit: {0}")]
    Unsatisfied(String),
    /// It is of another circuit.
    #[error("the witness calculator is of another circuit: {0}; add the circuit with its own")]
    Mismatch(String),
    /// It trapped.
    #[error("the witness calculator trapped: {0}")]
    Trap(Trap),
    /// It needs more memory than it may have.
    #[error("the witness calculator ran out of memory: {0}: see circuits.calculator_memory_limit")]
    OutOfMemory(#[from] OutOfMemory),
    /// It ran longer than it may.
    #[error("the witness calculator ran longer than circuits.calculator_deadline = {} ms", .0.as_millis())]
    Deadline(Duration),
    /// It could not be run.
    #[error("the witness calculator cannot be run: {0}")]
    Engine(wasmtime::Error),
}

impl Calculator {
    /// Prepares a module for a circuit.
    ///
    /// # Errors
    /// When it imports something else than circom's modules do.
    pub fn new(
        module: &Module,
        header: Header,
        signals: BTreeSet<String>,
        limits: CalculatorLimits,
    ) -> wasmtime::Result<Self> {
        let mut linker: Linker<State> = Linker::new(module.engine());
        linker.func_wrap(IMPORT_MODULE, IMPORT_EXCEPTION, |code: i32| -> wasmtime::Result<()> {
            Err(Exception(code).into())
        })?;
        linker.func_wrap(IMPORT_MODULE, IMPORT_ERROR_MESSAGE, take_message)?;
        // What a circuit logs are its values: it is taken and dropped.
        linker.func_wrap(IMPORT_MODULE, IMPORT_BUFFER_MESSAGE, drop_message)?;
        linker.func_wrap(IMPORT_MODULE, IMPORT_SHOW_MEMORY, || {})?;
        Ok(Self { pre: linker.instantiate_pre(module)?, header, signals, limits })
    }

    /// Computes the witness of `{"inputs": {...}}`, as a `.wtns` file.
    ///
    /// # Errors
    /// See [`CalculatorError`].
    pub fn run(&self, json: &[u8]) -> Result<Zeroizing<Vec<u8>>, CalculatorError> {
        let Header { prime, public_inputs, private_inputs, .. } = self.header;
        let values_max = public_inputs as usize + private_inputs as usize;
        let inputs = inputs::read(json, prime, values_max).map_err(CalculatorError::Inputs)?;
        self.live(|run| self.witness(run, &inputs))
    }

    /// Asks it whether it is of this circuit.
    ///
    /// # Errors
    /// See [`CalculatorError`].
    pub fn try_out(&self) -> Result<(), CalculatorError> {
        self.live(|run| self.check(run))
    }

    /// Does something with an instance that ends with it.
    fn live<T>(&self, work: impl FnOnce(&mut Live) -> Result<T, Stop>) -> Result<T, CalculatorError> {
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
            // Circom's modules say zero, or minus one, of a signal that they do not know.
            let known = usize::try_from(size).unwrap_or(0);
            if known == 0 && !values.is_empty() {
                let message = format!("the circuit has no input signal `{}`", shown(name));
                return Err(CalculatorError::Inputs(message).into());
            }
            if values.len() != known {
                return Err(CalculatorError::Inputs(format!(
                    "input signal `{}` has {known} values, {} were sent",
                    shown(name),
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
            let missing: Vec<&str> =
                self.signals.iter().filter(|name| !inputs.contains_key(*name)).map(String::as_str).collect();
            let named = match missing.as_slice() {
                [] if self.signals.is_empty() => {
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
        let mut values = Zeroizing::new(Vec::with_capacity(self.header.wires as usize));
        for wire in 0..self.header.wires {
            run.call::<_, ()>("getWitness", wire as i32)?;
            values.push(run.shared()?);
        }
        let modulus = self.header.prime.modulus();
        Ok(Zeroizing::new(wtns::write(&modulus, values.len(), values.iter().copied())))
    }

    /// Whether it is of this circuit, as far as it can be asked.
    fn check(&self, run: &mut Live) -> Result<(), Stop> {
        let mismatch = |reason: String| Stop::Known(CalculatorError::Mismatch(reason));
        let words: i32 = run.call("getFieldNumLen32", ())?;
        if words != WORDS as i32 {
            return Err(mismatch(format!("its field elements have {words} words")));
        }
        run.call::<_, ()>("getRawPrime", ())?;
        if run.shared()? != self.header.prime.modulus() {
            return Err(mismatch(format!("it does not compute over {}", self.header.prime)));
        }
        let wires: i32 = run.call("getWitnessSize", ())?;
        if i64::from(wires) != i64::from(self.header.wires) {
            return Err(mismatch(format!("it has {wires} wires, the circuit {}", self.header.wires)));
        }
        Ok(())
    }

    fn classify(&self, error: wasmtime::Error, message: &[u8]) -> CalculatorError {
        if let Some(Exception(code)) = error.downcast_ref() {
            let said = String::from_utf8_lossy(message);
            let said = shown(said.trim());
            return match code {
                1..=3 | 6 => CalculatorError::Inputs(format!("the circuit's inputs do not fit ({code})")),
                4 if said.is_empty() => CalculatorError::Unsatisfied("an assertion failed".into()),
                4 => CalculatorError::Unsatisfied(said),
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

/// An instance whose shared memory can be read.
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

    /// The field element in shared memory, little-endian.
    fn shared(&mut self) -> wasmtime::Result<[u8; 32]> {
        let mut element = [0; 32];
        for (word, bytes) in (0..).zip(element.as_chunks_mut::<4>().0) {
            *bytes = self.read.call(&mut self.store, word)?.to_le_bytes();
        }
        Ok(element)
    }
}

/// Circom's name for a signal.
fn fnv1a(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// Reads the message that is ready, where the calculator has one: it names templates and lines.
fn take_message(mut caller: Caller<'_, State>) -> wasmtime::Result<()> {
    let message = message(&mut caller)?;
    let kept = &mut caller.data_mut().message;
    let room = MESSAGE_BYTES_MAX.saturating_sub(kept.len());
    kept.extend_from_slice(&message[..message.len().min(room)]);
    Ok(())
}

fn drop_message(mut caller: Caller<'_, State>) -> wasmtime::Result<()> {
    message(&mut caller).map(drop)
}

fn message(caller: &mut Caller<'_, State>) -> wasmtime::Result<Vec<u8>> {
    let mut message = Vec::new();
    let Some(next) = caller.get_export("getMessageChar").and_then(wasmtime::Extern::into_func) else {
        return Ok(message);
    };
    let next = next.typed::<(), i32>(&mut *caller)?;
    // A calculator that never comes to an end is stopped by its deadline.
    while let Ok(byte @ 1..) = u8::try_from(next.call(&mut *caller, ())?) {
        if message.len() < MESSAGE_BYTES_MAX {
            message.push(byte);
        }
    }
    Ok(message)
}
