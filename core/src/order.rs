//! The names of a zone in their canonical order (RFC 4034 §6.1): what stands before and after a name, for proofs that nothing is between.
//!
//! A name is kept as a key, its labels from the right with a zero between them, so that the order of bytes is the canonical one. The keys
//! lie side by side in leaves of a few kilobytes below branches of the same form: a look is a handful of cache lines, and a change copies one
//! leaf and the few branches above it, and only those that a snapshot still holds. Which names there are is not known here.

mod key;
mod list;

use std::sync::Arc;

pub use key::{Left, OrderKey, labels};
use list::List;

/// Keys in a leaf, and children of a branch, before it is split.
const MOST: usize = 128;

/// Two neighbours that have no more than this together become one.
const FEW: usize = MOST / 2;

/// Names in canonical order. A clone is a snapshot.
#[derive(Clone, Debug)]
pub struct Order {
    root: Arc<Node>,
    count: usize,
}

#[derive(Clone, Debug)]
enum Node {
    Leaf(List),
    /// The first key below each child, and the children.
    Branch(List, Vec<Arc<Node>>),
}

impl Default for Order {
    fn default() -> Self {
        Self { root: Arc::new(Node::Leaf(List::default())), count: 0 }
    }
}

impl Order {
    /// How many names there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether `key` is there.
    pub fn contains(&self, key: &[u8]) -> bool {
        self.at_or_before(key) == Some(key)
    }

    /// The last key that is not behind `key`.
    pub fn at_or_before(&self, key: &[u8]) -> Option<&[u8]> {
        self.root.last_of(|other| other <= key)
    }

    /// The last key before `key`.
    pub fn before(&self, key: &[u8]) -> Option<&[u8]> {
        self.root.last_of(|other| other < key)
    }

    /// The first key behind `key`.
    pub fn after(&self, key: &[u8]) -> Option<&[u8]> {
        self.root.after(key)
    }

    /// All keys, the first one first.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        std::iter::successors(self.root.first(), |key| self.after(key))
    }

    /// Puts `key` in its place. Whether it was not there before.
    pub fn insert(&mut self, key: &[u8]) -> bool {
        if self.contains(key) {
            return false;
        }
        if let Some(right) = Arc::make_mut(&mut self.root).insert(key) {
            let left = std::mem::take(&mut self.root);
            self.root = Arc::new(Node::above(vec![left, Arc::new(right)]));
        }
        self.count = self.count.saturating_add(1);
        true
    }

    /// Takes `key` out. Whether it was there.
    pub fn remove(&mut self, key: &[u8]) -> bool {
        if !self.contains(key) {
            return false;
        }
        Arc::make_mut(&mut self.root).remove(key);
        while let Node::Branch(_, children) = &*self.root {
            let [only] = children.as_slice() else { break };
            self.root = Arc::clone(only);
        }
        self.count = self.count.saturating_sub(1);
        true
    }
}

impl Default for Node {
    fn default() -> Self {
        Self::Leaf(List::default())
    }
}

impl Node {
    fn above(children: Vec<Arc<Self>>) -> Self {
        let mut firsts = List::default();
        for child in &children {
            firsts.insert(firsts.len(), child.first().unwrap_or_default());
        }
        Self::Branch(firsts, children)
    }

    fn list(&self) -> &List {
        match self {
            Self::Leaf(list) | Self::Branch(list, _) => list,
        }
    }

    fn first(&self) -> Option<&[u8]> {
        self.list().get(0)
    }

    /// The last key of those that stand at the front and are `before`.
    fn last_of(&self, before: impl Fn(&[u8]) -> bool + Copy) -> Option<&[u8]> {
        let at = self.list().partition_point(before).checked_sub(1)?;
        match self {
            Self::Leaf(keys) => keys.get(at),
            Self::Branch(_, children) => children.get(at)?.last_of(before),
        }
    }

    fn after(&self, key: &[u8]) -> Option<&[u8]> {
        let next = self.list().partition_point(|other| other <= key);
        match self {
            Self::Leaf(keys) => keys.get(next),
            Self::Branch(_, children) => {
                let within = next.checked_sub(1).and_then(|at| children.get(at)?.after(key));
                within.or_else(|| children.get(next)?.first())
            }
        }
    }

    /// The child where `key` belongs.
    fn child(firsts: &List, key: &[u8]) -> usize {
        firsts.partition_point(|other| other <= key).saturating_sub(1)
    }

    /// Puts `key`, which is not there, in its place. What became too much for this node.
    fn insert(&mut self, key: &[u8]) -> Option<Self> {
        match self {
            Self::Leaf(keys) => keys.insert(keys.partition_point(|other| other < key), key),
            Self::Branch(firsts, children) => {
                let at = Self::child(firsts, key);
                let right = children.get_mut(at).and_then(|child| Arc::make_mut(child).insert(key));
                if firsts.get(at).is_some_and(|first| key < first) {
                    firsts.remove(at);
                    firsts.insert(at, key);
                }
                if let Some(right) = right {
                    let next = at.saturating_add(1);
                    firsts.insert(next, right.first().unwrap_or_default());
                    children.insert(next, Arc::new(right));
                }
            }
        }
        (self.list().len() > MOST).then(|| self.split())
    }

    /// Gives the second half away.
    fn split(&mut self) -> Self {
        let half = self.list().len() / 2;
        match self {
            Self::Leaf(keys) => Self::Leaf(keys.split_off(half)),
            Self::Branch(firsts, children) => Self::Branch(firsts.split_off(half), children.split_off(half)),
        }
    }

    /// Takes `key`, which is there, out.
    fn remove(&mut self, key: &[u8]) {
        match self {
            Self::Leaf(keys) => keys.remove(keys.partition_point(|other| other < key)),
            Self::Branch(firsts, children) => {
                let at = Self::child(firsts, key);
                let Some(child) = children.get_mut(at).map(Arc::make_mut) else { return };
                child.remove(key);
                match child.first().map(<[u8]>::to_vec) {
                    None => {
                        firsts.remove(at);
                        children.remove(at);
                    }
                    Some(first) => {
                        firsts.remove(at);
                        firsts.insert(at, &first);
                        Self::join(firsts, children, at.saturating_sub(1));
                        Self::join(firsts, children, at);
                    }
                }
            }
        }
    }

    /// Makes one of the child there and the next, if both are small.
    fn join(firsts: &mut List, children: &mut Vec<Arc<Self>>, at: usize) {
        let next = at.saturating_add(1);
        let Some([left, right]) = children.get_mut(at..at.saturating_add(2)) else { return };
        if left.list().len().saturating_add(right.list().len()) > FEW {
            return;
        }
        match (Arc::make_mut(left), &**right) {
            (Self::Leaf(keys), Self::Leaf(more)) => keys.append(more),
            (Self::Branch(keys, below), Self::Branch(more, others)) => {
                keys.append(more);
                below.extend(others.iter().map(Arc::clone));
            }
            _ => return,
        }
        firsts.remove(next);
        children.remove(next);
    }
}

impl PartialEq for Order {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.root, &other.root) || self.count == other.count && self.iter().eq(other.iter())
    }
}

#[cfg(test)]
mod tests;
