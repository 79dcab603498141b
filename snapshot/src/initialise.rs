//! Runs a guest's initialiser in an instance.
//!
//! Invariant: a run depends on nothing but the guest, its inputs and its entropy.

use crate::{
    Error,
    call::{BoundExports, CallError, ContractExports, Method, Reply},
    check::Checked,
    engine::epochs,
    error::Refusal,
    imports::{self, GuestState},
    inputs::{BakeLimits, Input},
};
use snapback_abi::{
    ABI_VERSION, BAKE_INIT, BAKE_PREFIX, ENTROPY_LEN, EXPORT_ABI, METHOD_CIRCUITS, circuits, input::Piece,
    reply::Tag, request::Request,
};
use std::{mem, sync::Arc, time::Duration};
use wasmtime::{Export, Global, Instance, Memory, Module, Store, StoreLimits, StoreLimitsBuilder, Trap, Val};

/// Size of the pieces in which inputs are fed, in bytes.
pub(crate) const PIECE_BYTES: usize = 1 << 20;

/// Receives the lines that a guest logs.
pub(crate) type Log = Arc<dyn Fn(&str) + Send + Sync>;

/// Arguments of the runs.
#[derive(Clone, Copy)]
pub(crate) struct Run<'a> {
    pub(crate) guest: &'a [u8],
    pub(crate) checked: &'a Checked,
    pub(crate) inputs: &'a [Input],
    pub(crate) limits: &'a BakeLimits,
}

/// State of the store of a bake.
pub(crate) struct BakeState {
    log: Log,
    memory: StoreLimits,
}

impl GuestState for BakeState {
    const TAKES_LOG: bool = true;

    fn log(&mut self, line: &str) {
        (self.log)(line);
    }
}

/// An instance whose initialiser runs.
pub(crate) struct Live {
    pub(crate) store: Store<BakeState>,
    pub(crate) instance: Instance,
    pub(crate) exports: BoundExports,
    entropy: [u8; ENTROPY_LEN],
}

impl Live {
    pub(crate) fn start(
        module: &Module,
        run: &Run<'_>,
        entropy: [u8; ENTROPY_LEN],
        log: &Log,
    ) -> Result<Self, Error> {
        let memory = StoreLimitsBuilder::new()
            .memory_size(usize::try_from(run.limits.memory_bytes_max).unwrap_or(usize::MAX))
            // Without this, the guest would trap by itself after a refused growth, and the reason would be lost.
            .trap_on_grow_failure(true)
            .build();
        let mut store = Store::new(module.engine(), BakeState { log: Arc::clone(log), memory });
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
        Ok(Self { store, instance, exports, entropy })
    }

    /// Feeds every input and runs the initialiser.
    pub(crate) fn feed(&mut self, run: &Run<'_>) -> Result<(), Error> {
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

    /// Returns whether everything that a snapshot holds is the same in both: memories, and globals that can change. All
    /// of them are exported by an instrumented guest, and tables of a guest that was not refused never change.
    pub(crate) fn is_in_the_state_of(&mut self, other: &mut Self) -> bool {
        let of_memory = |live: &mut Self| -> Vec<Memory> {
            live.instance.exports(&mut live.store).filter_map(Export::into_memory).collect()
        };
        let of_globals = |live: &mut Self| -> Vec<Option<u128>> {
            let globals: Vec<Global> =
                live.instance.exports(&mut live.store).filter_map(Export::into_global).collect();
            globals.iter().map(|global| bits(&global.get(&mut live.store))).collect()
        };
        let (memories, others) = (of_memory(self), of_memory(other));
        let is_same =
            |(mine, theirs): (&Memory, &Memory)| mine.data(&self.store) == theirs.data(&other.store);
        memories.len() == others.len()
            && memories.iter().zip(&others).all(is_same)
            && of_globals(self) == of_globals(other)
    }

    pub(crate) fn circuits(&mut self, run: &Run<'_>) -> Result<Vec<(String, [u8; 32])>, Error> {
        if !run.checked.methods.iter().any(|method| method.name == METHOD_CIRCUITS) {
            return Ok(Vec::new());
        }
        let list = self.bake_call(METHOD_CIRCUITS, "", &[], run.limits.deadline)?;
        let circuits = circuits::decode(&list).map_err(|error| Refusal::Circuits(error.to_string()))?;
        Ok(circuits.iter().map(|circuit| (circuit.name.to_owned(), circuit.vk_digest)).collect())
    }

    pub(crate) fn bake_call(
        &mut self,
        name: &str,
        of: &str,
        body: &[u8],
        deadline: Duration,
    ) -> Result<Vec<u8>, Error> {
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

/// Returns the bits of a number; `None` of a reference, which no global that can change holds.
fn bits(value: &Val) -> Option<u128> {
    match value {
        Val::I32(x) => Some(u128::from(x.cast_unsigned())),
        Val::I64(x) => Some(u128::from(x.cast_unsigned())),
        Val::F32(x) => Some(u128::from(*x)),
        Val::F64(x) => Some(u128::from(*x)),
        Val::V128(x) => Some(x.as_u128()),
        _ => None,
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

pub(crate) fn reason(error: &wasmtime::Error) -> String {
    format!("{error:#}")
}
