//! Which of the changes that wait are baked next.
//!
//! One bake at a time is all that there is, and a large circuit may take minutes. So everybody who sends changes gets a
//! turn, small changes go before large ones, and a bake takes only as much as is baked in reasonable time.
//!
//! Invariant: changes of one name keep their order, and no change is passed over by more than [`PASSED_MAX`] later ones.

use super::change::{Change, ChangeKind, Party};
use crate::ids::ChangeId;
use std::collections::{BTreeMap, BTreeSet};

/// How many later changes may be done before a change that waits.
const PASSED_MAX: usize = 16;
/// How many of the changes that were done last count as turns of those who sent them.
const REMEMBERED: usize = 16;
/// Most bytes of circuits that one bake takes, unless a single change has more.
const BATCH_BYTES_MAX: u64 = 4 << 20;

/// Chooses the changes of the next bake among all that the catalogue remembers, which come in the order in which they
/// were accepted.
pub(super) fn next_batch(changes: &[Change]) -> Vec<Change> {
    let (open, ended): (Vec<&Change>, Vec<&Change>) =
        changes.iter().partition(|change| change.state.is_open());
    // Giving memory back waits until nobody waits.
    let (compact, open): (Vec<&Change>, Vec<&Change>) =
        open.into_iter().partition(|change| change.kind == ChangeKind::Compact);
    if open.is_empty() {
        return compact.into_iter().cloned().collect();
    }
    // A rebuild changes nothing by itself, and every other change is applied to its result.
    let rebuilds = open.iter().filter(|change| change.kind == ChangeKind::Rebuild);
    let mut round = Round { chosen: rebuilds.map(|change| change.id).collect(), turns: BTreeMap::new() };
    for change in ended.iter().rev().take(REMEMBERED) {
        round.had_turn(change);
    }
    let mut bytes = 0;
    while let Some(change) = round.choose(&open, &ended) {
        if bytes > 0 && bytes + change.bytes > BATCH_BYTES_MAX {
            break;
        }
        bytes += change.bytes;
        round.had_turn(change);
        round.chosen.insert(change.id);
    }
    open.into_iter().filter(|change| round.chosen.contains(&change.id)).cloned().collect()
}

/// The choice of one batch.
struct Round {
    chosen: BTreeSet<ChangeId>,
    turns: BTreeMap<Party, usize>,
}

impl Round {
    fn had_turn(&mut self, change: &Change) {
        *self.turns.entry(change.party()).or_default() += 1;
    }

    /// The change whose turn it is: one that was passed over too often, or else the smallest of those who had the
    /// fewest turns.
    fn choose<'a>(&self, open: &[&'a Change], ended: &[&Change]) -> Option<&'a Change> {
        let is_chosen = |change: &Change| self.chosen.contains(&change.id);
        let is_first_of_its_name = |change: &Change| {
            let mut earlier = open.iter().take_while(|other| other.id < change.id);
            earlier.all(|other| is_chosen(other) || other.kind.name() != change.kind.name())
        };
        let was_passed =
            |change: &Change| ended.iter().filter(|other| other.id > change.id).count() > PASSED_MAX;
        let waiting =
            open.iter().copied().filter(|change| !is_chosen(change) && is_first_of_its_name(change));
        waiting.min_by_key(|change| {
            let turns = self.turns.get(&change.party()).copied().unwrap_or(0);
            // Those that were passed over go first, in their order.
            if was_passed(change) { (false, 0, 0, change.id) } else { (true, turns, change.bytes, change.id) }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::circuits::ChangeState;

    const LARGE: u64 = BATCH_BYTES_MAX;

    fn change(id: u64, sender: u8, name: &str, bytes: u64) -> Change {
        Change {
            id: (0..id).fold(ChangeId::FIRST, |id, _| id.next()),
            kind: ChangeKind::Add { name: name.into(), entry: Box::default() },
            sender: Some([192, 0, 2, sender].into()),
            tenant: None,
            bytes,
            state: ChangeState::Waiting,
        }
    }

    fn done(change: Change) -> Change {
        Change { state: ChangeState::Failed { reason: String::new() }, ..change }
    }

    fn names(changes: &[Change]) -> Vec<String> {
        let batch = next_batch(changes);
        batch.iter().filter_map(|change| change.kind.name().map(str::to_owned)).collect()
    }

    #[test]
    fn a_small_change_does_not_wait_for_large_ones() {
        let mut open: Vec<Change> = (0..4).map(|id| change(id, 1, &format!("large{id}"), LARGE)).collect();
        assert_eq!(names(&open), ["large0"]);
        open.push(change(4, 2, "small", 100));
        assert_eq!(names(&open), ["small"], "a large one does not fit beside it");
        open.push(change(5, 1, "own", 100));
        assert_eq!(names(&open), ["small", "own"]);
    }

    #[test]
    fn everybody_gets_a_turn() {
        let mut open: Vec<Change> = (0..8).map(|id| change(id, 1, &format!("many{id}"), LARGE / 4)).collect();
        open.push(change(8, 2, "one", LARGE / 2));
        assert_eq!(names(&open), ["many0", "many1", "one"]);
    }

    #[test]
    fn nobody_waits_for_ever() {
        let mut changes = vec![change(0, 1, "large", LARGE)];
        changes.extend((1..=17).map(|id| done(change(id, 2, "small", 1))));
        changes.push(change(18, 3, "new", 1));
        assert_eq!(names(&changes), ["large"]);
        changes.remove(1);
        assert_eq!(names(&changes), ["new"], "it was passed over sixteen times only");
    }

    #[test]
    fn a_flood_of_one_address_does_not_bury_the_change_of_another() {
        let mut changes: Vec<Change> =
            (0..24).map(|id| change(id, 1, &format!("flood{id}"), LARGE)).collect();
        changes.push(change(24, 2, "victim", LARGE));
        changes[0] = done(changes[0].clone());
        assert_eq!(names(&changes), ["victim"], "the other address had its turn");
        changes[24] = done(changes[24].clone());
        assert_eq!(names(&changes), ["flood1"]);
    }

    #[test]
    fn changes_of_one_name_keep_their_order() {
        let open = [change(0, 1, "x", LARGE), change(1, 1, "x", 1), change(2, 2, "y", 1)];
        assert_eq!(names(&open), ["y"]);
        assert_eq!(names(&open[..2]), ["x"]);
        assert_eq!(next_batch(&open[..2])[0].id, open[0].id);
    }

    #[test]
    fn removals_cost_nothing_and_a_rebuild_comes_along() {
        let mut open = [change(0, 1, "large", LARGE), change(1, 1, "gone", 0), change(2, 1, "none", 0)];
        open[1].kind = ChangeKind::Remove { name: "gone".into() };
        open[2].kind = ChangeKind::Rebuild;
        assert_eq!(next_batch(&open).len(), 3);
        open[2].kind = ChangeKind::Compact;
        assert_eq!(next_batch(&open).len(), 2, "it waits for all others");
        assert_eq!(next_batch(&open[2..]).len(), 1);
    }
}
