//! The calculators of a generation: from the files of the catalogue to modules that are mapped.

use super::catalogue::{Entry, Shelf};
use crate::witness::{Calculator, CalculatorLimits};
use snapback_guest_plonk::{r1cs::Header, sym::Names};
use snapback_snapshot::{Digest, Error, ImageStore, NativeCache, calculators};
use std::collections::{BTreeMap, BTreeSet};
use wasmtime::Engine;

/// Loads the calculator of every circuit that has one, and asks each whether it is of that circuit.
pub(super) fn load(
    store: &ImageStore,
    cache: &NativeCache,
    engine: &Engine,
    shelf: &Shelf,
    limits: CalculatorLimits,
    circuits: &BTreeMap<String, Entry>,
) -> Result<BTreeMap<String, Calculator>, String> {
    let image = |wasm: &Digest| -> Result<Digest, Error> {
        match calculators::find(store, wasm) {
            Some(image) => Ok(image),
            None => {
                let bytes = shelf.get(wasm).map_err(|error| Error::NoSuchImage(error.to_string()))?;
                calculators::keep(store, cache, &bytes, limits.memory_bytes_max)
            }
        }
    };
    let mut loaded = BTreeMap::new();
    for (name, entry) in circuits {
        let (Some(wasm), Some(r1cs)) = (&entry.wasm, &entry.r1cs) else { continue };
        let refuse = |error: &dyn std::fmt::Display| format!("the witness calculator of `{name}`: {error}");
        let sealed =
            image(wasm).and_then(|image| store.open_image(&image)).map_err(|error| refuse(&error))?;
        let module = cache.load(engine, &sealed).map_err(|error| refuse(&error))?.module;
        let r1cs = shelf.get(r1cs).map_err(|error| refuse(&error))?;
        let header = Header::read(&r1cs).map_err(|error| refuse(&error))?;
        let signals = match &entry.sym {
            Some(sym) => signals(&header, &shelf.get(sym).map_err(|error| refuse(&error))?),
            None => BTreeSet::new(),
        };
        let calculator = Calculator::new(&module, header, signals, limits).map_err(|error| refuse(&error))?;
        calculator.try_out().map_err(|error| refuse(&error))?;
        loaded.insert(name.clone(), calculator);
    }
    Ok(loaded)
}

/// The names of the input signals: those of the main component, without their indices.
fn signals(header: &Header, sym: &[u8]) -> BTreeSet<String> {
    let Ok(names) = Names::read(sym, header.wires) else { return BTreeSet::new() };
    let first = header.public_outputs + 1;
    let inputs = first..first + header.public_inputs + header.private_inputs;
    let name = |wire| names.of(wire)?.strip_prefix("main.")?.split('[').next();
    inputs.filter_map(name).map(str::to_owned).collect()
}
