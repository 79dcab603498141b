//! Checks the disk of the state directory: what it is, its room, whether it syncs, whether files appear complete.
//!
//! Invariant: everything is written into the scratch directory and nowhere else.

use super::{
    check::Check,
    scratch::{Scratch, nearest_dir},
};
use crate::jobs::network_file_system;
use bytesize::ByteSize;
use rustix::fs::{statfs, statvfs};
use snapback_snapshot::Dir;
use std::{
    fs::File,
    io::{self, Write as _},
    path::Path,
    time::{Duration, Instant},
};

/// Writes that are synced to measure a disk.
const SYNCS: usize = 16;
/// Size of such a write in bytes.
const WRITE_BYTES: usize = 4096;
/// Time of a sync above which accepting jobs becomes slow: one sync stores a batch of them.
const SYNC_MAX: Duration = Duration::from_millis(50);
/// Time of a sync below which no medium was reached.
const SYNC_MIN: Duration = Duration::from_micros(15);
/// Room for the image and native code of one more large guest, in bytes.
const BYTES_WANTED: u64 = 2 << 30;
/// Room below which the database of jobs and the smallest bakes fail, in bytes.
const BYTES_NEEDED: u64 = 64 << 20;
/// Files that a server may create soon.
const FILES_WANTED: u64 = 1000;

/// Makes the checks of this family.
pub(super) fn checks(state_dir: &Path, scratch: Option<&Scratch>) -> Vec<Check> {
    let place = nearest_dir(state_dir);
    let mut checks = vec![file_system(&place), space(&place)];
    // A disk elsewhere says nothing about this one.
    if let Some(scratch) = scratch.filter(|scratch| scratch.elsewhere().is_none()) {
        checks.push(sync(&sync_times(scratch.path())));
        checks.push(names(publish(scratch.path())));
    }
    checks
}

/// Names the file systems that are common under a state directory: `linux/magic.h`.
fn local_file_system(magic: u32) -> Option<&'static str> {
    match magic {
        0x0000_ef53 => Some("ext4"),
        0x5846_5342 => Some("XFS"),
        0x9123_683e => Some("Btrfs"),
        0x2fc1_2fc1 => Some("ZFS"),
        0xf2f5_2010 => Some("F2FS"),
        0xca45_1a4e => Some("bcachefs"),
        0x794c_7630 => Some("overlay"),
        0x6573_5546 => Some("FUSE"),
        0x0102_1994 => Some("tmpfs"),
        0x8584_58f6 => Some("ramfs"),
        _ => None,
    }
}

fn file_system(place: &Path) -> Check {
    match (network_file_system(place), statfs(place)) {
        // The kernel's numbers have 32 bits; the type of the field differs between architectures.
        (Ok(network), Ok(status)) => file_system_of(network, status.f_type as u32),
        (Err(error), _) => Check::warning("disk.file_system", format!("unknown: {error}"), LOCAL_DISK),
        (_, Err(error)) => Check::warning("disk.file_system", format!("unknown: {error}"), LOCAL_DISK),
    }
}

const LOCAL_DISK: &str = "keep `state_dir` on a local disk";

fn file_system_of(network: Option<&str>, magic: u32) -> Check {
    let name = "disk.file_system";
    if let Some(kind) = network {
        let found = format!("{kind}, a network file system: jobs are refused on it");
        return Check::error(name, found, LOCAL_DISK);
    }
    match local_file_system(magic) {
        Some(kind @ ("tmpfs" | "ramfs")) => Check::warning(
            name,
            format!("{kind}, which is memory"),
            "keep `state_dir` on a disk: images, circuits and jobs are lost when the machine stops",
        ),
        Some(kind @ "FUSE") => Check::warning(
            name,
            format!("{kind}, whose program decides what a sync and a lock mean"),
            LOCAL_DISK,
        ),
        Some(kind) => Check::ok(name, kind),
        None => Check::ok(name, format!("type {magic:#x}")),
    }
}

fn space(place: &Path) -> Check {
    match statvfs(place) {
        Ok(status) => {
            // File systems without a fixed number of files report none at all.
            let files = Some(status.f_favail).filter(|_| status.f_files > 0);
            space_of(status.f_bavail.saturating_mul(status.f_frsize), files)
        }
        Err(error) => Check::warning("disk.space", format!("unknown: {error}"), LOCAL_DISK),
    }
}

fn space_of(bytes: u64, files: Option<u64>) -> Check {
    let name = "disk.space";
    let advice = "make room: an image of a large guest takes up to 1 GB with its native code, and jobs up to \
                  `jobs.kept_bytes_max`";
    let room = ByteSize(bytes).display().iec().to_string();
    match files {
        Some(files) if files < FILES_WANTED => {
            Check::warning(name, format!("{room}, and only {files} files"), advice)
        }
        _ if bytes < BYTES_NEEDED => Check::error(name, room, advice),
        _ if bytes < BYTES_WANTED => Check::warning(name, room, advice),
        _ => Check::ok(name, room),
    }
}

/// Appends to a file, syncs it after each write, and returns how long each sync took, in order of length.
fn sync_times(dir: &Path) -> io::Result<Vec<Duration>> {
    let mut file = File::create_new(dir.join("sync"))?;
    let mut times = (0..SYNCS)
        .map(|_| {
            file.write_all(&[0x5a; WRITE_BYTES])?;
            let begun = Instant::now();
            file.sync_all()?;
            Ok(begun.elapsed())
        })
        .collect::<io::Result<Vec<_>>>()?;
    times.sort_unstable();
    Ok(times)
}

fn sync(times: &io::Result<Vec<Duration>>) -> Check {
    let name = "disk.sync";
    let times = match times {
        Ok(times) => times,
        Err(error) => {
            let found = format!("a file cannot be written and synced: {error}");
            return Check::error(name, found, "repair or replace the disk of `state_dir`");
        }
    };
    let at = |index: usize| times.get(index).copied().unwrap_or_default();
    let (median, longest) = (at(times.len() / 2), at(times.len().saturating_sub(1)));
    let ms = |time: Duration| format!("{:.2} ms", time.as_secs_f64() * 1e3);
    let found = format!("{} in the middle, {} at most, of {SYNCS} syncs", ms(median), ms(longest));
    if median < SYNC_MIN {
        Check::warning(
            name,
            format!("{found}: too fast to have reached a disk"),
            "let the disk honour syncs (mount option barrier, cache mode of the virtual disk): jobs that were accepted \
             may be lost in a power failure",
        )
    } else if median > SYNC_MAX {
        Check::warning(
            name,
            found,
            "take a faster disk, or one with a protected cache: each batch of jobs waits for a sync",
        )
    } else {
        Check::ok(name, found)
    }
}

/// Does with files what the server does: publishes them complete under new and taken names, and locks one.
fn publish(dir: &Path) -> Result<(), String> {
    let run = || {
        let dir = Dir::open_private(&dir.join("names"))?;
        dir.publish("renamed", b"old")?;
        dir.publish("renamed", b"new")?;
        dir.publish_new("linked", b"first")?;
        dir.publish_new("linked", b"second")?;
        let lock = dir.lock("lock")?.is_some();
        Ok((dir.read("renamed", 16)?, dir.read("linked", 16)?, lock))
    };
    match run().map_err(|error: snapback_snapshot::Error| error.to_string())? {
        (Some(renamed), Some(linked), true) if renamed == b"new" && linked == b"first" => Ok(()),
        (_, _, false) => Err("a file that nobody else has cannot be locked".into()),
        _ => Err("a file does not have the contents that were published under its name".into()),
    }
}

fn names(published: Result<(), String>) -> Check {
    let name = "disk.names";
    match published {
        Ok(()) => Check::ok(name, "files are renamed, linked and locked"),
        Err(error) => Check::error(
            name,
            error,
            "keep `state_dir` on a file system with hard links, locks and renames that replace: a local disk",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::check::Verdict, *};

    #[test]
    fn file_systems_are_told_by_their_numbers() {
        let verdict = |network, magic| file_system_of(network, magic).verdict();
        assert_eq!(file_system_of(None, 0xef53).found(), "ext4");
        assert_eq!(verdict(None, 0x5846_5342), Verdict::Ok);
        assert_eq!(verdict(None, 0x0102_1994), Verdict::Warning);
        assert_eq!(verdict(None, 0x6573_5546), Verdict::Warning);
        assert_eq!(verdict(Some("NFS"), 0x6969), Verdict::Error);
        assert_eq!(file_system_of(None, 0x1234_5678).found(), "type 0x12345678");
    }

    #[test]
    fn a_full_disk_is_an_error_and_a_small_one_a_warning() {
        assert_eq!(space_of(BYTES_NEEDED - 1, None).verdict(), Verdict::Error);
        assert_eq!(space_of(BYTES_WANTED - 1, None).verdict(), Verdict::Warning);
        assert_eq!(space_of(BYTES_WANTED, Some(FILES_WANTED)).verdict(), Verdict::Ok);
        assert_eq!(space_of(BYTES_WANTED, Some(1)).verdict(), Verdict::Warning);
    }

    #[test]
    fn syncs_that_are_too_fast_or_too_slow_are_warnings() {
        let verdict = |micros| sync(&Ok(vec![Duration::from_micros(micros); SYNCS])).verdict();
        assert_eq!([1, 200, 5000, 200_000].map(verdict), {
            use Verdict::{Ok, Warning};
            [Warning, Ok, Ok, Warning]
        });
        assert_eq!(sync(&Err(io::ErrorKind::StorageFull.into())).verdict(), Verdict::Error);
    }

    #[test]
    fn a_directory_of_tests_can_do_all_of_it() {
        let dir = tempfile::tempdir().expect("a directory");
        assert_eq!(publish(dir.path()), Ok(()));
        let times = sync_times(dir.path()).expect("written");
        assert!(times.len() == SYNCS && times.is_sorted());
        let missing = dir.path().join("missing");
        assert!(sync_times(&missing).is_err());
    }
}
