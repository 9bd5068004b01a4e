//! Answers in memory: so many bytes of them, those first that are asked for most.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use moka::{Expiry, sync::Cache};

use super::{Entry, Filter, Key};

/// What is kept in this process.
pub struct Memory(Cache<Key, Arc<Entry>>);

/// Gives back the memory of answers whose time is over. Whether they are good is decided when they are read.
struct Ends;

impl Expiry<Key, Arc<Entry>> for Ends {
    fn expire_after_create(&self, _: &Key, entry: &Arc<Entry>, _: Instant) -> Option<Duration> {
        Some(entry.head.ttl)
    }

    fn expire_after_update(&self, _: &Key, entry: &Arc<Entry>, _: Instant, _: Option<Duration>) -> Option<Duration> {
        Some(entry.head.ttl)
    }
}

impl Memory {
    /// Room for so many bytes.
    pub fn new(bytes: u64) -> Self {
        let weight = |_: &Key, entry: &Arc<Entry>| u32::try_from(entry.weight()).unwrap_or(u32::MAX);
        Self(Cache::builder().max_capacity(bytes).weigher(weight).expire_after(Ends).build())
    }

    pub fn find(&self, key: &Key) -> Option<Arc<Entry>> {
        self.0.get(key)
    }

    pub fn keep(&self, key: Key, entry: Arc<Entry>) {
        self.0.insert(key, entry);
    }

    pub fn drop_one(&self, key: &Key) {
        self.0.invalidate(key);
    }

    /// Forgets what `filter` lets through; how many answers that was.
    pub fn forget(&self, filter: &Filter) -> u64 {
        let doomed: Vec<Arc<Key>> = self.0.iter().map(|(key, _)| key).filter(|key| filter.lets_through(key)).collect();
        doomed.iter().for_each(|key| self.0.invalidate(&**key));
        doomed.len() as u64
    }

    /// How many answers there are, and how many bytes they take.
    pub fn holds(&self) -> (u64, u64) {
        self.0.run_pending_tasks();
        (self.0.entry_count(), self.0.weighted_size())
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::cache::{Digest, Head};

    fn key(number: u32) -> Key {
        Key { digest: Digest::of(&number.to_le_bytes()), key_id: Some(i64::from(number % 2)), model: "m".to_owned() }
    }

    fn entry(bytes: usize) -> Arc<Entry> {
        let head = Head { ttl: Duration::from_secs(3600), ..Head::default() };
        Arc::new(Entry { head, body: Bytes::from(vec![b'x'; bytes]) })
    }

    #[test]
    fn memory_holds_no_more_bytes_than_it_may() {
        let memory = Memory::new(100_000);
        (0..1000).for_each(|number| memory.keep(key(number), entry(1000)));
        let (entries, bytes) = memory.holds();
        assert!(bytes <= 100_000 && entries > 10, "{entries} answers of {bytes} bytes");
        memory.keep(key(5000), entry(200_000));
        assert!(memory.holds().1 <= 100_000);
    }

    #[test]
    fn what_a_filter_lets_through_is_forgotten_and_nothing_else() {
        let memory = Memory::new(1 << 20);
        (0..10).for_each(|number| memory.keep(key(number), entry(10)));
        assert_eq!(memory.forget(&Filter { key_id: Some(1), model: None }), 5);
        assert!(memory.find(&key(1)).is_none() && memory.find(&key(2)).is_some());
        assert_eq!(memory.forget(&Filter { key_id: None, model: Some("other".to_owned()) }), 0);
        assert_eq!(memory.forget(&Filter::default()), 5);
        assert_eq!(memory.holds().0, 0);
    }
}
