//! Nothing: one instance, until it dies. It is also the worker of [`processes`](crate::processes).
//!
//! Invariant: an instance that has trapped is called again, as a host does that treats a trap as one failed request.

use crate::{
    guest::{Code, Live},
    setup::Setup,
    wire,
};
use std::{io, os::unix::net::UnixStream};

pub(crate) fn serve(setup: &Setup, client: &UnixStream) -> io::Result<()> {
    let mut live = Live::start(&Code::open(setup));
    while let Some(body) = wire::read(client)? {
        wire::answer(client, &live.call(&body))?;
    }
    Ok(())
}
