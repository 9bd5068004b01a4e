//! Who can be asked: one record of each provider's recent outcomes, which outlives every change of configuration.

mod breaker;
mod budget;
mod ewma;
mod keys;
mod latency;
mod learned;
mod pace;
pub mod probe;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

pub use breaker::{Admission, Policy, State};
pub use budget::{RetryBudget, RetryPermit};
pub use keys::{KeyHealth, KeyPermit, KeyView};
pub use learned::Learned;
pub use pace::{Pace, Paces, Waiting};
use tokio::time::Instant;

use crate::{chance, clock, secret::KeyHash};

/// The health of all providers, by their ids.
#[derive(Debug)]
pub struct Health {
    policy: Policy,
    providers: RwLock<HashMap<i64, Arc<ProviderHealth>>>,
}

impl Health {
    pub fn new(policy: Policy) -> Self {
        Self { policy, providers: RwLock::default() }
    }

    /// The record of one provider, begun if there is none.
    pub fn of(&self, provider: i64) -> Arc<ProviderHealth> {
        let known = self.providers.read().unwrap_or_else(PoisonError::into_inner).get(&provider).cloned();
        known.unwrap_or_else(|| {
            let mut providers = self.providers.write().unwrap_or_else(PoisonError::into_inner);
            providers.entry(provider).or_insert_with(|| Arc::new(ProviderHealth::new(self.policy))).clone()
        })
    }

    /// Forgets providers that are no more.
    pub fn retain(&self, keep: impl Fn(i64) -> bool) {
        self.providers.write().unwrap_or_else(PoisonError::into_inner).retain(|id, _| keep(*id));
    }
}

/// The health of one provider.
#[derive(Debug)]
pub struct ProviderHealth {
    policy: Policy,
    breaker: Mutex<breaker::Breaker>,
    /// Of its keys, where it has several, by their hashes.
    keys: Mutex<HashMap<KeyHash, Arc<KeyHealth>>>,
    told: Mutex<Told>,
    /// What it says of its own limits, where it has one key or none.
    pub limits: Learned,
    /// How quickly it answers.
    pub paces: Paces,
    /// Whether it is being asked how it is.
    checking: Arc<AtomicBool>,
    /// How often the provider may be asked again after it failed.
    pub retries: RetryBudget,
}

/// What operators are shown besides the state.
#[derive(Clone, Debug, Default)]
struct Told {
    /// Moving average, milliseconds.
    response_ms: Option<f64>,
    /// Microseconds since the epoch.
    last_check: Option<i64>,
    last_error: Option<String>,
}

/// One provider's health as the admin API shows it.
#[derive(Clone, Debug)]
pub struct View {
    pub state: State,
    /// Moving average of whole answers and probes, milliseconds.
    pub response_time_ms: Option<f64>,
    pub consecutive_failures: u32,
    /// How often it was left out because it failed.
    pub ejections: u64,
    /// Of the requests in the window, 0..=100; `None` without requests.
    pub success_rate: Option<f64>,
    /// Microseconds since the epoch.
    pub last_check: Option<i64>,
    pub last_error: Option<String>,
}

/// How an attempt ended, as far as the provider is to blame.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    Success {
        latency: Duration,
    },
    /// The provider failed.
    Failure(String),
    /// The provider will not serve until somebody acts: it refused our key, or its quota is spent.
    Refusal(String),
}

impl ProviderHealth {
    fn new(policy: Policy) -> Self {
        Self {
            policy,
            breaker: Mutex::new(breaker::Breaker::new(policy)),
            keys: Mutex::default(),
            told: Mutex::default(),
            limits: Learned::default(),
            paces: Paces::default(),
            checking: Arc::default(),
            retries: RetryBudget::default(),
        }
    }

    /// The record of one of its keys, begun if there is none.
    pub fn key(&self, hash: KeyHash) -> Arc<KeyHealth> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        keys.entry(hash).or_insert_with(|| Arc::new(KeyHealth::new(self.policy))).clone()
    }

    /// Forgets keys that are no more.
    pub fn retain_keys(&self, kept: &[Arc<KeyHealth>]) {
        let is_kept = |key: &Arc<KeyHealth>| kept.iter().any(|kept| Arc::ptr_eq(kept, key));
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, key| is_kept(key));
    }

    /// Whether the provider may be asked now, without taking anything.
    pub fn admission(&self) -> Admission {
        self.breaker().admission(Instant::now())
    }

    /// Takes leave to ask. A provider on probation gives it to one request at a time; `force` takes it anyway.
    pub fn admit(self: &Arc<Self>, force: bool) -> Option<Permit> {
        let began = Instant::now();
        let probing = self.breaker().admit(began, force)?;
        Some(Permit { health: self.clone(), key: None, began, probing, settled: false })
    }

    /// The provider asked to be left alone for a while. A shorter rest never shortens a longer one.
    pub fn rest(&self, wait: Duration) {
        self.breaker().rest(Instant::now() + wait);
    }

    /// Another gateway leaves the provider out for so long.
    pub fn follow(&self, ejection: Duration) {
        self.breaker().follow(Instant::now() + ejection);
    }

    /// Takes leave to ask the provider how it is, unless somebody is just doing that.
    pub fn begin_check(&self) -> Option<Checking> {
        let begun = self.checking.compare_exchange(false, true, Ordering::AcqRel, Ordering::Acquire);
        begun.is_ok().then(|| Checking(self.checking.clone()))
    }

    pub fn view(&self) -> View {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let breaker = self.breaker();
        View {
            state: breaker.state(Instant::now()),
            response_time_ms: told.response_ms,
            consecutive_failures: breaker.consecutive_failures(),
            ejections: breaker.ejected,
            success_rate: breaker.success_rate(Instant::now()),
            last_check: told.last_check,
            last_error: told.last_error,
        }
    }

    /// Notes what is known of the provider as of now.
    pub fn note(&self, outcome: &Outcome) {
        self.note_since(Instant::now(), outcome);
    }

    /// Notes how an attempt or a probe ended that began then.
    fn note_since(&self, began: Instant, outcome: &Outcome) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.last_check = Some(clock::now_micros());
        match outcome {
            Outcome::Success { latency } => {
                let latency = latency.as_secs_f64() * 1000.0;
                told.response_ms = Some(told.response_ms.map_or(latency, |average| average * 0.8 + latency * 0.2));
            }
            Outcome::Failure(why) | Outcome::Refusal(why) => told.last_error = Some(why.clone()),
        }
        drop(told);
        self.breaker().on(outcome, began, Instant::now(), chance::share());
    }

    fn breaker(&self) -> MutexGuard<'_, breaker::Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One running question how a provider is.
#[derive(Debug)]
pub struct Checking(Arc<AtomicBool>);

impl Drop for Checking {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

/// Leave to ask a provider once. Dropped without an outcome it says nothing about the provider: the client left, or the
/// fault was its own.
#[derive(Debug)]
pub struct Permit {
    health: Arc<ProviderHealth>,
    /// The key that it is asked with, where it has several.
    key: Option<KeyPermit>,
    began: Instant,
    probing: bool,
    settled: bool,
}

impl Permit {
    /// The same for whoever asks with this key.
    pub fn with(mut self, key: KeyPermit) -> Self {
        self.key = Some(key);
        self
    }

    /// Says how the attempt ended.
    pub fn settle(mut self, outcome: &Outcome) {
        self.settled = true;
        if let (Outcome::Success { .. }, Some(key)) = (outcome, self.key.take()) {
            key.taken();
        }
        self.health.note_since(self.began, outcome);
    }

    /// The provider refused the key, which says nothing about the provider itself. Says whether that set the key aside.
    pub fn refuse_key(mut self, why: &str) -> bool {
        self.key.take().is_some_and(|key| key.refused(why))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if self.probing && !self.settled {
            self.health.breaker().release_probe();
        }
    }
}
