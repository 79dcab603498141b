//! Checks what the kernel offers: sealed memory, the scan of page maps, Landlock.
//!
//! Invariant: what a check asks for is given back: descriptors are closed, and nothing is given up for good.

use super::check::Check;
use crate::sandbox::{Landlock, SandboxMode};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
use std::fs;
use wasmtime::PoolingAllocationConfig;

/// Makes the checks of this family.
pub(super) fn checks(sandbox: SandboxMode) -> Vec<Check> {
    vec![
        version(fs::read_to_string("/proc/sys/kernel/osrelease").ok()),
        memfd(sealed_memory()),
        pagemap_scan(PoolingAllocationConfig::is_pagemap_scan_available()),
        landlock(Landlock::available(), sandbox),
    ]
}

fn version(release: Option<String>) -> Check {
    let name = "kernel.version";
    match release {
        Some(release) => Check::ok(name, format!("Linux {}", release.trim())),
        // A unit with ProcSubset=pid hides it.
        None => Check::ok(name, "unknown: /proc/sys cannot be read"),
    }
}

/// Makes memory behind a descriptor that nobody can write any more.
fn sealed_memory() -> rustix::io::Result<()> {
    let memory = memfd_create("snapback-doctor", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    ftruncate(&memory, 4096)?;
    fcntl_add_seals(&memory, SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE | SealFlags::SEAL)
}

fn memfd(made: rustix::io::Result<()>) -> Check {
    let name = "kernel.memfd";
    match made {
        Ok(()) => Check::ok(name, "memory can be sealed"),
        Err(error) => Check::error(
            name,
            format!("memory cannot be sealed: {error}"),
            "allow memfd_create(2) and F_ADD_SEALS, which a seccomp filter may refuse: native code that is not cached \
             is compiled into such memory",
        ),
    }
}

fn pagemap_scan(is_available: bool) -> Check {
    let name = "kernel.pagemap_scan";
    if is_available {
        Check::ok(name, "available")
    } else {
        Check::ok(name, "not available (Linux 6.7 has it); the engine does without it")
    }
}

fn landlock(landlock: Landlock, mode: SandboxMode) -> Check {
    let name = "kernel.landlock";
    match (landlock, mode) {
        (_, SandboxMode::Off) => Check::warning(
            name,
            "not used: `sandbox` = off",
            "set `sandbox` to auto, so that a fault in the server reaches less",
        ),
        (Landlock::Full, _) => Check::ok(name, "files, ports and signals can be confined"),
        (Landlock::Partial, _) => Check::warning(
            name,
            "files can be confined, ports or signals cannot",
            "take Linux 6.12 or newer to confine all that the server can give up",
        ),
        (Landlock::None, SandboxMode::On) => Check::error(
            name,
            "this kernel has none, and `sandbox` = on",
            "take Linux 5.13 or newer with `landlock` among its security modules, or set `sandbox` to auto",
        ),
        (Landlock::None, SandboxMode::Auto) => Check::warning(
            name,
            "this kernel has none: a fault in the server reaches all that its user can",
            "take Linux 5.13 or newer with `landlock` among its security modules (lsm=), or confine the server with \
             systemd as docs/operations.md does",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::check::Verdict, *};

    #[test]
    fn the_verdict_on_landlock_follows_the_setting() {
        let verdict = |state, mode| landlock(state, mode).verdict();
        assert_eq!(verdict(Landlock::Full, SandboxMode::On), Verdict::Ok);
        assert_eq!(verdict(Landlock::Partial, SandboxMode::On), Verdict::Warning);
        assert_eq!(verdict(Landlock::None, SandboxMode::On), Verdict::Error);
        assert_eq!(verdict(Landlock::None, SandboxMode::Auto), Verdict::Warning);
        assert_eq!(verdict(Landlock::Full, SandboxMode::Off), Verdict::Warning);
    }

    #[test]
    fn memory_is_sealed_or_that_is_an_error() {
        assert_eq!(memfd(Err(rustix::io::Errno::NOSYS)).verdict(), Verdict::Error);
        assert_eq!(memfd(sealed_memory()).verdict(), Verdict::Ok);
    }
}
