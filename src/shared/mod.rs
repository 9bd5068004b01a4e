//! What several gateways share through a Redis server, for as long as that answers in time: limits, which providers are left
//! alone, and answers.
//!
//! A connection that failed or was too late once is given up, so that no second request waits for it. Then each gateway goes by what
//! it knows itself, until a connection of the background's own has answered in time.

mod answers;
mod redis;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwapOption;
use tokio::{
    sync::{Notify, mpsc},
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub use self::redis::WATCHED;
use self::redis::{Connection, Said, Server, Trouble};
use crate::{
    app::App,
    catalog::Provider,
    config::RedisConfig,
    health::Admission,
    limits::{Claim, Class, Left, Limit, Spent, Subject},
};

/// What a request asks of one limit.
#[derive(Clone, Copy, Debug)]
pub struct Bill {
    pub claim: Claim,
    /// To reserve.
    pub tokens: u64,
}

/// That a provider is left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Absence {
    /// Its id.
    pub provider: i64,
    pub reason: Reason,
    /// How much longer.
    pub left: Duration,
}

/// Why a provider is left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It asked for a rest.
    Rest,
    /// It failed.
    Ejection,
}

impl Reason {
    fn name(self) -> &'static str {
        match self {
            Self::Rest => "rest",
            Self::Ejection => "ejection",
        }
    }
}

/// What all gateways together say of a request.
pub enum Verdict {
    Admitted {
        /// Of requests and of tokens, by bill.
        left: Vec<(Option<Left>, Option<Left>)>,
        lease: Lease,
    },
    Refused {
        /// Which bill.
        at: usize,
        limit: Limit,
        /// Until it may be admitted.
        wait: Duration,
        left: Vec<(Option<Left>, Option<Left>)>,
    },
}

/// What a running request holds for all gateways to see. A gateway that dies loses its leases.
pub struct Lease {
    shared: Arc<Shared>,
    id: String,
    /// Two by bill: of what is used, and of what is running.
    keys: Vec<String>,
    second: i64,
    reserved: Vec<u64>,
    /// By bill: how many may run at once is limited.
    counted: Vec<bool>,
}

impl Lease {
    /// Tells the others how the request ended.
    pub fn end(self, spent: Spent) {
        let counted = self.counted.contains(&true);
        if counted {
            self.shared.running().remove(&self.id);
        }
        if counted || spent != Spent::Unknown {
            // Where the others cannot be told in time, reservations end by themselves.
            let shared = self.shared.clone();
            if shared.ended.try_send((self, spent)).is_err() {
                tracing::debug!("The end of a request was not shared");
            }
        }
    }

    /// The keys by which it is prolonged.
    fn renewals(&self) -> Vec<String> {
        let running = self.keys.iter().skip(1).step_by(2).zip(&self.counted);
        running.filter(|(_, counted)| **counted).map(|(key, _)| key.clone()).collect()
    }
}

/// A lease that is not renewed ends after so long.
const LEASE: Duration = Duration::from_secs(15);
const RENEWAL: Duration = Duration::from_secs(5);

/// Ends of requests that wait to be told; what comes beyond that is not.
const ENDED: usize = 10_000;

/// How long the background waits for the server, where requests do not wait even longer.
const PATIENCE: Duration = Duration::from_secs(1);

/// Between two exchanges with the server, and between two attempts to reach it.
const TICK: Duration = Duration::from_secs(1);

/// Trouble is told once in so long.
const TELLING: Duration = Duration::from_secs(15);

/// What is shared, and whether it can be.
pub struct Shared {
    connection: ArcSwapOption<Connection>,
    /// Longest wait of a request.
    timeout: Duration,
    prefix: String,
    /// This gateway, among the others.
    node: String,
    leases: AtomicU64,
    /// The keys of leases to prolong.
    running: Mutex<HashMap<String, Vec<String>>>,
    ended: mpsc::Sender<(Lease, Spent)>,
    lost: Notify,
    /// When trouble was last told, and whether that was the last word.
    told: Mutex<(Option<Instant>, bool)>,
    failures: AtomicU64,
}

/// What the background works with.
pub struct Background {
    server: Server,
    ended: mpsc::Receiver<(Lease, Spent)>,
}

impl Shared {
    /// None where the configuration names no server. Tries to reach it once, and starts without it where that fails.
    pub async fn start(config: &RedisConfig) -> anyhow::Result<Option<(Arc<Self>, Background)>> {
        let Some(url) = &config.url else { return Ok(None) };
        let mut server = Server::parse(url).map_err(|error| anyhow::anyhow!("redis.url (REDIS_URL): {error}"))?;
        let (sender, ended) = mpsc::channel(ENDED);
        let shared = Arc::new(Self {
            connection: ArcSwapOption::default(),
            timeout: config.timeout,
            prefix: config.prefix.clone(),
            node: Uuid::now_v7().simple().to_string(),
            leases: AtomicU64::default(),
            running: Mutex::default(),
            ended: sender,
            lost: Notify::new(),
            told: Mutex::default(),
            failures: AtomicU64::default(),
        });
        match shared.reach(&mut server).await {
            Ok(()) => tracing::info!("Limits and cool-downs are shared through Redis"),
            Err(trouble) => shared.tell(&trouble),
        }
        Ok(Some((shared, Background { server, ended })))
    }

    /// Whether the others can be asked now.
    pub fn is_healthy(&self) -> bool {
        self.connection.load().is_some()
    }

    /// How often the server failed or was too late.
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// Asks all gateways together; none where they cannot be asked in time.
    pub async fn admit(self: &Arc<Self>, bills: Vec<Bill>) -> Option<Verdict> {
        let connection = self.connection.load_full()?;
        let id = format!("{}-{}", self.node, self.leases.fetch_add(1, Ordering::Relaxed));
        let keys: Vec<String> = bills.iter().flat_map(|bill| self.keys(&bill.claim)).collect();
        let asked = connection.admit(&keys, &bills, &id, LEASE);
        match self.within(self.timeout, &connection, asked).await? {
            Said::Refused { at, limit, wait, left } => Some(Verdict::Refused { at, limit, wait, left }),
            Said::Admitted { left, second } => {
                let counted = bills.iter().map(|bill| bill.claim.allowance.concurrent_requests.is_some()).collect();
                let reserved = bills.iter().map(|bill| bill.tokens).collect();
                let lease = Lease { shared: self.clone(), id, keys, second, reserved, counted };
                let renewals = lease.renewals();
                if !renewals.is_empty() {
                    self.running().insert(lease.id.clone(), renewals);
                }
                Some(Verdict::Admitted { left, lease })
            }
        }
    }

    /// What comes of a question, if it comes in time; else the connection is given up.
    async fn within<T>(
        &self,
        longest: Duration,
        connection: &Arc<Connection>,
        asked: impl Future<Output = Result<T, Trouble>>,
    ) -> Option<T> {
        let trouble = match timeout(longest, asked).await {
            Ok(Ok(answer)) => return Some(answer),
            Ok(Err(trouble)) => trouble,
            Err(_) => Trouble::late(longest),
        };
        let known = self.connection.compare_and_swap(connection, None);
        // Of all who wait for it at once, one speaks.
        if known.as_ref().is_some_and(|known| Arc::ptr_eq(known, connection)) {
            self.tell(&trouble);
            self.lost.notify_one();
        }
        None
    }

    fn keys(&self, claim: &Claim) -> [String; 2] {
        let class = match claim.class {
            Class::Work => "work",
            Class::Lookup => "lookup",
        };
        let prefix = &self.prefix;
        let subject = match claim.subject {
            Subject::Everyone => "everyone".to_owned(),
            Subject::Address(address) => format!("address:{address}"),
            Subject::Key(hash) => format!("key:{hash}"),
            Subject::Provider(id) => format!("provider:{id}"),
        };
        // All in one place of a cluster, as scripts need it.
        ["used", "running"].map(|what| format!("{{{prefix}}}:{what}:{class}:{subject}"))
    }

    fn running(&self) -> std::sync::MutexGuard<'_, HashMap<String, Vec<String>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Connects, and asks once what will be asked often.
    async fn reach(&self, server: &mut Server) -> Result<(), Trouble> {
        let patience = self.patience();
        let key = self.key("probe");
        let connection =
            timeout(patience, server.connect(&key, patience)).await.map_err(|_| Trouble::late(patience))??;
        timeout(patience, connection.prepare()).await.map_err(|_| Trouble::late(patience))??;
        let probe = [Absence { provider: 0, reason: Reason::Rest, left: TICK }];
        let asked = connection.absences(&key, &self.node, &probe);
        timeout(self.timeout, asked).await.map_err(|_| Trouble::late(self.timeout))??;
        self.connection.store(Some(Arc::new(connection)));
        Ok(())
    }

    fn patience(&self) -> Duration {
        PATIENCE.max(self.timeout)
    }

    fn key(&self, name: &str) -> String {
        format!("{{{}}}:{name}", self.prefix)
    }

    fn tell(&self, trouble: &Trouble) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.0.is_none_or(|at| at.elapsed() >= TELLING) {
            *told = (Some(Instant::now()), true);
            tracing::warn!(error = %trouble, "Redis cannot be used: limits hold for each gateway alone until it can");
        }
    }

    fn tell_recovery(&self) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if std::mem::take(&mut told.1) {
            tracing::info!("Redis can be used again: limits are shared");
        }
    }
}

/// Starts what keeps the connection, and what tells the others, until the gateway stops.
pub fn spawn(app: &Arc<App>, shared: &Arc<Shared>, background: Background) {
    let Background { server, ended } = background;
    let (stopping, keeping) = (app.stopping.clone(), keep(Arc::downgrade(app), shared.clone(), server));
    app.tasks.spawn(async move { stopping.run_until_cancelled(keeping).await });
    let (last_call, shared) = (app.last_call.clone(), shared.clone());
    app.tasks.spawn(async move { tell_ends(&shared, ended, &last_call).await });
}

/// Exchanges with the others which providers are left alone, and connects anew where the connection was lost.
async fn keep(app: std::sync::Weak<App>, shared: Arc<Shared>, mut server: Server) {
    loop {
        let Some(connection) = shared.connection.load_full() else {
            sleep(TICK).await;
            match shared.reach(&mut server).await {
                Ok(()) => shared.tell_recovery(),
                Err(trouble) => shared.tell(&trouble),
            }
            continue;
        };
        let Some(app) = app.upgrade() else { return };
        let here = absences(&app);
        let key = shared.key("absences");
        let asked = connection.absences(&key, &shared.node, &here);
        for absence in shared.within(shared.timeout, &connection, asked).await.unwrap_or_default() {
            follow(&app, absence);
        }
        drop(app);
        // A connection that is lost meanwhile need not be waited for.
        let _ = timeout(TICK, shared.lost.notified()).await;
    }
}

/// Providers that are left alone here.
fn absences(app: &App) -> Vec<Absence> {
    let now = Instant::now();
    let absence = |provider: &Arc<Provider>| {
        let (reason, until) = match provider.health.admission() {
            Admission::Yes | Admission::Spent(_) => return None,
            Admission::Resting(until) => (Reason::Rest, until),
            Admission::Ejected(until) => (Reason::Ejection, until),
        };
        let left = until.checked_duration_since(now).filter(|left| !left.is_zero())?;
        Some(Absence { provider: provider.id, reason, left })
    };
    app.catalog().providers.iter().filter_map(absence).collect()
}

/// Leaves a provider alone that another gateway does.
fn follow(app: &App, Absence { provider, reason, left }: Absence) {
    let catalog = app.catalog();
    let Some(provider) = catalog.providers.iter().find(|known| known.id == provider) else { return };
    match reason {
        Reason::Rest => provider.health.rest(left),
        Reason::Ejection => provider.health.follow(left),
    }
}

/// Tells the others of requests that ended, and of those that still run. One after the other, so that no lease is prolonged after
/// its end.
async fn tell_ends(shared: &Shared, mut ended: mpsc::Receiver<(Lease, Spent)>, last_call: &CancellationToken) {
    let mut renewal = tokio::time::interval(RENEWAL);
    loop {
        let end = tokio::select! {
            biased;
            end = ended.recv() => end,
            () = last_call.cancelled() => return,
            _ = renewal.tick() => {
                renew(shared).await;
                continue;
            }
        };
        let (Some((lease, spent)), Some(connection)) = (end, shared.connection.load_full()) else { continue };
        let Lease { id, keys, second, reserved, .. } = &lease;
        shared.within(shared.patience(), &connection, connection.settle(keys, id, *second, reserved, spent)).await;
    }
}

/// Leases that are prolonged at once.
const RENEWED: usize = 500;

async fn renew(shared: &Shared) {
    let running: Vec<(String, String)> = {
        let running = shared.running();
        let pairs = running.iter().flat_map(|(id, keys)| keys.iter().map(move |key| (key.clone(), id.clone())));
        pairs.collect()
    };
    for leases in running.chunks(RENEWED) {
        let Some(connection) = shared.connection.load_full() else { return };
        shared.within(shared.patience(), &connection, connection.renew(leases, LEASE)).await;
    }
}
