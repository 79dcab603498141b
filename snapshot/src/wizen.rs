//! Runs a guest's initialiser twice and takes the snapshot. This is the only file that uses Wizer.
//!
//! Invariant: a run depends on nothing but the guest, its inputs and its entropy, so two runs that differ in entropy
//! alone must end in the same state. A snapshot is taken of no other state.

use crate::{
    Error,
    error::Refusal,
    initialise::{Live, Log, Run, reason},
    segments,
};
use snapback_abi::ENTROPY_LEN;
use std::{
    panic,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    thread,
};
use wasmtime::{Engine, Global, Instance, Memory, Module, Store, Val};
use wasmtime_wizer::{InstanceState, ModuleContext, SnapshotVal, ValType, Wizer};

/// A snapshot, and the circuits that its guest lists.
pub(crate) struct Snapshot {
    pub(crate) module: Vec<u8>,
    pub(crate) circuits: Vec<(String, [u8; 32])>,
    pub(crate) memory_bytes: u64,
}

/// A guest with what a snapshot needs, compiled. Both runs of a bake have the same code.
struct Instrumented<'a> {
    context: ModuleContext<'a>,
    module: Module,
}

impl<'a> Instrumented<'a> {
    fn of(engine: &Engine, guest: &'a [u8]) -> Result<Self, Error> {
        let (context, instrumented) =
            Wizer::new().instrument(guest).map_err(|error| Refusal::Unsupported(reason(&error)))?;
        let module = Module::new(engine, &instrumented).map_err(Error::engine("compile the guest"))?;
        Ok(Self { context, module })
    }
}

/// Runs the bake methods in two instances that differ in entropy alone, and takes a snapshot of the state that both end
/// in. The lines that the first one logs go to `log`.
pub(crate) fn wizen(engine: &Engine, run: &Run<'_>, log: &Log) -> Result<Snapshot, Error> {
    let instrumented = Instrumented::of(engine, run.guest)?;
    let live = |entropy: [u8; ENTROPY_LEN], log: &Log| {
        let mut live = Live::start(&instrumented.module, run, entropy, log)?;
        live.feed(run).map(|()| live)
    };
    // Any two different values serve: the comparison shows whether the state depends on the entropy.
    let (first, second) = thread::scope(|scope| {
        let second = scope.spawn(|| live([0xa5; ENTROPY_LEN], &(Arc::new(|_: &str| {}) as Log)));
        let first = live([0x3c; ENTROPY_LEN], log);
        (first, second.join().unwrap_or_else(|panic| panic::resume_unwind(panic)))
    });
    let (mut first, mut second) = (first?, second?);
    if !first.is_in_the_state_of(&mut second) {
        return Err(Refusal::BakedEntropy.into());
    }
    // From here on the states may differ: calls may change them.
    let circuits = second.circuits(run)?;
    drop(second);
    let module = snapshot(&mut first, &instrumented.context)?;
    let memory_bytes = first.exports.memory.data_size(&first.store) as u64;
    if first.circuits(run)? != circuits {
        return Err(Refusal::BakedEntropy.into());
    }
    Ok(Snapshot { module, memory_bytes, circuits })
}

/// Takes a snapshot of an instance.
fn snapshot(live: &mut Live, context: &ModuleContext<'_>) -> Result<Vec<u8>, Error> {
    let mut state = Exported { instance: live.instance, store: &mut live.store };
    // `snapshot` awaits nothing but `state`, which is always ready.
    let snapshot = match pin!(Wizer::new().snapshot(context, &mut state))
        .poll(&mut Context::from_waker(Waker::noop()))
    {
        Poll::Ready(snapshot) => snapshot.map_err(|error| Refusal::Unsupported(reason(&error)))?,
        Poll::Pending => unreachable!("the state of an instance is always ready"),
    };
    segments::active_only(snapshot).map_err(|error| Refusal::Invalid(error.to_string()).into())
}

/// The globals and memory of an instance, for Wizer to read.
struct Exported<'a, T: 'static> {
    store: &'a mut Store<T>,
    instance: Instance,
}

impl<T: Send> InstanceState for Exported<'_, T> {
    async fn global_get(&mut self, name: &str, _: ValType) -> SnapshotVal {
        let global: Global = self.instance.get_global(&mut *self.store, name).expect("instrumented");
        match global.get(&mut *self.store) {
            Val::I32(x) => SnapshotVal::I32(x),
            Val::I64(x) => SnapshotVal::I64(x),
            Val::F32(x) => SnapshotVal::F32(x),
            Val::F64(x) => SnapshotVal::F64(x),
            Val::V128(x) => SnapshotVal::V128(x.as_u128()),
            _ => unreachable!("mutable globals of reference type are refused before the run"),
        }
    }

    async fn memory_contents(&mut self, name: &str, contents: impl FnOnce(&[u8]) + Send) {
        let memory: Memory = self.instance.get_memory(&mut *self.store, name).expect("instrumented");
        contents(memory.data(&self.store));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::{Checked, check},
        engine::engine,
        guests::Guest,
        initialise::PIECE_BYTES,
        inputs::{BakeLimits, Input},
    };
    use std::time::Duration;

    fn run<'a>(
        guest: &'a Guest,
        checked: &'a Checked,
        inputs: &'a [Input],
        limits: &'a BakeLimits,
    ) -> Run<'a> {
        Run { guest: &guest.wasm, checked, inputs, limits }
    }

    fn start(module: &Module, run: &Run<'_>) -> Live {
        let quiet: Log = Arc::new(|_| {});
        Live::start(module, run, [1; ENTROPY_LEN], &quiet).expect("it starts")
    }

    /// Returns the answers of the methods of the fixtures, errors included, except for methods that never answer.
    fn answers(live: &mut Live) -> Vec<Result<Vec<u8>, String>> {
        let calls: [(&str, &[u8]); 10] = [
            ("entropy", b""),
            ("table", b"0"),
            ("table", b"262143"),
            ("table", b"262144"),
            ("table", b"no number"),
            ("echo", b"some bytes"),
            ("remember", b"something"),
            ("remember", b"something else"),
            ("leak", b"100000"),
            ("fail", b"3"),
        ];
        let deadline = Duration::from_mins(1);
        calls
            .map(|(method, body)| {
                live.bake_call(method, "", body, deadline).map_err(|error| error.to_string())
            })
            .into()
    }

    #[test]
    fn a_baked_guest_answers_as_the_unbaked_one_after_its_initialiser() {
        let engine = engine(4).expect("an engine");
        let guest = Guest::find("fixtures").expect("embedded");
        let checked = check(&guest.wasm, 1 << 30).expect("it follows the contract");
        let inputs = [Input::new("seed", vec![9; 3 * PIECE_BYTES / 2])];
        let limits = BakeLimits::default();
        let run = run(guest, &checked, &inputs, &limits);

        let unbaked = Module::new(&engine, &guest.wasm).expect("it compiles");
        let mut unbaked = start(&unbaked, &run);
        unbaked.feed(&run).expect("it initialises");

        let quiet: Log = Arc::new(|_| {});
        let wizened = wizen(&engine, &run, &quiet).expect("it bakes");
        let baked = Module::new(&engine, &wizened.module).expect("it compiles");
        let mut baked = start(&baked, &run);

        let expected = answers(&mut unbaked);
        assert!(expected[1].is_ok() && expected[3].is_err());
        assert_eq!(answers(&mut baked), expected);
    }

    #[test]
    fn states_that_differ_are_told_apart() {
        let engine = engine(2).expect("an engine");
        let guest = Guest::find("fixtures").expect("embedded");
        let checked = check(&guest.wasm, 1 << 30).expect("it follows the contract");
        let limits = BakeLimits::default();
        let run = run(guest, &checked, &[], &limits);
        let instrumented = Instrumented::of(&engine, &guest.wasm).expect("it compiles");
        let [mut one, mut other] = [(), ()].map(|()| start(&instrumented.module, &run));
        assert!(one.is_in_the_state_of(&mut other));
        let at = one.exports.memory.data_size(&one.store) - 1;
        one.exports.memory.write(&mut one.store, at, &[1]).expect("in range");
        assert!(!one.is_in_the_state_of(&mut other), "a byte of memory");
        other.exports.memory.write(&mut other.store, at, &[1]).expect("in range");
        assert!(one.is_in_the_state_of(&mut other));
        one.exports.memory.grow(&mut one.store, 1).expect("room");
        assert!(!one.is_in_the_state_of(&mut other), "a page");
        other.exports.memory.grow(&mut other.store, 1).expect("room");
        let mut globals: Vec<Global> =
            one.instance.exports(&mut one.store).filter_map(wasmtime::Export::into_global).collect();
        globals.retain(|global| global.ty(&one.store).mutability() == wasmtime::Mutability::Var);
        // The stack pointer of a guest in Rust.
        globals[0].set(&mut one.store, Val::I32(16)).expect("it can change");
        assert!(!one.is_in_the_state_of(&mut other), "a global");
    }

    #[test]
    fn a_guest_reports_that_it_is_not_baked_yet() {
        let engine = engine(1).expect("an engine");
        let guest = Guest::find("fixtures").expect("embedded");
        let checked = check(&guest.wasm, 1 << 30).expect("it follows the contract");
        let module = Module::new(&engine, &guest.wasm).expect("it compiles");
        let mut live = start(&module, &run(guest, &checked, &[], &BakeLimits::default()));
        let error = live.bake_call("table", "", b"0", Duration::from_mins(1)).expect_err("no table yet");
        assert!(error.to_string().contains("not baked yet"), "{error}");
    }
}
