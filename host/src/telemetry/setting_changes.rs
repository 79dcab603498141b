//! Who changed which settings of images while the server ran.
//!
//! Invariant: the last [`CHANGES_KEPT`] changes are kept, with the values of settings and nothing else of a request.

use crate::policy::Policy;
use serde::Serialize;
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

/// Changes that are kept.
const CHANGES_KEPT: usize = 64;

/// Who changed settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Author {
    /// Whoever has the token of `admin.token_file`, or an operator whose key is not told.
    Operator,
    /// The owner of the key with this identifier.
    Key(String),
    /// SIGHUP: the settings were read again.
    Reload,
}

impl Serialize for Author {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Operator => serializer.serialize_str("operator"),
            Self::Key(id) => serializer.collect_str(&format_args!("key {id}")),
            Self::Reload => serializer.serialize_str("reload"),
        }
    }
}

/// One change of the settings of one image.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct SettingChange {
    /// Milliseconds since 1970.
    at_ms: u64,
    image: String,
    #[schema(value_type = String)]
    by: Author,
    /// The settings that changed: before, and now. A value is `null` where the setting was not given.
    #[schema(value_type = BTreeMap<String, Vec<serde_json::Value>>)]
    changed: BTreeMap<String, [serde_json::Value; 2]>,
}

impl SettingChange {
    /// Replaces the key of its author by the role.
    pub(crate) fn hide_key(&mut self) {
        if let Author::Key(_) = self.by {
            self.by = Author::Operator;
        }
    }
}

/// The latest changes.
#[derive(Default)]
pub struct SettingChanges(Mutex<VecDeque<SettingChange>>);

impl SettingChanges {
    /// Records that the settings of an image changed.
    pub(crate) fn record(&self, image: &str, by: &Author, from: &Policy, to: &Policy) {
        let at_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let change = SettingChange {
            at_ms: u64::try_from(at_ms).unwrap_or(u64::MAX),
            image: image.to_owned(),
            by: by.clone(),
            changed: difference(from, to),
        };
        let mut changes = self.lock();
        if changes.len() == CHANGES_KEPT {
            changes.pop_front();
        }
        changes.push_back(change);
    }

    /// The latest changes, newest first.
    pub(crate) fn latest(&self) -> Vec<SettingChange> {
        self.lock().iter().rev().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<SettingChange>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn difference(from: &Policy, to: &Policy) -> BTreeMap<String, [serde_json::Value; 2]> {
    let map = |policy: &Policy| match serde_json::to_value(policy) {
        Ok(serde_json::Value::Object(map)) => map,
        _ => serde_json::Map::default(),
    };
    let (from, to) = (map(from), map(to));
    let keys = from.keys().chain(to.keys().filter(|key| !from.contains_key(*key)));
    let pair = |key: &String| [from.get(key), to.get(key)].map(|value| value.cloned().unwrap_or_default());
    keys.map(|key| (key.clone(), pair(key))).filter(|(_, [from, to])| from != to).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::SwapPolicy;
    use serde_json::json;

    #[test]
    fn a_change_names_what_changed_and_the_oldest_is_forgotten() {
        let changes = SettingChanges::default();
        let (from, to) = (Policy::default(), Policy { swap: SwapPolicy::Off, ..Policy::default() });
        for _ in 0..CHANGES_KEPT {
            changes.record("zcash", &Author::Reload, &from, &to);
        }
        changes.record("zcash", &Author::Operator, &to, &from);
        let latest = serde_json::to_value(changes.latest()).expect("it has string keys only");
        assert_eq!(latest.as_array().map(Vec::len), Some(CHANGES_KEPT));
        assert_eq!(latest[0]["by"], "operator");
        assert_eq!(latest[0]["changed"], json!({ "swap.policy": ["off", "every-call"] }));
        assert_eq!(latest[1]["by"], "reload");
    }
}
