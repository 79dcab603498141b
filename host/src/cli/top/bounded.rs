//! Lists and maps of a server that may be hostile, read up to a bound.
//!
//! Invariant: what is read has [`ITEMS_MAX`] items at most; what follows is skipped, and takes no memory.

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use std::{collections::BTreeMap, fmt, marker::PhantomData};

/// Most items of a list or a map. Servers send pages of a hundred jobs, and lists of what they serve.
const ITEMS_MAX: usize = 10_000;

/// Reads the beginning of a list.
pub(super) fn list<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    deserializer.deserialize_seq(List(PhantomData))
}

/// Reads the beginning of a map.
pub(super) fn map<'de, D, K, V>(deserializer: D) -> Result<BTreeMap<K, V>, D::Error>
where
    D: Deserializer<'de>,
    K: Deserialize<'de> + Ord,
    V: Deserialize<'de>,
{
    deserializer.deserialize_map(Map(PhantomData))
}

struct List<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for List<T> {
    type Value = Vec<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vec<T>, A::Error> {
        let mut list = Vec::new();
        while list.len() < ITEMS_MAX
            && let Some(item) = items.next_element()?
        {
            list.push(item);
        }
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(list)
    }
}

struct Map<K, V>(PhantomData<(K, V)>);

impl<'de, K: Deserialize<'de> + Ord, V: Deserialize<'de>> Visitor<'de> for Map<K, V> {
    type Value = BTreeMap<K, V>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<BTreeMap<K, V>, A::Error> {
        let mut map = BTreeMap::new();
        while map.len() < ITEMS_MAX
            && let Some((key, value)) = entries.next_entry()?
        {
            map.insert(key, value);
        }
        while entries.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(map)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Read {
        #[serde(deserialize_with = "list")]
        list: Vec<u32>,
        #[serde(deserialize_with = "map")]
        map: BTreeMap<String, u32>,
        last: u32,
    }

    #[test]
    fn what_is_too_much_is_skipped() {
        for (items, kept) in [(0, 0), (3, 3), (ITEMS_MAX + 5, ITEMS_MAX)] {
            let numbers: Vec<usize> = (0..items).collect();
            let map: BTreeMap<String, usize> = (0..items).map(|item| (item.to_string(), item)).collect();
            let text = serde_json::json!({ "list": numbers, "map": map, "last": 7 }).to_string();
            let read: Read = serde_json::from_str(&text).expect("JSON");
            assert_eq!((read.list.len(), read.map.len(), read.last), (kept, kept, 7));
        }
        let beyond =
            format!(r#"{{"list": [{}{{"a": [null]}}], "map": {{}}, "last": 7}}"#, "1,".repeat(ITEMS_MAX));
        assert!(serde_json::from_str::<Read>(&beyond).is_ok(), "it is not looked at");
    }
}
