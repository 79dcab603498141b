//! The limit of files that a process may have open.
//!
//! Invariant: a server that cannot have as many connections as its settings allow says so when it starts.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Number of files that a server with as many connections may open.
pub(super) fn wanted(connections_max: usize) -> u64 {
    /// Files beside connections: images, native code, the state directory, listeners, pipes of a bake.
    const OTHERS: u64 = 256;
    connections_max as u64 + OTHERS
}

/// Raises the soft limit of open files to the hard one, so that `http.connections_max` connections can be open.
pub(super) fn allow(connections_max: usize) {
    let limits = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limits.maximum, ..limits }) {
        tracing::warn!(%error, "the limit of open files cannot be raised");
    }
    let wanted = wanted(connections_max);
    if let Some(allowed) = getrlimit(Resource::Nofile).current.filter(|allowed| *allowed < wanted) {
        tracing::warn!(
            allowed,
            wanted,
            "fewer files can be open than http.connections_max needs: raise `ulimit -n`"
        );
    }
}
