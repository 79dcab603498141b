//! Worker processes that are replaced after some calls, or after each one. Spares are started ahead and run their
//! initialiser while others serve, so that no call waits for a process as long as there is a spare.
//!
//! Invariant: a worker that has failed is never called again.

use crate::{
    setup::{Setup, Spawned},
    wire,
};
use std::{collections::VecDeque, io, os::unix::net::UnixStream, process::Child};

/// Workers that are ready while another one serves.
const SPARES: usize = 2;

/// Replaces workers before their memory is full.
pub(crate) fn rotated(setup: &Setup, client: &UnixStream) -> io::Result<()> {
    serve(setup, client, setup.calls_max)
}

/// Replaces workers after each call.
pub(crate) fn per_call(setup: &Setup, client: &UnixStream) -> io::Result<()> {
    serve(setup, client, 1)
}

fn serve(setup: &Setup, client: &UnixStream, calls_max: usize) -> io::Result<()> {
    let mut ready: VecDeque<Spawned> = (0..=SPARES).map(|_| setup.worker()).collect::<io::Result<_>>()?;
    let mut retired: Vec<Child> = Vec::new();
    let mut calls = 0;
    while let Some(body) = wire::read(client)? {
        let answer = wire::call(&ready[0].socket, &body);
        wire::answer(client, &answer)?;
        calls += 1;
        if calls == calls_max || answer.is_err() {
            calls = 0;
            // A worker ends when its socket is closed.
            retired.extend(ready.pop_front().map(|worker| worker.child));
            ready.push_back(setup.worker()?);
        }
        retired.retain_mut(|child| !matches!(child.try_wait(), Ok(Some(_))));
    }
    Ok(())
}
