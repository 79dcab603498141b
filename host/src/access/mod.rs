//! Who may do what: keys, the tenants that they belong to, their quotas, and a log of changes and refusals.
//!
//! ```text
//! role      what a key permits                          key       a key's text, its identifier and its hash
//! record    a key or a tenant, as the file keeps it     file      the file of keys
//! ring      the keys of a running server                caller    who makes a request
//! quota     what a tenant may use at once and in a minute   weight    how often its turn comes
//! audit     the log of changes and refusals             error     why keys cannot be read or changed
//! ```
//!
//! `snapback keys` changes the file; a server notices that it has changed, and reads it again.
//!
//! Invariant: the text of a key exists where it was made and at its owner's. Everything here knows its hash alone, and
//! finding a key takes the same time whether the text is right or nearly right.

mod audit;
mod caller;
mod error;
mod file;
mod key;
mod quota;
mod record;
mod ring;
mod role;
mod weight;

pub use audit::{AuditEntry, AuditLog, AuditSettings, Verdict};
pub use caller::Caller;
pub use error::{AccessError, Denied};
pub use file::KeyFile;
pub use key::{Fingerprint, KeyId, NewKey};
pub use quota::{Account, Admission, Exceeded, Quota, QuotaKind};
pub use record::{Credential, KeyRecord, KeyState, TenantRecord, is_tenant_name, now};
pub use ring::KeyRing;
pub use role::{Permission, Role};
pub use weight::{NotAWeight, Weight};
