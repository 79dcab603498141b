//! Who makes a request.

use super::{KeyId, Role, role::Permission};
use crate::ids::Tenant;

/// Who makes a request: somebody with a key, or anybody where keys are not needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Whose circuits, jobs and quotas the request concerns.
    pub tenant: Tenant,
    /// What the caller may do.
    pub role: Role,
    /// The key; `None` for the token of operators, and where keys are not needed.
    pub key: Option<KeyId>,
}

impl Caller {
    /// The caller of every request where keys are not needed, and the owner of `admin.token_file`.
    #[must_use]
    pub fn local() -> Self {
        Self { tenant: Tenant::local(), role: Role::Operator, key: None }
    }

    /// Whether the caller may do this.
    #[must_use]
    pub fn may(&self, permission: Permission) -> bool {
        self.role.permits(permission)
    }

    /// Whether the caller sees what belongs to `owner`. What belongs to nobody is for all, and operators see everything.
    #[must_use]
    pub fn sees(&self, owner: Option<&Tenant>) -> bool {
        self.role == Role::Operator || owner.is_none_or(|owner| *owner == self.tenant)
    }

    /// The tenant whose circuits the caller sees, beside those for all; `None` if it sees everybody's.
    #[must_use]
    pub fn view(&self) -> Option<Tenant> {
        (self.role != Role::Operator).then(|| self.tenant.clone())
    }

    /// The tenant that owns the circuits which the caller adds. Those of a server without keys belong to nobody.
    #[must_use]
    pub fn owner(&self) -> Option<Tenant> {
        self.key.map(|_| self.tenant.clone())
    }
}
