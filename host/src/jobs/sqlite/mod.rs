//! The engine on one machine: a database of SQLite and a directory of files, of which one process at a time has both.
//!
//! | file | what it does |
//! |---|---|
//! | `open`, `schema` | opens or creates the directory |
//! | `opened`, `shared` | an engine that is open, and what its threads share |
//! | `engine` | the interface |
//! | `writer` | runs commands, many to a transaction |
//! | `submit`, `claim`, `finish`, `sweep` | the commands |
//! | `share` | ends jobs with results of identical work |
//! | `deliveries`, `deliver` | who is told about the ends of jobs: the interface, the commands |
//! | `turns` | whose delivery is next |
//! | `load` | counts jobs |
//! | `read`, `rows` | reads jobs |
//! | `bodies` | seals values, and keeps the files of large ones |
//! | `deadlines` | leases and pauses, in memory |
//! | `threads` | runs blocking tasks for futures |
//!
//! Invariant: only the writer's thread changes the database. Reads use another connection, so that they never wait for a
//! sync.

mod bodies;
mod claim;
mod deadlines;
mod deliver;
mod deliveries;
mod engine;
mod finish;
mod load;
mod open;
mod opened;
mod read;
mod rows;
mod schema;
mod share;
mod shared;
mod submit;
mod sweep;
mod threads;
mod turns;
mod writer;

pub(crate) use open::network_file_system;
pub use opened::SqliteJobs;
