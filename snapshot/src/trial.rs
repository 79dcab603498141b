//! A call made for trial while baking: whether the image does its work, and what memory that takes.
//!
//! Invariant: the trial's entropy is fixed and no clock is read, so that equal bakes measure equal figures.

use crate::{
    Digest, Error,
    call::{CallError, Doors, Method},
    engine::epochs,
    inputs::BakeLimits,
    manifest::Trial,
};
use snapback_abi::{ENTROPY_LEN, IMPORT_LOG, IMPORT_MODULE, reply::Tag, request::Request};
use std::{borrow::Cow, fs, path::Path};
use wasmtime::{Linker, Module, Store, StoreLimits, StoreLimitsBuilder, Trap};

/// What memory is compared by: the page of the machines that this runs on.
const PAGE_BYTES: usize = 4096;

/// A call that stands for those to come.
#[derive(Clone)]
pub struct TrialCall {
    /// The method.
    pub method: Cow<'static, str>,
    /// The circuit it concerns, or nothing.
    pub circuit: Cow<'static, str>,
    /// What a client would send.
    pub body: Cow<'static, [u8]>,
}

impl TrialCall {
    /// Reads the body of a trial from a file; `name` is a method, or a method and a circuit with a slash between
    /// them.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn read(name: &str, path: &Path) -> Result<Self, Error> {
        let body = fs::read(path).map_err(|source| Error::io("read the trial's input", path, source))?;
        let (method, circuit) = name.split_once('/').unwrap_or((name, ""));
        Ok(Self { method: method.to_owned().into(), circuit: circuit.to_owned().into(), body: body.into() })
    }

    /// What goes into the name of a bake.
    pub(crate) fn id(&self) -> (&str, &str, Digest) {
        (&self.method, &self.circuit, Digest::of(&self.body))
    }
}

/// Makes the call twice in one instance, and says what memory the first took and the second added; also what the first
/// replied.
pub(crate) fn run(module: &Module, call: &TrialCall, limits: &BakeLimits) -> Result<(Trial, Vec<u8>), Error> {
    let memory = StoreLimitsBuilder::new()
        .memory_size(usize::try_from(limits.memory_bytes_max).unwrap_or(usize::MAX))
        .trap_on_grow_failure(true)
        .build();
    let mut store: Store<StoreLimits> = Store::new(module.engine(), memory);
    store.limiter(|limits| limits);
    store.set_epoch_deadline(epochs(limits.deadline));
    let mut linker = Linker::new(module.engine());
    linker
        .func_wrap(IMPORT_MODULE, IMPORT_LOG, |_: u32, _: u32| {})
        .map_err(Error::engine("define imports"))?;
    let instance =
        linker.instantiate(&mut store, module).map_err(Error::engine("make an instance of the image"))?;
    let doors = Doors::find(module).and_then(|doors| doors.open(&instance, &mut store));
    let doors = doors.expect("the exports were checked");
    let failed = |message: String| Error::Trial { method: call.method.clone().into_owned(), message };
    let method: Method = instance
        .get_typed_func(&mut store, &call.method)
        .map_err(|_| failed("the image has no such method".into()))?;

    let image = doors.memory.data(&store).to_vec();
    let make = |store: &mut Store<StoreLimits>| {
        let header = Request::header(&[0x3c; ENTROPY_LEN], &call.circuit);
        match doors.call(&mut *store, &method, &header, &call.body, u64::from(u32::MAX)) {
            Ok(reply) if reply.tag == Tag::Ok => Ok((doors.memory.data_size(&*store) as u64, reply.body)),
            Ok(reply) => Err(failed(format!("{} ({:?})", String::from_utf8_lossy(&reply.body), reply.tag))),
            Err(error) => Err(failed(stopped(&error, limits))),
        }
    };
    let (peak_bytes, reply) = make(&mut store)?;
    let dirty_bytes = dirty(&image, doors.memory.data(&store));
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
    Ok((trial, reply))
}

/// Bytes of the pages that differ from the image; beyond its end, an image is zero.
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
