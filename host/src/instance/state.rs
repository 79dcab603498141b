//! What the store of an instance holds for its imports and limits.

use crate::memory::meter::Meter;
use snapback_snapshot::imports::GuestState;

/// State of the host beside one instance. Imports of the contract reach it.
pub struct HostState {
    /// Measures and limits the linear memory.
    pub meter: Meter,
}

/// Lines that a guest logs while it serves may hold its input. The default implementation drops them.
impl GuestState for HostState {}
