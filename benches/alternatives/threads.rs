//! Recycled threads: each call has a new thread, and all of them have the same instance.
//!
//! Invariant: nothing of a thread outlives its call, which is of no use: the memory that grows is the instance's.

use crate::{
    guest::{Code, Live},
    setup::Setup,
    wire,
};
use std::{io, os::unix::net::UnixStream, thread};

pub(crate) fn serve(setup: &Setup, client: &UnixStream) -> io::Result<()> {
    let mut live = Live::start(&Code::open(setup));
    while let Some(body) = wire::read(client)? {
        let answer = thread::scope(|scope| scope.spawn(|| live.call(&body)).join());
        wire::answer(client, &answer.unwrap_or_else(|_| Err("the thread has panicked".into())))?;
    }
    Ok(())
}
