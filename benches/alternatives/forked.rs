//! A process for each call, forked from a parent that has run the initialiser: the oldest way to copy on write. Children
//! are forked ahead, and wait for a call.
//!
//! Invariant: the parent has one thread, and never calls its instance.

use crate::{
    guest::{Code, Live},
    os::{self, Side},
    setup::Setup,
    wire,
};
use rustix::process::{Pid, WaitOptions, waitpid};
use std::{collections::VecDeque, io, os::unix::net::UnixStream, process};

/// Children that wait for a call.
const SPARES: usize = 2;

pub(crate) fn serve(setup: &Setup, client: &UnixStream) -> io::Result<()> {
    let mut live = Live::start(&Code::open(setup));
    let mut ready: VecDeque<(Pid, UnixStream)> = VecDeque::new();
    let mut retired: Vec<Pid> = Vec::new();
    loop {
        while ready.len() < SPARES {
            let (ours, theirs) = UnixStream::pair()?;
            match os::fork()? {
                Side::Parent(pid) => ready.push_back((pid, ours)),
                Side::Child => {
                    // The end of the parent is the end of its children only if none of them holds the other's sockets.
                    drop(ours);
                    ready.clear();
                    if let Some(body) = wire::read(&theirs)? {
                        wire::answer(&theirs, &live.call(&body))?;
                    }
                    process::exit(0);
                }
            }
        }
        let Some(body) = wire::read(client)? else { return Ok(()) };
        let (pid, child) = ready.pop_front().expect("there are spares");
        wire::answer(client, &wire::call(&child, &body))?;
        retired.push(pid);
        retired.retain(|pid| matches!(waitpid(Some(*pid), WaitOptions::NOHANG), Ok(None)));
    }
}
