//! Hashes native code again after it was mapped, while calls run already, and records its identity for the next start.
//!
//! Invariant: an identity is recorded only of a file that had it before and after it was hashed, and whose digest is the
//! recorded one.

use crate::{
    Error,
    digest::NativeDigest,
    dir::Dir,
    identity::{FileIdentity, Unrecorded},
    native_record::Subject,
};
use std::{fs::File, path::PathBuf, time::SystemTime};

/// Native code that was mapped, and that is still to be hashed away from the path of the start.
pub struct Confirmation {
    pub(crate) dir: Dir,
    pub(crate) subject: Subject,
    pub(crate) key: [u8; 32],
    /// The recorded digest.
    pub(crate) code: NativeDigest,
    /// The file that was mapped.
    pub(crate) file: File,
    pub(crate) identity: KnownIdentity,
}

/// Whether the identity of a file is recorded.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum KnownIdentity {
    Recorded,
    Unrecorded,
}

/// Native code that has the recorded digest.
#[derive(Debug)]
pub enum Confirmed {
    /// Its identity was recorded before.
    Known,
    /// Its identity is recorded now.
    Recorded,
    /// Its identity cannot be recorded, and the next start hashes it again.
    Unrecorded(Unrecorded),
}

/// Native code that is not known to have the recorded digest.
#[derive(Debug, thiserror::Error)]
pub enum Unconfirmed {
    /// It has another one.
    #[error("{} is damaged: its digest differs from the recorded one", .0.display())]
    Damaged(PathBuf),
    /// It cannot be read.
    #[error(transparent)]
    Unreadable(#[from] Error),
}

impl Confirmation {
    /// Hashes the file, and records its identity if it is not recorded. If [`Unrecorded::TooNew`] is the answer, the
    /// file was not hashed.
    ///
    /// # Errors
    /// Returns an error if the file cannot be read or has another digest. It has no record then, so that the next start
    /// hashes it.
    pub fn run(&self, now: SystemTime) -> Result<Confirmed, Unconfirmed> {
        let path = || self.dir.path_of(&self.subject.code_name());
        let checked = match self.check(now) {
            Err(reason @ Unrecorded::TooNew { .. }) => return Ok(Confirmed::Unrecorded(reason)),
            checked => checked,
        };
        let found = NativeDigest::of_file(&self.key, &self.subject.text, &self.file);
        let found = found.map_err(|source| self.forget(Error::io("read", path(), source).into()))?;
        if found != self.code {
            return Err(self.forget(Unconfirmed::Damaged(path())));
        }
        if self.identity == KnownIdentity::Recorded {
            return Ok(Confirmed::Known);
        }
        let recorded = checked.and_then(|before| self.record(&before));
        Ok(recorded.map_or_else(Confirmed::Unrecorded, |()| Confirmed::Recorded))
    }

    /// Records the identity that the file had before it was hashed, if it still has it.
    fn record(&self, before: &FileIdentity) -> Result<(), Unrecorded> {
        if FileIdentity::of(&self.file)? != *before {
            return Err(Unrecorded::Changed);
        }
        Ok(self.subject.keep_identity(&self.dir, &self.key, &self.code, before)?)
    }

    /// Returns the identity of the file, if it will stand for its bytes.
    fn check(&self, now: SystemTime) -> Result<FileIdentity, Unrecorded> {
        let identity = FileIdentity::of(&self.file)?;
        if self.identity == KnownIdentity::Unrecorded {
            identity.check(&self.file, now)?;
        }
        Ok(identity)
    }

    fn forget(&self, reason: Unconfirmed) -> Unconfirmed {
        if let Err(error) = self.dir.remove(&self.subject.identity_name()) {
            tracing::warn!(%error, "the record of a damaged file cannot be removed");
        }
        reason
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Digest, manifest::Manifest};
    use std::time::Duration;

    const KEY: [u8; 32] = [7; 32];

    /// A file with these bytes whose recorded digest is that of `recorded`.
    fn confirmation(
        identity: KnownIdentity,
        bytes: &[u8],
        recorded: &[u8],
    ) -> (tempfile::TempDir, Confirmation) {
        let manifest = r#"{"format_version":3,"abi_version":1,"kind":"service","guest":{"name":"g","digest":"DIGEST"},
            "inputs":[],"circuits":[],"methods":[],"features":[],"memory_bytes":0,
            "tools":{"snapback":"0","wasmtime":"0","wizer":"0"}}"#;
        let manifest: Manifest =
            serde_json::from_str(&manifest.replace("DIGEST", &"0".repeat(64))).expect("a manifest");
        let outer = tempfile::tempdir().expect("a directory");
        let dir = Dir::open(outer.path()).expect("opened").sub("native").expect("created");
        let subject = Subject::new(&wasmtime::Engine::default(), Digest::of(b"image"), &manifest);
        dir.publish(&subject.code_name(), bytes).expect("written");
        let file = dir.open_own(&subject.code_name()).expect("opened").expect("there");
        let code = NativeDigest::of(&KEY, &subject.text, recorded);
        (outer, Confirmation { dir, subject, key: KEY, code, file, identity })
    }

    fn later() -> SystemTime {
        SystemTime::now() + Duration::from_secs(10)
    }

    #[test]
    fn an_identity_is_recorded_once_the_change_time_is_old_enough() {
        let (_outer, confirmation) = confirmation(KnownIdentity::Unrecorded, b"code", b"code");
        let name = confirmation.subject.identity_name();
        let early = confirmation.run(SystemTime::now()).expect("readable");
        assert!(matches!(early, Confirmed::Unrecorded(Unrecorded::TooNew { .. })), "{early:?}");
        assert!(!confirmation.dir.contains(&name));
        assert!(matches!(confirmation.run(later()), Ok(Confirmed::Recorded)));
        assert!(confirmation.dir.contains(&name));
    }

    #[test]
    fn a_damaged_file_loses_its_record() {
        for identity in [KnownIdentity::Recorded, KnownIdentity::Unrecorded] {
            let (_outer, confirmation) = confirmation(identity, b"cods", b"code");
            let name = confirmation.subject.identity_name();
            confirmation.dir.publish(&name, b"a record").expect("written");
            assert!(matches!(confirmation.run(later()), Err(Unconfirmed::Damaged(_))));
            assert!(!confirmation.dir.contains(&name));
        }
    }

    #[test]
    fn a_file_that_somebody_writes_is_not_recorded() {
        use std::os::unix::fs::PermissionsExt;
        let (_outer, confirmation) = confirmation(KnownIdentity::Unrecorded, b"code", b"code");
        let path = confirmation.dir.path_of(&confirmation.subject.code_name());
        let mode =
            |mode| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("ours");
        mode(0o600);
        let writer = File::options().write(true).open(&path).expect("writable");
        mode(0o400);
        let open = confirmation.run(later()).expect("readable");
        assert!(matches!(open, Confirmed::Unrecorded(Unrecorded::OpenForWriting)), "{open:?}");
        drop(writer);
        assert!(matches!(confirmation.run(later()), Ok(Confirmed::Recorded)));
    }
}
