//! One copy-on-write view of an image: store, exports, memory meter.
//!
//! Invariant: after a fault an instance is never called again; its state is unknown.

use crate::{
    entropy::Entropy,
    generation::Generation,
    meter::{Meter, OutOfMemory, Watcher},
    witness::CalculatorError,
};
use snapback_abi::request::Request;
use snapback_snapshot::{
    call::{CallError, Method, OpenDoors, Reply},
    epochs,
};
use std::{sync::Arc, time::Duration};
use wasmtime::{ModuleExport, Store, Trap, WasmResults};
use zeroize::Zeroizing;

/// A live instance.
pub struct Instance {
    generation: Arc<Generation>,
    store: Store<Meter>,
    instance: wasmtime::Instance,
    doors: OpenDoors,
    condition: Condition,
}

/// How long the guest may take to say how it is. It only has to read a number; but time is the wall's, and a lane
/// may get no processor for a while.
const HOOK_TIME: Duration = Duration::from_secs(1);

/// What an instance has been through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// No call yet: its memory is the image.
    Fresh,
    /// It served calls.
    Used,
    /// A call ended in a fault.
    Broken,
}

/// One call.
pub struct Call<'a> {
    /// The method's name.
    pub method: &'a str,
    /// The circuit it concerns, or nothing.
    pub circuit: &'a str,
    /// The client's bytes.
    pub body: &'a [u8],
    /// Randomness for this call alone.
    pub entropy: Entropy,
    /// How long it may run.
    pub deadline: Duration,
    /// Longest reply taken.
    pub reply_bytes_max: u64,
}

/// Why a call brought no reply.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The image has no such method.
    #[error("the image has no such method")]
    NoSuchMethod,
    /// The guest trapped.
    #[error("the guest trapped: {0}")]
    Trap(Trap),
    /// The guest needs more memory than it may have.
    #[error(transparent)]
    OutOfMemory(#[from] OutOfMemory),
    /// The call used no processor for too long.
    #[error("the call stalled: it used no processor for {} ms", .0.as_millis())]
    Stalled(Duration),
    /// The call ran longer than it may.
    #[error("the call ran longer than {} ms", .0.as_millis())]
    Deadline(Duration),
    /// The guest does not keep the contract.
    #[error("{0}")]
    Contract(CallError),
    /// The reply is longer than the host takes.
    #[error("the reply has {bytes} bytes and may have {bytes_max}")]
    ReplyTooLarge {
        /// Length of the reply.
        bytes: u64,
        /// The limit.
        bytes_max: u64,
    },
    /// The circuit's witness calculator gave no witness.
    #[error(transparent)]
    Calculator(#[from] CalculatorError),
    /// The engine failed.
    #[error("the engine failed: {0}")]
    Engine(wasmtime::Error),
}

impl Fault {
    /// Whether the image is to blame, and not one call's input or size.
    #[must_use]
    pub fn is_of_the_image(&self) -> bool {
        match self {
            Self::Trap(_) | Self::Stalled(_) | Self::Deadline(_) | Self::Contract(_) | Self::Engine(_) => {
                true
            }
            // A calculator is whoever's who sent it: others of the image are not to suffer for it.
            Self::NoSuchMethod | Self::OutOfMemory(_) | Self::ReplyTooLarge { .. } | Self::Calculator(_) => {
                false
            }
        }
    }
}

impl Instance {
    /// Makes an instance of a generation.
    ///
    /// # Errors
    /// When the pool is exhausted, or the image needs more memory than the limit.
    pub fn of(generation: &Arc<Generation>, memory_limit_bytes: u64) -> Result<Self, Fault> {
        let mut store = Store::new(generation.engine(), Meter::new(memory_limit_bytes));
        store.limiter(|meter| meter);
        // A start function gets a second: images have none, their work was done while baking.
        store.set_epoch_deadline(epochs(Duration::from_secs(1)));
        let instance = generation.pre().instantiate(&mut store).map_err(Fault::Engine)?;
        let doors = generation
            .doors()
            .open(&instance, &mut store)
            .ok_or(Fault::Contract(CallError::Contract("it lacks the exports of the contract")))?;
        Ok(Self { generation: Arc::clone(generation), store, instance, doors, condition: Condition::Fresh })
    }

    /// The generation it is a view of.
    #[must_use]
    pub fn generation(&self) -> &Arc<Generation> {
        &self.generation
    }

    /// What it has been through.
    #[must_use]
    pub fn condition(&self) -> Condition {
        self.condition
    }

    /// Its memory meter.
    #[must_use]
    pub fn meter(&self) -> &Meter {
        self.store.data()
    }

    /// Tells this watcher of its memory from now on.
    pub(crate) fn watch(&mut self, watcher: &Watcher) {
        self.store.data_mut().watch(watcher);
    }

    /// Memory in use: linear memory, or what the guest's allocator says it holds where that is more. A guest
    /// that cannot say is broken.
    ///
    /// # Errors
    /// When the guest stops instead of answering.
    pub fn used_bytes(&mut self) -> Result<u64, Fault> {
        let linear_bytes = self.meter().now_bytes();
        let generation = Arc::clone(&self.generation);
        let Some(export) = generation.heap_used() else { return Ok(linear_bytes) };
        let heap_bytes: i64 = self.ask(export)?;
        Ok(linear_bytes.max(u64::try_from(heap_bytes).unwrap_or(0)))
    }

    /// Whether the guest asks to be replaced.
    ///
    /// # Errors
    /// When the guest stops instead of answering.
    pub fn retires(&mut self) -> Result<bool, Fault> {
        let generation = Arc::clone(&self.generation);
        let Some(export) = generation.retire() else { return Ok(false) };
        Ok(self.ask::<i32>(export)? != 0)
    }

    /// Calls an export of the contract that takes nothing.
    fn ask<T: WasmResults>(&mut self, export: &ModuleExport) -> Result<T, Fault> {
        let condition = std::mem::replace(&mut self.condition, Condition::Broken);
        self.store.set_epoch_deadline(epochs(HOOK_TIME));
        let answer = self
            .instance
            .get_module_export(&mut self.store, export)
            .and_then(wasmtime::Extern::into_func)
            .expect("an export of this module")
            .typed::<(), T>(&self.store)
            .expect("found by its type")
            .call(&mut self.store, ())
            .map_err(|error| classify(CallError::Stopped(error), HOOK_TIME))?;
        self.condition = condition;
        Ok(answer)
    }

    /// Runs a call to its end.
    ///
    /// # Errors
    /// See [`Fault`]; the instance is broken then, unless the method does not exist.
    ///
    /// # Panics
    /// If the instance is broken.
    pub fn call(&mut self, call: &Call<'_>) -> Result<Reply, Fault> {
        assert_ne!(self.condition, Condition::Broken, "a broken instance is replaced, not called");
        let export = self.generation.method(call.method).ok_or(Fault::NoSuchMethod)?;
        self.condition = Condition::Broken;
        let method: Method = self
            .instance
            .get_module_export(&mut self.store, export)
            .and_then(wasmtime::Extern::into_func)
            .expect("an export of this module")
            .typed(&self.store)
            .expect("methods are found by their type");
        self.store.set_epoch_deadline(epochs(call.deadline));
        let header = Zeroizing::new(Request::header(call.entropy.expose(), call.circuit));
        let reply = self
            .doors
            .call(&mut self.store, &method, &header, call.body, call.reply_bytes_max)
            .map_err(|error| classify(error, call.deadline))?;
        self.condition = Condition::Used;
        Ok(reply)
    }
}

fn classify(error: CallError, deadline: Duration) -> Fault {
    match error {
        CallError::Stopped(error) => {
            if let Some(out_of_memory) = error.downcast_ref::<OutOfMemory>() {
                Fault::OutOfMemory(*out_of_memory)
            } else if let Some(trap) = error.downcast_ref::<Trap>() {
                if *trap == Trap::Interrupt { Fault::Deadline(deadline) } else { Fault::Trap(*trap) }
            } else {
                Fault::Engine(error)
            }
        }
        CallError::ReplyTooLarge { bytes, bytes_max } => Fault::ReplyTooLarge { bytes, bytes_max },
        contract => Fault::Contract(contract),
    }
}
