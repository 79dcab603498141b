//! The HTTP server: one file for each resource.
//!
//! ```text
//! server      accepts connections, drains, stops       connections   one task for each connection
//! router      every route                              app           what every handler shares
//! selection   finds the image of a request             request_id    ids, the log line of a request
//! body        reads the body of a request              unread        reads on after an early answer
//! calls · circuits · changes · generations · listing · status · health · admin   the resources
//! origin      host names and web pages that are known  permission    who may change circuits
//! token       authorises operators                     signals       signals that drain or reload
//! error       the only file that knows the status codes of errors
//! ```
//!
//! Invariant: handlers wait for bodies and for lanes, and compute nothing on the runtime's threads.

mod admin;
mod app;
mod body;
mod calls;
mod changes;
mod circuits;
mod connections;
mod error;
mod generations;
mod health;
mod listing;
mod origin;
mod permission;
mod request_id;
mod router;
mod selection;
mod server;
pub mod signals;
mod status;
mod token;
mod unread;

pub use app::App;
pub use permission::PublicChanges;
pub use server::{Admin, ServeError, serve};
pub use token::Token;
