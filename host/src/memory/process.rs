//! The memory of the process as a whole, against its limit.
//!
//! Two figures count: the resident memory, and the memory that instances were granted beyond their images and may touch
//! at any moment. The larger one is compared with the limit.
//!
//! Invariant: without `memory.process_limit` the limit is the cgroup's; without either there is no pressure.

use crate::policy::{Percent, Pressure};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
};

/// Bytes that the active instance of one executor was granted beyond its image.
#[derive(Clone, Default)]
pub(crate) struct Grant(Arc<AtomicU64>);

impl Grant {
    /// Sets the granted bytes.
    pub(crate) fn set(&self, bytes: u64) {
        self.0.store(bytes, Ordering::Relaxed);
    }
}

/// Memory of the process, against `memory.process_limit` or the cgroup's limit.
pub struct ProcessMemory {
    limit_bytes: Option<u64>,
    warn: Percent,
    critical: Percent,
    resident_bytes: AtomicU64,
    grants: Mutex<Vec<Grant>>,
    // Relaxed: each value is read on its own.
    pressure: AtomicU8,
    relievable: AtomicU8,
}

impl ProcessMemory {
    /// Measures against this limit in bytes, or against the cgroup's where it is `None`.
    #[must_use]
    pub fn new(limit_bytes: Option<u64>, warn: Percent, critical: Percent) -> Self {
        Self {
            limit_bytes: limit_bytes.or_else(cgroup_limit_bytes),
            warn,
            critical,
            resident_bytes: AtomicU64::new(0),
            grants: Mutex::default(),
            pressure: AtomicU8::new(0),
            relievable: AtomicU8::new(0),
        }
    }

    /// The limit in bytes; `None` if there is no limit.
    #[must_use]
    pub fn limit_bytes(&self) -> Option<u64> {
        self.limit_bytes
    }

    /// Private resident memory in bytes at the last sample.
    #[must_use]
    pub fn resident_bytes(&self) -> u64 {
        self.resident_bytes.load(Ordering::Relaxed)
    }

    /// Bytes that instances were granted beyond their images.
    #[must_use]
    pub fn granted_bytes(&self) -> u64 {
        let mut grants = self.grants.lock().unwrap_or_else(PoisonError::into_inner);
        // Drops the grants of executors that are gone, such as those of a replaced lane.
        grants.retain(|Grant(bytes)| Arc::strong_count(bytes) > 1);
        grants.iter().map(|Grant(bytes)| bytes.load(Ordering::Relaxed)).sum()
    }

    /// Registers an executor, whose grant counts until the returned handle is dropped.
    pub(crate) fn grant(&self) -> Grant {
        let mut grants = self.grants.lock().unwrap_or_else(PoisonError::into_inner);
        let grant = Grant::default();
        grants.push(grant.clone());
        grant
    }

    /// Pressure at the last sample.
    #[must_use]
    pub fn pressure(&self) -> Pressure {
        read(&self.pressure)
    }

    /// Pressure at the last sample as far as swaps can relieve it. If memory would be critical without anything that
    /// instances hold, swapping them would go on for ever and help nobody.
    #[must_use]
    pub fn relievable_pressure(&self) -> Pressure {
        read(&self.relievable)
    }

    /// Samples the resident memory and updates the pressure.
    pub fn sample(&self) {
        let Some(bytes) = private_resident_bytes() else { return };
        self.resident_bytes.store(bytes, Ordering::Relaxed);
        let granted_bytes = self.granted_bytes();
        let of = |used_bytes| {
            self.limit_bytes.map_or(Pressure::Calm, |limit_bytes| {
                Pressure::of(used_bytes, limit_bytes, self.warn, self.critical)
            })
        };
        let pressure = of(bytes.max(granted_bytes));
        let is_relievable = of(bytes.saturating_sub(granted_bytes)) < Pressure::Critical;
        let relievable = if is_relievable { pressure } else { pressure.min(Pressure::Warn) };
        self.pressure.store(pressure as u8, Ordering::Relaxed);
        self.relievable.store(relievable as u8, Ordering::Relaxed);
    }
}

fn read(pressure: &AtomicU8) -> Pressure {
    match pressure.load(Ordering::Relaxed) {
        0 => Pressure::Calm,
        1 => Pressure::Warn,
        _ => Pressure::Critical,
    }
}

/// The kernel's account of the process's memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rollup {
    /// `Rss`
    pub resident_bytes: u64,
    /// `Private_Dirty`
    pub private_dirty_bytes: u64,
    /// `Shared_Clean`, `Shared_Dirty` and `Private_Clean`: mapped from files and not written to.
    pub shared_bytes: u64,
}

impl Rollup {
    /// Reads `smaps_rollup` of proc(5). The kernel walks every mapping for it, so call this for scrapes, not for calls.
    #[must_use]
    pub fn read() -> Option<Self> {
        let text = fs::read_to_string("/proc/self/smaps_rollup").ok()?;
        let mut rollup = Self::default();
        for line in text.lines() {
            let Some((name, rest)) = line.split_once(':') else { continue };
            let kilobytes: u64 =
                rest.trim().strip_suffix(" kB").and_then(|kilobytes| kilobytes.parse().ok()).unwrap_or(0);
            match name {
                "Rss" => rollup.resident_bytes += kilobytes * 1024,
                "Private_Dirty" => rollup.private_dirty_bytes += kilobytes * 1024,
                "Shared_Clean" | "Shared_Dirty" | "Private_Clean" => rollup.shared_bytes += kilobytes * 1024,
                _ => {}
            }
        }
        Some(rollup)
    }
}

/// Returns the resident memory that is private to this process: field two minus field three of `statm`, proc(5). Pages
/// mapped from files, which include images, can be dropped and read again, so they do not count.
fn private_resident_bytes() -> Option<u64> {
    let statm = fs::read_to_string("/proc/self/statm").ok()?;
    let mut pages = statm.split(' ').skip(1).map_while(|field| field.parse::<u64>().ok());
    let (resident, shared) = (pages.next()?, pages.next()?);
    Some(resident.saturating_sub(shared) * rustix::param::page_size() as u64)
}

/// Returns the lowest limit among this process's cgroup and its ancestors: cgroups(7), version 2.
fn cgroup_limit_bytes() -> Option<u64> {
    let own = fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = own.lines().find_map(|line| line.strip_prefix("0::"))?;
    let root = Path::new("/sys/fs/cgroup");
    let own: PathBuf = root.join(path.trim_start_matches('/'));
    own.ancestors()
        .take_while(|group| group.starts_with(root))
        .filter_map(|group| fs::read_to_string(group.join("memory.max")).ok()?.trim().parse().ok())
        .min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn granted_memory_counts_before_it_is_touched() {
        let memory = ProcessMemory::new(Some(1 << 40), Percent::new(70), Percent::new(90));
        let (one, other) = (memory.grant(), memory.grant());
        one.set(1 << 39);
        other.set(1 << 39);
        memory.sample();
        assert_eq!((memory.granted_bytes(), memory.pressure()), (1 << 40, Pressure::Critical));
        drop(other);
        memory.sample();
        assert_eq!((memory.granted_bytes(), memory.pressure()), (1 << 39, Pressure::Calm));
    }

    #[test]
    fn only_what_instances_hold_can_be_relieved() {
        let sampled = |limit_bytes, granted_bytes| {
            let memory = ProcessMemory::new(Some(limit_bytes), Percent::new(70), Percent::new(90));
            let grant = memory.grant();
            grant.set(granted_bytes);
            memory.sample();
            (memory.pressure(), memory.relievable_pressure())
        };
        // Everything that is resident belongs to instances, or nothing does.
        assert_eq!(sampled(1 << 10, 1 << 50), (Pressure::Critical, Pressure::Critical));
        assert_eq!(sampled(1 << 10, 0), (Pressure::Critical, Pressure::Warn));
        assert_eq!(sampled(1 << 50, 0), (Pressure::Calm, Pressure::Calm));
    }

    #[test]
    fn the_pressure_follows_resident_memory() {
        let sampled = |limit_bytes| {
            let memory = ProcessMemory::new(Some(limit_bytes), Percent::new(70), Percent::new(90));
            memory.sample();
            (memory.pressure(), memory.resident_bytes())
        };
        let (calm, resident_bytes) = sampled(1 << 50);
        assert!(calm == Pressure::Calm && resident_bytes > 0);
        assert_eq!(sampled(1).0, Pressure::Critical);
    }
}
