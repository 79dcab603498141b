//! Snapback beside what people do about a service whose memory only grows: restart it, rotate it, fork it, or let it
//! die. [docs/alternatives.md](../../docs/alternatives.md) describes each of them and has the figures.
//!
//! ```text
//! setup          one alternative with one load          load      the two services, their calls, their checks
//! guest          a guest in plain Wasmtime              corpus    documents
//! plain, threads, replay, processes, forked             the alternatives, each in a process of its own
//! service        starts them, and Snapback's server     wire      how they are called
//! round          one round of calls                     usage     what their processes use
//! measure        `make alternatives`                    endless   10,000 proofs, and what dies of them
//! check          the short form of it, a test
//! ```
//!
//! `cargo test` runs the short form: every alternative answers correctly, and those die that have to.
//! `cargo bench --bench alternatives -- measure` writes `target/alternatives.json` for the report.
//!
//! Invariant: all alternatives run the same code of the guest for the same calls under the same limit, on one core that
//! the client does not use, and every reply is checked.

#[path = "../../tests/harness/ark.rs"]
mod ark;
mod check;
mod corpus;
mod endless;
mod forked;
mod guest;
#[path = "../../tests/harness/guests.rs"]
mod guests;
mod load;
mod measure;
mod os;
mod plain;
mod processes;
mod replay;
mod round;
mod service;
mod setup;
#[path = "../support/mod.rs"]
mod support;
mod threads;
mod usage;
mod wire;

use setup::{Alternative, SERVE, Setup};
use std::{
    env,
    io::{self, stdin},
    os::{fd::AsFd, unix::net::UnixStream},
};

fn main() -> io::Result<()> {
    let args: Vec<String> = env::args().skip(1).collect();
    if args.first().is_some_and(|arg| arg == SERVE) {
        return serve(&Setup::from_args(&args[1..]).expect("a setup"));
    }
    let is_given = |wanted: &str| args.iter().any(|arg| arg == wanted);
    match (is_given("--bench"), is_given("measure")) {
        (_, true) => measure::all(),
        (false, false) => check::all(),
        // `make bench` runs all benches, and this one has a command of its own.
        (true, false) => {}
    }
    Ok(())
}

/// Serves calls until the client, which is the other end of standard input, closes its socket.
fn serve(setup: &Setup) -> io::Result<()> {
    let client = &UnixStream::from(stdin().as_fd().try_clone_to_owned()?);
    match setup.alternative {
        Alternative::Plain => plain::serve(setup, client),
        Alternative::Threads => threads::serve(setup, client),
        Alternative::Replay => replay::serve(setup, client),
        Alternative::Rotated => processes::rotated(setup, client),
        Alternative::PerCall | Alternative::PerCallImage => processes::per_call(setup, client),
        Alternative::Forked => forked::serve(setup, client),
        Alternative::EveryCall | Alternative::Threshold => {
            Err(io::Error::other("Snapback is a program of its own"))
        }
    }
}
