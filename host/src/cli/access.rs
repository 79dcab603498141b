//! What decides who may use a server: keys, the token of operators, and the audit log.
//!
//! Invariant: a server whose keys cannot be read does not start.

use super::exit::{Exit, Failure};
use crate::{
    access::{AuditLog, KeyRing},
    config::{CircuitChanges, Config},
    http::{Gate, Keys, PublicChanges, Token},
    telemetry::metrics::Metrics,
};
use anyhow::Context;
use std::{
    fs::DirBuilder, net::TcpListener, os::unix::fs::DirBuilderExt, path::PathBuf, sync::Arc, time::Duration,
};

/// Directory of the audit log within the state directory.
pub(super) const AUDIT: &str = "audit";
/// How the audit log names users of this machine, before their number.
pub(super) const USER: &str = "user-";
/// How often the file of keys is checked for changes.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// Reads the token of operators, if there is one.
pub(super) fn token(config: &Config) -> anyhow::Result<Option<Arc<Token>>> {
    let Some(file) = &config.admin_token_file else { return Ok(None) };
    let token = Token::read(file)
        .with_context(|| format!("`admin.token_file` = {} cannot be used", file.display()))?;
    Ok(Some(Arc::new(token)))
}

/// Binds the listener of the admin routes, if there are any.
pub(super) fn admin(config: &Config) -> anyhow::Result<Option<TcpListener>> {
    let Some(address) = config.admin_listen else { return Ok(None) };
    let listener = TcpListener::bind(address)
        .with_context(|| format!("cannot listen on {address}: set `admin.listen` to another address"))?;
    let address = listener.local_addr().context("cannot read the address")?;
    eprintln!("snapback: admin routes at http://{address}/v1/admin/");
    Ok(Some(listener))
}

/// Reads the keys.
pub(super) fn keys(config: &Config, token: Option<&Arc<Token>>) -> anyhow::Result<Arc<KeyRing>> {
    let file = &config.access.keys_file;
    let ring = KeyRing::open(file.clone(), config.access.quota.clone()).map_err(|error| {
        let message = format!("`auth.keys_file` = {} cannot be used: {error}", file.display());
        Failure::error(Exit::Usage, message)
    })?;
    if config.access.are_needed(config.listen) && ring.is_empty() && token.is_none() {
        tracing::warn!(
            file = %file.display(),
            "requests need a key (auth.required), and there is none: make one with `snapback keys create`"
        );
    }
    Ok(Arc::new(ring))
}

/// The directory of the keys. It is created if it is missing, because only a directory that exists can be reached from
/// the sandbox.
pub(super) fn directory(config: &Config) -> Option<PathBuf> {
    let directory = config.access.keys_file.parent()?;
    if let Err(error) = DirBuilder::new().recursive(true).mode(0o700).create(directory) {
        tracing::warn!(%error, directory = %directory.display(), "keys that are made later need a restart");
    }
    Some(directory.into())
}

/// Returns what decides about requests.
pub(super) fn gate(
    config: &Config,
    ring: Arc<KeyRing>,
    token: Option<Arc<Token>>,
    metrics: &Arc<Metrics>,
) -> anyhow::Result<Gate> {
    let keys = if config.access.are_needed(config.listen) { Keys::Needed } else { Keys::NotNeeded };
    let directory = config.state_dir.join(AUDIT);
    let audit = config.access.is_audited.then(|| AuditLog::open(&directory, config.access.audit, metrics));
    let audit = audit.transpose().context("cannot write the audit log: see the settings audit.*")?;
    let changes = public_changes(config, token.as_ref());
    Ok(Gate::new(keys, ring, token, changes, audit))
}

/// Who may change circuits on the public listener, if it needs no keys.
fn public_changes(config: &Config, token: Option<&Arc<Token>>) -> PublicChanges {
    let is_local = config.listen.ip().is_loopback();
    match (config.circuit_changes, token) {
        (CircuitChanges::On, Some(token)) if is_local => PublicChanges::LocalOrToken(Arc::clone(token)),
        (CircuitChanges::On, Some(token)) => PublicChanges::Token(Arc::clone(token)),
        (CircuitChanges::On | CircuitChanges::Auto, _) if is_local => PublicChanges::Local,
        _ => PublicChanges::Refused,
    }
}

/// Reads the keys again whenever their file has changed.
pub(super) async fn follow(ring: Arc<KeyRing>) {
    let mut checks = tokio::time::interval(CHECK_INTERVAL);
    loop {
        checks.tick().await;
        match ring.refresh() {
            Ok(None) => {}
            Ok(Some(keys)) => tracing::info!(keys, "the keys were read again"),
            Err(error) => {
                tracing::error!(%error, "the file of keys has changed and cannot be used: nothing changes")
            }
        }
    }
}
