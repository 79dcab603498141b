//! A new instance by running the initialiser again, at 90 % of the limit. A thread begins at 70 %, so that a call waits
//! only if the initialiser takes longer than what is left; another thread drops the old instance.
//!
//! Invariant: there are at most two instances that can be called.

use crate::{
    guest::{Code, Live},
    setup::Setup,
    wire,
};
use std::{io, mem, os::unix::net::UnixStream, sync::Arc, thread};

const PREPARE: f64 = 0.7;
const REPLACE: f64 = 0.9;

pub(crate) fn serve(setup: &Setup, client: &UnixStream) -> io::Result<()> {
    let code = Arc::new(Code::open(setup));
    let mut live = Live::start(&code);
    let mut next = None;
    while let Some(body) = wire::read(client)? {
        wire::answer(client, &live.call(&body))?;
        if live.used() >= PREPARE && next.is_none() {
            let code = Arc::clone(&code);
            next = Some(thread::spawn(move || Live::start(&code)));
        }
        if live.used() >= REPLACE
            && let Some(fresh) = next.take()
        {
            let used = mem::replace(&mut live, fresh.join().map_err(|_| io::Error::other("no instance"))?);
            thread::spawn(move || drop(used));
        }
    }
    Ok(())
}
