//! An instance: one copy-on-write view of an image, with its store, exports and memory meter.
//!
//! Invariant: after a fault an instance is never called again; its state is unknown.

use super::{
    entropy::Entropy,
    fault::Fault,
    generation::Generation,
    state::HostState,
    stop_flag::{self, StopFlag},
};
use crate::memory::meter::{GrowthListener, Meter};
use snapback_abi::request::Request;
use snapback_snapshot::{
    call::{BoundExports, CallError, Method, Reply},
    epochs,
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use wasmtime::{ModuleExport, Store, WasmResults};
use zeroize::Zeroizing;

/// A live instance.
pub struct Instance {
    number: u64,
    generation: Arc<Generation>,
    store: Store<HostState>,
    instance: wasmtime::Instance,
    exports: BoundExports,
    condition: Condition,
}

/// How long an optional hook of the guest may run. The hook only reads a number, but this is wall-clock time and a lane
/// may get no processor for a while.
const HOOK_DEADLINE: Duration = Duration::from_secs(1);

/// Number of the next instance of this process. Relaxed: it only has to be another one each time.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// What has happened to an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// It has served no call: its memory equals the image.
    Fresh,
    /// It has served calls.
    Used,
    /// A call ended in a fault.
    Broken,
}

/// One call.
pub struct Call<'a> {
    /// The method's name.
    pub method: &'a str,
    /// The circuit that the call concerns; empty if none.
    pub circuit: &'a str,
    /// The client's bytes.
    pub body: &'a [u8],
    /// Randomness for this call alone.
    pub entropy: Entropy,
    /// How long it may run.
    pub deadline: Duration,
    /// Longest reply that is accepted, in bytes.
    pub reply_bytes_max: u64,
    /// Stops the call, if it can be stopped before its deadline.
    pub stop: Option<&'a StopFlag>,
}

impl Instance {
    /// Instantiates a generation with a limit on its linear memory.
    ///
    /// # Errors
    /// Returns a fault if the pool is exhausted or the image needs more memory than the limit.
    pub fn instantiate(generation: &Arc<Generation>, memory_limit_bytes: u64) -> Result<Self, Fault> {
        let mut store = Store::new(generation.engine(), HostState { meter: Meter::new(memory_limit_bytes) });
        store.limiter(|state| &mut state.meter);
        // Images have no start function. This bounds one that slipped through all checks.
        store.set_epoch_deadline(epochs(Duration::from_secs(1)));
        let instance = generation.pre().instantiate(&mut store).map_err(Fault::Engine)?;
        let exports = generation
            .contract_exports()
            .bind(&instance, &mut store)
            .ok_or(Fault::Contract(CallError::Contract("it lacks the exports of the contract")))?;
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Ok(Self {
            number,
            generation: Arc::clone(generation),
            store,
            instance,
            exports,
            condition: Condition::Fresh,
        })
    }

    /// Tells the instances of this process apart, in traces.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The generation that the instance is a view of.
    #[must_use]
    pub fn generation(&self) -> &Arc<Generation> {
        &self.generation
    }

    /// What has happened to the instance.
    #[must_use]
    pub fn condition(&self) -> Condition {
        self.condition
    }

    /// The memory meter of the instance.
    #[must_use]
    pub fn meter(&self) -> &Meter {
        &self.store.data().meter
    }

    /// Reports the size of the linear memory to `listener`, now and at every growth.
    pub(crate) fn set_growth_listener(&mut self, listener: &GrowthListener) {
        self.store.data_mut().meter.set_listener(listener);
    }

    /// Returns the memory in use, in bytes: the linear memory, or what the guest's allocator reports where that is
    /// more.
    ///
    /// # Errors
    /// Returns a fault if the guest's hook does not return; the instance is broken then.
    pub fn used_bytes(&mut self) -> Result<u64, Fault> {
        let linear_bytes = self.meter().now_bytes();
        let generation = Arc::clone(&self.generation);
        let Some(export) = generation.heap_used() else { return Ok(linear_bytes) };
        let heap_bytes: i64 = self.call_hook(export)?;
        Ok(linear_bytes.max(u64::try_from(heap_bytes).unwrap_or(0)))
    }

    /// Whether the guest asks to be replaced.
    ///
    /// # Errors
    /// Returns a fault if the guest's hook does not return; the instance is broken then.
    pub fn retires(&mut self) -> Result<bool, Fault> {
        let generation = Arc::clone(&self.generation);
        let Some(export) = generation.retire() else { return Ok(false) };
        Ok(self.call_hook::<i32>(export)? != 0)
    }

    /// Calls an optional export of the contract, which takes no arguments.
    fn call_hook<T: WasmResults>(&mut self, export: &ModuleExport) -> Result<T, Fault> {
        let condition = std::mem::replace(&mut self.condition, Condition::Broken);
        stop_flag::bound(&mut self.store, HOOK_DEADLINE, None);
        let result = self
            .instance
            .get_module_export(&mut self.store, export)
            .and_then(wasmtime::Extern::into_func)
            .expect("an export of this module")
            .typed::<(), T>(&self.store)
            .expect("found by its type")
            .call(&mut self.store, ())
            .map_err(|error| Fault::classify(CallError::Stopped(error), HOOK_DEADLINE))?;
        self.condition = condition;
        Ok(result)
    }

    /// Runs a call to its end.
    ///
    /// # Errors
    /// Returns a [`Fault`]; the instance is broken then, unless the method does not exist.
    ///
    /// # Panics
    /// Panics if the instance is broken.
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
        stop_flag::bound(&mut self.store, call.deadline, call.stop);
        let header = Zeroizing::new(Request::header(call.entropy.expose(), call.circuit));
        let reply = self
            .exports
            .call(&mut self.store, &method, &header, call.body, call.reply_bytes_max)
            .map_err(|error| Fault::classify(error, call.deadline))?;
        self.condition = Condition::Used;
        Ok(reply)
    }
}
