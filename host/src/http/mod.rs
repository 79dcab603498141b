//! The HTTP server: one file for each resource.
//!
//! ```text
//! server      accepts connections, drains, stops       connections   one task for each connection
//! room        places for connections                   occupancy     who holds them, and who waits
//! opening     what a client speaks, and its keys       protocol      how that is told
//! stream      a connection's bytes, with a least rate  connection    what its requests share
//! tls         handshakes                               certificates  the files of TLS
//! http1 · http2   serve a connection                   requests      its requests, whatever the version
//! pieces      replies over HTTP/2, with a least rate
//! router      every route                              app           what every handler shares
//! exchange    what every request passes through        request_id    the id of a request
//! origin      host names and web pages that are known
//! gate        who makes a request, and whether they may routes        what each route needs of its callers
//! token       the token of operators                   permission    who may change circuits without keys
//! standing    whether the caller of a stream is still admitted
//! selection   finds the image of a request             unread        reads on after an early answer
//! upload      the files of a circuit                   metered       bounds what the parser of an upload keeps
//! budget      bytes in memory, all together            body · reply  bytes that arrive, bytes that leave
//! calls · circuits · changes · generations · history · jobs · webhooks · listing · status · health · admin   the resources
//! page        the page for browsers                    live · watchers   what streams to it
//! call        one call, on behalf of a client
//! job_terms   calls that become jobs                   job_view    a job, as clients see it
//! job_batch   many jobs in one request              job_access  who may use jobs
//! off_path    threads for work that blocks             circuit_work  a few of them, for work on circuits
//! whoami      who a client is, and the audit log       trail          what the audit log says of a request          shape     the shape of a circuit, as clients see it
//! openapi     the document of all of it, and a page that shows it
//! guarded     a body that something accompanies        signals       signals that drain or reload
//! trace       the trace of a request, and the span that its answer is
//! error       why requests are not carried out         error_status   the only file that knows their status codes
//! error_shape the one shape of errors
//! ```
//!
//! Invariant: handlers wait for bodies and for lanes, and compute nothing on the runtime's threads.

mod admin;
mod app;
mod body;
mod budget;
mod call;
mod calls;
mod certificates;
mod changes;
mod circuit_work;
mod circuits;
mod connection;
mod connections;
mod error;
mod error_shape;
mod error_status;
mod exchange;
mod gate;
mod generations;
mod guarded;
mod health;
mod history;
mod http1;
mod http2;
mod job_access;
mod job_batch;
mod job_terms;
mod job_view;
mod jobs;
mod listing;
mod live;
mod metered;
mod occupancy;
mod off_path;
mod openapi;
mod opening;
mod origin;
mod page;
mod permission;
mod pieces;
mod protocol;
mod reply;
mod request_id;
mod requests;
mod room;
mod router;
mod routes;
mod selection;
mod server;
mod shape;
pub mod signals;
mod standing;
mod status;
mod stream;
mod tls;
mod token;
mod trace;
mod trail;
mod unread;
mod upload;
mod watchers;
mod webhooks;
mod whoami;

pub use app::App;
pub(crate) use call::explain;
pub use certificates::TlsError;
pub use gate::{Gate, Keys};
pub use openapi::text as openapi;
pub use permission::PublicChanges;
pub use server::{Public, ServeError, serve};
pub use tls::{ClientCertificate, Tls, directories_of};
pub use token::Token;
pub use upload::parse_upload;
