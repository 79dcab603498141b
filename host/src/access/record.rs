//! Keys and tenants, as the file keeps them.
//!
//! Invariant: a record holds no text of a key.

use super::{
    KeyId, Role, Weight,
    key::{Fingerprint, KeyHash},
    quota::Quota,
};
use crate::ids::Tenant;
use serde::{Deserialize, Serialize};
use std::time::{SystemTime, UNIX_EPOCH};

/// Longest name of a tenant, in bytes.
const TENANT_BYTES_MAX: usize = 64;

/// A key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyRecord {
    /// Its identifier.
    pub id: KeyId,
    /// Whom it belongs to.
    pub tenant: Tenant,
    /// What it permits.
    pub role: Role,
    /// What shows that a caller has it.
    pub credential: Credential,
    /// What people call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// When it was made, in seconds since 1970.
    pub created: u64,
    /// When it expires, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<u64>,
    /// When it was revoked, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<u64>,
}

/// What shows that a caller has a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Credential {
    /// Its text, of which this is the hash.
    Secret(KeyHash),
    /// The certificate that the client presents to the server.
    Certificate(Fingerprint),
}

/// Whether a key is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyState {
    /// It is.
    Active,
    /// Its time has passed.
    Expired,
    /// It was revoked.
    Revoked,
}

impl KeyRecord {
    /// Whether the key is accepted at this time, in seconds since 1970.
    #[must_use]
    pub fn state(&self, now: u64) -> KeyState {
        if self.revoked.is_some() {
            KeyState::Revoked
        } else if self.expires.is_some_and(|expires| expires <= now) {
            KeyState::Expired
        } else {
            KeyState::Active
        }
    }

    /// When the key was last accepted; `None` if it still is.
    pub(super) fn ended(&self, now: u64) -> Option<u64> {
        match self.state(now) {
            KeyState::Active => None,
            KeyState::Expired => self.expires,
            KeyState::Revoked => self.revoked,
        }
    }
}

/// What is known of a tenant beside its keys.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TenantRecord {
    /// Its quota. What it leaves out is as for all tenants.
    #[serde(default)]
    pub quota: Quota,
    /// How often the turn of its jobs comes, relative to other tenants.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<Weight>,
    /// Where the ends of its jobs are told, unless a job says otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub callback_url: Option<String>,
}

/// Whether a text can name a tenant that has keys: 1 to 64 of a-z A-Z 0-9 . _ -
#[must_use]
pub fn is_tenant_name(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=TENANT_BYTES_MAX).contains(&text.len()) && text.bytes().all(is_plain)
}

/// The time, in seconds since 1970.
#[must_use]
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
