//! The trial call of a bake: checks that the image works, and measures the memory that a call takes.
//!
//! Invariant: the entropy of the trial is fixed and no clock is read, so that equal bakes measure equal figures.

use crate::{
    Digest, Error,
    call::{CallError, ContractExports, Method},
    engine::epochs,
    imports::{self, GuestState},
    inputs::BakeLimits,
    manifest::Trial,
};
use snapback_abi::{ENTROPY_LEN, reply::Tag, request::Request};
use std::{borrow::Cow, fs, path::Path};
use wasmtime::{Module, Store, StoreLimits, StoreLimitsBuilder, Trap};

/// Unit in which memory is compared, in bytes: the page size of the machines that this runs on.
const PAGE_BYTES: usize = 4096;

/// A call that is typical of the calls of clients.
#[derive(Clone)]
pub struct TrialCall {
    /// The method that is called.
    pub method: Cow<'static, str>,
    /// The circuit; empty if the call concerns no circuit.
    pub circuit: Cow<'static, str>,
    /// The body that a client would send.
    pub body: Cow<'static, [u8]>,
}

impl TrialCall {
    /// Reads the body of a trial call from a file. `name` is `METHOD` or `METHOD/CIRCUIT`.
    ///
    /// # Errors
    /// Returns an error if the file cannot be read.
    pub fn read(name: &str, path: &Path) -> Result<Self, Error> {
        let body = fs::read(path).map_err(|source| Error::io("read the trial's input", path, source))?;
        let (method, circuit) = name.split_once('/').unwrap_or((name, ""));
        Ok(Self { method: method.to_owned().into(), circuit: circuit.to_owned().into(), body: body.into() })
    }

    /// Returns the part of the call that enters the key of a bake.
    pub(crate) fn id(&self) -> (&str, &str, Digest) {
        (&self.method, &self.circuit, Digest::of(&self.body))
    }
}

/// State of the store of a trial.
struct State {
    memory: StoreLimits,
}

impl GuestState for State {}

/// Makes the call twice in one instance. Returns the memory that the first call took and the second one added, and the
/// reply to the first.
pub(crate) fn run(module: &Module, call: &TrialCall, limits: &BakeLimits) -> Result<(Trial, Vec<u8>), Error> {
    let memory = StoreLimitsBuilder::new()
        .memory_size(usize::try_from(limits.memory_bytes_max).unwrap_or(usize::MAX))
        .trap_on_grow_failure(true)
        .build();
    let mut store = Store::new(module.engine(), State { memory });
    store.limiter(|state| &mut state.memory);
    store.set_epoch_deadline(epochs(limits.deadline));
    let linker = imports::contract(module.engine()).map_err(Error::engine("define imports"))?;
    let instance =
        linker.instantiate(&mut store, module).map_err(Error::engine("make an instance of the image"))?;
    let exports = ContractExports::find(module).and_then(|exports| exports.bind(&instance, &mut store));
    let exports = exports.expect("the exports were checked");
    let failed = |message: String| Error::Trial { method: call.method.clone().into_owned(), message };
    let method: Method = instance
        .get_typed_func(&mut store, &call.method)
        .map_err(|_| failed("the image has no such method".into()))?;

    let image = exports.memory.data(&store).to_vec();
    let make = |store: &mut Store<State>| {
        let header = Request::header(&[0x3c; ENTROPY_LEN], &call.circuit);
        match exports.call(&mut *store, &method, &header, &call.body, u64::from(u32::MAX)) {
            Ok(reply) if reply.tag == Tag::Ok => Ok((exports.memory.data_size(&*store) as u64, reply.body)),
            Ok(reply) => Err(failed(format!("{} ({:?})", String::from_utf8_lossy(&reply.body), reply.tag))),
            Err(error) => Err(failed(stopped(&error, limits))),
        }
    };
    let (peak_bytes, mut reply) = make(&mut store)?;
    let dirty_bytes = dirty(&image, exports.memory.data(&store));
    drop(image);
    let growth_bytes = make(&mut store)?.0 - peak_bytes;
    let trial = Trial {
        method: call.method.clone().into_owned(),
        circuit: call.circuit.clone().into_owned(),
        input: Digest::of(&call.body),
        input_bytes: call.body.len() as u64,
        peak_bytes,
        dirty_bytes,
        growth_bytes,
    };
    Ok((trial, std::mem::take(&mut *reply)))
}

/// Returns the size of the pages that differ from the image, in bytes. Beyond its end, an image is zero.
fn dirty(image: &[u8], memory: &[u8]) -> u64 {
    let (within, beyond) = memory.split_at(image.len());
    let written = image.chunks(PAGE_BYTES).zip(within.chunks(PAGE_BYTES)).filter(|(was, is)| was != is);
    let grown = beyond.chunks(PAGE_BYTES).filter(|page| page.iter().any(|byte| *byte != 0));
    ((written.count() + grown.count()) * PAGE_BYTES) as u64
}

fn stopped(error: &CallError, limits: &BakeLimits) -> String {
    match error {
        CallError::Stopped(error) if error.downcast_ref() == Some(&Trap::Interrupt) => {
            format!("it ran longer than bake.deadline = {} s", limits.deadline.as_secs())
        }
        CallError::Stopped(error) => format!("{error:#}"),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_that_differ_and_pages_that_were_added_are_dirty() {
        let image = vec![7; 3 * PAGE_BYTES];
        let mut memory = image.clone();
        memory.resize(6 * PAGE_BYTES, 0);
        assert_eq!(dirty(&image, &memory), 0);
        memory[PAGE_BYTES] = 8;
        memory[4 * PAGE_BYTES - 1] = 1;
        assert_eq!(dirty(&image, &memory), 2 * PAGE_BYTES as u64);
    }
}
