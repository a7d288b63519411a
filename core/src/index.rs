//! A map that snapshots share and that is fast to look into: what a query, or a connection, has to find among a million names.
//!
//! Hashes lead through two arrays to a page of a few entries, so that a lookup meets four or five cold cache lines where a tree would
//! meet twenty. A change copies its page and the two arrays above it, a few microseconds, and only those that a snapshot still holds.
//! There is no order; who needs one has a tree beside this.

use std::borrow::Borrow;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hash};
use std::sync::Arc;

/// How many middle arrays there are: for a million entries, a thousand in each.
const TOP_BITS: u32 = 10;

/// Entries a page, in the mean, before a middle array doubles: a page is then two or three cache lines of tags and keys.
const PER_PAGE: usize = 4;

/// A map from `K` to `V`. A clone is a snapshot.
#[derive(Clone, Debug)]
pub(crate) struct Index<K, V> {
    top: Arc<[Middle<K, V>]>,
}

#[derive(Clone, Debug)]
struct Middle<K, V> {
    /// A power of two of them.
    pages: Arc<[Page<K, V>]>,
    entries: usize,
}

type Page<K, V> = Arc<[Entry<K, V>]>;

#[derive(Clone, Debug)]
struct Entry<K, V> {
    /// A part of the hash that led neither to the array nor to the page: other keys are seldom looked at.
    tag: u32,
    key: K,
    value: V,
}

/// Where a key belongs.
#[derive(Clone, Copy)]
struct Place {
    top: usize,
    page: usize,
    tag: u32,
}

impl<K, V> Default for Index<K, V> {
    fn default() -> Self {
        let empty = Middle { pages: Arc::new([Arc::new([])]), entries: 0 };
        let top: Vec<_> = (0..1 << TOP_BITS).map(|_| Middle { pages: Arc::clone(&empty.pages), entries: 0 }).collect();
        Self { top: top.into() }
    }
}

impl<K, V> Index<K, V> {
    /// What is kept under `key`, and the key as it was given.
    pub(crate) fn get_key_value<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<(&K, &V)>
    where
        K: Borrow<Q>,
    {
        let place = Place::of(key);
        let page = self.top.get(place.top)?.page(place.page)?;
        page.iter().find(|entry| entry.is(place.tag, key)).map(|entry| (&entry.key, &entry.value))
    }
}

impl<K: Clone + Hash + Eq, V: Clone> Index<K, V> {
    /// Keeps `value` under `key`, in the place of what was there.
    pub(crate) fn insert(&mut self, key: K, value: V) {
        let place = Place::of(&key);
        let Some(middle) = Arc::make_mut(&mut self.top).get_mut(place.top) else { return };
        if let Some(entry) = middle.page_mut(place.page).iter_mut().find(|entry| entry.is(place.tag, &key)) {
            entry.value = value;
            return;
        }
        middle.alter(place.page, |entries| entries.push(Entry { tag: place.tag, key, value }));
        middle.entries = middle.entries.saturating_add(1);
        if middle.entries > middle.pages.len().saturating_mul(PER_PAGE) {
            middle.double();
        }
    }

    /// Forgets what is kept under `key`.
    pub(crate) fn remove<Q: Hash + Eq + ?Sized>(&mut self, key: &Q)
    where
        K: Borrow<Q>,
    {
        if self.get_key_value(key).is_none() {
            return;
        }
        let place = Place::of(key);
        let Some(middle) = Arc::make_mut(&mut self.top).get_mut(place.top) else { return };
        middle.alter(place.page, |entries| entries.retain(|entry| !entry.is(place.tag, key)));
        middle.entries = middle.entries.saturating_sub(1);
    }
}

impl<K, V> Middle<K, V> {
    fn page(&self, at: usize) -> Option<&Page<K, V>> {
        self.pages.get(at & self.pages.len().wrapping_sub(1))
    }
}

impl<K: Clone + Hash, V: Clone> Middle<K, V> {
    fn page_mut(&mut self, at: usize) -> &mut [Entry<K, V>] {
        let mask = self.pages.len().wrapping_sub(1);
        Arc::make_mut(&mut self.pages).get_mut(at & mask).map(Arc::make_mut).unwrap_or_default()
    }

    fn alter(&mut self, at: usize, with: impl FnOnce(&mut Vec<Entry<K, V>>)) {
        let mask = self.pages.len().wrapping_sub(1);
        let Some(page) = Arc::make_mut(&mut self.pages).get_mut(at & mask) else { return };
        let mut entries = page.to_vec();
        with(&mut entries);
        *page = entries.into();
    }

    /// Twice as many pages. It never shrinks: names that went come again.
    fn double(&mut self) {
        let mut pages: Vec<Vec<Entry<K, V>>> = vec![Vec::new(); self.pages.len().saturating_mul(2)];
        let mask = pages.len().wrapping_sub(1);
        for entry in self.pages.iter().flat_map(|page| page.iter()) {
            if let Some(page) = pages.get_mut(Place::of(&entry.key).page & mask) {
                page.push(entry.clone());
            }
        }
        self.pages = pages.into_iter().map(Arc::from).collect();
    }
}

impl<K, V> Entry<K, V> {
    fn is<Q: Eq + ?Sized>(&self, tag: u32, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.tag == tag && self.key.borrow() == key
    }
}

impl Place {
    /// The hasher has no secret: who could choose names that collide is the operator, who adds the hosts.
    fn of<Q: Hash + ?Sized>(key: &Q) -> Self {
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(key);
        Self { top: (hash >> (u64::BITS - TOP_BITS)) as usize, page: (hash & u64::from(u32::MAX) >> 8) as usize, tag: (hash >> 24) as u32 }
    }
}

impl<K: Hash + Eq, V: PartialEq> PartialEq for Index<K, V> {
    fn eq(&self, other: &Self) -> bool {
        let entries = |index: &Self| index.top.iter().map(|middle| middle.entries).sum::<usize>();
        let mut all = self.top.iter().flat_map(|middle| middle.pages.iter()).flat_map(|page| page.iter());
        entries(self) == entries(other) && all.all(|entry| other.get_key_value(&entry.key).is_some_and(|(_, value)| *value == entry.value))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Like the standard map, and a snapshot stays what it was.
        #[test]
        fn it_is_a_map_of_which_snapshots_are_kept(changes in proptest::collection::vec((0_u16..600, any::<Option<u8>>()), 0..2_000)) {
            let (mut index, mut model) = (Index::default(), HashMap::new());
            let mut kept = Vec::new();
            for (at, (key, value)) in changes.into_iter().enumerate() {
                match value {
                    Some(value) => {
                        index.insert(key, value);
                        model.insert(key, value);
                    }
                    None => {
                        index.remove(&key);
                        model.remove(&key);
                    }
                }
                if at % 500 == 0 {
                    kept.push((index.clone(), model.clone()));
                }
            }
            kept.push((index, model));
            for (index, model) in kept {
                for key in 0..600 {
                    prop_assert_eq!(index.get_key_value(&key), model.get_key_value(&key));
                }
            }
        }
    }

    #[test]
    fn pages_stay_short_as_it_grows() {
        let mut index = Index::default();
        (0..100_000_u32).for_each(|key| index.insert(key, ()));
        let longest = index.top.iter().flat_map(|middle| middle.pages.iter()).map(|page| page.len()).max();
        assert!(longest <= Some(24), "{longest:?}");
        assert!((0..100_000).all(|key| index.get_key_value(&key).is_some()));
    }

    #[test]
    fn equal_is_what_holds_the_same() {
        let (mut one, mut other) = (Index::default(), Index::default());
        (0..50).for_each(|key| one.insert(key, key));
        (0..50).rev().for_each(|key| other.insert(key, key));
        assert_eq!(one, other);
        other.remove(&7);
        assert_ne!(one, other);
        other.insert(7, 8);
        assert_ne!(one, other);
    }
}
