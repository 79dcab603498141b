//! Runs a guest's initialiser and takes the snapshot. This is the only file that uses Wizer.
//!
//! Invariant: a run depends on nothing but the guest, its inputs and its entropy, so two runs that differ in entropy
//! alone must give the same snapshot.

use crate::{
    Error,
    call::{BoundExports, CallError, ContractExports, Method, Reply},
    check::Checked,
    engine::epochs,
    error::Refusal,
    imports::{self, GuestState},
    inputs::{BakeLimits, Input},
    segments,
};
use snapback_abi::{
    ABI_VERSION, BAKE_INIT, BAKE_PREFIX, ENTROPY_LEN, EXPORT_ABI, METHOD_CIRCUITS, circuits, input::Piece,
    reply::Tag, request::Request,
};
use std::{
    mem,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};
use wasmtime::{Engine, Global, Instance, Memory, Module, Store, StoreLimits, StoreLimitsBuilder, Trap, Val};
use wasmtime_wizer::{InstanceState, SnapshotVal, ValType, Wizer};

/// Size of the pieces in which inputs are fed, in bytes.
const PIECE_BYTES: usize = 1 << 20;

/// A snapshot, and the circuits that its guest lists.
#[derive(PartialEq, Eq)]
pub(crate) struct Snapshot {
    pub(crate) module: Vec<u8>,
    pub(crate) circuits: Vec<(String, [u8; 32])>,
    pub(crate) memory_bytes: u64,
}

/// Receives the lines that a guest logs.
pub(crate) type Log = Arc<dyn Fn(&str) + Send + Sync>;

/// Arguments of one run.
pub(crate) struct Run<'a> {
    pub(crate) guest: &'a [u8],
    pub(crate) checked: &'a Checked,
    pub(crate) inputs: &'a [Input],
    pub(crate) entropy: [u8; ENTROPY_LEN],
    pub(crate) limits: &'a BakeLimits,
    pub(crate) log: Log,
}

/// Runs the bake methods and takes a snapshot of the instance.
pub(crate) fn wizen(engine: &Engine, run: &Run<'_>) -> Result<Snapshot, Error> {
    let wizer = Wizer::new();
    let (context, instrumented) =
        wizer.instrument(run.guest).map_err(|error| Refusal::Unsupported(reason(&error)))?;
    let module = Module::new(engine, &instrumented).map_err(Error::engine("compile the guest"))?;
    let mut live = Live::start(&module, run)?;
    live.feed(run)?;

    let mut state = Exported { instance: live.instance, store: &mut live.store };
    // `snapshot` awaits nothing but `state`, which is always ready.
    let snapshot =
        match pin!(wizer.snapshot(&context, &mut state)).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(snapshot) => snapshot.map_err(|error| Refusal::Unsupported(reason(&error)))?,
            Poll::Pending => unreachable!("the state of an instance is always ready"),
        };
    let snapshot = segments::active_only(snapshot).map_err(|error| Refusal::Invalid(error.to_string()))?;
    let memory_bytes = live.exports.memory.data_size(&live.store) as u64;
    Ok(Snapshot { module: snapshot, memory_bytes, circuits: live.circuits(run)? })
}

/// State of the store of a bake.
struct BakeState {
    log: Log,
    memory: StoreLimits,
}

impl GuestState for BakeState {
    const TAKES_LOG: bool = true;

    fn log(&mut self, line: &str) {
        (self.log)(line);
    }
}

/// An instance of the instrumented guest.
struct Live {
    store: Store<BakeState>,
    instance: Instance,
    exports: BoundExports,
    entropy: [u8; ENTROPY_LEN],
}

impl Live {
    fn start(module: &Module, run: &Run<'_>) -> Result<Self, Error> {
        let memory = StoreLimitsBuilder::new()
            .memory_size(usize::try_from(run.limits.memory_bytes_max).unwrap_or(usize::MAX))
            // Without this, the guest would trap by itself after a refused growth, and the reason would be lost.
            .trap_on_grow_failure(true)
            .build();
        let mut store = Store::new(module.engine(), BakeState { log: Arc::clone(&run.log), memory });
        store.limiter(|state| &mut state.memory);
        store.set_epoch_deadline(epochs(run.limits.deadline));
        let linker =
            imports::contract(module.engine()).map_err(Error::engine("define the guest's imports"))?;
        let instance = linker
            .instantiate(&mut store, module)
            .map_err(|error| failed("start", &CallError::Stopped(error), run.limits.deadline))?;
        let abi = instance
            .get_typed_func::<(), i32>(&mut store, EXPORT_ABI)
            .and_then(|abi| abi.call(&mut store, ()))
            .map_err(|error| failed(EXPORT_ABI, &CallError::Stopped(error), run.limits.deadline))?;
        if abi != ABI_VERSION {
            return Err(Refusal::AbiVersion { found: abi }.into());
        }
        let exports = ContractExports::find(module)
            .and_then(|exports| exports.bind(&instance, &mut store))
            .expect("the exports were checked");
        Ok(Self { store, instance, exports, entropy: run.entropy })
    }

    /// Feeds every input and runs the initialiser.
    fn feed(&mut self, run: &Run<'_>) -> Result<(), Error> {
        for input in run.inputs {
            let method = format!("{BAKE_PREFIX}{}", input.name);
            let total = input.bytes.len() as u64;
            let mut offset = 0;
            loop {
                let rest = &input.bytes[offset..];
                let bytes = &rest[..rest.len().min(PIECE_BYTES)];
                let piece = Piece { offset: offset as u64, total, bytes };
                self.bake_call(&method, &input.of, &piece.encode(), run.limits.deadline)?;
                offset += bytes.len();
                if piece.is_last() {
                    break;
                }
            }
        }
        if run.checked.bake_methods.iter().any(|method| method == BAKE_INIT) {
            self.bake_call(BAKE_INIT, "", &[], run.limits.deadline)?;
        }
        Ok(())
    }

    fn circuits(&mut self, run: &Run<'_>) -> Result<Vec<(String, [u8; 32])>, Error> {
        if !run.checked.methods.iter().any(|method| method.name == METHOD_CIRCUITS) {
            return Ok(Vec::new());
        }
        let list = self.bake_call(METHOD_CIRCUITS, "", &[], run.limits.deadline)?;
        let circuits = circuits::decode(&list).map_err(|error| Refusal::Circuits(error.to_string()))?;
        Ok(circuits.iter().map(|circuit| (circuit.name.to_owned(), circuit.vk_digest)).collect())
    }

    fn bake_call(&mut self, name: &str, of: &str, body: &[u8], deadline: Duration) -> Result<Vec<u8>, Error> {
        let method: Method =
            self.instance.get_typed_func(&mut self.store, name).expect("the exports were checked");
        let header = Request::header(&self.entropy, of);
        let reply = self.exports.call(&mut self.store, &method, &header, body, u64::from(u32::MAX));
        match reply {
            Ok(Reply { tag: Tag::Ok, mut body }) => Ok(mem::take(&mut *body)),
            Ok(Reply { tag, body }) => Err(Error::Initialiser {
                method: name.into(),
                message: format!("{} ({tag:?})", String::from_utf8_lossy(&body)),
            }),
            Err(error) => Err(failed(name, &error, deadline)),
        }
    }
}

fn failed(method: &str, error: &CallError, deadline: Duration) -> Error {
    let message = match error {
        CallError::Stopped(error) if error.downcast_ref() == Some(&Trap::Interrupt) => {
            format!("it ran longer than bake.deadline = {} s", deadline.as_secs())
        }
        CallError::Stopped(error) => reason(error),
        other => other.to_string(),
    };
    Error::Initialiser { method: method.into(), message }
}

fn reason(error: &wasmtime::Error) -> String {
    format!("{error:#}")
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
    use crate::{check::check, engine::engine, guests::Guest};

    fn run<'a>(
        guest: &'a Guest,
        checked: &'a Checked,
        inputs: &'a [Input],
        limits: &'a BakeLimits,
    ) -> Run<'a> {
        Run { guest: &guest.wasm, checked, inputs, entropy: [1; ENTROPY_LEN], limits, log: Arc::new(|_| {}) }
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
        let mut unbaked = Live::start(&unbaked, &run).expect("it starts");
        unbaked.feed(&run).expect("it initialises");

        let wizened = wizen(&engine, &run).expect("it bakes");
        let baked = Module::new(&engine, &wizened.module).expect("it compiles");
        let mut baked = Live::start(&baked, &run).expect("it starts");

        let expected = answers(&mut unbaked);
        assert!(expected[1].is_ok() && expected[3].is_err());
        assert_eq!(answers(&mut baked), expected);
    }

    #[test]
    fn a_guest_reports_that_it_is_not_baked_yet() {
        let engine = engine(1).expect("an engine");
        let guest = Guest::find("fixtures").expect("embedded");
        let checked = check(&guest.wasm, 1 << 30).expect("it follows the contract");
        let module = Module::new(&engine, &guest.wasm).expect("it compiles");
        let mut live =
            Live::start(&module, &run(guest, &checked, &[], &BakeLimits::default())).expect("it starts");
        let error = live.bake_call("table", "", b"0", Duration::from_mins(1)).expect_err("no table yet");
        assert!(error.to_string().contains("not baked yet"), "{error}");
    }
}
