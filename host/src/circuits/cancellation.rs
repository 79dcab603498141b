//! Cancels changes.
//!
//! Invariant: what a client was told is cancelled never becomes part of a generation. Publication looks at the states
//! of its changes under the lock under which they are cancelled.

use super::{
    admission::Refused,
    change::{ChangeKind, ChangeState},
    registry::Registry,
};
use crate::ids::ChangeId;

impl Registry {
    /// Cancels a change that has not ended. If it is being baked, its bake ends, and other changes of that bake begin
    /// again.
    ///
    /// # Errors
    /// Returns an error if there is no such change, it cannot be cancelled, or the catalogue cannot be written.
    pub fn cancel(&self, id: ChangeId) -> Result<(), Refused> {
        let mut state = self.state();
        let changes = &state.catalogue.changes;
        let change = changes.iter().find(|change| change.id == id).ok_or(Refused::NoSuchChange(id))?;
        let refuse = |reason| Err(Refused::NotCancellable { id, reason });
        let name = change.kind.name();
        let has_later =
            || state.catalogue.open_changes().any(|other| other.id > id && other.kind.name() == name);
        match &change.state {
            ChangeState::Cancelled => return Ok(()),
            ChangeState::Done { .. } | ChangeState::Failed { .. } => {
                return refuse("it has ended; remove its circuit, or activate an earlier generation");
            }
            _ if change.kind == ChangeKind::Rebuild => {
                return refuse(
                    "the circuits have to be built again for the image that the server was started with",
                );
            }
            _ if name.is_some() && has_later() => {
                return refuse("a later change of the same circuit builds on it; cancel that one first");
            }
            ChangeState::Waiting | ChangeState::Baking => {}
        }
        let mut next = state.catalogue.clone();
        next.set_state(&[id], &ChangeState::Cancelled);
        self.shelf.save(&next)?;
        state.catalogue = next;
        drop(state);
        self.dispatcher.metrics().change_ended(self.service.name(), "cancelled");
        self.sweep();
        self.wake();
        Ok(())
    }
}
