//! What a simulation begins with: providers with their faults to come, clients, and settings, all of which follow from a seed.

use std::time::Duration;

use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::weather::{Forecast, Weather};
use crate::{config::Choice, health::Policy, limits::Allowance};

/// There is trouble from here on.
pub const BEGIN: Duration = Duration::from_secs(3);
/// And up to here: nothing is wrong with any provider any more.
pub const HEAL: Duration = Duration::from_secs(34);
/// So much longer the clients go on once all must be as it was.
pub const CALM: Duration = Duration::from_secs(4);

#[derive(Clone, Debug)]
pub struct Scene {
    pub seed: u64,
    pub policy: Policy,
    pub choice: Choice,
    /// The share of answers that come sooner than a second provider is asked, and the percent of requests for which that may be.
    pub hedging: Option<(f64, f64)>,
    /// Requests a second.
    pub rate: f64,
    pub allowance: Allowance,
    /// Whether nothing ever happens to the first of the providers.
    pub has_steady: bool,
    /// When the first one is well again, where all were away.
    pub first_back: Option<Duration>,
    pub providers: Vec<Setup>,
}

/// One provider.
#[derive(Clone, Debug)]
pub struct Setup {
    pub priority: i64,
    pub weight: i64,
    pub timeout: Duration,
    pub retries: u32,
    /// What an answer usually takes.
    pub latency: Duration,
    /// How many keys it is asked with.
    pub keys: usize,
    /// When the first of them is refused.
    pub refused: Option<(Duration, Duration)>,
    /// Requests a minute that it serves, and tells of in its answers.
    pub limit: Option<u32>,
    /// Requests a minute that the gateway is to ask of it.
    pub rate_limit: Option<u32>,
    pub forecast: Forecast,
}

impl Scene {
    pub fn draw(seed: u64) -> Self {
        let mut chance = StdRng::seed_from_u64(seed);
        let has_steady = chance.random_bool(0.6);
        let count = chance.random_range(2..5_usize);
        let mut providers: Vec<Setup> =
            (0..count).map(|at| Setup::draw(&mut chance, has_steady && at == 0, has_steady && at > 0)).collect();
        let mut first_back = None;
        if !has_steady {
            match chance.random_range(0..4) {
                0 => first_back = Some(all_away(&mut providers, &mut chance)),
                1 => one_by_one(&mut providers, &mut chance),
                _ => {}
            }
        }
        let ejection_base = Duration::from_millis(chance.random_range(500..2_000));
        let ejection_max = ejection_base * chance.random_range(2..6);
        let rate = 1.2 * 10.0_f64.powf(chance.random_range(0.0..1.0));
        let is_limited = chance.random_bool(0.3);
        let allowance = Allowance {
            requests_per_minute: is_limited.then(|| (rate * chance.random_range(20.0..70.0)) as u32),
            concurrent_requests: is_limited.then(|| chance.random_range(2..20)),
            ..Allowance::default()
        };
        Self {
            seed,
            policy: Policy { max_errors: chance.random_range(1..6), ejection_base, ejection_max },
            choice: if chance.random_bool(0.5) { Choice::Weighted } else { Choice::LeastLatency },
            hedging: chance.random_bool(0.3).then(|| (chance.random_range(0.5..0.95), chance.random_range(1.0..10.0))),
            rate,
            allowance,
            has_steady,
            first_back,
            providers,
        }
    }

    /// When everything must be as it was: the last attempt that met trouble has ended, what it caused is over, and somebody
    /// has looked.
    pub fn settled(&self) -> Duration {
        let patience = self.providers.iter().map(|setup| setup.timeout).max().unwrap_or_default();
        // Rests that were asked for are at most five seconds.
        let left_out = self.policy.ejection_max.mul_f64(1.1).max(Duration::from_secs(5));
        HEAL + patience + left_out + Duration::from_secs(2)
    }

    /// When the last client comes.
    pub fn end(&self) -> Duration {
        self.settled() + CALM
    }
}

/// The worst: everybody is away for half a minute, but for one who is back sooner. Says when that is.
fn all_away(providers: &mut [Setup], chance: &mut StdRng) -> Duration {
    let weather = [Weather::Away, Weather::Failing][chance.random_range(0..2)];
    for setup in &mut *providers {
        (setup.forecast, setup.refused) = (Forecast::lasting(weather), None);
    }
    let back = BEGIN + (HEAL - BEGIN).mul_f64(chance.random_range(0.3..1.0));
    let first = chance.random_range(0..providers.len());
    providers[first].forecast = Forecast::between(BEGIN, back, weather);
    back
}

/// Six fall silent one after the other, and wake up in any order.
fn one_by_one(providers: &mut Vec<Setup>, chance: &mut StdRng) {
    while providers.len() < 6 {
        providers.push(Setup::draw(chance, false, false));
    }
    for (at, setup) in providers.iter_mut().enumerate() {
        let from = BEGIN + Duration::from_secs(2) * at as u32;
        let until = HEAL.mul_f64(chance.random_range(0.6..1.0));
        setup.forecast = Forecast::between(from, until, Weather::Silent);
    }
}

impl Setup {
    fn draw(chance: &mut StdRng, is_steady: bool, may_be_limited: bool) -> Self {
        let keys = if chance.random_bool(0.3) { chance.random_range(2..4) } else { 1 };
        let from = BEGIN + Duration::from_secs(chance.random_range(0..20));
        let limited = may_be_limited && chance.random_bool(0.3);
        Self {
            priority: if chance.random_bool(0.7) { 100 } else { chance.random_range(99..102) },
            weight: chance.random_range(1..100),
            timeout: Duration::from_millis(chance.random_range(600..2_500)),
            retries: chance.random_range(0..4),
            latency: Duration::from_millis(chance.random_range(60..250)),
            keys,
            refused: (keys > 1).then_some((from, HEAL.min(from + Duration::from_secs(chance.random_range(1..15))))),
            limit: limited.then(|| chance.random_range(30..300)),
            rate_limit: (may_be_limited && chance.random_bool(0.2)).then(|| chance.random_range(20..200)),
            forecast: if is_steady { Forecast::default() } else { Forecast::draw(chance) },
        }
    }
}
