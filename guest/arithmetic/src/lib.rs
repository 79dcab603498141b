//! Arithmetic that replaces parts of `pasta_curves`, `halo2_proofs` and `bellman` in guests.
//!
//! ```text
//! words         sums and differences of numbers of four words
//! expression    polynomials over the rows of a domain, as a graph without duplicates
//! program       evaluates a graph, block of rows by block of rows
//! msm           sums of points times scalars
//! fft           Fourier transforms of field elements
//! self_check    known answers, which a guest computes before it is baked
//! ```
//!
//! When the guests are built, these files are copied into the sources of these libraries, together with the files
//! of the directories of their names beside this crate, which adapt them and stand in for files of the libraries.
//! The host links the unmodified libraries, which is what tests, bakes and benches compare the guests with.
//!
//! Invariant: every function returns a value that equals what the function of the library that it replaces returns. Field
//! elements and points in affine form have one representation, so another order of operations changes no byte of a proof.

pub mod expression;
pub mod fft;
pub mod msm;
pub mod program;
pub mod self_check;
pub mod words;
