//! The memory of the process as a whole, against what it may have.
//!
//! Two figures count: what is resident, and what instances were granted beyond their images, which they may touch
//! at any moment. The larger one is held against the limit.
//!
//! Invariant: a limit that is not set is the cgroup's; where there is none either, there is no pressure.

use crate::{policy::Percent, pressure::Pressure};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
};

/// What one place for instances was granted beyond its image.
#[derive(Clone, Default)]
pub(crate) struct Grant(Arc<AtomicU64>);

impl Grant {
    /// It is that much now.
    pub(crate) fn is(&self, bytes: u64) {
        self.0.store(bytes, Ordering::Relaxed);
    }
}

/// How full the process's memory is, against `memory.process_limit` or the cgroup's limit.
pub struct ProcessMemory {
    limit_bytes: Option<u64>,
    warn: Percent,
    critical: Percent,
    resident_bytes: AtomicU64,
    grants: Mutex<Vec<Grant>>,
    // Relaxed: each stands for itself.
    pressure: AtomicU8,
}

impl ProcessMemory {
    /// Against this limit, or the cgroup's.
    #[must_use]
    pub fn new(limit_bytes: Option<u64>, warn: Percent, critical: Percent) -> Self {
        Self {
            limit_bytes: limit_bytes.or_else(cgroup_limit_bytes),
            warn,
            critical,
            resident_bytes: AtomicU64::new(0),
            grants: Mutex::default(),
            pressure: AtomicU8::new(0),
        }
    }

    /// What it may be; none where nobody limits it.
    #[must_use]
    pub fn limit_bytes(&self) -> Option<u64> {
        self.limit_bytes
    }

    /// What it was when it was last looked at.
    #[must_use]
    pub fn resident_bytes(&self) -> u64 {
        self.resident_bytes.load(Ordering::Relaxed)
    }

    /// What instances were granted beyond their images.
    #[must_use]
    pub fn granted_bytes(&self) -> u64 {
        let mut grants = self.grants.lock().unwrap_or_else(PoisonError::into_inner);
        // Those of lanes that were replaced.
        grants.retain(|Grant(bytes)| Arc::strong_count(bytes) > 1);
        grants.iter().map(|Grant(bytes)| bytes.load(Ordering::Relaxed)).sum()
    }

    /// A place for instances that counts from now on, until it is dropped.
    pub(crate) fn grant(&self) -> Grant {
        let mut grants = self.grants.lock().unwrap_or_else(PoisonError::into_inner);
        let grant = Grant::default();
        grants.push(grant.clone());
        grant
    }

    pub(crate) fn pressure(&self) -> Pressure {
        match self.pressure.load(Ordering::Relaxed) {
            0 => Pressure::Calm,
            1 => Pressure::Warn,
            _ => Pressure::Critical,
        }
    }

    /// Looks.
    pub(crate) fn look(&self) {
        let Some(bytes) = private_resident_bytes() else { return };
        self.resident_bytes.store(bytes, Ordering::Relaxed);
        let used_bytes = bytes.max(self.granted_bytes());
        let pressure = self.limit_bytes.map_or(Pressure::Calm, |limit_bytes| {
            Pressure::of(used_bytes, limit_bytes, self.warn, self.critical)
        });
        self.pressure.store(pressure as u8, Ordering::Relaxed);
    }
}

/// What the kernel says of the process's memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rollup {
    /// `Rss`
    pub resident_bytes: u64,
    /// `Private_Dirty`
    pub private_dirty_bytes: u64,
    /// `Shared_Clean` and `Shared_Dirty`, and `Private_Clean`: what is mapped from files and was not written to.
    pub shared_bytes: u64,
}

impl Rollup {
    /// Reads proc(5), `smaps_rollup`; walks every mapping, so this is for scrapes and not for calls.
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

/// Resident memory of this process that is its own: proc(5), `statm`, the second field without the third. What
/// is mapped from files, images among it, can be read again and counts for nobody.
fn private_resident_bytes() -> Option<u64> {
    let statm = fs::read_to_string("/proc/self/statm").ok()?;
    let mut pages = statm.split(' ').skip(1).map_while(|field| field.parse::<u64>().ok());
    let (resident, shared) = (pages.next()?, pages.next()?);
    Some(resident.saturating_sub(shared) * rustix::param::page_size() as u64)
}

/// The least of the limits on this process's cgroup and those above it: cgroups(7), version 2.
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
    fn what_was_granted_counts_before_it_is_touched() {
        let memory = ProcessMemory::new(Some(1 << 40), Percent::new(70), Percent::new(90));
        let (one, other) = (memory.grant(), memory.grant());
        one.is(1 << 39);
        other.is(1 << 39);
        memory.look();
        assert_eq!((memory.granted_bytes(), memory.pressure()), (1 << 40, Pressure::Critical));
        drop(other);
        memory.look();
        assert_eq!((memory.granted_bytes(), memory.pressure()), (1 << 39, Pressure::Calm));
    }

    #[test]
    fn the_pressure_on_the_process_follows_what_is_resident() {
        let look = |limit_bytes| {
            let memory = ProcessMemory::new(Some(limit_bytes), Percent::new(70), Percent::new(90));
            memory.look();
            (memory.pressure(), memory.resident_bytes())
        };
        let (calm, resident_bytes) = look(1 << 50);
        assert!(calm == Pressure::Calm && resident_bytes > 0);
        assert_eq!(look(1).0, Pressure::Critical);
    }
}
