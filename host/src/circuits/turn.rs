//! Which of the changes that wait are baked next.
//!
//! One bake at a time is all that there is, and a large circuit may take minutes. So everybody who sends changes gets a
//! turn, small changes go before large ones, and a bake takes only as much as is baked in reasonable time.
//!
//! Invariant: changes of one name keep their order, and no change is passed over by more than [`PASSED_MAX`] later ones.

use super::catalogue::{Change, ChangeKind};
use crate::ids::ChangeId;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

/// How many later changes may be done before a change that waits.
const PASSED_MAX: u64 = 16;
/// Most bytes of circuits that one bake takes, unless a single change has more.
const BATCH_BYTES_MAX: u64 = 4 << 20;

/// Chooses the changes of the next bake, in the order in which they were accepted. `next` is the number of the next
/// change that will be accepted.
pub(super) fn next_batch<'a>(open: impl Iterator<Item = &'a Change>, next: ChangeId) -> Vec<Change> {
    let open: Vec<&Change> = open.collect();
    let mut chosen: BTreeSet<ChangeId> = BTreeSet::new();
    // A rebuild changes nothing by itself, and every other change is applied to its result.
    chosen.extend(open.iter().filter(|change| change.kind == ChangeKind::Rebuild).map(|change| change.id));
    let mut bytes = 0;
    let mut turns: BTreeMap<Option<IpAddr>, usize> = BTreeMap::new();
    while let Some(change) = choose(&open, &chosen, &turns, next) {
        if bytes > 0 && bytes + change.bytes > BATCH_BYTES_MAX {
            break;
        }
        bytes += change.bytes;
        *turns.entry(change.sender).or_default() += 1;
        chosen.insert(change.id);
    }
    open.into_iter().filter(|change| chosen.contains(&change.id)).cloned().collect()
}

/// The change whose turn it is: one that was passed over too often, or else the smallest of those who had the fewest
/// turns.
fn choose<'a>(
    open: &[&'a Change],
    chosen: &BTreeSet<ChangeId>,
    turns: &BTreeMap<Option<IpAddr>, usize>,
    next: ChangeId,
) -> Option<&'a Change> {
    let is_chosen = |change: &Change| chosen.contains(&change.id);
    let is_first_of_its_name = |change: &Change| {
        open.iter()
            .all(|other| other.id >= change.id || is_chosen(other) || other.kind.name() != change.kind.name())
    };
    let waiting = open.iter().copied().filter(|change| !is_chosen(change) && is_first_of_its_name(change));
    let passed = |change: &Change| next.get().saturating_sub(change.id.get()) > PASSED_MAX;
    waiting.min_by_key(|change| {
        let turns = turns.get(&change.sender).copied().unwrap_or(0);
        // Those that were passed over go first, in their order.
        if passed(change) { (false, 0, 0, change.id) } else { (true, turns, change.bytes, change.id) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::circuits::{ChangeState, Entry};

    const LARGE: u64 = BATCH_BYTES_MAX;

    fn change(id: u64, sender: u8, name: &str, bytes: u64) -> Change {
        Change {
            id: (0..id).fold(ChangeId::FIRST, |id, _| id.next()),
            kind: ChangeKind::Add { name: name.into(), entry: Entry::default() },
            sender: Some([192, 0, 2, sender].into()),
            bytes,
            state: ChangeState::Waiting,
        }
    }

    fn names(open: &[Change]) -> Vec<String> {
        let next = open.iter().map(|change| change.id).max().expect("some").next();
        let batch = next_batch(open.iter(), next);
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
        let mut open = vec![change(0, 1, "large", LARGE)];
        open.extend((1..=PASSED_MAX + 1).map(|id| change(id, 2, &format!("small{id}"), 1)));
        assert_eq!(names(&open)[0], "large");
    }

    #[test]
    fn changes_of_one_name_keep_their_order() {
        let open = [change(0, 1, "x", LARGE), change(1, 1, "x", 1), change(2, 2, "y", 1)];
        assert_eq!(names(&open), ["y"]);
        assert_eq!(names(&open[..2]), ["x"]);
        assert_eq!(next_batch(open[..2].iter(), open[1].id.next())[0].id, open[0].id);
    }

    #[test]
    fn removals_cost_nothing_and_a_rebuild_comes_along() {
        let mut open = [change(0, 1, "large", LARGE), change(1, 1, "gone", 0), change(2, 1, "none", 0)];
        open[1].kind = ChangeKind::Remove { name: "gone".into() };
        open[2].kind = ChangeKind::Rebuild;
        let next = open[2].id.next();
        assert_eq!(next_batch(open.iter(), next).len(), 3);
    }
}
