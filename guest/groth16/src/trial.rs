//! The circuit that every image proves before it is published: the product of two private numbers is public.
//!
//! Invariant: its key comes from a ceremony for tests, and is used for nothing but the trial.

/// The proving key.
pub const ZKEY: &[u8] = include_bytes!("../trial/trial.zkey");
/// A witness.
pub const WITNESS: &[u8] = include_bytes!("../trial/trial.wtns");
