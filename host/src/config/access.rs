//! The settings of keys, quotas and the audit log: `auth.*`, `tenants.*` and `audit.*`.
//!
//! Invariant: a listener that other machines can reach needs keys unless somebody says that it does not.

use super::values::{bytes, default_dir, number, one_of, or_off, path};
use crate::access::{AuditSettings, Quota};
use std::{net::SocketAddr, path::PathBuf};

/// Whether requests need a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeysNeeded {
    /// They do, unless the listener has a loopback address.
    Auto,
    /// They do.
    On,
    /// They do not.
    Off,
}

/// The settings of keys, quotas and the audit log.
#[derive(Clone, Debug)]
pub struct AccessSettings {
    /// `auth.required`
    pub needed: KeysNeeded,
    /// `auth.keys_file`
    pub keys_file: PathBuf,
    /// `tenants.*`
    pub quota: Quota,
    /// `audit.log`
    pub is_audited: bool,
    /// The other settings of `audit.*`.
    pub audit: AuditSettings,
}

impl AccessSettings {
    pub(super) fn defaults() -> Self {
        let data = default_dir("XDG_DATA_HOME", ".local/share").unwrap_or_default();
        Self {
            needed: KeysNeeded::Auto,
            keys_file: data.join("access/keys.json"),
            quota: Quota::default(),
            is_audited: true,
            audit: AuditSettings { bytes_max: 64 << 20, files_max: 8, waiting_max: 4096 },
        }
    }

    /// Whether requests on this listener need a key.
    #[must_use]
    pub fn are_needed(&self, listen: SocketAddr) -> bool {
        match self.needed {
            KeysNeeded::Auto => !listen.ip().is_loopback(),
            KeysNeeded::On => true,
            KeysNeeded::Off => false,
        }
    }

    /// Whether a setting is one of these.
    pub(super) fn has(key: &str) -> bool {
        ["auth.", "tenants.", "audit."].iter().any(|prefix| key.starts_with(prefix))
    }

    pub(super) fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        let count = |value: &str| or_off(value, |value| number(value, 1, 1 << 32).map(|count| count as u64));
        let size = |value: &str| or_off(value, |value| bytes(value, 1, 1 << 50));
        match key {
            "auth.required" => {
                use KeysNeeded::{Auto, Off, On};
                self.needed = one_of(value, &[("auto", Auto), ("on", On), ("off", Off)])?;
            }
            "auth.keys_file" => self.keys_file = path(value)?,
            "tenants.concurrent_max" => self.quota.concurrent_max = count(value)?,
            "tenants.per_minute_max" => self.quota.per_minute_max = count(value)?,
            "tenants.bytes_per_minute_max" => self.quota.bytes_per_minute_max = size(value)?,
            "tenants.stored_bytes_max" => self.quota.stored_bytes_max = size(value)?,
            "audit.log" => self.is_audited = one_of(value, &[("on", true), ("off", false)])?,
            "audit.bytes_max" => self.audit.bytes_max = bytes(value, 1 << 10, 1 << 40)?,
            "audit.files_max" => self.audit.files_max = number(value, 1, 1000)?,
            "audit.waiting_max" => self.audit.waiting_max = number(value, 1, 1 << 20)?,
            _ => return Err("a setting of keys, tenants or the audit log".into()),
        }
        Ok(())
    }
}
