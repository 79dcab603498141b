//! Readers of circom's files, shared by every proof system.
//!
//! ```text
//! r1cs    constraints of a circuit        sym       names of its signals
//! wtns    value of every wire             prime     the fields that circom compiles for
//! number  numbers as people write them    sections  the container that the binary formats share
//! unsatisfied    the first constraint that a witness does not satisfy
//! ```
//!
//! Invariant: these files are not trusted. A read past the end is an error, no length is used before its bytes are
//! known to exist, and no message holds a value of a witness.

mod error;
pub mod number;
mod prime;
pub mod r1cs;
pub mod sections;
pub mod sym;
mod unsatisfied;
pub mod wtns;

pub use error::Error;
pub use prime::Prime;
pub use sections::{Element, FIELD_BYTES};
pub use unsatisfied::Unsatisfied;
