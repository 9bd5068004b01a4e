//! How one of a provider's several keys is: whether it may be used, is resting, or was refused and is set aside.
//!
//! A key is left out as a provider is, by the same machine: a refusal sets it aside at once, for longer each time, and after
//! the pause one request at a time finds out whether it is good again.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use super::{
    Learned, Outcome,
    breaker::{Admission, Breaker, Policy},
};
use crate::chance;

/// The health of one key.
#[derive(Debug)]
pub struct KeyHealth {
    breaker: Mutex<Breaker>,
    last_error: Mutex<Option<String>>,
    /// What the provider says of the limits of this key.
    pub limits: Learned,
}

/// One key's health as operators see it.
#[derive(Clone, Debug, PartialEq)]
pub struct KeyView {
    pub admission: Admission,
    /// How often it was set aside because it was refused.
    pub refusals: u64,
    pub last_error: Option<String>,
}

impl KeyHealth {
    pub(super) fn new(policy: Policy) -> Self {
        Self { breaker: Mutex::new(Breaker::new(policy)), last_error: Mutex::default(), limits: Learned::default() }
    }

    /// Whether it may be used now, without taking anything.
    pub fn admission(&self) -> Admission {
        self.breaker().admission(Instant::now())
    }

    /// Takes leave to use it, whatever its state: whoever asks has no better one.
    pub fn admit(self: &Arc<Self>) -> KeyPermit {
        let began = Instant::now();
        let probing = self.breaker().admit(began, true).unwrap_or(false);
        KeyPermit { key: self.clone(), began, probing }
    }

    /// Nobody uses it until then. A shorter rest never shortens a longer one.
    pub fn rest(&self, until: Instant) {
        self.breaker().rest(until);
    }

    pub fn view(&self) -> KeyView {
        let breaker = self.breaker();
        KeyView {
            admission: breaker.admission(Instant::now()),
            refusals: breaker.ejected,
            last_error: self.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }

    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Leave to use a key once. Dropped, it says nothing about the key.
#[derive(Debug)]
pub struct KeyPermit {
    key: Arc<KeyHealth>,
    began: Instant,
    probing: bool,
}

impl KeyPermit {
    /// The provider took the key.
    pub(super) fn taken(mut self) {
        self.probing = false;
        let outcome = Outcome::Success { latency: std::time::Duration::ZERO };
        self.key.breaker().on(&outcome, self.began, Instant::now(), 0.0);
    }

    /// The provider refused the key. Says whether that set it aside, or it was so already.
    pub(super) fn refused(mut self, why: &str) -> bool {
        self.probing = false;
        *self.key.last_error.lock().unwrap_or_else(PoisonError::into_inner) = Some(why.to_owned());
        let mut breaker = self.key.breaker();
        let before = breaker.ejected;
        breaker.on(&Outcome::Refusal(String::new()), self.began, Instant::now(), chance::share());
        breaker.ejected > before
    }
}

impl Drop for KeyPermit {
    fn drop(&mut self) {
        if self.probing {
            self.key.breaker().release_probe();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn key() -> Arc<KeyHealth> {
        let policy =
            Policy { max_errors: 3, ejection_base: Duration::from_secs(10), ejection_max: Duration::from_secs(60) };
        Arc::new(KeyHealth::new(policy))
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_key_is_tried_by_one_request_after_a_pause_that_grows() {
        let key = key();
        assert!(key.admit().refused("no such key"));
        assert!(matches!(key.admission(), Admission::Ejected(_)));
        tokio::time::advance(Duration::from_secs(11)).await;
        assert_eq!(key.admission(), Admission::Yes);
        let probe = key.admit();
        assert!(matches!(key.admission(), Admission::Ejected(_)), "one request at a time");
        assert!(probe.refused("no such key"));
        tokio::time::advance(Duration::from_secs(11)).await;
        assert!(matches!(key.admission(), Admission::Ejected(_)), "the second pause is longer");
        tokio::time::advance(Duration::from_secs(12)).await;
        key.admit().taken();
        assert_eq!((key.admission(), key.view().refusals), (Admission::Yes, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_tells_nothing_leaves_the_next_one_its_turn() {
        let key = key();
        key.admit().refused("no such key");
        tokio::time::advance(Duration::from_secs(11)).await;
        drop(key.admit());
        assert_eq!(key.admission(), Admission::Yes);
    }
}
