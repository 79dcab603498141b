//! Why a change of circuits is not done.
//!
//! Invariant: the text of an error is for the log, and may name paths of the server and circuits of any tenant;
//! `for_clients` names no paths, and `for_clients_of` no circuit of another tenant either.

use super::{
    bake_process::BakeError, calculators::Unusable, catalogue::Catalogue, change::Change,
    shelf::CatalogueError,
};
use crate::instance::NotServable;
use snapback_snapshot::Error;

/// Why a change is not done.
#[derive(Debug, thiserror::Error)]
pub(super) enum ChangeError {
    /// The bake made no image.
    #[error(transparent)]
    Bake(#[from] BakeError),
    /// The image cannot be served.
    #[error(transparent)]
    NotPrepared(#[from] NotPrepared),
    /// The catalogue cannot be written.
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
    /// The image store cannot be read.
    #[error(transparent)]
    Store(#[from] Error),
    /// A circuit came with an earlier image, and its files are not known.
    #[error("`{0}` came with an earlier image: send its files again, or remove it")]
    NoFiles(String),
    /// The reconciler panicked.
    #[error("the reconciler panicked: please report this")]
    Panicked,
}

/// Why an image cannot be served as a generation.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotPrepared {
    /// Its image is gone.
    #[error("its image was removed from the store: add its circuits again")]
    ImageRemoved,
    /// The image cannot be loaded.
    #[error(transparent)]
    Store(Error),
    /// Instances would copy their memory.
    #[error("copy-on-write does not hold for its image")]
    NoCopyOnWrite,
    /// The image does not follow the contract.
    #[error(transparent)]
    Contract(#[from] NotServable),
    /// The policy of the service does not fit the image.
    #[error("{0}")]
    Policy(String),
    /// A witness calculator cannot be used.
    #[error(transparent)]
    Calculator(#[from] Unusable),
}

/// What clients see of an error that names paths of the server.
const SEE_LOG: &str = "the server failed to carry the change out: its log says why";

/// What clients see of an error that names a circuit of another tenant.
const OF_ANOTHER: &str = "a circuit that is not yours cannot be used: the server's log says which and why";

impl ChangeError {
    /// The error as those who see a change may see it. A change that is for all, such as a rebuild, is seen by every
    /// tenant, so that only the log names a circuit of one of them.
    pub(super) fn for_clients_of(&self, change: &Change, catalogue: &Catalogue) -> String {
        let reason = self.for_clients();
        let wanted = catalogue.wanted();
        let mut circuits = catalogue.active().circuits.iter().chain(&wanted);
        let names_another = circuits.any(|(name, entry)| {
            let is_of_another = entry.owner().is_some_and(|owner| change.tenant.as_ref() != Some(owner));
            is_of_another && names(&reason, name)
        });
        if names_another { OF_ANOTHER.to_owned() } else { reason }
    }

    /// The error as clients may see it, without paths of the server.
    fn for_clients(&self) -> String {
        match self {
            Self::Bake(BakeError::Refused(_) | BakeError::Deadline(_) | BakeError::Interrupted)
            | Self::NoFiles(_)
            | Self::Panicked => self.to_string(),
            Self::NotPrepared(error) => error.for_clients(),
            Self::Bake(_) | Self::Catalogue(_) | Self::Store(_) => SEE_LOG.to_owned(),
        }
    }
}

impl NotPrepared {
    /// The error as clients may see it, without paths of the server.
    pub(super) fn for_clients(&self) -> String {
        match self {
            Self::Store(_) => SEE_LOG.to_owned(),
            Self::Calculator(unusable) => unusable.for_clients(),
            Self::ImageRemoved | Self::NoCopyOnWrite | Self::Contract(_) | Self::Policy(_) => {
                self.to_string()
            }
        }
    }
}

/// Whether a text names a circuit: by itself, or in the label of an input.
fn names(text: &str, circuit: &str) -> bool {
    let mut quoted = text.split('`').skip(1).step_by(2);
    quoted.any(|quoted| quoted == circuit || quoted.split_once('/').is_some_and(|(_, of)| of == circuit))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        circuits::{
            calculators::Cause,
            change::{Added, ChangeKind, Entry, Sent},
        },
        ids::Tenant,
        witness::CalculatorError,
    };
    use snapback_snapshot::Digest;

    fn tenant(name: &str) -> Tenant {
        name.parse().expect("a name")
    }

    #[test]
    fn a_reason_names_circuits_to_their_owner_alone() {
        let entry = |owner: &str| {
            let added = Some(Added { at: 0, by: None, tenant: Some(tenant(owner)) });
            Entry { added, ..Entry::default() }
        };
        let there =
            [("hidden", "acme"), ("open", "beta")].map(|(name, owner)| (name.to_owned(), entry(owner)));
        let mut catalogue = Catalogue::new(Digest::of(b"an image"), there.into());
        let mut submit = |kind, owner: Option<&str>| {
            let sent = Sent { tenant: owner.map(tenant), ..Sent::default() };
            let id = catalogue.submit(kind, sent);
            catalogue.changes.iter().find(|change| change.id == id).expect("it was submitted").clone()
        };
        let add = |name: &str, owner| ChangeKind::Add { name: name.into(), entry: Box::new(entry(owner)) };
        let [of_acme, of_beta, of_all] = [
            submit(add("more", "acme"), Some("acme")),
            submit(add("other", "beta"), Some("beta")),
            submit(ChangeKind::Rebuild, None),
        ];
        let unusable = |circuit: &str| {
            let cause = Cause::Calculator(CalculatorError::Missing);
            ChangeError::from(NotPrepared::from(Unusable { circuit: circuit.into(), cause }))
        };
        let refused = |text: &str| ChangeError::from(BakeError::Refused(text.into()));
        for error in
            [unusable("hidden"), refused("input `circuit/hidden`: it is malformed"), unusable("more")]
        {
            assert_ne!(error.for_clients_of(&of_acme, &catalogue), OF_ANOTHER);
            for change in [&of_beta, &of_all] {
                let reason = error.for_clients_of(change, &catalogue);
                assert_eq!(reason, OF_ANOTHER, "{error}");
                assert!(!reason.contains("hidden") && !reason.contains("more"));
            }
        }
        for error in [unusable("open"), refused("its image has 5 bytes, and hidden is no name here")] {
            assert_eq!(error.for_clients_of(&of_beta, &catalogue), error.to_string());
        }
    }
}
