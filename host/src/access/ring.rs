//! The keys of a running server.
//!
//! Invariant: a file that cannot be read changes nothing, so that a slip of an editor locks nobody out; a file that was
//! removed leaves no keys. Whoever watches is told of every change of what is accepted.

use super::{
    AccessError, Admission, Caller, Denied, Exceeded, Fingerprint, KeyFile, KeyId, Quota, Weight,
    file::Stamp,
    key::{KeyHash, id_of},
    quota::Meters,
    record::{Credential, KeyRecord, KeyState, now},
};
use crate::{ids::Tenant, jobs::TenantLimits};
use arc_swap::ArcSwap;
use std::{
    collections::{BTreeSet, HashMap},
    path::PathBuf,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};
use tokio::sync::watch;

/// The keys of a server, and what its tenants use.
pub struct KeyRing {
    path: PathBuf,
    table: ArcSwap<Table>,
    /// The version of the file that the table is of.
    seen: Mutex<Option<Stamp>>,
    /// Told when keys have changed or expired.
    changed: watch::Sender<()>,
    /// Up to when it was told that keys have expired. Relaxed: it orders nothing else.
    expired_until: AtomicU64,
    /// What a tenant may use, unless it has a quota of its own.
    default_quota: Quota,
    meters: Meters,
}

/// The keys, by what finds them.
#[derive(Default)]
struct Table {
    by_id: HashMap<KeyId, KeyRecord>,
    by_certificate: HashMap<Fingerprint, KeyId>,
    quotas: HashMap<Tenant, Quota>,
    callbacks: HashMap<Tenant, String>,
    weights: HashMap<Tenant, Weight>,
    /// When keys expire.
    expiries: BTreeSet<u64>,
}

impl Table {
    fn of(file: KeyFile, default: &Quota) -> Self {
        let by_certificate = file.keys.iter().filter_map(|key| match key.credential {
            Credential::Certificate(fingerprint) if key.revoked.is_none() => Some((fingerprint, key.id)),
            _ => None,
        });
        let callbacks = file.tenants.iter();
        let callbacks = callbacks
            .filter_map(|(name, tenant)| Some((name.clone(), tenant.callback_url.clone()?)))
            .collect();
        let weights = file.tenants.iter();
        let weights = weights.filter_map(|(name, tenant)| Some((name.clone(), tenant.weight?))).collect();
        Self {
            callbacks,
            weights,
            by_certificate: by_certificate.collect(),
            expiries: file.keys.iter().filter_map(|key| key.expires).collect(),
            quotas: file.tenants.into_iter().map(|(name, tenant)| (name, tenant.quota.or(default))).collect(),
            by_id: file.keys.into_iter().map(|key| (key.id, key)).collect(),
        }
    }
}

impl KeyRing {
    /// Reads the keys.
    ///
    /// # Errors
    /// Returns an error if the file exists and cannot be read.
    pub fn open(path: PathBuf, default_quota: Quota) -> Result<Self, AccessError> {
        let (file, stamp) = KeyFile::open(&path)?.unzip();
        Ok(Self {
            path,
            table: ArcSwap::from_pointee(Table::of(file.unwrap_or_default(), &default_quota)),
            seen: Mutex::new(stamp),
            changed: watch::Sender::new(()),
            expired_until: AtomicU64::new(now()),
            default_quota,
            meters: Meters::default(),
        })
    }

    /// Reads the file again, if it has changed. Returns the number of keys then. Tells those who [watch](Self::watch) if
    /// keys have changed, or expired since the last time.
    ///
    /// # Errors
    /// Returns an error if it cannot be read; the keys stay as they are, and the next change is looked at again.
    pub fn refresh(&self) -> Result<Option<usize>, AccessError> {
        self.expire(now());
        self.read_again()
    }

    /// Tells those who watch if a key has expired since this was called last.
    fn expire(&self, now: u64) {
        let before = self.expired_until.swap(now, Ordering::Relaxed);
        // A clock that stepped back makes expired keys active again, which concerns nobody who waits for an end.
        if before < now && self.table.load().expiries.range(before + 1..=now).next().is_some() {
            self.changed.send_replace(());
        }
    }

    fn read_again(&self) -> Result<Option<usize>, AccessError> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let at = Stamp::at(&self.path);
        if at == *seen {
            return Ok(None);
        }
        let (file, stamp) = match KeyFile::open(&self.path) {
            Ok(opened) => opened.unzip(),
            Err(error) => {
                // A version that must not be used is reported once. One that could not be read is read again.
                if let AccessError::Refused { .. } = error {
                    *seen = at;
                }
                return Err(error);
            }
        };
        *seen = stamp;
        let file = file.unwrap_or_default();
        let keys = file.keys.len();
        self.table.store(Table::of(file, &self.default_quota).into());
        self.changed.send_replace(());
        Ok(Some(keys))
    }

    /// Returns a receiver that is told when keys have changed or expired.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Checks that a caller who was admitted would still be.
    ///
    /// # Errors
    /// Returns why not, if the key is no longer accepted, or stands for another caller by now.
    pub fn check(&self, known: &Caller) -> Result<(), Denied> {
        let Some(id) = known.key else { return Ok(()) };
        let table = self.table.load();
        let key = table.by_id.get(&id).ok_or(Denied::Unknown)?;
        if caller(key, now())? == *known { Ok(()) } else { Err(Denied::Unknown) }
    }

    /// Number of keys, those that are no longer accepted included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.table.load().by_id.len()
    }

    /// Whether there are no keys.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Finds out whose the text of a key is.
    ///
    /// # Errors
    /// Returns an error if it is nobody's, or the key is no longer accepted.
    pub fn authenticate(&self, text: &[u8]) -> Result<Caller, Denied> {
        self.authenticate_at(text, now())
    }

    fn authenticate_at(&self, text: &[u8], now: u64) -> Result<Caller, Denied> {
        let table = self.table.load();
        let given = KeyHash::of(text);
        let key = id_of(text).and_then(|id| table.by_id.get(&id)).ok_or(Denied::Unknown)?;
        match key.credential {
            Credential::Secret(hash) if hash == given => caller(key, now),
            _ => Err(Denied::Unknown),
        }
    }

    /// Finds out whose a client's certificate is.
    ///
    /// # Errors
    /// Returns an error if it is nobody's, or the key is no longer accepted.
    pub fn authenticate_certificate(&self, certificate: Fingerprint) -> Result<Caller, Denied> {
        let table = self.table.load();
        let key = table.by_certificate.get(&certificate).and_then(|id| table.by_id.get(id));
        caller(key.ok_or(Denied::Unknown)?, now())
    }

    /// Admits a request within the quota of its tenant.
    ///
    /// # Errors
    /// Returns which part of the quota is used up.
    pub fn admit(&self, tenant: &Tenant, now: Instant) -> Result<Admission, Exceeded> {
        let table = self.table.load();
        let quota = table.quotas.get(tenant).unwrap_or(&self.default_quota);
        self.meters.of(tenant).admit(quota, now)
    }

    /// Where the ends of a tenant's jobs are told, unless a job says otherwise.
    #[must_use]
    pub fn callback_url(&self, tenant: &Tenant) -> Option<String> {
        self.table.load().callbacks.get(tenant).cloned()
    }

    /// The bounds and weights of the jobs of tenants that have some of their own.
    #[must_use]
    pub fn job_limits(&self) -> HashMap<Tenant, TenantLimits> {
        let table = self.table.load();
        let limits = |(name, quota): (&Tenant, &Quota)| {
            let weight = table.weights.get(name).map_or(1, |weight| u32::from(*weight));
            let queued_bytes_max = quota.stored_bytes_max;
            (name.clone(), TenantLimits { weight, queued_bytes_max, ..TenantLimits::default() })
        };
        table.quotas.iter().map(limits).collect()
    }

    /// The quota of a tenant.
    #[must_use]
    pub fn quota(&self, tenant: &Tenant) -> Quota {
        self.table.load().quotas.get(tenant).unwrap_or(&self.default_quota).clone()
    }
}

fn caller(key: &KeyRecord, now: u64) -> Result<Caller, Denied> {
    match key.state(now) {
        KeyState::Active => Ok(Caller { tenant: key.tenant.clone(), role: key.role, key: Some(key.id) }),
        KeyState::Expired => Err(Denied::Expired(key.id)),
        KeyState::Revoked => Err(Denied::Revoked(key.id)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Role;
    use std::os::unix::fs::PermissionsExt;

    fn tenant(name: &str) -> Tenant {
        name.parse().expect("a name")
    }

    #[test]
    fn keys_are_found_until_they_expire_or_are_revoked() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("access/keys.json");
        let ring = KeyRing::open(path.clone(), Quota::default()).expect("no keys yet");
        let key =
            KeyFile::update(&path, |file| file.create(tenant("acme"), Role::Prover, None, Some(u64::MAX)));
        let key = key.expect("room for it");
        assert_eq!(ring.authenticate(key.text.as_bytes()), Err(Denied::Unknown), "it was not read yet");
        assert_eq!(ring.refresh().expect("a file"), Some(1));
        assert_eq!(ring.refresh().expect("a file"), None, "it did not change");
        let known = Caller { tenant: tenant("acme"), role: Role::Prover, key: Some(key.id) };
        assert_eq!(ring.authenticate(key.text.as_bytes()), Ok(known));
        assert_eq!(ring.authenticate_at(key.text.as_bytes(), u64::MAX), Err(Denied::Expired(key.id)));

        let mut guess = key.text.as_bytes().to_vec();
        *guess.last_mut().expect("not empty") ^= 1;
        assert_eq!(ring.authenticate(&guess), Err(Denied::Unknown));

        KeyFile::update(&path, |file| file.revoke(key.id)).expect("it is there");
        ring.refresh().expect("a file");
        assert_eq!(ring.authenticate(key.text.as_bytes()), Err(Denied::Revoked(key.id)));
        std::fs::remove_file(&path).expect("it is there");
        assert_eq!(ring.refresh().expect("no file"), Some(0));
        assert_eq!(ring.authenticate(key.text.as_bytes()), Err(Denied::Unknown));
    }

    #[test]
    fn whoever_watches_learns_that_keys_were_revoked_or_have_expired() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("keys.json");
        let create = |tenant_of: &str, expires| {
            let tenant = tenant(tenant_of);
            KeyFile::update(&path, |file| file.create(tenant, Role::Prover, None, expires)).expect("room")
        };
        let far = now() + 1_000_000;
        let [revoked, expiring] = [create("acme", None), create("beta", Some(far))];
        let ring = KeyRing::open(path.clone(), Quota::default()).expect("two keys");
        let [first, second] =
            [&revoked, &expiring].map(|key| ring.authenticate(key.text.as_bytes()).expect("a caller"));
        let mut changes = ring.watch();
        let mut was_told = || {
            let was_told = changes.has_changed().expect("the ring lives");
            changes.mark_unchanged();
            was_told
        };
        assert!(ring.refresh().is_ok_and(|read| read.is_none()) && !was_told());
        KeyFile::update(&path, |file| file.revoke(revoked.id)).expect("it is there");
        ring.refresh().expect("a file");
        assert!(was_told());
        assert_eq!(ring.check(&first), Err(Denied::Revoked(revoked.id)));
        assert_eq!((ring.check(&second), ring.check(&Caller::local())), (Ok(()), Ok(())));
        for (now, is_told) in [(far - 1, false), (far, true), (far, false), (far + 1, false)] {
            ring.expire(now);
            assert_eq!(was_told(), is_told, "{now}");
        }
        let other = Caller { tenant: tenant("acme"), ..second.clone() };
        assert_eq!(ring.check(&other), Err(Denied::Unknown), "a key that changed hands");
        std::fs::remove_file(&path).expect("it is there");
        ring.refresh().expect("no file");
        assert!(was_told());
        assert_eq!(ring.check(&second), Err(Denied::Unknown));
    }

    #[test]
    fn a_certificate_stands_for_one_key() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("keys.json");
        let print = Fingerprint::from([7; 32]);
        let create = |file: &mut KeyFile| {
            file.create_for_certificate(tenant("acme"), Role::Operator, print, None, None)
        };
        let id = KeyFile::update(&path, create).expect("room for it");
        assert!(
            matches!(KeyFile::update(&path, create), Err(AccessError::CertificateTaken(other)) if other == id)
        );
        let ring = KeyRing::open(path.clone(), Quota::default()).expect("a key");
        assert_eq!(ring.authenticate_certificate(print).expect("a caller").key, Some(id));
        KeyFile::update(&path, |file| file.revoke(id)).expect("it is there");
        let second = KeyFile::update(&path, create).expect("the first is revoked");
        ring.refresh().expect("a file");
        assert_eq!(ring.authenticate_certificate(print).expect("a caller").key, Some(second));
    }

    #[test]
    fn a_file_that_others_can_use_or_that_is_broken_changes_nothing() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("keys.json");
        let key = KeyFile::update(&path, |file| file.create(tenant("acme"), Role::Prover, None, None));
        let key = key.expect("room for it");
        let ring = KeyRing::open(path.clone(), Quota::default()).expect("a key");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).expect("our file");
        assert!(
            matches!(ring.refresh(), Err(AccessError::Refused { reason, .. }) if reason.contains("chmod 600"))
        );
        assert!(ring.refresh().is_ok_and(|read| read.is_none()), "it is reported once");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).expect("our file");
        std::fs::write(&path, "{\"keys\": [").expect("our file");
        assert!(matches!(ring.refresh(), Err(AccessError::Refused { .. })));
        assert!(ring.authenticate(key.text.as_bytes()).is_ok());
    }
}
