//! Processor time and memory of a process and all that descend from it, from proc(5).
//!
//! Invariant: a page that processes share counts once: memory is summed as proportional shares.

use std::{fs, time::Duration};

/// Memory of processes.
#[derive(Clone, Copy, Default)]
pub(crate) struct Memory {
    /// Pages in memory, those of files included.
    pub(crate) resident_bytes: f64,
    /// Pages that are no file's.
    pub(crate) private_bytes: f64,
}

impl Memory {
    /// Returns the larger ones.
    pub(crate) fn max(self, other: Self) -> Self {
        Self {
            resident_bytes: self.resident_bytes.max(other.resident_bytes),
            private_bytes: self.private_bytes.max(other.private_bytes),
        }
    }
}

/// Returns the memory of a process and its descendants.
pub(crate) fn memory(root: u32) -> Memory {
    let mut memory = Memory::default();
    for pid in tree(root) {
        // A process may end meanwhile.
        let Ok(rollup) = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")) else { continue };
        let field = |name: &str| {
            let line = rollup.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<f64>().ok()).unwrap_or(0.0)
        };
        memory.resident_bytes += 1024.0 * field("Pss:");
        memory.private_bytes += 1024.0 * field("Pss_Anon:");
    }
    memory
}

/// Returns the processor time of a process, its descendants, and those of them that have ended and were waited for.
pub(crate) fn cpu(root: u32) -> Duration {
    let ticks: u64 = tree(root)
        .into_iter()
        .filter_map(|pid| fs::read_to_string(format!("/proc/{pid}/stat")).ok())
        .filter_map(|stat| {
            let (_, fields) = stat.rsplit_once(')')?;
            // The fields 14 to 17 of `stat`: user and system, of the process and of its children.
            let times = fields.split_ascii_whitespace().skip(11).take(4);
            Some(times.filter_map(|field| field.parse::<u64>().ok()).sum::<u64>())
        })
        .sum();
    Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

/// Returns a process and its descendants.
fn tree(root: u32) -> Vec<u32> {
    let mut tree = vec![root];
    let mut next = 0;
    while let Some(pid) = tree.get(next) {
        let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
        let children: Vec<u32> = threads
            .filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok())
            .flat_map(|list| {
                list.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>()
            })
            .collect();
        tree.extend(children);
        next += 1;
    }
    tree
}
