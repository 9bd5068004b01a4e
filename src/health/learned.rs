//! What is left of an upstream's own rate limits, learned from every answer, so that somebody else is asked before it refuses.
//!
//! It never forbids anything: whoever has nothing left is asked last, and asked all the same where nobody else is left.

use std::{
    sync::{
        Mutex, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use foldhash::HashMap;
use tokio::time::Instant;

use crate::upstream::{Limited, Reported};

/// Models of one key that are remembered.
const MOST_MODELS: usize = 512;

/// What is known of one key's limits, by model.
#[derive(Debug, Default)]
pub struct Learned {
    models: RwLock<HashMap<Box<str>, Mutex<Limits>>>,
    /// Whether there is anything: most upstreams tell nothing.
    any: AtomicBool,
}

impl Learned {
    /// An answer told of limits.
    pub fn learn(&self, model: &str, told: &[Reported; 4], now: Instant) {
        if self.with(model, |limits| limits.learn(told, now)).is_some() {
            return;
        }
        let mut models = self.models.write().unwrap_or_else(PoisonError::into_inner);
        if models.len() < MOST_MODELS {
            models.entry(model.into()).or_default().get_mut().unwrap_or_else(PoisonError::into_inner).learn(told, now);
            self.any.store(true, Ordering::Relaxed);
        }
    }

    /// Until when a request of so many tokens had better go elsewhere; `None` if it may come.
    pub fn spent_until(&self, model: &str, tokens: u64, now: Instant) -> Option<Instant> {
        self.with(model, |limits| limits.spent_until(tokens, now)).flatten()
    }

    /// A request of so many tokens is on its way: until its answer tells more, it counts so.
    pub fn take(&self, model: &str, tokens: u64, now: Instant) {
        self.with(model, |limits| limits.take(tokens, now));
    }

    fn with<T>(&self, model: &str, look: impl FnOnce(&mut Limits) -> T) -> Option<T> {
        if !self.any.load(Ordering::Relaxed) {
            return None;
        }
        let models = self.models.read().unwrap_or_else(PoisonError::into_inner);
        let mut limits = models.get(model)?.lock().unwrap_or_else(PoisonError::into_inner);
        Some(look(&mut limits))
    }
}

/// The limits of one key for one model: pure, over what was told and the time.
#[derive(Debug, Default)]
struct Limits([Option<Bucket>; 4]);

impl Limits {
    fn learn(&mut self, told: &[Reported; 4], now: Instant) {
        for (bucket, told) in self.0.iter_mut().zip(told) {
            if let Reported { limit, remaining: Some(remaining), reset: Some(reset) } = *told {
                *bucket = Some(Bucket { limit, remaining, since: now, reset });
            }
        }
    }

    fn spent_until(&self, tokens: u64, now: Instant) -> Option<Instant> {
        let each = self.0.iter().zip(Limited::ALL);
        each.filter_map(|(bucket, of)| bucket.as_ref()?.short_until(need(of, tokens), now)).max()
    }

    fn take(&mut self, tokens: u64, now: Instant) {
        for (bucket, of) in self.0.iter_mut().zip(Limited::ALL) {
            if let Some(bucket) = bucket {
                bucket.take(need(of, tokens), now);
            }
        }
    }
}

/// What a request takes of a limit. How long its answer will be nobody knows.
fn need(of: Limited, tokens: u64) -> u64 {
    match of {
        Limited::Requests | Limited::OutputTokens => 1,
        Limited::Tokens | Limited::InputTokens => tokens.max(1),
    }
}

/// One limit. It fills up steadily until it is full again at the reset, as the vendors' own do.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    limit: Option<u64>,
    remaining: u64,
    /// When that much was left.
    since: Instant,
    /// How long after that it is full.
    reset: Duration,
}

impl Bucket {
    fn is_full(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) >= self.reset
    }

    /// When there will be `need`, which is no more than the limit; `None` if it is there.
    fn short_until(&self, need: u64, now: Instant) -> Option<Instant> {
        let need = self.limit.map_or(need, |limit| need.min(limit));
        if self.is_full(now) || self.remaining >= need {
            return None;
        }
        let missing = (need - self.remaining) as f64;
        // Of an unknown limit nothing comes before the reset.
        let whole = self.limit.map_or(missing, |limit| limit.saturating_sub(self.remaining) as f64);
        Some(self.since + self.reset.mul_f64((missing / whole).min(1.0))).filter(|until| *until > now)
    }

    fn take(&mut self, need: u64, now: Instant) {
        if !self.is_full(now) {
            self.remaining = self.remaining.saturating_sub(need);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn told(limit: Option<u64>, remaining: u64, reset: u64) -> [Reported; 4] {
        let requests = Reported { limit, remaining: Some(remaining), reset: Some(Duration::from_secs(reset)) };
        [requests, Reported::default(), Reported::default(), Reported::default()]
    }

    #[test]
    fn what_has_nothing_left_is_passed_over_until_there_is_something_again() {
        let (learned, now) = (Learned::default(), Instant::now());
        assert_eq!(learned.spent_until("m", 1, now), None);
        learned.learn("m", &told(None, 0, 20), now);
        let later = |seconds| now + Duration::from_secs(seconds);
        assert_eq!(learned.spent_until("m", 1, now), Some(later(20)));
        assert_eq!(learned.spent_until("other", 1, now), None, "limits are a model's own");
        assert_eq!(learned.spent_until("m", 1, later(20)), None);
        learned.learn("m", &told(Some(10), 0, 20), now);
        assert_eq!(
            learned.spent_until("m", 1, now),
            Some(later(2)),
            "a tenth of it is there after a tenth of the time"
        );
        assert_eq!(learned.spent_until("m", 1, later(2)), None);
    }

    #[test]
    fn requests_that_are_on_their_way_count() {
        let (learned, now) = (Learned::default(), Instant::now());
        learned.learn("m", &told(Some(60), 2, 58), now);
        for _ in 0..2 {
            assert_eq!(learned.spent_until("m", 1, now), None);
            learned.take("m", 1, now);
        }
        assert!(learned.spent_until("m", 1, now).is_some());
        learned.learn("m", &told(Some(60), 9, 51), now);
        assert_eq!(learned.spent_until("m", 1, now), None, "the upstream knows better");
    }

    #[test]
    fn a_request_larger_than_what_is_left_of_the_tokens_goes_elsewhere() {
        let (learned, now) = (Learned::default(), Instant::now());
        let tokens = Reported { limit: Some(1000), remaining: Some(500), reset: Some(Duration::from_secs(30)) };
        learned.learn("m", &[Reported::default(), tokens, Reported::default(), Reported::default()], now);
        assert_eq!(learned.spent_until("m", 500, now), None);
        assert!(learned.spent_until("m", 501, now).is_some());
        let until = learned.spent_until("m", 1_000_000, now);
        assert_eq!(until, Some(now + Duration::from_secs(30)), "more than the limit wants all of it");
    }

    proptest! {
        #[test]
        fn nobody_is_passed_over_for_longer_than_was_said(
            limit in proptest::option::of(0..1000_u64), remaining in 0..1000_u64, reset in 0..60_u64,
            taken in proptest::collection::vec(0..2000_u64, 0..8), tokens in 0..5000_u64, later in 0..120_u64,
        ) {
            let (mut limits, began) = (Limits::default(), Instant::now());
            let report = Reported { limit, remaining: Some(remaining), reset: Some(Duration::from_secs(reset)) };
            limits.learn(&[report; 4], began);
            taken.into_iter().for_each(|tokens| limits.take(tokens, began));
            let (now, end) = (began + Duration::from_secs(later), began + Duration::from_secs(reset));
            if let Some(until) = limits.spent_until(tokens, now) {
                prop_assert!(now < until && until <= end);
                prop_assert_eq!(limits.spent_until(tokens, until + Duration::from_millis(1)), None);
            }
        }
    }
}
