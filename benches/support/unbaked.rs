//! A guest before any bake: what a service does that sets its guest up at every start.

use super::counted;
use snapback_abi::{input::Piece, request::Request};
use snapback_snapshot::{
    Guest, Ticker,
    call::{BoundExports, ContractExports, Method},
    engine,
};
use std::{sync::Arc, time::Duration};
use wasmtime::{Instance, Linker, Module, Store};

/// Most bytes of a reply.
const REPLY_BYTES_MAX: u64 = 1 << 24;

/// The guest, on an engine of its own.
pub(crate) struct Unbaked {
    module: Module,
    _ticker: Arc<Ticker>,
}

impl Unbaked {
    pub(crate) fn new(guest: &Guest) -> Self {
        let engine = engine(2).expect("an engine");
        let ticker = Ticker::start(&engine).expect("a thread");
        Self { module: Module::new(&engine, &guest.wasm).expect("a module"), _ticker: ticker }
    }

    /// Makes an instance that is not set up.
    pub(crate) fn start(&self) -> Live {
        let mut store = Store::new(self.module.engine(), ());
        store.set_epoch_deadline(1 << 40);
        let mut linker = Linker::new(self.module.engine());
        linker.func_wrap("snapback", "log", |_: u32, _: u32| {}).expect("an import");
        let instance = linker.instantiate(&mut store, &self.module).expect("an instance");
        let exports =
            ContractExports::find(&self.module).and_then(|exports| exports.bind(&instance, &mut store));
        Live { store, instance, exports: exports.expect("the contract") }
    }
}

/// An instance of it.
pub(crate) struct Live {
    store: Store<()>,
    instance: Instance,
    exports: BoundExports,
}

impl Live {
    /// Feeds an input of a bake, and returns the CPU time.
    pub(crate) fn feed(&mut self, method: &str, of: &str, bytes: &[u8]) -> Duration {
        let piece = Piece { offset: 0, total: bytes.len() as u64, bytes }.encode();
        counted(|| drop(self.call(method, of, &piece)))
    }

    /// Calls a method, and returns its reply.
    pub(crate) fn call(&mut self, method: &str, of: &str, body: &[u8]) -> Vec<u8> {
        let method: Method = self.instance.get_typed_func(&mut self.store, method).expect("a method");
        let header = Request::header(&[0; 32], of);
        let reply =
            self.exports.call(&mut self.store, &method, &header, body, REPLY_BYTES_MAX).expect("a reply");
        assert_eq!(reply.tag as u8, 0, "{}", String::from_utf8_lossy(&reply.body));
        reply.body.to_vec()
    }
}
