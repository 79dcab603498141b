//! The file of keys and tenants.
//!
//! Invariant: the file is replaced whole, under a lock, and only its owner can read or write it. A file that others can
//! write is not read: they could give themselves keys.

use super::{
    AccessError, Fingerprint, KeyId, NewKey, Role,
    record::{Credential, KeyRecord, TenantRecord, now},
};
use crate::ids::Tenant;
use rustix::fs::{self, FileType, FlockOperation, Mode, OFlags};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs::{DirBuilder, File},
    io::{self, Read as _, Write as _},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

const FORMAT_VERSION: u32 = 1;
/// Most keys, those that are no longer accepted included.
const KEYS_MAX: usize = 10_000;
/// Longest file that is read, in bytes: room for that many keys.
const BYTES_MAX: u64 = 16 << 20;
/// How long a key that is no longer accepted stays in lists, in seconds.
const FORGOTTEN_AFTER: u64 = 90 * 24 * 60 * 60;

/// Keys and tenants, as the file keeps them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyFile {
    format_version: u32,
    /// Every key.
    pub keys: Vec<KeyRecord>,
    /// The tenants with quotas of their own.
    #[serde(default)]
    pub tenants: BTreeMap<Tenant, TenantRecord>,
}

impl Default for KeyFile {
    fn default() -> Self {
        Self { format_version: FORMAT_VERSION, keys: Vec::new(), tenants: BTreeMap::new() }
    }
}

/// What tells one version of the file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    inode: u64,
    bytes: i64,
    changed: (i64, i64),
}

impl KeyFile {
    /// Reads the file. One that does not exist has no keys.
    ///
    /// # Errors
    /// Returns an error if it cannot be read, others than its owner can use it, or it is malformed.
    pub fn read(path: &Path) -> Result<Self, AccessError> {
        Ok(Self::open(path)?.map(|(file, _)| file).unwrap_or_default())
    }

    /// Reads the file, and what tells this version from the next.
    pub(super) fn open(path: &Path) -> Result<Option<(Self, Stamp)>, AccessError> {
        let io = |action| move |source| AccessError::Io { action, path: path.into(), source };
        let refused = |reason: String| AccessError::Refused { path: path.into(), reason };
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = match fs::open(path, flags, Mode::empty()) {
            Err(rustix::io::Errno::NOENT) => return Ok(None),
            opened => File::from(opened.map_err(io::Error::from).map_err(io("open"))?),
        };
        let status = fs::fstat(&file).map_err(io::Error::from).map_err(io("read"))?;
        if FileType::from_raw_mode(status.st_mode) != FileType::RegularFile {
            return Err(refused("it is not a regular file".into()));
        }
        if status.st_mode & 0o077 != 0 {
            return Err(refused(format!(
                "others than its owner can use it (mode {:o}): chmod 600",
                status.st_mode & 0o777
            )));
        }
        let mut text = String::new();
        file.take(BYTES_MAX + 1).read_to_string(&mut text).map_err(io("read"))?;
        if text.len() as u64 > BYTES_MAX {
            return Err(refused(format!("it is longer than {BYTES_MAX} bytes")));
        }
        let malformed = |error: serde_json::Error| {
            refused(format!("line {}, column {} is not that of a file of keys", error.line(), error.column()))
        };
        let parsed: Self = serde_json::from_str(&text).map_err(malformed)?;
        if parsed.format_version != FORMAT_VERSION {
            return Err(refused(format!(
                "it has format {}, and this program {FORMAT_VERSION}",
                parsed.format_version
            )));
        }
        Ok(Some((parsed, Stamp::of(&status))))
    }

    /// Changes the file, and creates it and its directory if they are missing.
    ///
    /// # Errors
    /// Returns an error if it cannot be read or written, or what `change` returns; then nothing changes.
    pub fn update<T>(
        path: &Path,
        change: impl FnOnce(&mut Self) -> Result<T, AccessError>,
    ) -> Result<T, AccessError> {
        let io = |action| move |source| AccessError::Io { action, path: path.into(), source };
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(parent)
            .map_err(io("create the directory of"))?;
        let directory = File::open(parent).map_err(io("open the directory of"))?;
        // Held until the end of this function.
        fs::flock(&directory, FlockOperation::LockExclusive).map_err(io::Error::from).map_err(io("lock"))?;
        let mut file = Self::read(path)?;
        let result = change(&mut file)?;
        let now = now();
        file.keys
            .retain(|key| key.ended(now).is_none_or(|ended| ended.saturating_add(FORGOTTEN_AFTER) > now));
        file.write(path).map_err(io("write"))?;
        directory.sync_all().map_err(io("write"))?;
        Ok(result)
    }

    fn write(&self, path: &Path) -> io::Result<()> {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".new-{}", std::process::id()));
        let temporary = PathBuf::from(name);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = File::from(fs::open(&temporary, flags, Mode::from_raw_mode(0o600))?);
        let mut text = serde_json::to_vec_pretty(self)?;
        text.push(b'\n');
        file.write_all(&text)?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)
    }

    /// Adds a key whose text shows that a caller has it, and returns it.
    ///
    /// # Errors
    /// Returns an error if there are too many.
    pub fn create(
        &mut self,
        tenant: Tenant,
        role: Role,
        label: Option<String>,
        expires: Option<u64>,
    ) -> Result<NewKey, AccessError> {
        let key = NewKey::generate();
        self.add(key.id, tenant, role, Credential::Secret(key.hash()), label, expires)?;
        Ok(key)
    }

    /// Adds a key that a client's certificate stands for.
    ///
    /// # Errors
    /// Returns an error if there are too many, or another key has the certificate.
    pub fn create_for_certificate(
        &mut self,
        tenant: Tenant,
        role: Role,
        certificate: Fingerprint,
        label: Option<String>,
        expires: Option<u64>,
    ) -> Result<KeyId, AccessError> {
        let credential = Credential::Certificate(certificate);
        let is_same = |key: &&KeyRecord| key.credential == credential && key.ended(now()).is_none();
        if let Some(key) = self.keys.iter().find(is_same) {
            return Err(AccessError::CertificateTaken(key.id));
        }
        let id = NewKey::generate().id;
        self.add(id, tenant, role, credential, label, expires)?;
        Ok(id)
    }

    fn add(
        &mut self,
        id: KeyId,
        tenant: Tenant,
        role: Role,
        credential: Credential,
        label: Option<String>,
        expires: Option<u64>,
    ) -> Result<(), AccessError> {
        if self.keys.len() >= KEYS_MAX {
            return Err(AccessError::TooMany(self.keys.len()));
        }
        let record =
            KeyRecord { id, tenant, role, credential, label, created: now(), expires, revoked: None };
        self.keys.push(record);
        Ok(())
    }

    /// Revokes a key. One that was revoked before stays so.
    ///
    /// # Errors
    /// Returns an error if there is no such key.
    pub fn revoke(&mut self, id: KeyId) -> Result<(), AccessError> {
        let key = self.keys.iter_mut().find(|key| key.id == id).ok_or(AccessError::NoSuchKey(id))?;
        key.revoked.get_or_insert_with(now);
        Ok(())
    }
}

impl Stamp {
    /// Returns that of the file at a path; `None` if there is none.
    pub(super) fn at(path: &Path) -> Option<Self> {
        fs::stat(path).ok().as_ref().map(Self::of)
    }

    fn of(status: &fs::Stat) -> Self {
        Self {
            inode: status.st_ino,
            bytes: status.st_size,
            #[expect(clippy::unnecessary_cast, reason = "the types differ between architectures")]
            changed: (status.st_ctime as i64, status.st_ctime_nsec as i64),
        }
    }
}
