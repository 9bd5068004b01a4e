//! Who may do how much: requests and tokens in any sixty seconds, and requests at the same time. Exact on one node, and across
//! nodes where they share a Redis server.
//!
//! A request is admitted by all limits that hold for it or by none: whatever refuses it, nothing is used up. What it reserves it
//! holds by its [`Admission`], and settles when it is known what it took.

mod meter;
mod window;

use std::{
    collections::HashMap,
    fmt,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
    time::Duration,
};

use tokio::time::Instant;

pub use self::meter::{Left, Spent};
use self::{meter::Meter, window::Millis};
use crate::{
    secret::KeyHash,
    shared::{Bill, Lease, Shared, Verdict},
};

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

impl Allowance {
    /// With `defaults` where it says nothing.
    pub fn or(self, defaults: Self) -> Self {
        Self {
            requests_per_minute: self.requests_per_minute.or(defaults.requests_per_minute),
            tokens_per_minute: self.tokens_per_minute.or(defaults.tokens_per_minute),
            concurrent_requests: self.concurrent_requests.or(defaults.concurrent_requests),
        }
    }

    /// What both allow.
    pub fn and(self, other: Self) -> Self {
        fn least<T: Ord>(one: Option<T>, other: Option<T>) -> Option<T> {
            match (one, other) {
                (Some(one), Some(other)) => Some(one.min(other)),
                (one, other) => one.or(other),
            }
        }
        Self {
            requests_per_minute: least(self.requests_per_minute, other.requests_per_minute),
            tokens_per_minute: least(self.tokens_per_minute, other.tokens_per_minute),
            concurrent_requests: least(self.concurrent_requests, other.concurrent_requests),
        }
    }

    pub fn is_unlimited(&self) -> bool {
        *self == Self::default()
    }
}

/// What the limits are about.
pub const MINUTE: Duration = Duration::from_secs(60);

/// Who or what a limit is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// All requests together.
    Everyone,
    /// A client's address; of IPv6 the network that one household gets.
    Address(IpAddr),
    /// An API key, by its hash.
    Key(KeyHash),
    /// A provider, by its id.
    Provider(i64),
}

impl Subject {
    /// The subject of a client's address.
    pub fn of_address(address: IpAddr) -> Self {
        Self::Address(match address.to_canonical() {
            IpAddr::V6(address) => IpAddr::V6((address.to_bits() & !u128::from(u64::MAX)).into()),
            address => address,
        })
    }

    /// As a label and in a message.
    pub fn scope(&self) -> &'static str {
        match self {
            Self::Everyone => "gateway",
            Self::Address(_) => "address",
            Self::Key(_) => "key",
            Self::Provider(_) => "provider",
        }
    }
}

/// What sort of request is counted: each has limits of its own, of the same size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Class {
    /// What providers do for clients.
    #[default]
    Work,
    /// Lists, counts of tokens and the like. Agents ask for many at once, and they generate nothing.
    Lookup,
}

/// That a request is counted against one subject's allowance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    pub subject: Subject,
    pub class: Class,
    pub allowance: Allowance,
}

/// Tokens that a request will probably take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Estimate {
    pub prompt: u64,
    /// Most that the answer may have.
    pub answer: u64,
}

impl Estimate {
    /// What is reserved of a limit. The answer's share ends where the limit does: a client that allows for an answer longer than
    /// its limit is served when nothing else is under way.
    fn within(&self, limit: Option<u64>) -> u64 {
        let room = limit.unwrap_or(u64::MAX).saturating_sub(self.prompt);
        self.prompt.saturating_add(self.answer.min(room))
    }
}

/// A limit that a request would break.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    Requests(u32),
    Tokens {
        limit: u64,
        /// By the request that was refused.
        needed: u64,
    },
    Concurrent(u32),
}

impl Limit {
    /// As a label.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Requests(_) => "requests",
            Self::Tokens { .. } => "tokens",
            Self::Concurrent(_) => "concurrent",
        }
    }
}

/// Completes a sentence that begins with the subject.
impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Requests(limit) => write!(f, "is limited to {limit} requests a minute"),
            Self::Tokens { limit, needed } => {
                write!(f, "is limited to {limit} tokens a minute, and this request may take {needed}")
            }
            Self::Concurrent(limit) => write!(f, "is limited to {limit} requests at the same time"),
        }
    }
}

/// Why a request is not admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub subject: Subject,
    pub limit: Limit,
    /// Until it may be.
    pub wait: Duration,
    pub standing: Standing,
}

/// What is left of the limits that hold for a request: of each kind that which is nearest to its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    pub requests: Option<Left>,
    pub tokens: Option<Left>,
}

impl Standing {
    fn of(left: impl IntoIterator<Item = (Option<Left>, Option<Left>)>) -> Self {
        let nearer = |known: Option<Left>, left: Option<Left>| match (known, left) {
            (Some(known), Some(left)) if left.remaining >= known.remaining => Some(known),
            (known, left) => left.or(known),
        };
        left.into_iter().fold(Self::default(), |known, (requests, tokens)| Self {
            requests: nearer(known.requests, requests),
            tokens: nearer(known.tokens, tokens),
        })
    }
}

/// All meters of this node, and what it shares with others.
pub struct Limits {
    meters: RwLock<Meters>,
    shared: Option<Arc<Shared>>,
    began: Instant,
}

impl Limits {
    pub fn new(shared: Option<Arc<Shared>>) -> Self {
        Self { meters: RwLock::default(), shared, began: Instant::now() }
    }

    /// Admits a request by all of `claims`, or by none. Where nothing is claimed nothing is done.
    ///
    /// What this node knows is asked first, so that what it can refuse alone costs nobody a round trip, and so that it goes on
    /// from there when the others cannot be reached.
    pub async fn admit(&self, claims: &[Claim], estimate: Estimate) -> Result<Admission, Box<Refusal>> {
        if claims.is_empty() {
            return Ok(Admission::default());
        }
        let mut admission = self.admit_here(claims, estimate)?;
        let Some(shared) = &self.shared else { return Ok(admission) };
        let bills =
            claims.iter().zip(&admission.holds).map(|(claim, hold)| Bill { claim: *claim, tokens: hold.tokens });
        match shared.admit(bills.collect()).await {
            None => Ok(admission),
            Some(Verdict::Admitted { left, lease }) => {
                admission.standing = Standing::of(left);
                admission.lease = Some(lease);
                Ok(admission)
            }
            Some(Verdict::Refused { at, limit, wait, left }) => {
                admission.settle(Spent::Nothing);
                Err(Refusal { subject: claims[at].subject, limit, wait, standing: Standing::of(left) }.into())
            }
        }
    }

    fn admit_here(&self, claims: &[Claim], estimate: Estimate) -> Result<Admission, Box<Refusal>> {
        let now = since(self.began);
        let meters: Vec<_> = claims.iter().map(|claim| self.meter(claim, now)).collect();
        // Claims come in one order of subjects, and so no two requests wait for each other's meters.
        let mut open: Vec<_> = meters.iter().map(lock).collect();
        let reserved: Vec<_> = claims.iter().map(|claim| estimate.within(claim.allowance.tokens_per_minute)).collect();
        for (at, claim) in claims.iter().enumerate() {
            if let Some((limit, wait)) = open[at].refusal(&claim.allowance, reserved[at], now) {
                let standing = Standing::of(left(claims, &mut open, now));
                return Err(Refusal { subject: claim.subject, limit, wait, standing }.into());
            }
        }
        let places = meters.iter().zip(&mut open).zip(reserved);
        let holds = places
            .map(|((meter, open), tokens)| Hold { meter: meter.clone(), tokens, second: open.begin(tokens, now) })
            .collect();
        let standing = Standing::of(left(claims, &mut open, now));
        Ok(Admission { holds, standing, began: Some(self.began), lease: None, spent: Spent::Unknown })
    }

    fn meter(&self, claim: &Claim, now: Millis) -> Arc<Mutex<Meter>> {
        let key = (claim.subject, claim.class);
        let known = self.meters.read().unwrap_or_else(PoisonError::into_inner).of.get(&key).cloned();
        known.unwrap_or_else(|| self.meters.write().unwrap_or_else(PoisonError::into_inner).begin(key, now))
    }
}

fn left(claims: &[Claim], open: &mut [MutexGuard<'_, Meter>], now: Millis) -> Vec<(Option<Left>, Option<Left>)> {
    claims.iter().zip(open).map(|(claim, meter)| meter.left(&claim.allowance, now)).collect()
}

/// So many subjects are remembered at a time. An address that comes beyond that shares one meter with all such.
const SUBJECTS: usize = 20_000;

#[derive(Default)]
struct Meters {
    of: HashMap<(Subject, Class), Arc<Mutex<Meter>>>,
    /// Of addresses for which there was no room.
    crowd: Arc<Mutex<Meter>>,
    /// When those were last forgotten that have used nothing lately.
    tidied: Millis,
}

impl Meters {
    fn begin(&mut self, key: (Subject, Class), now: Millis) -> Arc<Mutex<Meter>> {
        // All meters are looked at, so that is not done for every newcomer.
        if self.of.len() >= SUBJECTS && now >= self.tidied + 1000 {
            self.tidied = now;
            self.of.retain(|_, meter| Arc::strong_count(meter) > 1 || !lock(meter).is_idle(now));
        }
        if self.of.len() >= SUBJECTS && matches!(key.0, Subject::Address(_)) {
            return self.crowd.clone();
        }
        self.of.entry(key).or_default().clone()
    }
}

fn since(began: Instant) -> Millis {
    began.elapsed().as_millis() as Millis
}

fn lock(meter: &Arc<Mutex<Meter>>) -> MutexGuard<'_, Meter> {
    meter.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a request holds of one meter.
struct Hold {
    meter: Arc<Mutex<Meter>>,
    tokens: u64,
    second: u64,
}

/// Leave for one request, for as long as it runs. Dropped unsettled, what it reserved stays used.
#[derive(Default)]
pub struct Admission {
    holds: Vec<Hold>,
    lease: Option<Lease>,
    standing: Standing,
    spent: Spent,
    /// When the clock of the meters began.
    began: Option<Instant>,
}

impl Admission {
    /// What was left of the limits when the request was admitted.
    pub fn standing(&self) -> Standing {
        self.standing
    }

    /// Ends the request: what it reserved makes way for what it spent.
    pub fn settle(mut self, spent: Spent) {
        self.spent = spent;
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        let Some(began) = self.began else { return };
        let now = since(began);
        for hold in &self.holds {
            lock(&hold.meter).end(hold.second, hold.tokens, self.spent, now);
        }
        if let Some(lease) = self.lease.take() {
            lease.end(self.spent);
        }
    }
}

#[cfg(test)]
mod tests;
