//! The identity of a file, as the running kernel tells it. If the identity of a file that was hashed is still the same,
//! so are its bytes:
//!
//! - Everything that changes the bytes, the owner, the mode or the names of a file sets its change time to the clock of
//!   the kernel. No call sets it to a time that the caller chooses.
//! - Nobody had the file open or mapped for writing when it was hashed, so every change begins after that.
//! - The change time was older then than the clock's resolution, so a later change cannot have the same one.
//! - It is the same boot, so no change was made behind the kernel's back or lost in a crash.
//!
//! What this does not see: the superuser who sets the clock back or writes to the disk beneath the file system, and a
//! disk that returns other bytes than were written.
//!
//! Invariant: no identity is recorded where one of these points does not hold.

use crate::{Error, lease::is_written_by_nobody};
use rustix::fs::{fstatfs, fstatvfs};
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt,
    time::{Duration, SystemTime},
};

/// File systems of this machine that set the change time at every write, through mappings too. A tmpfs does not do so for
/// writes through mappings. Source: statfs(2).
const TRUSTED: [(u64, &str); 4] =
    [(0xef53, "ext4"), (0x5846_5342, "xfs"), (0x9123_683e, "btrfs"), (0xf2f5_2010, "f2fs")];
/// How old a change time has to be. Linux takes it from a clock that ticks at least every ten milliseconds, and some file
/// systems round it to seconds.
const SETTLED: Duration = Duration::from_secs(2);
/// Permission bits with which anybody can write.
const WRITABLE: u32 = 0o222;

/// What the kernel says about a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileIdentity {
    /// Identifies the boot, during which the rest has a meaning.
    boot: String,
    /// Identifies the file system beside its device, whose number may be used again.
    file_system: u64,
    file_system_type: u64,
    device: u64,
    inode: u64,
    links: u64,
    owner: u32,
    mode: u32,
    bytes: u64,
    changed_seconds: i64,
    changed_nanoseconds: i64,
}

/// Why the identity of a file cannot stand for its bytes.
#[derive(Debug, thiserror::Error)]
pub enum Unrecorded {
    /// A write a moment ago and the next one could have the same change time.
    #[error("the file changed less than {SETTLED:?} ago, or its change time lies ahead")]
    TooNew {
        /// After this time, the change time is old enough.
        wait: Duration,
    },
    /// The change time may stay the same when the bytes change.
    #[error("its file system (type {0:#x}) is none of ext4, xfs, btrfs and f2fs")]
    FileSystem(u64),
    /// The change time is too coarse.
    #[error("its file system keeps change times in whole seconds")]
    WholeSeconds,
    /// Somebody may open it for writing.
    #[error("its mode lets somebody write into it")]
    Writable,
    /// Somebody writes, and may go on.
    #[error("somebody has it open or mapped for writing")]
    OpenForWriting,
    /// It was changed meanwhile.
    #[error("it changed while it was hashed")]
    Changed,
    /// The kernel gives no answer.
    #[error(transparent)]
    Kernel(#[from] io::Error),
    /// The record cannot be written.
    #[error(transparent)]
    Record(#[from] Error),
}

impl FileIdentity {
    /// Asks the kernel about an open file.
    ///
    /// # Errors
    /// Returns an error if the kernel gives no answer.
    pub(crate) fn of(file: &File) -> io::Result<Self> {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
        let metadata = file.metadata()?;
        Ok(Self {
            boot: boot.trim().into(),
            file_system: fstatvfs(file)?.f_fsid,
            file_system_type: fstatfs(file)?.f_type as u64,
            device: metadata.dev(),
            inode: metadata.ino(),
            links: metadata.nlink(),
            owner: metadata.uid(),
            mode: metadata.mode(),
            bytes: metadata.len(),
            changed_seconds: metadata.ctime(),
            changed_nanoseconds: metadata.ctime_nsec(),
        })
    }

    /// Names what differs between both.
    pub(crate) fn differences(&self, other: &Self) -> Vec<&'static str> {
        let changed = |identity: &Self| (identity.changed_seconds, identity.changed_nanoseconds);
        let system = |identity: &Self| (identity.file_system, identity.file_system_type);
        let differs = [
            ("boot", self.boot != other.boot),
            ("file system", system(self) != system(other)),
            ("device", self.device != other.device),
            ("inode", self.inode != other.inode),
            ("links", self.links != other.links),
            ("owner", self.owner != other.owner),
            ("mode", self.mode != other.mode),
            ("size", self.bytes != other.bytes),
            ("change time", changed(self) != changed(other)),
        ];
        differs.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name).collect()
    }

    /// Checks, before the file is hashed, that its identity will stand for its bytes afterwards. What was written is on
    /// disk then.
    pub(crate) fn check(&self, file: &File, now: SystemTime) -> Result<(), Unrecorded> {
        if !TRUSTED.iter().any(|(kind, _)| *kind == self.file_system_type) {
            return Err(Unrecorded::FileSystem(self.file_system_type));
        }
        if self.mode & WRITABLE != 0 {
            return Err(Unrecorded::Writable);
        }
        if self.changed_nanoseconds == 0 {
            return Err(Unrecorded::WholeSeconds);
        }
        let wait = (self.changed() + SETTLED).duration_since(now).unwrap_or_default();
        if !wait.is_zero() {
            return Err(Unrecorded::TooNew { wait });
        }
        if !is_written_by_nobody(file)? {
            return Err(Unrecorded::OpenForWriting);
        }
        Ok(file.sync_all()?)
    }

    fn changed(&self) -> SystemTime {
        let since = |number: i64| u64::try_from(number).unwrap_or(0);
        let nanoseconds = Duration::from_nanos(since(self.changed_nanoseconds));
        SystemTime::UNIX_EPOCH + Duration::from_secs(since(self.changed_seconds)) + nanoseconds
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed() -> (tempfile::TempDir, File, FileIdentity) {
        let dir = tempfile::tempdir().expect("a directory");
        crate::Dir::open(dir.path()).expect("opened").publish("file", b"bytes").expect("written");
        let file = File::open(dir.path().join("file")).expect("readable");
        let identity = FileIdentity::of(&file).expect("told");
        (dir, file, identity)
    }

    #[test]
    fn a_change_time_has_to_be_older_than_the_clock_can_tell() {
        let (_dir, file, identity) = sealed();
        let at = |after: Duration| identity.check(&file, identity.changed() + after);
        for early in [Duration::ZERO, SETTLED / 2, SETTLED - Duration::from_nanos(1)] {
            let refused = at(early);
            assert!(matches!(refused, Err(Unrecorded::TooNew { wait }) if wait == SETTLED - early));
        }
        // The clock was set back after the write.
        let back = identity.check(&file, identity.changed() - SETTLED);
        assert!(matches!(back, Err(Unrecorded::TooNew { wait }) if wait == 2 * SETTLED), "{back:?}");
        at(SETTLED).expect("old enough");
    }

    #[test]
    fn only_file_systems_and_modes_that_are_known_to_hold_are_recorded() {
        let (_dir, file, identity) = sealed();
        let later = identity.changed() + SETTLED;
        let nfs = FileIdentity { file_system_type: 0x6969, ..identity.clone() };
        assert!(matches!(nfs.check(&file, later), Err(Unrecorded::FileSystem(0x6969))));
        let coarse = FileIdentity { changed_nanoseconds: 0, ..identity.clone() };
        assert!(matches!(coarse.check(&file, later), Err(Unrecorded::WholeSeconds)));
        let writable = FileIdentity { mode: 0o100_600, ..identity };
        assert!(matches!(writable.check(&file, later), Err(Unrecorded::Writable)));
    }

    #[test]
    fn every_field_is_compared_and_named() {
        let (_dir, file, identity) = sealed();
        assert_eq!(FileIdentity::of(&file).expect("told").differences(&identity), [""; 0]);
        let json = serde_json::to_value(&identity).expect("plain");
        for key in json.as_object().expect("fields").keys() {
            let mut other = json.clone();
            other[key] = if key == "boot" { "another".into() } else { 4242.into() };
            let other: FileIdentity = serde_json::from_value(other).expect("the same fields");
            assert_eq!(identity.differences(&other).len(), 1, "{key}");
        }
    }
}
