//! A change of the circuits of one service, from its acceptance to its end.
//!
//! Invariant: a change ends once, and keeps the state in which it ended.

use crate::ids::{ChangeId, GenerationId, Tenant};
use serde::{Deserialize, Serialize};
use snapback_snapshot::{
    Digest,
    proof_systems::{CircuitShape, FileKind},
};
use std::{collections::BTreeMap, net::IpAddr};

/// A circuit in the catalogue.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CircuitEntry)]
pub struct Entry {
    /// The digest that identifies the circuit; `None` for a circuit that came with the first image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub circuit: Option<Digest>,
    /// SHA-256 of each of its files; empty for a circuit that came with the first image.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = BTreeMap<String, String>)]
    pub files: BTreeMap<FileKind, Digest>,
    /// Its shape, where the proof system knows one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(ignore)]
    pub shape: Option<CircuitShape>,
    /// When it was added, and by whom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(ignore)]
    pub added: Option<Added>,
}

/// When a circuit was added, and by whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Added {
    /// When its change was accepted, in seconds since 1970.
    pub at: u64,
    /// The address of the sender; `None` for operators.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub by: Option<IpAddr>,
    /// The tenant that the circuit belongs to; `None` if it is for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub tenant: Option<Tenant>,
}

impl Entry {
    /// The tenant that the circuit belongs to; `None` if it is for all.
    #[must_use]
    pub fn owner(&self) -> Option<&Tenant> {
        self.added.as_ref()?.tenant.as_ref()
    }

    /// Whether another entry has the same circuit with the same files, whoever added it.
    pub(super) fn has_files_of(&self, other: &Self) -> bool {
        self.circuit == other.circuit && self.files == other.files
    }
}

/// An accepted change of the circuits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// Number of the change.
    pub id: ChangeId,
    /// What is to change.
    pub kind: ChangeKind,
    /// Who sent it; `None` for operators, and for the server itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sender: Option<IpAddr>,
    /// The tenant whose circuit changes; `None` if it is for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<Tenant>,
    /// Length of the files that are to be baked, in bytes.
    #[serde(default)]
    pub bytes: u64,
    /// State of the change.
    pub state: ChangeState,
}

/// Who has one share of the queue: a tenant, or else an address. Operators have none.
pub(super) type Party = (Option<Tenant>, Option<IpAddr>);

/// Returns whose share a change takes: that of the tenant where there is one, because a proxy gives all of them one address.
pub(super) fn party(tenant: Option<&Tenant>, address: Option<IpAddr>) -> Party {
    match tenant {
        Some(tenant) => (Some(tenant.clone()), None),
        None => (None, address),
    }
}

impl Change {
    /// Whose share of the queue the change takes.
    pub(super) fn party(&self) -> Party {
        party(self.tenant.as_ref(), self.sender)
    }
}

/// Who sent a change, whose circuit it concerns, and how much is to be baked.
#[derive(Clone, Debug, Default)]
pub(super) struct Sent {
    pub(super) by: Option<IpAddr>,
    pub(super) tenant: Option<Tenant>,
    pub(super) bytes: u64,
}

/// What is to change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ChangeKind {
    /// A circuit is added, or replaces another of its name.
    Add {
        /// Its name.
        name: String,
        /// Its files.
        entry: Box<Entry>,
    },
    /// A circuit is removed.
    Remove {
        /// Its name.
        name: String,
    },
    /// Every circuit is built again, from the image that the server was started with.
    Rebuild,
    /// Every circuit is built again, so that the image no longer has what removed circuits left in it.
    Compact,
}

impl ChangeKind {
    /// Name of the circuit that changes; `None` if all of them do.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Add { name, .. } | Self::Remove { name } => Some(name),
            Self::Rebuild | Self::Compact => None,
        }
    }

    /// Whether the change builds every circuit again.
    pub(super) fn builds_all(&self) -> bool {
        matches!(self, Self::Rebuild | Self::Compact)
    }
}

/// State of a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state", deny_unknown_fields)]
pub enum ChangeState {
    /// It waits for its turn.
    Waiting,
    /// It is being baked.
    Baking,
    /// It is served.
    Done {
        /// The first generation that has it.
        generation: GenerationId,
    },
    /// It failed, and nothing changed.
    Failed {
        /// Why.
        reason: String,
    },
    /// It was cancelled, and nothing changed.
    Cancelled,
}

impl ChangeState {
    /// Whether the change is still to be done.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self, Self::Waiting | Self::Baking)
    }
}

/// The circuits once these changes are done.
pub(super) fn wanted<'a>(
    circuits: &BTreeMap<String, Entry>,
    changes: impl Iterator<Item = &'a ChangeKind>,
) -> BTreeMap<String, Entry> {
    let mut circuits = circuits.clone();
    for change in changes {
        match change {
            ChangeKind::Add { name, entry } => drop(circuits.insert(name.clone(), (**entry).clone())),
            ChangeKind::Remove { name } => drop(circuits.remove(name)),
            ChangeKind::Rebuild | ChangeKind::Compact => {}
        }
    }
    circuits
}

/// The tenants that circuits belong to, by the name of the circuit.
pub(super) fn owners(circuits: &BTreeMap<String, Entry>) -> BTreeMap<String, Tenant> {
    let owner = |(name, entry): (&String, &Entry)| Some((name.clone(), entry.owner()?.clone()));
    circuits.iter().filter_map(owner).collect()
}

/// Rows of the arithmetisations of all these circuits, as far as they are known.
pub(super) fn rows(circuits: &BTreeMap<String, Entry>) -> u64 {
    circuits.values().filter_map(|entry| entry.shape.as_ref()).map(|shape| 1 << shape.k).sum()
}

/// Fields that were added later are left out where they say nothing, so that earlier catalogues keep their digests.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
pub(super) fn is_zero(number: &u64) -> bool {
    *number == 0
}
