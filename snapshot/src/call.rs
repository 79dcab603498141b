//! One call across the boundary, as the contract defines it: allocate, write, call, read.
//!
//! Invariant: the guest is hostile. Every pointer and length that it returns is checked against its memory, and against
//! the caller's limit, before a byte is read or allocated.

use snapback_abi::{
    DecodeError, EXPORT_ALLOC, EXPORT_MEMORY,
    reply::{self, Span, Tag},
};
use wasmtime::{AsContextMut, Instance, Memory, Module, ModuleExport, TypedFunc};
use zeroize::Zeroizing;

/// A method of a live instance: pointer and length in, packed [`Span`] out.
pub type Method = TypedFunc<(u32, u32), u64>;

/// Positions of the contract's exports in a module, looked up once per module.
pub struct ContractExports {
    memory: ModuleExport,
    alloc: ModuleExport,
}

/// The exports of the contract in one instance.
#[derive(Clone)]
pub struct BoundExports {
    /// The instance's linear memory.
    pub memory: Memory,
    alloc: TypedFunc<u32, u32>,
}

/// The reply of a guest.
pub struct Reply {
    /// How the call ended.
    pub tag: Tag,
    /// The result if the tag is `Ok`, otherwise a message. It is overwritten when it is dropped, whoever drops it.
    pub body: Zeroizing<Vec<u8>>,
}

/// Why a call returned no reply.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The guest trapped, ran out of time, or was stopped by the memory limiter; the engine's error says which.
    #[error("{0}")]
    Stopped(wasmtime::Error),
    /// The guest does not follow the contract.
    #[error("the guest broke the contract: {0}")]
    Contract(&'static str),
    /// The guest's reply does not decode.
    #[error("the guest broke the contract: its reply {0}")]
    Reply(DecodeError),
    /// The reply is longer than the caller accepts.
    #[error("the reply has {bytes} bytes, more than {bytes_max}")]
    ReplyTooLarge {
        /// Length of the reply in bytes.
        bytes: u64,
        /// The limit in bytes.
        bytes_max: u64,
    },
}

impl ContractExports {
    /// Finds the exports. Returns `None` if the module lacks one.
    #[must_use]
    pub fn find(module: &Module) -> Option<Self> {
        Some(Self {
            memory: module.get_export_index(EXPORT_MEMORY)?,
            alloc: module.get_export_index(EXPORT_ALLOC)?,
        })
    }

    /// Binds the exports to an instance of the module. Returns `None` if one has another type.
    #[must_use]
    pub fn bind(&self, instance: &Instance, mut store: impl AsContextMut) -> Option<BoundExports> {
        let memory = instance.get_module_export(&mut store, &self.memory)?.into_memory()?;
        let alloc = instance.get_module_export(&mut store, &self.alloc)?.into_func()?;
        Some(BoundExports { memory, alloc: alloc.typed(&store).ok()? })
    }
}

impl BoundExports {
    /// Calls a method with an envelope of header and body. A reply may have up to `reply_bytes_max` bytes.
    ///
    /// # Errors
    /// Returns an error if the guest stops, breaks the contract, or replies with more bytes than the limit. The
    /// instance must not be called again after an error.
    pub fn call(
        &self,
        mut store: impl AsContextMut,
        method: &Method,
        header: &[u8],
        body: &[u8],
        reply_bytes_max: u64,
    ) -> Result<Reply, CallError> {
        let len = u32::try_from(header.len() + body.len())
            .map_err(|_| CallError::Contract("a request of 4 GiB or more does not fit its memory"))?;
        let ptr = self.alloc.call(&mut store, len).map_err(CallError::Stopped)?;
        let place = self
            .memory
            .data_mut(&mut store)
            .get_mut(ptr as usize..)
            .and_then(|tail| tail.get_mut(..len as usize))
            .ok_or(CallError::Contract("snapback_alloc returned an address outside its memory"))?;
        let (head, tail) = place.split_at_mut(header.len());
        head.copy_from_slice(header);
        tail.copy_from_slice(body);

        let packed = method.call(&mut store, (ptr, len)).map_err(CallError::Stopped)?;
        let span = Span::unpack(packed);
        if u64::from(span.len) > reply_bytes_max {
            return Err(CallError::ReplyTooLarge { bytes: span.len.into(), bytes_max: reply_bytes_max });
        }
        let bytes = self
            .memory
            .data(&store)
            .get(span.ptr as usize..)
            .and_then(|tail| tail.get(..span.len as usize))
            .ok_or(CallError::Contract("its reply lies outside its memory"))?;
        let (tag, body) = reply::decode(bytes).map_err(CallError::Reply)?;
        Ok(Reply { tag, body: Zeroizing::new(body.to_vec()) })
    }
}
