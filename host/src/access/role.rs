//! What a key permits.
//!
//! Invariant: a role permits everything that a lesser one does.

use serde::{Deserialize, Serialize};
use std::fmt;

/// What the owner of a key may do.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    clap::ValueEnum,
    utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Call: prove, verify, methods, jobs; and read what is served.
    Prover,
    /// Add and remove the circuits of the tenant too.
    Registrar,
    /// Operate the server too: swap, drain, policies, generations, and the circuits of all tenants.
    Operator,
}

/// What a request needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Permission {
    /// Calls, jobs, and reading what is served.
    Prove,
    /// Changes of circuits.
    ChangeCircuits,
    /// Everything that concerns the server itself.
    Operate,
}

impl Role {
    /// Whether the role permits this.
    #[must_use]
    pub const fn permits(self, permission: Permission) -> bool {
        match permission {
            Permission::Prove => true,
            Permission::ChangeCircuits => matches!(self, Self::Registrar | Self::Operator),
            Permission::Operate => matches!(self, Self::Operator),
        }
    }

    /// The name of the role, as it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Prover => "prover",
            Self::Registrar => "registrar",
            Self::Operator => "operator",
        }
    }
}

impl Permission {
    /// The least role that permits this.
    #[must_use]
    pub const fn least_role(self) -> Role {
        match self {
            Self::Prove => Role::Prover,
            Self::ChangeCircuits => Role::Registrar,
            Self::Operate => Role::Operator,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_permits_what_lesser_ones_do() {
        let all = [Permission::Prove, Permission::ChangeCircuits, Permission::Operate];
        for role in [Role::Prover, Role::Registrar, Role::Operator] {
            for permission in all {
                assert_eq!(
                    role.permits(permission),
                    role >= permission.least_role(),
                    "{role} {permission:?}"
                );
            }
        }
    }
}
