//! `snapback keys`: who may use a server.
//!
//! The commands change the file that `auth.keys_file` names. A server that runs notices within a second.
//!
//! Invariant: the text of a key is printed once, on standard output, and nowhere else.

use super::{
    access::{AUDIT, USER},
    exit::{Exit, Failure},
    output::outln,
    progress::printable,
};
use crate::{
    access::{
        AuditEntry, AuditLog, Credential, Fingerprint, KeyFile, KeyId, KeyRecord, KeyState, Role, Verdict,
        is_tenant_name, now,
    },
    config::Config,
    ids::Tenant,
};
use anyhow::Context;
use serde::Serialize;
use std::time::{Duration, UNIX_EPOCH};

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  snapback keys create --tenant acme --role prover --expires 90d > acme.key
  snapback keys create --tenant ci --role registrar --label 'release pipeline'
  snapback keys create --tenant acme --role prover --fingerprint \\
      \"$(openssl x509 -in client.pem -noout -fingerprint -sha256 | cut -d= -f2)\"
  snapback keys list
  snapback keys revoke 3f9a0c1b2d4e
  curl -H \"Authorization: Bearer $(cat acme.key)\" https://proofs.example/v1/whoami")]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand)]
enum Action {
    /// Make a key, and print it: it is shown once
    Create {
        /// Whom the key belongs to: 1 to 64 of a-z A-Z 0-9 . _ -
        #[arg(long, value_name = "NAME")]
        tenant: String,
        /// What it permits
        #[arg(long)]
        role: Role,
        /// How long it is accepted, such as 90d, or `never`
        #[arg(long, value_name = "TIME", default_value = "90d")]
        expires: String,
        /// What it is for
        #[arg(long, value_name = "TEXT")]
        label: Option<String>,
        /// SHA-256 of a client's certificate, which stands for the key: there is no text then
        #[arg(long, value_name = "HEX")]
        fingerprint: Option<Fingerprint>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// List the keys
    List {
        /// Those that are no longer accepted too
        #[arg(long)]
        all: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Revoke a key: servers refuse it within a second
    Revoke {
        /// Its identifier
        key: KeyId,
    },
}

pub(super) fn run(args: &Args, config: &Config) -> anyhow::Result<()> {
    let path = &config.access.keys_file;
    match &args.action {
        Action::Create { tenant, role, expires, label, fingerprint, json } => {
            let tenant = tenant_of(tenant)?;
            let expires = expiry(expires)?;
            let label = label.clone();
            let (id, text) = match *fingerprint {
                None => {
                    let key =
                        KeyFile::update(path, |file| file.create(tenant.clone(), *role, label, expires))?;
                    (key.id, Some(key.text))
                }
                Some(print) => {
                    let create = |file: &mut KeyFile| {
                        file.create_for_certificate(tenant.clone(), *role, print, label, expires)
                    };
                    (KeyFile::update(path, create)?, None)
                }
            };
            record(config, "keys create", &format!("{id} {tenant} {role}"));
            let text = text.as_ref().map(|text| text.as_str());
            if *json {
                outln!("{}", serde_json::json!({ "id": id, "tenant": tenant, "role": role, "key": text }));
            } else if let Some(text) = text {
                outln!("{text}");
            } else {
                outln!("{id}");
            }
            if text.is_some() {
                eprintln!("snapback: this is key {id}; its text is not kept, so keep it now");
            }
            Ok(())
        }
        Action::List { all, json } => list(&KeyFile::read(path)?, *all, *json),
        Action::Revoke { key } => {
            KeyFile::update(path, |file| file.revoke(*key))?;
            record(config, "keys revoke", &key.to_string());
            eprintln!("snapback: key {key} is revoked");
            Ok(())
        }
    }
}

/// Checks the name of a tenant.
pub(super) fn tenant_of(name: &str) -> anyhow::Result<Tenant> {
    let refused = || {
        let message = format!("`{}` cannot name a tenant: 1 to 64 of a-z A-Z 0-9 . _ -", printable(name));
        Failure::error(Exit::Usage, message)
    };
    if !is_tenant_name(name) {
        return Err(refused());
    }
    name.parse().map_err(|_| refused())
}

/// Records a change of keys or tenants in the audit log. A log that cannot be written stops no change: a key may have to
/// be revoked while a disk is full.
pub(super) fn record(config: &Config, what: &str, target: &str) {
    if !config.access.is_audited {
        return;
    }
    let who = format!("{USER}{}", rustix::process::getuid().as_raw());
    let entry = AuditEntry {
        request_id: &who,
        client_request_id: None,
        who: None,
        from: None,
        what,
        target,
        verdict: Verdict::Done,
        code: "ok",
    };
    if let Err(error) = AuditLog::append(&config.state_dir.join(AUDIT), &entry) {
        tracing::warn!(%error, "the change is not in the audit log");
    }
}

fn expiry(text: &str) -> anyhow::Result<Option<u64>> {
    if text == "never" {
        return Ok(None);
    }
    let time = humantime::parse_duration(text).ok().filter(|time| *time >= Duration::from_secs(1));
    let message = || format!("--expires {}: a time such as 90d, or `never`", printable(text));
    let time = time.ok_or_else(|| Failure::error(Exit::Usage, message()))?;
    Ok(Some(now().saturating_add(time.as_secs())))
}

/// A key, as it is listed: without the hash of its text.
#[derive(Serialize)]
struct KeyView<'a> {
    id: KeyId,
    tenant: &'a Tenant,
    role: Role,
    state: KeyState,
    #[serde(skip_serializing_if = "Option::is_none")]
    fingerprint: Option<Fingerprint>,
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<&'a str>,
    created: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<u64>,
}

impl<'a> KeyView<'a> {
    fn of(key: &'a KeyRecord, now: u64) -> Self {
        Self {
            id: key.id,
            tenant: &key.tenant,
            role: key.role,
            state: key.state(now),
            fingerprint: match key.credential {
                Credential::Certificate(fingerprint) => Some(fingerprint),
                Credential::Secret(_) => None,
            },
            label: key.label.as_deref(),
            created: key.created,
            expires: key.expires,
        }
    }
}

fn list(file: &KeyFile, all: bool, json: bool) -> anyhow::Result<()> {
    let now = now();
    let keys = file.keys.iter().map(|key| KeyView::of(key, now));
    let keys: Vec<KeyView<'_>> = keys.filter(|key| all || key.state == KeyState::Active).collect();
    if json {
        outln!("{}", serde_json::to_string(&keys).context("cannot write JSON")?);
        return Ok(());
    }
    if keys.is_empty() {
        outln!("no keys: `snapback keys create --tenant NAME --role prover` makes one");
        return Ok(());
    }
    outln!("{:<14} {:<16} {:<10} {:<8} {:<21} LABEL", "KEY", "TENANT", "ROLE", "STATE", "EXPIRES");
    for key in keys {
        let state = match key.state {
            KeyState::Active => "active",
            KeyState::Expired => "expired",
            KeyState::Revoked => "revoked",
        };
        let expires = key.expires.map_or("never".to_owned(), |at| {
            humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(at)).to_string()
        });
        let label = key.label.map(printable).unwrap_or_default();
        outln!(
            "{:<14} {:<16} {:<10} {state:<8} {expires:<21} {label}",
            key.id,
            key.tenant,
            key.role.as_str()
        );
    }
    Ok(())
}
