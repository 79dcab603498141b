//! Requests of clients to a registry, and the answers.

use super::{change::Entry, shelf::CatalogueError, upload::Upload};
use crate::ids::{ChangeId, GenerationId, Tenant};
use snapback_snapshot::proof_systems::{CircuitError, Description};
use std::net::IpAddr;

/// Whether a circuit may replace another of its name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Replace {
    /// It may not. If it is the same circuit, files that are not sent again stay.
    #[default]
    No,
    /// It may, with the files that are sent and no others.
    Yes,
}

/// Who sends a change.
#[derive(Clone, Debug)]
pub struct Sender {
    /// The address; `None` for operators, who have no share of their own to keep to.
    pub address: Option<IpAddr>,
    /// The tenant that the circuits belong to which are added; `None` if they are for all.
    pub tenant: Option<Tenant>,
    /// Whose circuits may be replaced and removed.
    pub reach: Reach,
    /// Most bytes that the files of the tenant's circuits may have.
    pub stored_bytes_max: Option<u64>,
}

/// Whose circuits a sender may replace and remove.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Those of the sender's tenant.
    Own,
    /// All.
    All,
}

impl Sender {
    /// Checks that the sender may replace or remove a circuit.
    pub(super) fn check(&self, name: &str, entry: &Entry) -> Result<(), Refused> {
        match (self.reach, entry.owner()) {
            (Reach::All, _) => Ok(()),
            (Reach::Own, Some(owner)) if Some(owner) == self.tenant.as_ref() => Ok(()),
            (Reach::Own, Some(_)) => Err(Refused::NameTakenByOther(name.to_owned())),
            (Reach::Own, None) => Err(Refused::ForAll(name.to_owned())),
        }
    }
}

/// A circuit whose name and files were checked.
pub(super) struct Admitted<'a> {
    pub(super) name: &'a str,
    pub(super) description: Description,
    pub(super) files: Upload,
    pub(super) sender: Sender,
}

/// The result of submitting a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Submitted {
    /// The change is on disk, and will be carried out.
    Accepted(ChangeId),
    /// Nothing has to change; this generation is served.
    Unchanged(GenerationId),
}

/// Why a change is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// The name does not follow the rules.
    #[error("`{0}` cannot name a circuit: 1 to 128 of a-z A-Z 0-9 . _ -, and neither . nor - first")]
    Name(String),
    /// The files of the circuit are refused.
    #[error(transparent)]
    Circuit(#[from] CircuitError),
    /// The name belongs to another circuit.
    #[error("`{0}` is another circuit: ?replace=true (--replace) puts this one in its place")]
    NameTaken(String),
    /// The name belongs to a circuit of another image.
    #[error("`{name}` is a circuit of the image `{image}`: give this one another name")]
    NameTakenElsewhere {
        /// The name.
        name: String,
        /// The other image.
        image: String,
    },
    /// The name belongs to a circuit of another tenant.
    #[error("the name `{0}` is taken on this server: give the circuit another one")]
    NameTakenByOther(String),
    /// The circuit belongs to the server.
    #[error("`{0}` is a circuit for all tenants, which only operators change: give yours another name")]
    ForAll(String),
    /// The tenant's circuits would need more than its quota.
    #[error(
        "the files of this tenant's circuits would have {bytes} bytes, more than tenants.stored_bytes_max = {max}"
    )]
    StoredBytes {
        /// What they would have.
        bytes: u64,
        /// What they may have.
        max: u64,
    },
    /// There is no such circuit.
    #[error("no circuit `{0}`: GET /v1/circuits (`snapback circuits list`) lists them")]
    NoSuchCircuit(String),
    /// There is no such generation.
    #[error(
        "no generation {0}: GET /v1/generations (`snapback circuits generations`) lists those that are kept"
    )]
    NoSuchGeneration(GenerationId),
    /// The circuit needs more than a limit allows.
    #[error(
        "it has {rows} rows and would need about {needed} bytes, more than {setting} = {limit}: raise that, or see \
         `snapback circuits estimate` for all that it needs"
    )]
    TooLarge {
        /// Rows of its arithmetisation.
        rows: u64,
        /// How much it needs at least, in bytes.
        needed: u64,
        /// Name of the setting that limits it.
        setting: &'static str,
        /// Its value in bytes.
        limit: u64,
    },
    /// There is no such change.
    #[error("no change {0}: GET /v1/changes (`snapback circuits changes`) lists those that are remembered")]
    NoSuchChange(ChangeId),
    /// The change cannot be cancelled.
    #[error("change {id} cannot be cancelled: {reason}")]
    NotCancellable {
        /// Number of the change.
        id: ChangeId,
        /// Why not.
        reason: &'static str,
    },
    /// Too many changes wait.
    #[error("{0} changes wait already (circuits.changes_max)")]
    TooMany(usize),
    /// The generation cannot be served.
    #[error("generation {id} cannot be served: {reason}")]
    NotServable {
        /// Number of the generation.
        id: GenerationId,
        /// Why not.
        reason: String,
    },
    /// The change cannot be made durable. The cause is for the log alone: it names paths of the server.
    #[error("the server cannot store the change: its log says why")]
    Storage(#[from] CatalogueError),
}
