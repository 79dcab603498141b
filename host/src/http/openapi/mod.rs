//! The document that describes every route, and a page that shows it.
//!
//! ```text
//! document     puts the operations together, and serves them    page        shows the document in a browser
//! operation    one operation                                    errors      the codes that operations answer with
//! parameters   parameters that are no field of a type
//! calls · jobs · webhooks · circuits · admin · server · watching   the operations, by resource
//! ```
//!
//! To add a route: derive `ToSchema` on the types of its body and reply, `IntoParams` on its query, and add an operation
//! to the file of its resource. Tests say what is missing.
//!
//! Invariant: schemas and parameters come from the types that the handlers use, roles from `routes`, and the status of a
//! code from the list that a test compares with the sources.

mod admin;
mod calls;
mod circuits;
mod document;
mod errors;
mod jobs;
mod operation;
mod page;
mod parameters;
mod server;
mod watching;
mod webhooks;

pub(super) use document::document;
pub use document::text;
pub(super) use page::{page, script, style};
