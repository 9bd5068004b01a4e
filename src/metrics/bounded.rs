//! Series by their labels, at most so many.

use std::{
    hash::Hash,
    sync::{Arc, PoisonError, RwLock},
};

use foldhash::HashMap;

/// What a label says of everything that has no series of its own.
pub const OTHER: &str = "other";

/// The first `most` labels get series of their own; whatever comes later shares one.
pub struct Bounded<L, S> {
    most: usize,
    known: RwLock<HashMap<L, Arc<S>>>,
}

impl<L: Eq + Hash + Clone, S> Bounded<L, S> {
    pub fn new(most: usize) -> Self {
        Self { most, known: RwLock::default() }
    }

    /// The series of `labels`, made if there are none and there is room; else those of `other`.
    pub fn get(&self, labels: L, other: impl FnOnce() -> L, make: impl FnOnce(&L) -> S) -> Arc<S> {
        if let Some(series) = self.known.read().unwrap_or_else(PoisonError::into_inner).get(&labels) {
            return series.clone();
        }
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let labels = if known.len() < self.most || known.contains_key(&labels) { labels } else { other() };
        known.entry(labels.clone()).or_insert_with(|| Arc::new(make(&labels))).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_comes_when_there_is_no_room_shares_the_series_of_others() {
        let bounded = Bounded::new(2);
        let get = |name: &'static str| *bounded.get(name, || OTHER, |made| *made);
        assert_eq!(["a", "b", "c", "d", "a"].map(get), ["a", "b", OTHER, OTHER, "a"]);
        assert_eq!(bounded.known.read().unwrap().len(), 3);
    }
}
