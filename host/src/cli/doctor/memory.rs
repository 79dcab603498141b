//! Checks the memory that a server gets: its limit, how the kernel commits it, pages, swap space.
//!
//! Invariant: the limit that is reported is the one that a server would find, and a limit that it would not find is
//! named.

use super::{
    accounts::{chosen, meminfo_bytes, memory_limit_v1},
    check::Check,
};
use crate::{config::Config, memory::process::ProcessMemory};
use bytesize::ByteSize;
use rustix::process::{Resource, getrlimit};
use std::fs;

/// Available memory below which baking the larger guests is likely to fail.
const AVAILABLE_BYTES_MIN: u64 = 1 << 30;

/// The limits of the memory of the process, in bytes.
#[derive(Clone, Copy, Debug, Default)]
struct Limits {
    /// `memory.process_limit`
    setting: Option<u64>,
    /// What a server finds if the setting is `cgroup`.
    cgroup: Option<u64>,
    /// What version 1 of cgroups says, where a server does not look.
    cgroup_v1: Option<u64>,
}

/// Makes the checks of this family.
pub(super) fn checks(config: &Config) -> Vec<Check> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let meminfo = read("/proc/meminfo");
    let policy = config.policies.all();
    let limits = Limits {
        setting: config.process_limit_bytes,
        cgroup: ProcessMemory::new(None, policy.warn, policy.critical).limit_bytes(),
        cgroup_v1: memory_limit_v1(&read("/proc/self/cgroup"), |path| fs::read_to_string(path).ok()),
    };
    vec![
        limit(limits),
        available(meminfo_bytes(&meminfo, "MemAvailable"), meminfo_bytes(&meminfo, "MemTotal")),
        overcommit(read("/proc/sys/vm/overcommit_memory").trim()),
        address_space_limit(getrlimit(Resource::As).current),
        huge_pages(chosen(&read("/sys/kernel/mm/transparent_hugepage/enabled"))),
        swap_space(meminfo_bytes(&meminfo, "SwapTotal")),
    ]
}

fn size(bytes: u64) -> String {
    ByteSize(bytes).display().iec().to_string()
}

fn limit(limits: Limits) -> Check {
    let name = "memory.limit";
    let enforced = [limits.cgroup, limits.cgroup_v1].into_iter().flatten().min();
    match (limits.setting, enforced) {
        (Some(setting), Some(enforced)) if setting > enforced => Check::warning(
            name,
            format!("`memory.process_limit` = {}, and the cgroup allows {}", size(setting), size(enforced)),
            "set `memory.process_limit` below the limit of the cgroup: the kernel ends the server before instances \
             are replaced",
        ),
        (Some(setting), _) => Check::ok(name, format!("{} by `memory.process_limit`", size(setting))),
        (None, _) if limits.cgroup.is_some() => {
            Check::ok(name, format!("{} by the cgroup", size(limits.cgroup.unwrap_or_default())))
        }
        (None, Some(v1)) => Check::warning(
            name,
            format!("{} by a cgroup of version 1, which the server does not read", size(v1)),
            format!("set `memory.process_limit` to {v1}B or less, or boot with cgroups of version 2"),
        ),
        (None, None) => Check::warning(
            name,
            "none: memory of the process never counts as scarce",
            "set `memory.process_limit`, or run the server in a cgroup with memory.max (MemoryMax= of systemd)",
        ),
    }
}

fn available(available: Option<u64>, total: Option<u64>) -> Check {
    let name = "memory.available";
    let (Some(available), Some(total)) = (available, total) else {
        return Check::ok(name, "unknown: /proc/meminfo cannot be read");
    };
    let found = format!("{} of {}", size(available), size(total));
    if available >= AVAILABLE_BYTES_MIN {
        Check::ok(name, found)
    } else {
        Check::warning(name, found, "free some: `snapback size` says how much a server of an image needs")
    }
}

fn overcommit(mode: &str) -> Check {
    let name = "memory.overcommit";
    match mode {
        "0" | "1" => Check::ok(name, format!("vm.overcommit_memory = {mode}")),
        "2" => Check::warning(
            name,
            "vm.overcommit_memory = 2: every private mapping of an image counts as if it were written",
            "set vm.overcommit_memory to 0 or 1, or raise vm.overcommit_ratio: instances fail before memory runs out",
        ),
        _ => Check::ok(name, "unknown: /proc/sys/vm/overcommit_memory cannot be read"),
    }
}

fn address_space_limit(limit: Option<u64>) -> Check {
    let name = "memory.address_space_limit";
    match limit {
        None => Check::ok(name, "none"),
        Some(bytes) => Check::warning(
            name,
            format!("{} (ulimit -v)", size(bytes)),
            "run without a limit: each instance reserves 4 GiB of addresses and no memory",
        ),
    }
}

fn huge_pages(mode: Option<&str>) -> Check {
    let name = "memory.huge_pages";
    match mode {
        Some("always") => Check::warning(
            name,
            "transparent huge pages are always used",
            "write madvise into /sys/kernel/mm/transparent_hugepage/enabled: the first write of an instance may take \
             2 MiB instead of 4 KiB",
        ),
        Some(mode) => Check::ok(name, format!("transparent huge pages: {mode}")),
        None => Check::ok(name, "this kernel has no transparent huge pages"),
    }
}

fn swap_space(bytes: Option<u64>) -> Check {
    let name = "memory.swap_space";
    match bytes {
        Some(0) => Check::ok(name, "none"),
        Some(bytes) => Check::warning(
            name,
            size(bytes),
            "encrypt it, or set MemorySwapMax=0 in the unit: witnesses in memory may be written to it",
        ),
        None => Check::ok(name, "unknown: /proc/meminfo cannot be read"),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::check::Verdict, *};

    #[test]
    fn a_limit_that_the_server_does_not_heed_is_a_warning() {
        let verdict = |setting, cgroup, cgroup_v1| limit(Limits { setting, cgroup, cgroup_v1 }).verdict();
        assert_eq!(verdict(None, None, None), Verdict::Warning);
        assert_eq!(verdict(None, Some(1), None), Verdict::Ok);
        assert_eq!(verdict(Some(1), None, None), Verdict::Ok);
        assert_eq!(verdict(Some(1), Some(2), None), Verdict::Ok);
        assert_eq!(verdict(Some(3), Some(2), None), Verdict::Warning);
        assert_eq!(verdict(Some(3), None, Some(2)), Verdict::Warning);
        assert_eq!(verdict(Some(1), None, Some(2)), Verdict::Ok);
        let unread = limit(Limits { cgroup_v1: Some(1 << 30), ..Limits::default() });
        assert!(unread.advice().is_some_and(|advice| advice.contains("1073741824B")), "{unread:?}");
    }

    #[test]
    fn strict_commitment_limits_huge_pages_and_swap_space_are_warnings() {
        assert_eq!(overcommit("0").verdict(), Verdict::Ok);
        assert_eq!(overcommit("2").verdict(), Verdict::Warning);
        assert_eq!(address_space_limit(Some(1 << 40)).verdict(), Verdict::Warning);
        assert_eq!(huge_pages(Some("always")).verdict(), Verdict::Warning);
        assert_eq!(huge_pages(Some("madvise")).verdict(), Verdict::Ok);
        assert_eq!(swap_space(Some(1)).verdict(), Verdict::Warning);
        assert_eq!(available(Some(1), Some(2)).verdict(), Verdict::Warning);
        assert_eq!(available(Some(1 << 34), Some(1 << 35)).verdict(), Verdict::Ok);
    }
}
