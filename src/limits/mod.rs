//! Who may do how much: requests in any sixty seconds, exact on one node.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::secret::KeyHash;

/// What one caller may do; where nothing is said the configuration's defaults hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allowance {
    /// Requests in any sixty seconds.
    pub requests_per_minute: Option<u32>,
    /// Tokens in any sixty seconds, those of prompts and of answers.
    pub tokens_per_minute: Option<u64>,
    /// Requests that run at the same time.
    pub concurrent_requests: Option<u32>,
}

const WINDOW: Duration = Duration::from_secs(60);

/// A sliding window that remembers when each admitted request came.
#[derive(Debug, Default)]
struct Window(VecDeque<Instant>);

impl Window {
    /// Admits a request, or says how long until one would be.
    fn admit(&mut self, limit: u32, now: Instant) -> Result<(), Duration> {
        while self.0.front().is_some_and(|first| now.saturating_duration_since(*first) >= WINDOW) {
            self.0.pop_front();
        }
        if self.0.len() < limit as usize {
            self.0.push_back(now);
            return Ok(());
        }
        // The request that must leave the window first, also where the limit was lowered meanwhile.
        let blocking = self.0.get(self.0.len() - limit.max(1) as usize).copied().unwrap_or(now);
        Err(WINDOW.saturating_sub(now.saturating_duration_since(blocking)))
    }
}

/// Windows by what they limit.
#[derive(Debug, Default)]
pub struct Limits {
    windows: Mutex<HashMap<Subject, Window>>,
}

/// Who or what a limit is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// An API key, by its hash.
    Key(KeyHash),
    /// A client without a key.
    Address(std::net::IpAddr),
    /// A provider, by its id.
    Provider(i64),
}

impl Subject {
    /// What kind of subject it is.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Key(_) => "key",
            Self::Address(_) => "address",
            Self::Provider(_) => "provider",
        }
    }
}

/// So many subjects are remembered; beyond it those with empty windows are forgotten.
const SUBJECTS: usize = 10_000;

impl Limits {
    /// Admits a request of `subject`, of which `limit` are allowed in any sixty seconds, or says how long to wait.
    pub fn admit(&self, subject: Subject, limit: u32) -> Result<(), Duration> {
        let now = Instant::now();
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        if windows.len() >= SUBJECTS && !windows.contains_key(&subject) {
            windows.retain(|_, window| window.0.back().is_some_and(|last| now.duration_since(*last) < WINDOW));
        }
        windows.entry(subject).or_default().admit(limit, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_sixty_seconds_hold_more_than_the_limit() {
        let (mut window, start) = (Window::default(), Instant::now());
        let admitted: Vec<u64> =
            (0..200).filter(|second| window.admit(5, start + Duration::from_secs(*second)).is_ok()).collect();
        for from in 0..200 {
            assert!(admitted.iter().filter(|second| (from..from + 60).contains(*second)).count() <= 5);
        }
        assert_eq!(admitted.len(), 20);
    }

    #[test]
    fn a_refusal_says_how_long_to_wait() {
        let (mut window, start) = (Window::default(), Instant::now());
        window.admit(1, start).unwrap();
        assert_eq!(window.admit(1, start + Duration::from_secs(20)), Err(Duration::from_secs(40)));
    }
}
