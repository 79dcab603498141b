//! Measuring memory, of one instance and of the process as a whole, and returning what is free.
//!
//! ```text
//! meter      linear memory of one instance: size now, limit, refused growth
//! process    resident memory of the process and what its instances were granted, against the limit
//! trim       returns free memory to the kernel
//! ```
//!
//! Invariant: this room measures and refuses; it never decides to replace an instance.

pub mod meter;
pub mod process;
pub mod trim;
