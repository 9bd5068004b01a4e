//! How quickly a provider begins to answer for each of its models, streams and whole answers apart, and how many it is working on.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

use super::{ewma::PeakEwma, latency::Latencies};

/// Models of one provider that are told apart.
const MOST_MODELS: usize = 512;

/// Seconds that are expected of an upstream that has never answered and is just being asked for the first time.
const UNKNOWN: f64 = 60.0;

/// The paces of one provider, by model.
#[derive(Debug, Default)]
pub struct Paces([RwLock<HashMap<Box<str>, Arc<Pace>>>; 2]);

impl Paces {
    pub fn of(&self, model: &str, stream: bool) -> Arc<Pace> {
        let paces = &self.0[usize::from(stream)];
        let known = paces.read().unwrap_or_else(PoisonError::into_inner).get(model).cloned();
        known.unwrap_or_else(|| {
            let mut paces = paces.write().unwrap_or_else(PoisonError::into_inner);
            // Some providers take any name that a client makes up: names beyond so many share one pace.
            let name = if paces.len() < MOST_MODELS { model } else { "" };
            paces.entry(name.into()).or_default().clone()
        })
    }
}

/// How quickly one model at one provider begins to answer.
#[derive(Debug, Default)]
pub struct Pace {
    ewma: Mutex<Option<PeakEwma>>,
    waiting: AtomicU32,
    pub latencies: Latencies,
}

impl Pace {
    /// A request is sent.
    pub fn begin(self: &Arc<Self>) -> Waiting {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        Waiting { pace: self.clone(), began: Instant::now() }
    }

    /// What one more request has to wait for there, in seconds: the usual time, for everybody who waits already. Nothing is
    /// expected of whoever is unknown, so that it becomes known.
    pub fn cost(&self, now: Instant) -> f64 {
        let waiting = f64::from(self.waiting.load(Ordering::Relaxed));
        match *self.ewma() {
            Some(ewma) => ewma.seconds(now) * (waiting + 1.0),
            None => UNKNOWN * waiting,
        }
    }

    /// It took so long until there was an answer.
    pub fn observe(&self, took: Duration, now: Instant) {
        self.latencies.observe(took);
        match &mut *self.ewma() {
            Some(ewma) => ewma.observe(took, now),
            unknown => *unknown = Some(PeakEwma::new(took, now)),
        }
    }

    fn ewma(&self) -> std::sync::MutexGuard<'_, Option<PeakEwma>> {
        self.ewma.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One request that waits for an answer.
#[derive(Debug)]
pub struct Waiting {
    pace: Arc<Pace>,
    began: Instant,
}

impl Waiting {
    /// The answer has begun, or the time for it is up.
    pub fn answered(self) {
        let now = Instant::now();
        self.pace.observe(now - self.began, now);
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.pace.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_has_more_to_do_costs_more_and_who_is_unknown_is_asked_once() {
        let paces = Paces::default();
        let pace = paces.of("m", true);
        assert_eq!(pace.cost(Instant::now()), 0.0);
        let waiting = pace.begin();
        assert!(pace.cost(Instant::now()) > 10.0);
        tokio::time::advance(Duration::from_secs(2)).await;
        waiting.answered();
        assert_eq!(pace.cost(Instant::now()), 2.0);
        let _more = [pace.begin(), pace.begin()];
        assert_eq!(paces.of("m", true).cost(Instant::now()), 6.0);
        assert_eq!(paces.of("m", false).cost(Instant::now()), 0.0, "whole answers take longer");
    }
}
