//! The catalogue of one service: its generations, the active one, and the changes that were accepted.
//!
//! Invariant: numbers of generations and changes only grow, and the active generation is always kept.

use super::change::{Change, ChangeKind, ChangeState, Entry, Sent, is_zero, rows, wanted};
use crate::{
    ids::{ChangeId, GenerationId},
    policy::Percent,
};
use serde::{Deserialize, Serialize};
use snapback_snapshot::{Digest, manifest::Manifest};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Version of the catalogue's format.
pub(super) const FORMAT_VERSION: u32 = 3;
/// Finished changes that are remembered.
const CHANGES_KEPT: usize = 64;

/// The catalogue of one service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Catalogue {
    pub(super) format_version: u32,
    /// The image that the server was started with when all circuits were last built.
    pub(super) from: Digest,
    pub(super) active: GenerationId,
    next_generation: GenerationId,
    next_change: ChangeId,
    pub(super) generations: Vec<GenerationRecord>,
    /// Images that were baked for this catalogue, and are removed once nothing names them.
    #[serde(default)]
    pub(super) baked: BTreeSet<Digest>,
    pub(super) changes: Vec<Change>,
}

/// One generation, as the catalogue records it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GenerationRecord {
    /// Number of the generation.
    #[schema(value_type = u64)]
    pub id: GenerationId,
    /// Digest of its image.
    #[schema(value_type = String)]
    pub image: Digest,
    /// When it was published, in seconds since 1970.
    pub created: u64,
    /// When another generation took its place, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left: Option<u64>,
    /// Its circuits, by name.
    pub circuits: BTreeMap<String, Entry>,
    /// The most rows that circuits had at once since the image was last built whole. Memory that a removed circuit
    /// leaves is used again by later ones, so the size of the image follows this number.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(super) most_rows: u64,
}

impl Catalogue {
    /// Creates a catalogue with one generation: the image that the server was started with.
    pub(super) fn new(from: Digest, circuits: BTreeMap<String, Entry>) -> Self {
        let first = GenerationRecord {
            id: GenerationId::FIRST,
            image: from,
            created: now(),
            left: None,
            circuits,
            most_rows: 0,
        };
        Self {
            format_version: FORMAT_VERSION,
            from,
            active: GenerationId::FIRST,
            next_generation: GenerationId::FIRST.next(),
            next_change: ChangeId::FIRST,
            generations: vec![first],
            baked: BTreeSet::new(),
            changes: Vec::new(),
        }
    }

    /// Whether the catalogue holds circuits that were added to the server, or changes that would add some.
    pub(super) fn has_own(&self) -> bool {
        let mut circuits = self.generations.iter().flat_map(|record| record.circuits.values());
        circuits.any(|entry| !entry.files.is_empty()) || self.open_changes().next().is_some()
    }

    pub(super) fn generation(&self, id: GenerationId) -> Option<&GenerationRecord> {
        self.generations.iter().find(|record| record.id == id)
    }

    /// Number of the generation that is published next.
    pub(super) fn next_generation(&self) -> GenerationId {
        self.next_generation
    }

    /// The circuits once all open changes are done.
    pub(super) fn wanted(&self) -> BTreeMap<String, Entry> {
        wanted(&self.active().circuits, self.open_changes().map(|change| &change.kind))
    }

    /// The generation that is served.
    pub(super) fn active(&self) -> &GenerationRecord {
        self.generation(self.active).expect("the active generation is kept")
    }

    pub(super) fn open_changes(&self) -> impl Iterator<Item = &Change> {
        self.changes.iter().filter(|change| change.state.is_open())
    }

    pub(super) fn submit(&mut self, kind: ChangeKind, sent: Sent) -> ChangeId {
        let Sent { by: sender, tenant, bytes } = sent;
        let id = self.next_change;
        self.next_change = id.next();
        self.changes.push(Change { id, kind, sender, tenant, bytes, state: ChangeState::Waiting });
        let finished = self.changes.iter().filter(|change| !change.state.is_open()).count();
        let mut surplus = finished.saturating_sub(CHANGES_KEPT);
        self.changes.retain(|change| {
            let goes = surplus > 0 && !change.state.is_open();
            surplus -= usize::from(goes);
            !goes
        });
        id
    }

    /// Sets the state of changes. Those that have ended keep theirs.
    pub(super) fn set_state(&mut self, changes: &[ChangeId], state: &ChangeState) {
        for change in self.changes.iter_mut().filter(|change| changes.contains(&change.id)) {
            if !change.state.is_open() {
                continue;
            }
            change.state = state.clone();
            // The shape is in the generation, if the change is; a catalogue that keeps many would grow too long.
            if let (false, ChangeKind::Add { entry, .. }) = (state.is_open(), &mut change.kind) {
                entry.shape = None;
            }
        }
    }

    /// Whether all of these changes are still to be done. One that was cancelled may be forgotten by now.
    pub(super) fn are_open(&self, changes: &[ChangeId]) -> bool {
        changes.iter().all(|id| self.open_changes().any(|change| change.id == *id))
    }

    /// Adds a generation and makes it the active one.
    pub(super) fn publish(&mut self, image: Digest, circuits: BTreeMap<String, Entry>) -> GenerationId {
        let id = self.next_generation;
        self.next_generation = id.next();
        let most_rows = self.active().most_rows.max(rows(&circuits));
        self.generations.push(GenerationRecord {
            id,
            image,
            created: now(),
            left: None,
            circuits,
            most_rows,
        });
        self.activate(id);
        id
    }

    /// Records that the active generation was built again, from the image that the server was started with.
    pub(super) fn built_from(&mut self, from: Digest) {
        self.from = from;
        self.forget_unused();
    }

    /// Rows that removed circuits left unused in the image of the active generation. Zero if it has circuits of an
    /// unknown size.
    pub(super) fn unused_rows(&self) -> u64 {
        let active = self.active();
        let are_known = active.circuits.values().all(|entry| entry.shape.is_some());
        if are_known { active.most_rows.saturating_sub(rows(&active.circuits)) } else { 0 }
    }

    /// Takes what is unused in the active generation's image for what it needs: it was built again, or cannot be.
    pub(super) fn forget_unused(&mut self) {
        let active = self.active;
        for record in self.generations.iter_mut().filter(|record| record.id == active) {
            record.most_rows = rows(&record.circuits);
        }
    }

    /// Orders that all circuits are built again, if removed ones left this share of the image unused.
    pub(super) fn compact(&mut self, at: Percent) {
        let unused = self.unused_rows();
        let is_due = at < Percent::ALL && unused > 0 && unused >= at.of(self.active().most_rows);
        if is_due && !self.open_changes().any(|change| change.kind.builds_all()) {
            self.submit(ChangeKind::Compact, Sent::default());
        }
    }

    /// Makes a generation the active one.
    pub(super) fn activate(&mut self, id: GenerationId) {
        if id == self.active {
            return;
        }
        for record in &mut self.generations {
            match record.id {
                other if other == id => record.left = None,
                other if other == self.active => record.left = Some(now()),
                _ => {}
            }
        }
        self.active = id;
    }

    /// Forgets generations that are not served, except for the `keep` that were active last. Of these, generations that
    /// were replaced more than `age_max` ago are forgotten too, but the one that was active before the active one
    /// stays.
    pub(super) fn prune(&mut self, keep: usize, age_max: Duration) {
        let oldest = now().saturating_sub(age_max.as_secs());
        let active = self.active;
        let mut idle: Vec<(u64, GenerationId)> = self
            .generations
            .iter()
            .filter(|record| record.id != active)
            .map(|record| (record.left.unwrap_or(record.created), record.id))
            .collect();
        idle.sort_unstable_by(|a, b| b.cmp(a));
        let kept: BTreeSet<GenerationId> = (0..keep)
            .zip(idle)
            .filter(|(position, (left, _))| *position == 0 || *left >= oldest)
            .map(|(_, (_, id))| id)
            .collect();
        self.generations.retain(|record| record.id == active || kept.contains(&record.id));
    }

    /// Digests of all files that are still needed.
    pub(super) fn files(&self) -> BTreeSet<Digest> {
        let in_generations = self.generations.iter().flat_map(|record| record.circuits.values());
        let in_changes = self.open_changes().filter_map(|change| match &change.kind {
            ChangeKind::Add { entry, .. } => Some(&**entry),
            _ => None,
        });
        in_generations.chain(in_changes).flat_map(|entry| entry.files.values().copied()).collect()
    }
}

/// The circuits that came with an image. Only their names are known.
pub(super) fn of_manifest(manifest: &Manifest) -> BTreeMap<String, Entry> {
    manifest.circuits.iter().map(|circuit| (circuit.name.clone(), Entry::default())).collect()
}

pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use snapback_snapshot::proof_systems::CircuitShape;

    /// A catalogue of generations 1 to `count`, the last one active.
    fn catalogue(count: u64) -> Catalogue {
        let image = Digest::of(b"an image");
        let mut catalogue = Catalogue::new(image, BTreeMap::new());
        for _ in 1..count {
            catalogue.publish(image, BTreeMap::new());
        }
        catalogue
    }

    fn ids(catalogue: &Catalogue) -> Vec<u64> {
        catalogue.generations.iter().map(|record| record.id.get()).collect()
    }

    const LONG: Duration = Duration::from_hours(24);

    #[test]
    fn an_image_is_built_again_once_a_share_of_it_is_unused() {
        let circuits = |sizes: &[u32]| -> BTreeMap<String, Entry> {
            let shape = |k| CircuitShape {
                prime: String::new(),
                k,
                constraints: 0,
                wires: 1,
                publics: None,
                outputs: None,
                public_inputs: None,
                private_inputs: None,
                public: Vec::new(),
                inputs: Vec::new(),
            };
            let entry = |k| Entry { shape: Some(shape(k)), ..Entry::default() };
            sizes.iter().enumerate().map(|(name, k)| (name.to_string(), entry(*k))).collect()
        };
        let mut catalogue = catalogue(1);
        let mut is_ordered_with = |sizes: &[u32], at: u8| {
            catalogue.publish(Digest::of(b"another"), circuits(sizes));
            catalogue.compact(Percent::new(at));
            let is_ordered = catalogue.open_changes().count() > 0;
            if is_ordered {
                let open: Vec<ChangeId> = catalogue.open_changes().map(|change| change.id).collect();
                catalogue.compact(Percent::new(at));
                assert_eq!(catalogue.open_changes().count(), open.len(), "once is enough");
                catalogue.set_state(&open, &ChangeState::Cancelled);
            }
            is_ordered
        };
        assert!(!is_ordered_with(&[10, 10, 11], 25), "everything is used");
        assert!(!is_ordered_with(&[10, 11], 26), "a quarter is unused");
        assert!(is_ordered_with(&[10, 11], 25));
        assert!(!is_ordered_with(&[11, 11], 25), "what was left is used again");
        assert!(!is_ordered_with(&[], 100), "100% is never");
        assert!(is_ordered_with(&[], 99));
        catalogue.built_from(Digest::of(b"an image"));
        assert_eq!(catalogue.unused_rows(), 0);
    }

    #[test]
    fn the_configured_number_is_kept_beside_the_active_one() {
        let mut five = catalogue(5);
        five.prune(2, LONG);
        assert_eq!(ids(&five), [3, 4, 5]);
        five.prune(0, LONG);
        assert_eq!(ids(&five), [5]);
    }

    #[test]
    fn the_generation_before_the_active_one_stays_whatever_its_age() {
        let mut five = catalogue(5);
        // The first one is active again before another is published, so it is the one to go back to.
        five.activate(GenerationId::FIRST);
        five.publish(Digest::of(b"another"), BTreeMap::new());
        for record in &mut five.generations {
            record.created -= 2 * LONG.as_secs();
            let later = u64::from(record.id == GenerationId::FIRST);
            record.left = record.left.map(|left| left - 2 * LONG.as_secs() + later);
        }
        five.prune(3, LONG);
        assert_eq!(ids(&five), [1, 6]);
    }

    #[test]
    fn the_age_of_a_generation_counts_from_its_replacement() {
        let mut three = catalogue(3);
        three.generations.iter_mut().for_each(|record| record.created -= 2 * LONG.as_secs());
        three.prune(8, LONG);
        assert_eq!(ids(&three), [1, 2, 3]);
        three.generations[0].left = Some(now() - 2 * LONG.as_secs());
        three.prune(8, LONG);
        assert_eq!(ids(&three), [2, 3]);
    }
}
