//! Why a change of circuits is not done.
//!
//! Invariant: the text of an error is for the log, and may name paths of the server; `for_clients` never does.

use super::{bake_process::BakeError, calculators::Unusable, shelf::CatalogueError};
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

impl ChangeError {
    /// The error as clients may see it, without paths of the server.
    pub(super) fn for_clients(&self) -> String {
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
