//! What the operating system and Wasmtime have no safe interface for: `fork`, and native code from a file.
//!
//! Invariant: these are the only two `unsafe` calls of the benches.

use rustix::process::Pid;
use std::{fs, io, path::Path};
use wasmtime::{Engine, Module};

/// The two processes that [`fork`] returns in.
pub(crate) enum Side {
    Child,
    Parent(Pid),
}

/// Forks this process, which has to have one thread.
///
/// # Panics
/// Panics if this process has other threads, whose locks a child would inherit without those who release them.
#[expect(unsafe_code, reason = "the standard library cannot fork without executing a program")]
pub(crate) fn fork() -> io::Result<Side> {
    let threads = fs::read_dir("/proc/self/task")?.count();
    assert_eq!(threads, 1, "only a process with one thread can be forked");
    // SAFETY: there is no other thread, so no lock is held and no data is half written, and the child may do whatever
    // its parent might. Wasmtime keeps nothing outside of the process: memories are private mappings, which the child
    // has copies of, and handlers of signals are inherited.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Side::Child),
        pid => Ok(Side::Parent(Pid::from_raw(pid).expect("the number of a process"))),
    }
}

/// Maps native code that this bench has compiled.
#[expect(unsafe_code, reason = "native code is trusted")]
pub(crate) fn load(engine: &Engine, code: &Path) -> wasmtime::Result<Module> {
    // SAFETY: the file is in the target directory of this build, and this program wrote it, with Wasmtime's own
    // compiler. Wasmtime checks that it was the same version with the same settings.
    unsafe { Module::deserialize_file(engine, code) }
}
