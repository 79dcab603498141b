//! The one place that defines the functions that a module can import from its host.
//!
//! ```text
//! contract      guests and images: an optional `snapback.log`
//! calculator    witness calculators: the four functions of circom's runtime
//! traps         modules that are instantiated and never called
//! ```
//!
//! Invariant: data that a module passes is checked against its memory and against a limit before it is read.

use snapback_abi::{EXPORT_MEMORY, IMPORT_LOG, IMPORT_MODULE};
use std::fmt;
use wasmtime::{Caller, Engine, Linker, Module};

/// Longest part of a line that is read from the log of a guest, in bytes.
const LOG_LINE_BYTES_MAX: usize = 1024;
/// Longest message that is kept from a calculator, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 2048;

/// Interface through which the imports of a guest use the state of its store.
pub trait GuestState: Send + 'static {
    /// Whether the state receives the lines that the guest logs. By default they are dropped unread, because a guest
    /// that serves may log its input.
    const TAKES_LOG: bool = false;

    /// Receives a line that the guest logs.
    fn log(&mut self, _line: &str) {}
}

/// Returns the imports of the guest contract.
///
/// # Errors
/// Returns an error if the engine refuses the definitions.
pub fn contract<T: GuestState>(engine: &Engine) -> wasmtime::Result<Linker<T>> {
    let mut linker = Linker::new(engine);
    linker.func_wrap(IMPORT_MODULE, IMPORT_LOG, |mut caller: Caller<'_, T>, ptr: u32, len: u32| {
        if T::TAKES_LOG {
            log(&mut caller, ptr as usize, len as usize);
        }
    })?;
    Ok(linker)
}

fn log<T: GuestState>(caller: &mut Caller<'_, T>, ptr: usize, len: usize) {
    let Some(memory) = caller.get_export(EXPORT_MEMORY).and_then(wasmtime::Extern::into_memory) else {
        return;
    };
    let (data, state) = memory.data_and_store_mut(caller);
    let line = data.get(ptr..).and_then(|tail| tail.get(..len.min(LOG_LINE_BYTES_MAX)));
    if let Some(line) = line {
        state.log(&String::from_utf8_lossy(line));
    }
}

/// Returns imports for a module that is instantiated only to inspect its memory. A call of one of them traps.
pub(crate) fn traps<T: 'static>(module: &Module) -> wasmtime::Result<Linker<T>> {
    let mut linker = Linker::new(module.engine());
    linker.define_unknown_imports_as_traps(module)?;
    Ok(linker)
}

/// The module that witness calculators import from.
pub const CALCULATOR_MODULE: &str = "runtime";
/// Import `(code: i32)`: the calculator aborts.
pub(crate) const CALCULATOR_EXCEPTION: &str = "exceptionHandler";
/// Import `()`: a message can be read with `getMessageChar`.
pub(crate) const CALCULATOR_ERROR_MESSAGE: &str = "printErrorMessage";
/// Import `()`: a line that the circuit logs is complete.
pub(crate) const CALCULATOR_BUFFER_MESSAGE: &str = "writeBufferMessage";
/// Import `()`: a value that the circuit logs can be read.
pub(crate) const CALCULATOR_SHOW_MEMORY: &str = "showSharedRWMemory";

/// Interface through which the imports of a calculator use the state of its store.
pub trait CalculatorState: Send + 'static {
    /// Receives one line of an error message. It names a template and a line of the circuit, not values.
    fn message(&mut self, line: &[u8]);
}

/// Error of a calculator that aborted, with circom's number for the reason.
#[derive(Clone, Copy, Debug)]
pub struct CalculatorException(pub i32);

impl fmt::Display for CalculatorException {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "exception {}", self.0)
    }
}

impl std::error::Error for CalculatorException {}

/// Returns the imports of circom's witness calculators, version 2.0 to 2.2. Lines and values that a circuit logs are
/// dropped, because they are secrets.
///
/// # Errors
/// Returns an error if the engine refuses the definitions.
pub fn calculator<T: CalculatorState>(engine: &Engine) -> wasmtime::Result<Linker<T>> {
    let mut linker = Linker::new(engine);
    linker.func_wrap(CALCULATOR_MODULE, CALCULATOR_EXCEPTION, |code: i32| -> wasmtime::Result<()> {
        Err(CalculatorException(code).into())
    })?;
    let take = |mut caller: Caller<'_, T>| -> wasmtime::Result<()> {
        let message = read_message(&mut caller)?;
        caller.data_mut().message(&message);
        Ok(())
    };
    linker.func_wrap(CALCULATOR_MODULE, CALCULATOR_ERROR_MESSAGE, take)?;
    let drop_line =
        |mut caller: Caller<'_, T>| -> wasmtime::Result<()> { read_message(&mut caller).map(drop) };
    linker.func_wrap(CALCULATOR_MODULE, CALCULATOR_BUFFER_MESSAGE, drop_line)?;
    linker.func_wrap(CALCULATOR_MODULE, CALCULATOR_SHOW_MEMORY, || {})?;
    Ok(linker)
}

/// Reads the pending message of a calculator character by character, as circom's JavaScript does.
fn read_message<T>(caller: &mut Caller<'_, T>) -> wasmtime::Result<Vec<u8>> {
    let mut message = Vec::new();
    let Some(next) = caller.get_export("getMessageChar").and_then(wasmtime::Extern::into_func) else {
        return Ok(message);
    };
    let next = next.typed::<(), i32>(&mut *caller)?;
    // The deadline of the calculator stops a message without an end.
    while let Ok(byte @ 1..) = u8::try_from(next.call(&mut *caller, ())?) {
        if message.len() < MESSAGE_BYTES_MAX {
            message.push(byte);
        }
    }
    Ok(message)
}
