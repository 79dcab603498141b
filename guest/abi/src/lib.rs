//! The guest contract, version 1: what a guest exports, and how bytes cross the boundary.
//!
//! Guest and host compile this same crate, so neither can hold its own opinion of an offset.
//! The constants are pinned below by compile-time asserts: changing one is a new contract version.
//!
//! Everything that decodes takes bytes written by the other, possibly hostile, side: decoding never
//! panics, never allocates from a length it has not checked, and borrows from its input.
#![no_std]

extern crate alloc;

pub mod circuits;
#[cfg(feature = "guest")]
pub mod guest;
pub mod input;
pub mod reply;
pub mod request;
mod wire;

pub use wire::DecodeError;

/// The version of the contract that this crate describes, answered by [`EXPORT_ABI`].
pub const ABI_VERSION: i32 = 1;

/// Export: the guest's linear memory, 32-bit and unshared.
pub const EXPORT_MEMORY: &str = "memory";
/// Export `() -> i32`: the contract version that the guest speaks.
pub const EXPORT_ABI: &str = "snapback_abi";
/// Export `(len: i32) -> i32`: a place for a request of `len` bytes, valid until the next call.
pub const EXPORT_ALLOC: &str = "snapback_alloc";
/// Optional export `() -> i64`: bytes that the guest's allocator holds for live data.
pub const EXPORT_HEAP_USED: &str = "snapback_heap_used";
/// Optional export `() -> i32`: non-zero when the guest asks to be replaced.
pub const EXPORT_RETIRE: &str = "snapback_retire";
/// Exports with this prefix belong to the contract and are never methods.
pub const RESERVED_PREFIX: &str = "snapback_";

/// Exports with this prefix are called while baking and at no other time.
pub const BAKE_PREFIX: &str = "bake_";
/// The initialiser, called once after every input has been fed.
pub const BAKE_INIT: &str = "bake_init";

/// Method: lists the circuits, encoded as in [`circuits`].
pub const METHOD_CIRCUITS: &str = "circuits";
/// Method: a statement with its witness in, the same with its proof out. A guest that has it is a prover.
pub const METHOD_PROVE: &str = "prove";
/// Method: a statement with its proof in; replies `Ok` or [`reply::Tag::Refuted`].
pub const METHOD_VERIFY: &str = "verify";

/// The one module a guest may import from.
pub const IMPORT_MODULE: &str = "snapback";
/// Optional import `(ptr: i32, len: i32)`: a line of UTF-8 for whoever watches the bake.
pub const IMPORT_LOG: &str = "log";

/// Bytes of fresh entropy in every request.
pub const ENTROPY_LEN: usize = 32;

const _: () = {
    assert!(ABI_VERSION == 1);
    assert!(ENTROPY_LEN == 32);
    assert!(request::HEADER_LEN_MIN == 36);
    assert!(reply::Tag::Ok as u8 == 0);
    assert!(reply::Tag::Internal as u8 == 6);
    assert!(input::HEADER_LEN == 16);
};

/// Whether an export of this name is a method that clients may call.
///
/// The host also requires the signature `(i32, i32) -> i64`.
#[must_use]
pub fn is_method_name(export: &str) -> bool {
    !export.starts_with(RESERVED_PREFIX) && !export.starts_with(BAKE_PREFIX)
}
