//! Opens a directory of jobs.
//!
//! ```text
//! <directory>/lock              held by the process that has the jobs
//! <directory>/jobs.sqlite       the database, with `-wal` and `-shm` beside it
//! <directory>/bodies/           bodies and results that are too large for the database
//! ```
//!
//! Invariant: a database that is damaged, missing, of a newer version or sealed with another key is refused, and left as
//! it is. One of an older version is upgraded in one transaction. A new one appears under its name complete.

use super::{
    rows,
    schema::{self, DATABASE},
};
use crate::jobs::{JobError, StorageFault, seal::Seal};
use rusqlite::{Connection, OpenFlags, OptionalExtension as _};
use rustix::fs::{FlockOperation, Mode, OFlags};
use std::{
    fs::{self, DirBuilder, File},
    io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

/// Oldest version of SQLite that is used: earlier ones can damage a database in WAL mode.
const SQLITE_VERSION_MIN: i32 = 3_051_003;
/// How long a connection waits for another one.
const BUSY: Duration = Duration::from_secs(10);
/// Prepared statements that a connection keeps.
const STATEMENTS: usize = 64;
/// Name of the row of `meta` that only the right key opens.
const CHECK: &str = "key_check";

/// A directory that this process has locked.
pub(super) struct Directory {
    pub(super) path: PathBuf,
    pub(super) bodies: PathBuf,
    pub(super) lock: File,
}

impl Directory {
    /// Creates the directory if it is missing, and locks it.
    pub(super) fn lock(path: &Path) -> Result<Self, JobError> {
        let bodies = path.join("bodies");
        DirBuilder::new().recursive(true).mode(0o700).create(&bodies)?;
        if let Some(kind) = network_file_system(path)? {
            return Err(JobError::NetworkFileSystem { path: path.into(), kind });
        }
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let lock = rustix::fs::open(path.join("lock"), flags, Mode::from_raw_mode(0o600))
            .map_err(io::Error::from)?;
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { path: path.into(), bodies, lock: lock.into() }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(JobError::Locked(path.into())),
            Err(error) => Err(io::Error::from(error).into()),
        }
    }

    /// Opens the database, or creates it in a directory that has no jobs.
    pub(super) fn database(&self, seal: &Seal) -> Result<Connection, JobError> {
        if rusqlite::version_number() < SQLITE_VERSION_MIN {
            return Err(JobError::OldSqlite { found: rusqlite::version() });
        }
        let path = self.path.join(DATABASE);
        if !path.try_exists()? {
            let has_log = self.path.join(format!("{DATABASE}-wal")).metadata().is_ok_and(|log| log.len() > 0);
            if has_log || fs::read_dir(&self.bodies)?.next().is_some() {
                return Err(JobError::MissingDatabase(path));
            }
            self.create(&path, seal)?;
        }
        check(&path, seal).map_err(|error| in_database(error, &path))
    }

    /// A connection for reads.
    pub(super) fn reader(&self) -> Result<Connection, JobError> {
        let connection = connect(&self.path.join(DATABASE))?;
        connection.execute_batch("PRAGMA query_only = ON")?;
        Ok(connection)
    }

    fn create(&self, path: &Path, seal: &Seal) -> Result<(), JobError> {
        let new = self.path.join("jobs.new");
        for name in ["jobs.new", "jobs.new-journal"] {
            match fs::remove_file(self.path.join(name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
                _ => {}
            }
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        drop(rustix::fs::open(&new, flags, Mode::from_raw_mode(0o600)).map_err(io::Error::from)?);
        let connection = connect(&new)?;
        connection.execute_batch(&format!(
            "BEGIN; {} PRAGMA application_id = {}; PRAGMA user_version = {};",
            schema::STEPS.concat(),
            schema::APPLICATION_ID,
            schema::VERSION
        ))?;
        connection.execute("INSERT INTO meta (name, value) VALUES (?1, ?2)", (CHECK, seal.check_value()))?;
        connection.execute_batch("COMMIT")?;
        connection.close().map_err(|(_, error)| error)?;
        File::open(&new)?.sync_all()?;
        fs::rename(&new, path)?;
        File::open(&self.path)?.sync_all()?;
        // The directory itself may be new.
        if let Some(parent) = self.path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            File::open(parent)?.sync_all()?;
        }
        Ok(())
    }
}

fn connect(path: &Path) -> Result<Connection, JobError> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.execute_batch(schema::CONNECTION)?;
    Ok(connection)
}

/// Opens a database that exists, and checks everything about it.
fn check(path: &Path, seal: &Seal) -> Result<Connection, JobError> {
    let corrupt = |reason: String| JobError::Corrupt { path: path.into(), reason };
    // SQLite takes an empty file for an empty database.
    if path.metadata()?.len() == 0 {
        return Err(corrupt("it is empty".into()));
    }
    let connection = connect(path)?;
    let number =
        |pragma: &str| connection.query_row(&format!("PRAGMA {pragma}"), [], |row| row.get::<_, i64>(0));
    if number("application_id")? != schema::APPLICATION_ID {
        return Err(corrupt("it is not a database of jobs".into()));
    }
    let found = number("user_version")?;
    if !(1..=schema::VERSION).contains(&found) {
        return Err(JobError::UnknownVersion { path: path.into(), found, expected: schema::VERSION });
    }
    let state: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if state != "ok" {
        return Err(corrupt(state));
    }
    let mut query = connection.prepare("SELECT value FROM meta WHERE name = ?1")?;
    let value: Option<Vec<u8>> = query.query_row([CHECK], |row| row.get(0)).optional()?;
    drop(query);
    if !seal.opens(&value.ok_or_else(|| corrupt("the check of its key is missing".into()))?) {
        return Err(JobError::WrongKey(path.into()));
    }
    let mode: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    if mode != "wal" {
        let reason = format!("its journal mode is `{mode}`, not `wal`");
        return Err(JobError::Storage { fault: StorageFault::Database, reason });
    }
    upgrade(&connection, found)?;
    Ok(connection)
}

/// Makes the newest version of a database that has an older one.
fn upgrade(connection: &Connection, found: i64) -> Result<(), JobError> {
    let done = usize::try_from(found).unwrap_or_default();
    let steps = schema::STEPS[done.min(schema::STEPS.len())..].concat();
    if steps.is_empty() {
        return Ok(());
    }
    tracing::info!(from = found, to = schema::VERSION, "the database of the jobs is upgraded");
    let version = schema::VERSION;
    // If a statement fails, the connection is closed, which undoes the others.
    Ok(connection
        .execute_batch(&format!("BEGIN IMMEDIATE; {steps} PRAGMA user_version = {version}; COMMIT"))?)
}

/// Names the database in an error that does not know which one it is about.
fn in_database(error: JobError, path: &Path) -> JobError {
    match error {
        JobError::Corrupt { reason, .. } => JobError::Corrupt { path: path.into(), reason },
        // A damaged schema is an error of the statement that is prepared.
        JobError::Storage { fault: StorageFault::Database, reason } => {
            JobError::Corrupt { path: path.into(), reason }
        }
        error => error,
    }
}

/// Returns the kind of a file system that is reached over the network; `None` if it is not known to be one.
pub(crate) fn network_file_system(path: &Path) -> Result<Option<&'static str>, JobError> {
    let status = rustix::fs::statfs(path).map_err(io::Error::from)?;
    // The kernel's numbers have 32 bits; the type of the field differs between architectures.
    Ok(kind_of(status.f_type as u32))
}

fn kind_of(magic: u32) -> Option<&'static str> {
    match magic {
        0x0000_6969 => Some("NFS"),
        0x0000_517b => Some("SMB"),
        0xff53_4d42 => Some("CIFS"),
        0xfe53_4d42 => Some("SMB2"),
        0x00c3_6400 => Some("Ceph"),
        0x5346_414f => Some("AFS"),
        0x7375_7245 => Some("Coda"),
        0x0bd0_0bd0 => Some("Lustre"),
        0x0116_1970 => Some("GFS2"),
        0x7461_636f => Some("OCFS2"),
        _ => None,
    }
}

/// Removes files that no row names, and returns how many.
pub(super) fn remove_orphans(
    connection: &Connection,
    bodies: &super::bodies::Bodies,
    suspects: &[String],
) -> Result<u64, JobError> {
    let mut removed = 0;
    for name in suspects {
        if !super::read::is_named(connection, name)? {
            bodies.remove(name)?;
            removed += 1;
        }
    }
    Ok(removed)
}

/// Reads every row once, so that one that cannot be read is found now and not when its turn comes.
pub(super) fn read_all(connection: &Connection, path: &Path) -> Result<(), JobError> {
    let mut query = connection.prepare("SELECT * FROM job")?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next().map_err(|error| in_database(error.into(), path))? {
        rows::record(row).map_err(|error| in_database(error.into(), path))?;
    }
    let mut query = connection.prepare("SELECT * FROM delivery")?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next().map_err(|error| in_database(error.into(), path))? {
        rows::delivery(row).map_err(|error| in_database(error.into(), path))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_systems_of_the_network_are_known() {
        assert_eq!(kind_of(0x6969), Some("NFS"));
        assert_eq!(kind_of(0xff53_4d42), Some("CIFS"));
        assert_eq!(kind_of(0xef53), None, "ext4");
        assert_eq!(kind_of(0x0102_1994), None, "tmpfs");
    }
}
