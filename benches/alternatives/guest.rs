//! A guest in plain Wasmtime: what every alternative but Snapback has in common.
//!
//! Invariant: native code is compiled before anything is measured, with the settings that Snapback compiles with.

use crate::{
    load::Load,
    os,
    setup::{Setup, Source},
    wire::Answer,
};
use snapback_abi::{ENTROPY_LEN, input::Piece, reply::Tag, request::Request};
use snapback_snapshot::call::{BoundExports, CallError, ContractExports, Method};
use wasmtime::{Config, Engine, Linker, Module, Store, StoreLimits, StoreLimitsBuilder, Trap};

/// Most bytes of a reply.
const REPLY_BYTES_MAX: u64 = 64 << 20;

/// Creates the engine.
pub(crate) fn engine() -> Engine {
    let mut config = Config::new();
    config
        .wasm_wide_arithmetic(true)
        .memory_guaranteed_dense_image_size(snapback_snapshot::MEMORY_BYTES_MAX)
        .concurrency_support(false)
        .wasm_backtrace_max_frames(None);
    Engine::new(&config).expect("an engine")
}

/// A loaded guest.
pub(crate) struct Code {
    module: Module,
    load: Load,
    source: Source,
    limit_bytes: u64,
}

impl Code {
    /// Maps the native code.
    pub(crate) fn open(setup: &Setup) -> Self {
        let module = os::load(&engine(), &setup.code).expect("native code");
        Self { module, load: setup.load, source: setup.source, limit_bytes: setup.limit_bytes }
    }
}

/// An instance that is ready for calls.
pub(crate) struct Live {
    store: Store<StoreLimits>,
    exports: BoundExports,
    method: Method,
    circuit: &'static str,
    limit_bytes: u64,
}

impl Live {
    /// Makes an instance, and runs the initialiser unless the memory is that of an image.
    pub(crate) fn start(code: &Code) -> Self {
        let memory_bytes = usize::try_from(code.limit_bytes).expect("a 64-bit machine");
        let limits = StoreLimitsBuilder::new().memory_size(memory_bytes).build();
        let mut store = Store::new(code.module.engine(), limits);
        store.limiter(|limits| limits);
        let mut linker = Linker::new(code.module.engine());
        linker.func_wrap("snapback", "log", |_: u32, _: u32| {}).expect("an import");
        let instance = linker.instantiate(&mut store, &code.module).expect("an instance");
        let exports =
            ContractExports::find(&code.module).and_then(|exports| exports.bind(&instance, &mut store));
        let exports = exports.expect("the contract");
        if code.source == Source::Guest {
            let mut feed = |method: &str, of: &str, body: &[u8]| {
                let method = instance.get_typed_func(&mut store, method).expect("a method");
                call(&mut store, &exports, &method, of, body).expect("the initialiser works");
            };
            for input in code.load.inputs() {
                let piece = Piece { offset: 0, total: input.bytes.len() as u64, bytes: &input.bytes };
                feed(&format!("bake_{}", input.name), &input.of, &piece.encode());
            }
            feed("bake_init", "", &[]);
        }
        let method = instance.get_typed_func(&mut store, code.load.method()).expect("a method");
        Self { store, exports, method, circuit: code.load.circuit(), limit_bytes: code.limit_bytes }
    }

    /// Runs a call.
    pub(crate) fn call(&mut self, body: &[u8]) -> Answer {
        call(&mut self.store, &self.exports, &self.method, self.circuit, body)
    }

    /// Returns the linear memory in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.exports.memory.data_size(&self.store) as u64
    }

    /// Returns the share of the limit that is in use.
    pub(crate) fn used(&self) -> f64 {
        self.bytes() as f64 / self.limit_bytes as f64
    }
}

fn call(
    store: &mut Store<StoreLimits>,
    exports: &BoundExports,
    method: &Method,
    of: &str,
    body: &[u8],
) -> Answer {
    let mut entropy = [0; ENTROPY_LEN];
    getrandom::fill(&mut entropy).expect("the operating system provides entropy");
    let reply = exports.call(store, method, &Request::header(&entropy, of), body, REPLY_BYTES_MAX);
    match reply {
        Ok(reply) if reply.tag == Tag::Ok => Ok(reply.body.to_vec()),
        Ok(reply) => Err(String::from_utf8_lossy(&reply.body).into_owned()),
        Err(CallError::Stopped(error)) => {
            Err(error.downcast_ref::<Trap>().map_or_else(|| error.to_string(), ToString::to_string))
        }
        Err(error) => Err(error.to_string()),
    }
}
