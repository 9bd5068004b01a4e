//! The running gateway: what all requests share, and how it is built from the configuration.

use std::{
    collections::HashSet,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};

use anyhow::Context;
use arc_swap::{ArcSwap, ArcSwapOption};
use llm_protocol::models::Models;
use secrecy::{ExposeSecret, SecretString};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    cache::Cache,
    catalog::{self, Catalog},
    clock, cluster,
    config::Config,
    doctor::Doctor,
    gateway::{
        Earned,
        responses::{self, Conversations},
        whereabouts::Whereabouts,
    },
    health::{Health, Policy, probe},
    http::room::Room,
    journal::{self, Journal},
    limits::Limits,
    metrics::Metrics,
    pricing::Prices,
    retention,
    secret::{self, KeyHash, MasterKey},
    shared::{self, Shared},
    standby::Standby,
    store::{ApiKey, Node, Noun, Provider, Snapshot, Store, StoreError},
    traces::Traces,
    upstream::{Client, ClientConfig},
};

/// What all requests share.
pub struct App {
    pub config: Config,
    pub store: Store,
    /// Seals providers' keys.
    pub master_key: MasterKey,
    /// Opens the admin API.
    pub admin_key: KeyHash,
    pub health: Health,
    pub journal: Journal,
    pub limits: Limits,
    /// What other gateways share with this one, where a Redis server is configured.
    pub shared: Option<Arc<Shared>>,
    pub metrics: Metrics,
    /// Tells a collector of requests, where one is configured.
    pub traces: Traces,
    /// What models cost.
    pub prices: Prices,
    /// What models take and refuse.
    pub models: Models,
    /// To the providers.
    pub upstream: Client,
    /// For the large bodies of clients' requests.
    pub bodies: Room,
    /// How many second requests may be sent although the first has not failed.
    pub hedges: Earned,
    /// Where things are that stay at providers.
    pub whereabouts: Whereabouts,
    /// What clients of OpenAI's Responses protocol may go on from, where no provider keeps it.
    pub conversations: Conversations,
    /// What is given again, where answers are kept.
    pub cache: Arc<Cache>,
    /// What other gateways on the same database know of this one; its epoch and when it was seen are the start's.
    pub node: Node,
    /// Cancelled when the gateway is to stop.
    pub stopping: CancellationToken,
    /// Cancelled when the grace period is over: what still runs tells its client so, and ends.
    pub last_call: CancellationToken,
    /// Everything that runs beside the requests.
    pub tasks: TaskTracker,
    catalog: ArcSwap<Catalog>,
    /// The epoch of the configuration in the catalog.
    epoch: AtomicI64,
    /// Held while the store's configuration is read.
    reloading: tokio::sync::Mutex<()>,
    /// Whether the store has been brought up to date: not where the gateway had to start without it.
    prepared: AtomicBool,
    /// Why the store cannot be asked, as long as it cannot.
    trouble: ArcSwapOption<StoreTrouble>,
}

/// Why the configuration may be out of date.
#[derive(Debug, PartialEq, Eq)]
struct StoreTrouble {
    message: String,
    /// Whether it may end by itself.
    passing: bool,
}

/// What a first start made and nobody can be told again.
#[derive(Default)]
pub struct FirstStart {
    pub admin_key: Option<SecretString>,
    pub api_key: Option<SecretString>,
}

/// How long a stopping node takes to tell the others.
const FAREWELL: Duration = Duration::from_secs(1);

/// How long the last spans may take to be delivered.
const LAST_SPANS: Duration = Duration::from_secs(3);

/// Settings that the store keeps.
const ADMIN_KEY_SETTING: &str = "admin_key_hash";
const INITIALIZED_SETTING: &str = "initialized_at";

impl App {
    /// Opens the store, brings its schema up to date, and reads everything into memory. Where the store is a server that is
    /// away, it begins with what it last read from there, if that was kept. `address` is where it will listen.
    pub async fn start(config: Config, address: SocketAddr) -> anyhow::Result<(Arc<Self>, FirstStart)> {
        let store = Store::open(&config.database.url)?;
        let master_key = MasterKey::load(config.auth.master_key.as_ref(), &config.auth.master_key_file)?;
        let (admin_key, first, standby) = match prepare(&config, &store, &master_key).await {
            Ok((admin_key, first)) => (admin_key, first, None),
            Err(error) => {
                let standby = stand_by(&config, &store, error)?;
                let configured = config.auth.admin_key.as_ref().map(|key| KeyHash::of(key.expose_secret()));
                (configured.unwrap_or(standby.admin_key), FirstStart::default(), Some(standby.snapshot))
            }
        };
        let policy = Policy {
            max_errors: config.health.max_errors,
            ejection_base: config.health.ejection_base,
            ejection_max: config.health.ejection_max,
        };
        let journal = Journal::start(
            store.clone(),
            master_key.log(),
            journal::Settings {
                capacity: config.journal.capacity,
                batch: config.journal.batch,
                flush_interval: config.journal.flush_interval,
                content_capacity: config.journal.content_capacity,
            },
        );
        let upstream = Client::new(&ClientConfig {
            connect_timeout: config.routing.connect_timeout,
            extra_roots: extra_roots()?,
        })?;
        let (shared, sharing) = Shared::start(&config.redis).await?.unzip();
        let app = Arc::new(Self {
            admin_key,
            cache: Cache::of(&config.cache, shared.as_ref(), &master_key),
            health: Health::new(policy),
            journal,
            limits: Limits::new(shared.clone()),
            shared,
            metrics: Metrics::new(&config.metrics),
            prices: Prices::load(config.pricing.file.as_deref())?,
            models: models(&config)?,
            traces: Traces::start(&config.telemetry, &upstream)?,
            upstream,
            bodies: Room::of(config.server.max_buffered_bytes),
            hedges: Earned::default(),
            whereabouts: Whereabouts::default(),
            conversations: Conversations::new(&config.responses),
            stopping: CancellationToken::new(),
            last_call: CancellationToken::new(),
            tasks: TaskTracker::new(),
            node: cluster::this_node(address),
            catalog: ArcSwap::default(),
            epoch: AtomicI64::default(),
            reloading: tokio::sync::Mutex::default(),
            prepared: AtomicBool::new(standby.is_none()),
            trouble: ArcSwapOption::default(),
            config,
            store,
            master_key,
        });
        match standby {
            None => app.reload().await?,
            Some(snapshot) => {
                let message = "it was away at the start".to_owned();
                app.trouble.store(Some(Arc::new(StoreTrouble { message, passing: true })));
                app.put_in_force(snapshot);
            }
        }
        probe::spawn(&app);
        if let (Some(shared), Some(sharing)) = (&app.shared, sharing) {
            shared::spawn(&app, shared, sharing);
        }
        cluster::spawn(&app);
        retention::spawn(&app);
        responses::sweep(&app);
        Ok((app, first))
    }

    /// Who examines providers.
    pub fn doctor(&self) -> Doctor<'_> {
        Doctor {
            client: &self.upstream,
            models: &self.models,
            limits: &self.config.routing,
            list_timeout: self.config.health.probe_timeout,
        }
    }

    /// The configuration as of now. A request keeps the one it began with.
    pub fn catalog(&self) -> Arc<Catalog> {
        self.catalog.load_full()
    }

    /// The epoch of the configuration that is in force.
    pub fn epoch(&self) -> i64 {
        self.epoch.load(Ordering::Relaxed)
    }

    /// Whether the store cannot be asked just now, so that what is not in memory may exist all the same.
    pub fn is_cut_off(&self) -> bool {
        self.trouble.load().is_some()
    }

    /// Reads the configuration from the store and puts it in force, whole.
    ///
    /// One at a time: of two changes the later one's snapshot must not be replaced by the earlier one's.
    pub async fn reload(&self) -> Result<(), StoreError> {
        let _turn = self.reloading.lock().await;
        let snapshot = self.store.snapshot().await?;
        if self.store.is_remote() {
            self.keep(snapshot.clone()).await;
        }
        self.put_in_force(snapshot);
        Ok(())
    }

    fn put_in_force(&self, snapshot: Snapshot) {
        let epoch = snapshot.epoch;
        let existing: HashSet<i64> = snapshot.providers.iter().map(|provider| provider.id).collect();
        let catalog = catalog::build(snapshot, &self.config.auth.api_keys, &self.master_key, &self.health);
        catalog.prune(&self.health, &existing);
        self.catalog.store(Arc::new(catalog));
        self.epoch.store(epoch, Ordering::Relaxed);
    }

    /// Keeps a configuration for a start without the store.
    async fn keep(&self, snapshot: Snapshot) {
        let standby = Standby { database: self.store.describe(), admin_key: self.admin_key, snapshot };
        let file = self.config.database.snapshot_file.clone();
        let writing = tokio::task::spawn_blocking(move || standby.write(&file)).await;
        if let Ok(Err(error)) = writing {
            let file = self.config.database.snapshot_file.display();
            tracing::warn!("{file} cannot be written ({error}): no start without the database will be possible");
        }
    }

    /// Puts in force what others have changed in the store: the command line, or another gateway on the same database.
    pub(crate) async fn catch_up(&self) {
        let trouble = self.try_to_catch_up().await.err().map(|error| StoreTrouble {
            message: format!("{error:#}"),
            passing: error.downcast_ref().is_some_and(StoreError::is_passing),
        });
        let before = self.trouble.swap(trouble.map(Arc::new));
        match (before.as_deref(), self.trouble.load().as_deref()) {
            (None, Some(now)) => {
                tracing::warn!("Going on with the configuration in memory: {}", now.message);
            }
            (Some(before), Some(now)) if before != now && !now.passing => tracing::error!("{}", now.message),
            (Some(_), None) => tracing::info!("The database can be used again; its configuration is in force"),
            _ => {}
        }
    }

    async fn try_to_catch_up(&self) -> anyhow::Result<()> {
        if !self.prepared.load(Ordering::Relaxed) {
            prepare(&self.config, &self.store, &self.master_key).await?;
            self.reload().await?;
            self.prepared.store(true, Ordering::Relaxed);
        } else if self.store.epoch().await? != self.epoch() {
            self.reload().await?;
        }
        Ok(())
    }

    /// Ends what runs beside the requests, and writes the last log rows. To be called when no request runs any more.
    pub async fn stop(&self, deadline: Duration) {
        self.stopping.cancel();
        self.last_call.cancel();
        self.tasks.close();
        if tokio::time::timeout(Duration::from_secs(1), self.tasks.wait()).await.is_err() {
            tracing::debug!("Background work was left unfinished");
        }
        tokio::join!(self.journal.close(deadline), self.traces.stop(LAST_SPANS));
        // Where the database is away, the others find out by themselves.
        let _ = tokio::time::timeout(FAREWELL, self.store.delete_node(&self.node.id)).await;
        self.store.close().await;
    }
}

/// Makes the store ready for use, and says what opens the admin API and what a first start made.
async fn prepare(config: &Config, store: &Store, master_key: &MasterKey) -> anyhow::Result<(KeyHash, FirstStart)> {
    store.migrate().await.with_context(|| format!("cannot prepare the database {}", store.describe()))?;
    check_master_key(store, master_key).await?;
    first_start(config, store, master_key).await
}

/// What to begin with although the store could not be made ready because of `error`; the error itself where it will not
/// pass or nothing was kept.
fn stand_by(config: &Config, store: &Store, error: anyhow::Error) -> anyhow::Result<Standby> {
    if !store.is_remote() || !error.downcast_ref().is_some_and(StoreError::is_passing) {
        return Err(error);
    }
    match Standby::read(&config.database.snapshot_file, &store.describe()) {
        Ok(standby) => {
            let file = config.database.snapshot_file.display();
            tracing::warn!("Starting with the configuration in {file}, since the database is away: {error:#}");
            Ok(standby)
        }
        Err(unusable) => Err(error.context(format!("nothing to start with instead: {unusable:#}"))),
    }
}

/// Refuses a master key that opens none of the keys that are stored. One that opens some is kept: the catalog leaves the
/// others out and says so.
async fn check_master_key(store: &Store, master_key: &MasterKey) -> anyhow::Result<()> {
    let providers = store.providers().await?;
    let mut sealed =
        providers.iter().filter_map(|row| Some((row.id, row.api_key.as_ref().or(row.api_keys.as_ref())?))).peekable();
    if sealed.peek().is_some() && sealed.all(|(id, key)| master_key.open(id, key).is_err()) {
        anyhow::bail!(
            "MASTER_KEY or the file auth.master_key_file does not open the stored provider keys: restore the one they were \
             sealed with"
        );
    }
    Ok(())
}

/// What models take and refuse, by the built-in rules and the operator's own.
pub fn models(config: &Config) -> anyhow::Result<Models> {
    match &config.models.rules_file {
        None => Ok(Models::builtin()),
        Some(file) => {
            let text = std::fs::read_to_string(file)
                .with_context(|| format!("models.rules_file: cannot read {}", file.display()))?;
            Models::with_overrides(&text).with_context(|| format!("models.rules_file: {} is invalid", file.display()))
        }
    }
}

/// Certificates to trust besides the public ones, from the file that `SSL_CERT_FILE` names, as other programs read it.
pub fn extra_roots() -> anyhow::Result<Vec<rustls_pki_types::CertificateDer<'static>>> {
    use rustls_pki_types::pem::PemObject;
    let Some(file) = std::env::var_os("SSL_CERT_FILE") else { return Ok(Vec::new()) };
    let certificates = rustls_pki_types::CertificateDer::pem_file_iter(&file)
        .and_then(Iterator::collect)
        .with_context(|| format!("SSL_CERT_FILE: cannot read {}", file.display()))?;
    Ok(certificates)
}

/// Makes what a first start makes: an admin key and an API key if the configuration has none, and the providers that
/// the environment names.
async fn first_start(config: &Config, store: &Store, master_key: &MasterKey) -> anyhow::Result<(KeyHash, FirstStart)> {
    let mut made = FirstStart::default();
    let first = store.claim_setting(INITIALIZED_SETTING, &clock::rfc3339(clock::now_micros())).await?;
    if first {
        for provider in &config.env_providers {
            create_provider(store, master_key, provider).await?;
        }
        if config.auth.api_keys.is_empty() && !config.auth.allow_anonymous && store.keys().await?.is_empty() {
            made.api_key = Some(create_api_key(store).await?);
        }
    }
    let admin_key = match &config.auth.admin_key {
        Some(key) => KeyHash::of(key.expose_secret()),
        None => {
            let key = secret::generate("sk-admin-");
            // Of two gateways that start on one database, one makes the key.
            if store.claim_setting(ADMIN_KEY_SETTING, &KeyHash::of(key.expose_secret()).to_string()).await? {
                made.admin_key = Some(key);
            }
            let kept = store.setting(ADMIN_KEY_SETTING).await?.unwrap_or_default();
            kept.parse().context("the stored admin key is damaged; set ADMIN_KEY")?
        }
    };
    Ok((admin_key, made))
}

async fn create_provider(
    store: &Store,
    master_key: &MasterKey,
    given: &crate::config::EnvProvider,
) -> anyhow::Result<()> {
    let id = store.new_id(Noun::Provider).await?;
    let now = clock::now_micros();
    let provider = Provider {
        name: given.name.to_string(),
        kind: given.kind.to_string(),
        base_url: given.base_url.clone(),
        api_key: Some(master_key.seal(id, &given.api_key)),
        ..Provider::with_defaults(id, now)
    };
    store.insert_provider(&provider).await?;
    Ok(())
}

async fn create_api_key(store: &Store) -> anyhow::Result<SecretString> {
    let key = secret::generate("sk-");
    let id = store.new_id(Noun::ApiKey).await?;
    let row = ApiKey::new(id, "default", key.expose_secret(), clock::now_micros());
    store.insert_key(&row).await?;
    Ok(key)
}
