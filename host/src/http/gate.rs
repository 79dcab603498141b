//! Who makes a request, and whether they may.
//!
//! ```text
//! keys are needed       a key of the role that the route needs, a certificate that stands for one, or the token
//! keys are not needed   anybody; `circuits.changes` says who changes circuits
//! routes of operators   the token, or the key of an operator, wherever they are
//! ```
//!
//! Invariant: where keys are needed, nothing of a request is carried out, and no route is shown to exist, before its
//! caller is known.

use super::{
    Token, error::ApiError, permission::PublicChanges, routes::Needs, tls::ClientCertificate, token,
};
use crate::{
    access::{Admission, AuditEntry, AuditLog, Caller, Denied, KeyRing, Permission},
    circuits::Registries,
    telemetry::metrics::Metrics,
};
use axum::{
    extract::Request,
    http::{HeaderMap, Method},
};
use std::{sync::Arc, time::Instant};

/// Whether requests on the public listener need a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keys {
    /// They do.
    Needed,
    /// They do not.
    NotNeeded,
}

/// The listener that a request came through.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum ListenerKind {
    Public,
    /// For operators alone.
    Admin,
}

/// What was found out about a request.
pub(super) struct Judged {
    /// Who makes it; `None` if that is not known.
    pub(super) caller: Option<Arc<Caller>>,
    /// Its place within the quota of its tenant, if it takes one; or why it is refused.
    pub(super) verdict: Result<Option<Arc<Admission>>, ApiError>,
}

/// Decides about every request.
pub struct Gate {
    keys: Keys,
    ring: Arc<KeyRing>,
    token: Option<Arc<Token>>,
    changes: PublicChanges,
    audit: Option<AuditLog>,
    /// The caller where no key is needed.
    local: Arc<Caller>,
}

impl Gate {
    /// Creates a gate.
    #[must_use]
    pub fn new(
        keys: Keys,
        ring: Arc<KeyRing>,
        token: Option<Arc<Token>>,
        changes: PublicChanges,
        audit: Option<AuditLog>,
    ) -> Self {
        Self { keys, ring, token, changes, audit, local: Arc::new(Caller::local()) }
    }

    /// Finds out who makes a request, and whether they may.
    pub(super) fn judge(
        &self,
        listener: ListenerKind,
        needs: Needs,
        request: &Request,
        metrics: &Metrics,
    ) -> Judged {
        let unchecked = || Judged { caller: Some(Arc::clone(&self.local)), verdict: Ok(None) };
        let permission = match (listener, needs) {
            (ListenerKind::Public, Needs::Nothing) => return unchecked(),
            (ListenerKind::Public, Needs::Key(_)) if self.keys == Keys::NotNeeded => return unchecked(),
            (ListenerKind::Public, Needs::Key(permission)) => permission,
            (ListenerKind::Admin, _) | (ListenerKind::Public, Needs::Operator) => Permission::Operate,
        };
        let certificate = request.extensions().get::<ClientCertificate>();
        let caller = match (self.caller(request.headers(), certificate), listener) {
            (Ok(caller), _) => caller,
            (Err(Denied::NoKey | Denied::Unknown), ListenerKind::Admin) => {
                return Judged { caller: None, verdict: Err(Denied::NoToken.into()) };
            }
            (Err(denied), _) => return Judged { caller: None, verdict: Err(denied.into()) },
        };
        let is_metered = caller.key.is_some()
            && permission != Permission::Operate
            && !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
        let verdict = if !caller.may(permission) {
            Err(ApiError::Forbidden { least: permission.least_role() })
        } else if is_metered {
            self.admit(&caller, metrics).map(Some)
        } else {
            Ok(None)
        };
        Judged { caller: Some(caller), verdict }
    }

    /// Finds out who sends a request: the owner of the key in its header, or else of the certificate of its connection.
    fn caller(
        &self,
        headers: &HeaderMap,
        certificate: Option<&ClientCertificate>,
    ) -> Result<Arc<Caller>, Denied> {
        let Some(text) = token::bearer(headers) else {
            let certificate = certificate.ok_or(Denied::NoKey)?;
            return self.ring.authenticate_certificate(certificate.0.into()).map(Arc::new);
        };
        if self.token.as_ref().is_some_and(|token| token.is(text)) {
            return Ok(Arc::clone(&self.local));
        }
        self.ring.authenticate(text).map(Arc::new)
    }

    fn admit(&self, caller: &Caller, metrics: &Metrics) -> Result<Arc<Admission>, ApiError> {
        self.ring.admit(&caller.tenant, Instant::now()).map(Arc::new).map_err(|exceeded| {
            metrics.request_rejected(exceeded.kind.limit());
            ApiError::QuotaExceeded(exceeded)
        })
    }

    /// Refuses a change of circuits that the role of the caller does not already permit.
    pub(super) fn check_change(&self, registries: &Registries, headers: &HeaderMap) -> Result<(), ApiError> {
        match self.keys {
            _ if registries.is_empty() => Err(ApiError::NoCircuitsAsData),
            Keys::Needed => Ok(()),
            Keys::NotNeeded => self.changes.check(headers),
        }
    }

    /// Whether requests on the public listener need a key.
    pub(super) fn keys(&self) -> Keys {
        self.keys
    }

    /// The keys.
    pub(super) fn ring(&self) -> &KeyRing {
        &self.ring
    }

    /// Records a change or a refusal.
    pub(super) fn record(&self, entry: &AuditEntry<'_>) {
        if let Some(audit) = &self.audit {
            audit.record(entry);
        }
    }

    /// The latest changes and refusals, oldest first, each a JSON object; `None` if they are not recorded.
    pub(super) fn recent(&self) -> Option<Vec<Arc<str>>> {
        self.audit.as_ref().map(AuditLog::recent)
    }
}
