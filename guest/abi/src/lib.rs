//! The guest contract, version 1: the exports of a guest, and the encodings of bytes that cross the boundary.
//!
//! Guest and host compile this same crate, so they cannot disagree about an offset. Compile-time asserts below pin the
//! constants: a change of one makes a new version of the contract.
//!
//! Invariant: every decoder reads bytes that the other, possibly hostile, side wrote. It never panics, never allocates
//! from a length that it has not checked, and borrows from its input.
#![no_std]

extern crate alloc;

pub mod circuits;
#[cfg(feature = "guest")]
pub mod guest;
pub mod input;
pub mod methods;
pub mod options;
pub mod reply;
pub mod request;
mod wire;

pub use wire::DecodeError;

/// Version of the contract that this crate describes, which [`EXPORT_ABI`] returns.
pub const ABI_VERSION: i32 = 1;

/// Export: the guest's linear memory, 32-bit and unshared.
pub const EXPORT_MEMORY: &str = "memory";
/// Export `() -> i32`: the version of the contract that the guest implements.
pub const EXPORT_ABI: &str = "snapback_abi";
/// Export `(len: i32) -> i32`: allocates a request of `len` bytes and returns its address, valid until the next call.
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
/// Method: takes a statement with its witness and returns the proof. A guest that exports it is a prover.
pub const METHOD_PROVE: &str = "prove";
/// Method: takes a statement with its proof, and replies with `Ok` or [`reply::Tag::Refuted`].
pub const METHOD_VERIFY: &str = "verify";

/// Custom section in which a guest declares the media types of its methods, and which of them are pure; see [`methods`].
pub const METHODS_SECTION: &str = "snapback.methods";

/// The only module that a guest may import from.
pub const IMPORT_MODULE: &str = "snapback";
/// Optional import `(ptr: i32, len: i32)`: logs a line of UTF-8, which is shown while baking.
pub const IMPORT_LOG: &str = "log";

/// Length of the fresh entropy in every request, in bytes.
pub const ENTROPY_LEN: usize = 32;

const _: () = {
    assert!(ABI_VERSION == 1);
    assert!(ENTROPY_LEN == 32);
    assert!(request::HEADER_LEN_MIN == 36);
    assert!(reply::Tag::Ok as u8 == 0);
    assert!(reply::Tag::Internal as u8 == 6);
    assert!(input::HEADER_LEN == 16);
};

/// Returns whether an export of this name is a method that clients may call.
///
/// The host also requires the signature `(i32, i32) -> i64`.
#[must_use]
pub fn is_method_name(export: &str) -> bool {
    !export.starts_with(RESERVED_PREFIX) && !export.starts_with(BAKE_PREFIX)
}
