//! Which jobs get the result of identical work instead of running.
//!
//! Whether there is such a result is looked up once, when a job's turn has come. Of two identical jobs that run at once,
//! each computes its own, so that the failure or cancellation of one never concerns the other.
//!
//! Invariant: only calls of methods that their guest declares pure share results, only within a tenant that sees the
//! circuit, and only results that were computed with the image that is served now.

use crate::{
    config::Sharing,
    ids::Tenant,
    instance::Generation,
    jobs::{Identical, InputKind, JobEngine, JobRecord, Lease},
    service::Service,
};
use std::sync::Arc;

/// A call of a pure method, with the generation that was served when its turn came.
pub(super) struct Pure(Arc<Generation>);

/// Returns whether a job may share results; `None` if it may not.
pub(super) fn pure(
    sharing: Sharing,
    generation: Arc<Generation>,
    job: &JobRecord,
    kind: InputKind,
) -> Option<Pure> {
    let owner = job.circuit.as_deref().and_then(|circuit| generation.owner(circuit));
    // The call of a circuit that has become another tenant's is refused on its lane.
    let is_seen = owner.is_none_or(|owner| *owner == job.tenant || job.tenant == Tenant::local());
    let may_share =
        sharing == Sharing::On && kind == InputKind::Raw && is_seen && generation.is_pure(&job.method);
    may_share.then_some(Pure(generation))
}

impl Pure {
    /// Ends the job with the result of identical work, if one is kept.
    pub(super) async fn share(&self, engine: &dyn JobEngine, lease: &Lease, image: &str) -> bool {
        match engine.share(lease, image).await {
            Ok(computed_by) => {
                let (job, shared) = (lease.job(), computed_by.is_some());
                tracing::debug!(%job, shared, "identical work was looked up");
                shared
            }
            Err(error) => {
                tracing::warn!(%error, job = %lease.job(), "a result cannot be shared; the job runs");
                false
            }
        }
    }

    /// Whether identical work may have the result of a call that has ended.
    pub(super) fn identical(pure: Option<&Self>, service: &Service) -> Identical {
        match pure {
            // Otherwise the call may have run in a generation that was published meanwhile.
            Some(Self(generation)) if service.is_current(generation) => Identical::MayShare,
            _ => Identical::Differs,
        }
    }
}
