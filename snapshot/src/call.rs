//! One call across the boundary, as the contract has it: place, write, call, read.
//!
//! The guest is hostile: every pointer and length it answers is checked against its memory, and against
//! the caller's limit, before a byte is read or allocated.

use snapback_abi::{
    DecodeError, EXPORT_ALLOC, EXPORT_MEMORY,
    reply::{self, Span, Tag},
};
use wasmtime::{AsContextMut, Instance, Memory, Module, ModuleExport, TypedFunc};

/// A method of a live instance: pointer and length in, packed [`Span`] out.
pub type Method = TypedFunc<(u32, u32), u64>;

/// Where in a module the exports of the contract are, looked up once per module.
pub struct Doors {
    memory: ModuleExport,
    alloc: ModuleExport,
}

/// The exports of the contract in one instance.
#[derive(Clone)]
pub struct OpenDoors {
    /// The instance's linear memory.
    pub memory: Memory,
    alloc: TypedFunc<u32, u32>,
}

/// What a guest replied.
pub struct Reply {
    /// How the call ended.
    pub tag: Tag,
    /// The result, or a message.
    pub body: Vec<u8>,
}

/// Why a call brought no reply.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The guest trapped, ran out of time, or was stopped by the memory limiter: the engine's error tells.
    #[error("{0}")]
    Stopped(wasmtime::Error),
    /// The guest does not keep the contract.
    #[error("the guest broke the contract: {0}")]
    Contract(&'static str),
    /// The guest's reply does not decode.
    #[error("the guest broke the contract: its reply {0}")]
    Reply(DecodeError),
    /// The reply is longer than the caller takes.
    #[error("the reply has {bytes} bytes, more than {bytes_max}")]
    ReplyTooLarge {
        /// Length of the reply.
        bytes: u64,
        /// The limit.
        bytes_max: u64,
    },
}

impl Doors {
    /// Finds the exports; `None` if the module does not keep the contract.
    #[must_use]
    pub fn find(module: &Module) -> Option<Self> {
        Some(Self {
            memory: module.get_export_index(EXPORT_MEMORY)?,
            alloc: module.get_export_index(EXPORT_ALLOC)?,
        })
    }

    /// The same exports in an instance of that module.
    #[must_use]
    pub fn open(&self, instance: &Instance, mut store: impl AsContextMut) -> Option<OpenDoors> {
        let memory = instance.get_module_export(&mut store, &self.memory)?.into_memory()?;
        let alloc = instance.get_module_export(&mut store, &self.alloc)?.into_func()?;
        Some(OpenDoors { memory, alloc: alloc.typed(&store).ok()? })
    }
}

impl OpenDoors {
    /// Calls a method with an envelope of header and body.
    ///
    /// # Errors
    /// When the guest stops, or does not keep the contract. The instance is then not fit for another call.
    pub fn call(
        &self,
        mut store: impl AsContextMut,
        method: &Method,
        header: &[u8],
        body: &[u8],
        reply_bytes_max: u64,
    ) -> Result<Reply, CallError> {
        let len = u32::try_from(header.len() + body.len())
            .map_err(|_| CallError::Contract("a request of 4 GiB does not fit its memory"))?;
        let ptr = self.alloc.call(&mut store, len).map_err(CallError::Stopped)?;
        let place = self
            .memory
            .data_mut(&mut store)
            .get_mut(ptr as usize..)
            .and_then(|tail| tail.get_mut(..len as usize))
            .ok_or(CallError::Contract("snapback_alloc answered a place outside its memory"))?;
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
        Ok(Reply { tag, body: body.to_vec() })
    }
}
