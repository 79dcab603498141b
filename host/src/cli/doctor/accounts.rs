//! Reads the accounts that the kernel keeps as text: proc(5), cgroups(7).
//!
//! Invariant: these functions take text and return values. Text that is not as expected gives `None` or no entry.

use std::{
    ops::Range,
    path::{Path, PathBuf},
};

/// Where the memory controller of cgroups version 1 is mounted.
const MEMORY_V1: &str = "/sys/fs/cgroup/memory";
/// Version 1 writes "no limit" as the largest number of pages, in bytes; no machine has as much.
const UNLIMITED_V1_BYTES: u64 = 1 << 60;

/// Returns a field of `/proc/meminfo` in bytes.
pub(super) fn meminfo_bytes(meminfo: &str, field: &str) -> Option<u64> {
    let value = meminfo.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    let kilobytes: u64 = value.trim().strip_suffix(" kB")?.parse().ok()?;
    kilobytes.checked_mul(1024)
}

/// Returns the word in brackets, as `always [madvise] never` of transparent huge pages has one.
pub(super) fn chosen(text: &str) -> Option<&str> {
    text.split_ascii_whitespace().find_map(|word| word.strip_prefix('[')?.strip_suffix(']'))
}

/// Returns the lowest memory limit in bytes among the process's groups of cgroups version 1 and their ancestors.
/// `cgroup` is `/proc/self/cgroup`, and `read` returns the text of a file.
pub(super) fn memory_limit_v1(cgroup: &str, read: impl Fn(&Path) -> Option<String>) -> Option<u64> {
    let path = cgroup.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?);
        controllers.split(',').any(|controller| controller == "memory").then_some(path)
    })?;
    let root = Path::new(MEMORY_V1);
    let own: PathBuf = root.join(path.trim_start_matches('/'));
    own.ancestors()
        .take_while(|group| group.starts_with(root))
        .filter_map(|group| read(&group.join("memory.limit_in_bytes"))?.trim().parse::<u64>().ok())
        .filter(|bytes| *bytes < UNLIMITED_V1_BYTES)
        .min()
}

/// Returns the private dirty memory within an address range, in bytes, from `/proc/self/smaps`. A mapping counts as a
/// whole if any part of it is in the range.
pub(super) fn private_dirty_bytes(smaps: &str, range: &Range<u64>) -> u64 {
    let mut is_within = false;
    let mut bytes = 0;
    for line in smaps.lines() {
        if let Some(mapping) = mapping(line) {
            is_within = mapping.start < range.end && range.start < mapping.end;
        } else if is_within {
            let value =
                line.strip_prefix("Private_Dirty:").and_then(|value| value.trim().strip_suffix(" kB"));
            bytes += value.and_then(|kilobytes| kilobytes.parse::<u64>().ok()).unwrap_or(0) * 1024;
        }
    }
    bytes
}

/// Parses the line that begins the account of a mapping: `address perms offset dev inode pathname`.
fn mapping(line: &str) -> Option<Range<u64>> {
    let (start, end) = line.split_ascii_whitespace().next()?.split_once('-')?;
    let address = |text| u64::from_str_radix(text, 16).ok();
    Some(address(start)?..address(end)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMINFO: &str = "\
MemTotal:       24689744 kB
MemFree:         1093480 kB
MemAvailable:   15262072 kB
SwapCached:            0 kB
SwapTotal:             0 kB
HugePages_Total:       0
";

    #[test]
    fn fields_of_meminfo_are_found_by_their_whole_name() {
        assert_eq!(meminfo_bytes(MEMINFO, "MemTotal"), Some(24_689_744 << 10));
        assert_eq!(meminfo_bytes(MEMINFO, "MemAvailable"), Some(15_262_072 << 10));
        assert_eq!(meminfo_bytes(MEMINFO, "SwapTotal"), Some(0));
        assert_eq!(meminfo_bytes(MEMINFO, "Mem"), None);
        assert_eq!(meminfo_bytes(MEMINFO, "HugePages_Total"), None, "it is no size");
        assert_eq!(meminfo_bytes("MemTotal: 18446744073709551615 kB", "MemTotal"), None);
    }

    #[test]
    fn the_chosen_word_is_the_one_in_brackets() {
        assert_eq!(chosen("always [madvise] never\n"), Some("madvise"));
        assert_eq!(chosen("[always] madvise never"), Some("always"));
        assert_eq!(chosen("always madvise never"), None);
    }

    const HYBRID: &str = "\
9:name=systemd:/
4:memory:/system.slice/snapback.service
1:cpu,cpuacct:/
0::/
";

    fn limits(files: &[(&'static str, &'static str)]) -> Option<u64> {
        memory_limit_v1(HYBRID, |path| {
            let (_, text) = files.iter().find(|(known, _)| Path::new(MEMORY_V1).join(known) == path)?;
            Some((*text).to_owned())
        })
    }

    #[test]
    fn the_lowest_limit_of_version_1_counts() {
        const OWN: &str = "system.slice/snapback.service/memory.limit_in_bytes";
        const PARENT: &str = "system.slice/memory.limit_in_bytes";
        const UNLIMITED: &str = "9223372036854771712\n";
        assert_eq!(limits(&[(OWN, "1073741824\n"), (PARENT, UNLIMITED)]), Some(1 << 30));
        assert_eq!(limits(&[(OWN, UNLIMITED), (PARENT, "2147483648\n")]), Some(2 << 30));
        assert_eq!(limits(&[(OWN, UNLIMITED), ("memory.limit_in_bytes", UNLIMITED)]), None);
        // In a container, the path is that of the host, and only the root is there.
        assert_eq!(limits(&[("memory.limit_in_bytes", "4096")]), Some(4096));
        assert_eq!(limits(&[(OWN, "max\n")]), None);
        assert_eq!(memory_limit_v1("0::/user.slice\n", |_| Some("1".into())), None, "version 2 alone");
        assert_eq!(memory_limit_v1("4:memory\n", |_| Some("1".into())), None);
    }

    #[test]
    fn private_dirty_memory_is_that_of_the_range() {
        const SMAPS: &str = "\
7f0000000000-7f0000010000 rw-p 00001000 fe:01 1234                       /state/native/a.cwasm
Size:                 64 kB
Shared_Dirty:          0 kB
Private_Dirty:         4 kB
VmFlags: rd wr mr mw me ac sd
7f0000010000-7f0000020000 rw-p 00000000 00:00 0
Private_Dirty:        16 kB
7f0000030000-7f0000040000 rw-p 00000000 00:00 0                          [heap]
Private_Dirty:      1024 kB
";
        let dirty = |range| private_dirty_bytes(SMAPS, &range);
        assert_eq!(dirty(0x7f00_0000_0000..0x7f00_0001_0000), 4 << 10);
        assert_eq!(dirty(0x7f00_0000_0000..0x7f00_0003_0000), 20 << 10);
        assert_eq!(dirty(0x7f00_0002_0000..0x7f00_0003_0000), 0);
        assert_eq!(private_dirty_bytes("", &(0..u64::MAX)), 0);
    }
}
