//! How the times until an answer were distributed lately: which time most of them stay below.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

/// Buckets, each a fifth wider than the one before: from a millisecond to some two minutes.
const BUCKETS: usize = 64;
const FIRST: f64 = 0.001;
const GROWTH: f64 = 1.2;
/// Fewer say nothing.
const ENOUGH: u32 = 50;
/// With so many, old ones begin to count less.
const MANY: u32 = 2000;

/// Counts of times. Those who count at once may lose one another's count, which no percentile notices.
#[derive(Debug)]
pub struct Latencies {
    buckets: [AtomicU32; BUCKETS],
    total: AtomicU32,
}

impl Default for Latencies {
    fn default() -> Self {
        Self { buckets: [const { AtomicU32::new(0) }; BUCKETS], total: AtomicU32::new(0) }
    }
}

impl Latencies {
    pub fn observe(&self, took: Duration) {
        self.buckets[bucket(took)].fetch_add(1, Ordering::Relaxed);
        if self.total.fetch_add(1, Ordering::Relaxed) + 1 == MANY {
            let halves = self.buckets.iter().map(|bucket| {
                let half = bucket.load(Ordering::Relaxed) / 2;
                bucket.store(half, Ordering::Relaxed);
                half
            });
            self.total.store(halves.sum(), Ordering::Relaxed);
        }
    }

    /// The time that this share (0..=1) of the answers stayed below, a fifth at most too long; `None` while too few are known.
    pub fn percentile(&self, share: f64) -> Option<Duration> {
        let counts = self.buckets.each_ref().map(|bucket| bucket.load(Ordering::Relaxed));
        let total: u32 = counts.iter().sum();
        let wanted = (f64::from(total) * share).ceil();
        let mut below = 0;
        let reached = |count: &u32| {
            below += count;
            f64::from(below) >= wanted
        };
        let at = counts.iter().position(reached).filter(|_| total >= ENOUGH)?;
        Some(Duration::from_secs_f64(FIRST * GROWTH.powi(i32::try_from(at).unwrap_or(0))))
    }
}

fn bucket(took: Duration) -> usize {
    let steps = (took.as_secs_f64() / FIRST).ln() / GROWTH.ln();
    // What is shorter than the first is in it, and a float below zero becomes zero.
    (steps.ceil() as usize).min(BUCKETS - 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn few_answers_say_nothing_and_old_ones_give_way() {
        let latencies = Latencies::default();
        (1..ENOUGH).for_each(|_| latencies.observe(Duration::from_secs(1)));
        assert_eq!(latencies.percentile(0.95), None);
        latencies.observe(Duration::from_secs(1));
        assert!(latencies.percentile(0.95).is_some());
        (0..20 * MANY).for_each(|_| latencies.observe(Duration::from_millis(10)));
        assert!(latencies.percentile(0.99).unwrap() < Duration::from_millis(13));
    }

    proptest! {
        #[test]
        fn a_percentile_is_a_fifth_too_long_at_most(millis in proptest::collection::vec(2..90_000_u64, 50..300), share in 0.5..0.99_f64) {
            let latencies = Latencies::default();
            millis.iter().for_each(|millis| latencies.observe(Duration::from_millis(*millis)));
            let mut sorted = millis.clone();
            sorted.sort_unstable();
            let exact = sorted[((sorted.len() as f64 * share).ceil() as usize).max(1) - 1] as f64 / 1000.0;
            let told = latencies.percentile(share).unwrap().as_secs_f64();
            prop_assert!(told >= exact * 0.999 && told <= exact * 1.21, "{} for {}", told, exact);
        }
    }
}
