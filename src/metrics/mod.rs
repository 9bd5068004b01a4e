//! Every metric, named in one place.
//!
//! Counting is cheap: a request looks its series up once an attempt and holds on to them. There are at most so many
//! series (`[metrics]`), whatever clients ask for.

mod bounded;
mod now;
mod process;

use std::sync::{
    Arc,
    atomic::{AtomicI64, AtomicU64},
};

use llm_protocol::ir::ApiError;
use prometheus_client::{
    encoding::{EncodeLabelSet, text},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};

use self::bounded::{Bounded, OTHER};
use crate::{app::App, clock, config::MetricsConfig, pricing::Prices, routing::Target, store::LogRow};

/// What is counted. Labels are names that an operator or a provider gave, never what a client made up.
pub struct Metrics {
    registry: Registry,
    targets: Bounded<Of, TargetSeries>,
    keys: Bounded<Key, KeySeries>,
    families: Families,
    in_flight: Gauge<i64, AtomicI64>,
    /// Microseconds since the epoch.
    started: i64,
}

/// Everything that has labels.
#[derive(Clone, Default)]
struct Families {
    requests: Family<Request, Counter>,
    waits: Waits,
    tokens: Family<Tokens, Counter>,
    cost: Family<Of, Dollars>,
    retries: Family<At, Counter>,
    failovers: Family<At, Counter>,
    failures: Family<Failure, Counter>,
    hedges: Family<Hedge, Counter>,
    refusals: Family<Refusal, Counter>,
    losses: Family<Loss, Counter>,
    cache_requests: Family<Looked, Counter>,
    cache_saved: Dollars,
    key_requests: Family<Key, Counter>,
    key_tokens: Family<KeyTokens, Counter>,
    key_cost: Family<Key, Dollars>,
}

/// What clients wait for.
#[derive(Clone)]
struct Waits {
    whole: Family<Of, Histogram, fn() -> Histogram>,
    first_token: Family<Of, Histogram, fn() -> Histogram>,
}

impl Default for Waits {
    fn default() -> Self {
        let whole = || Histogram::new([0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0]);
        let first_token = || Histogram::new([0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6]);
        Self { whole: Family::new_with_constructor(whole), first_token: Family::new_with_constructor(first_token) }
    }
}

type Dollars = Counter<f64, AtomicU64>;

/// A provider, and its own name for a model. Both are empty where no provider was asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Of {
    provider: Arc<str>,
    model: Arc<str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct At {
    provider: Arc<str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Request {
    provider: Arc<str>,
    model: Arc<str>,
    status: i64,
    stream: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Tokens {
    provider: Arc<str>,
    model: Arc<str>,
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Failure {
    provider: Arc<str>,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Hedge {
    provider: Arc<str>,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Refusal {
    limit: &'static str,
    of: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Loss {
    kind: &'static str,
    client_protocol: String,
    upstream_protocol: String,
}

/// What came of a look into the cache: `hit`, `miss` or `bypass`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Looked {
    result: String,
}

/// An API key's name. Empty for clients without one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Key {
    key: Arc<str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KeyTokens {
    key: Arc<str>,
    kind: &'static str,
}

/// Kinds of token. Cached ones and those written to a cache are among the input, reasoning is among the output.
const KINDS: [&str; 5] = ["input", "output", "cached", "cache_write", "reasoning"];

/// The series of one provider and model.
pub struct TargetSeries {
    of: Of,
    duration: Histogram,
    first_token: Histogram,
    tokens: [Counter; 5],
    cost: Dollars,
}

struct KeySeries {
    requests: Counter,
    tokens: [Counter; 5],
    cost: Dollars,
}

impl Families {
    fn register(&self, registry: &mut Registry) {
        registry.register("requests", "Requests by who answered, and how", self.requests.clone());
        registry.register_with_unit("request_duration", "Whole requests", Unit::Seconds, self.waits.whole.clone());
        let help = "From a request's arrival to the first token of its stream";
        registry.register_with_unit("time_to_first_token", help, Unit::Seconds, self.waits.first_token.clone());
        registry.register("tokens", "Tokens by kind", self.tokens.clone());
        registry.register("cost_dollars", "What answers cost, where a price is known", self.cost.clone());
        registry.register("retries", "Attempts at a provider that had failed the same request", self.retries.clone());
        let help = "Attempts at a provider because another one had failed the same request";
        registry.register("failovers", help, self.failovers.clone());
        registry.register("attempt_failures", "Attempts that failed, by why", self.failures.clone());
        let help = "Second requests while the first one still ran, by who was asked and what became of it";
        registry.register("hedges", help, self.hedges.clone());
        let help = "Requests and attempts that a limit of the gateway refused, by what is limited";
        registry.register("limit_refusals", help, self.refusals.clone());
        let help = "Request fields that a translation dropped, approximated or refused";
        registry.register("losses", help, self.losses.clone());
        let help =
            "Requests that the cache of answers answered (hit), might have answered (miss) or was kept out of (bypass)";
        registry.register("cache_requests", help, self.cache_requests.clone());
        let help = "What answers from the cache would have cost";
        registry.register("cache_saved_dollars", help, self.cache_saved.clone());
        registry.register("key_requests", "Requests by API key", self.key_requests.clone());
        registry.register("key_tokens", "Tokens by API key and kind", self.key_tokens.clone());
        registry.register("key_cost_dollars", "What an API key's answers cost", self.key_cost.clone());
    }

    fn target(&self, of: &Of) -> TargetSeries {
        let tokens = |kind| {
            let labels = Tokens { provider: of.provider.clone(), model: of.model.clone(), kind };
            self.tokens.get_or_create_owned(&labels)
        };
        TargetSeries {
            of: of.clone(),
            duration: self.waits.whole.get_or_create_owned(of),
            first_token: self.waits.first_token.get_or_create_owned(of),
            tokens: KINDS.map(tokens),
            cost: self.cost.get_or_create_owned(of),
        }
    }

    fn key(&self, key: &Key) -> KeySeries {
        let tokens = |kind| self.key_tokens.get_or_create_owned(&KeyTokens { key: key.key.clone(), kind });
        KeySeries {
            requests: self.key_requests.get_or_create_owned(key),
            tokens: KINDS.map(tokens),
            cost: self.key_cost.get_or_create_owned(key),
        }
    }
}

impl Metrics {
    pub fn new(config: &MetricsConfig) -> Self {
        let (families, in_flight) = (Families::default(), Gauge::default());
        let mut registry = Registry::with_prefix(PREFIX);
        families.register(&mut registry);
        registry.register("requests_in_flight", "Requests that run now", in_flight.clone());
        Self {
            registry,
            targets: Bounded::new(config.max_models),
            keys: Bounded::new(config.max_keys),
            families,
            in_flight,
            started: clock::now_micros(),
        }
    }

    /// A request has come in; [`Metrics::ended`] must follow.
    pub fn began(&self) {
        self.in_flight.inc();
    }

    /// Whether more than one request runs.
    pub fn others_run(&self) -> bool {
        self.in_flight.get() > 1
    }

    /// The series of a target that is about to be asked. A model that nobody configured, listed or priced is not named:
    /// some providers take any name that a client makes up.
    pub fn target(&self, target: &Target, prices: &Prices) -> Arc<TargetSeries> {
        let provider = &target.provider;
        let listed = provider.listed.as_ref().is_some_and(|listed| listed.contains(&target.model));
        let known = target.configured.is_some()
            || listed
            || target.model.is_empty()
            || prices.price(Some(provider.kind.name), &target.model).is_some();
        let model = if known { target.model.as_str() } else { OTHER };
        self.series(Of { provider: provider.name.clone(), model: model.into() })
    }

    fn series(&self, of: Of) -> Arc<TargetSeries> {
        let other = || Of { provider: OTHER.into(), model: OTHER.into() };
        self.targets.get(of, other, |of| self.families.target(of))
    }

    /// A target is asked that was asked before in the same request.
    pub fn retried(&self, target: &TargetSeries) {
        self.families.retries.get_or_create(&target.at()).inc();
    }

    /// A target is asked because another one failed.
    pub fn failed_over(&self, target: &TargetSeries) {
        self.families.failovers.get_or_create(&target.at()).inc();
    }

    /// An attempt has failed.
    pub fn attempt_failed(&self, target: &TargetSeries, error: &ApiError) {
        let reason = error.reason.unwrap_or(error.kind.code());
        self.families.failures.get_or_create(&Failure { provider: target.of.provider.clone(), reason }).inc();
    }

    /// A target was asked while another one still worked, and has `won`, `lost` or `failed`.
    pub fn hedged(&self, target: &Target, outcome: &'static str) {
        self.families.hedges.get_or_create(&Hedge { provider: target.provider.name.clone(), outcome }).inc();
    }

    /// A limit on a `key`, an `address`, a `provider` or the `gateway` has refused something, because of `requests`, `tokens` or
    /// `concurrent` ones.
    pub fn limit_refused(&self, limit: &'static str, of: &'static str) {
        self.families.refusals.get_or_create(&Refusal { limit, of }).inc();
    }

    /// A request has ended as its row says, at `target` where any was asked.
    pub fn ended(&self, row: &LogRow, target: Option<&Arc<TargetSeries>>) {
        self.in_flight.dec();
        let target = target.cloned().unwrap_or_else(|| self.series(Of::default()));
        let Of { provider, model } = target.of.clone();
        let labels = Request { provider, model, status: row.status_code, stream: u64::from(row.stream) };
        self.families.requests.get_or_create(&labels).inc();
        target.duration.observe(seconds(row.latency_ms));
        if let Some(first) = row.ttft_ms {
            target.first_token.observe(seconds(first));
        }
        let key = Key { key: row.key_name.clone().unwrap_or_default() };
        let key = self.keys.get(key, || Key { key: OTHER.into() }, |key| self.families.key(key));
        key.requests.inc();
        let counts =
            [row.prompt_tokens, row.completion_tokens, row.cached_tokens, row.cache_write_tokens, row.reasoning_tokens];
        for (at, count) in counts.into_iter().enumerate() {
            let count = count.unwrap_or(0).unsigned_abs();
            target.tokens[at].inc_by(count);
            key.tokens[at].inc_by(count);
        }
        if let Some(result) = row.cache_status.as_deref().map(str::to_owned) {
            self.families.cache_requests.get_or_create(&Looked { result }).inc();
            self.families.cache_saved.inc_by(row.saved_cost.unwrap_or_default() as f64 / 1e9);
        }
        if let Some(cost) = row.cost {
            let dollars = cost as f64 / 1e9;
            target.cost.inc_by(dollars);
            key.cost.inc_by(dollars);
        }
    }

    /// A field was `dropped`, `approximated` or `refused` between two protocols, given by their names.
    pub fn loss(&self, kind: &'static str, client: &str, upstream: &str) {
        let labels = Loss { kind, client_protocol: client.to_owned(), upstream_protocol: upstream.to_owned() };
        self.families.losses.get_or_create(&labels).inc();
    }

    /// All of it, in OpenMetrics text.
    pub fn render(&self, app: &App) -> String {
        let mut out = String::new();
        let parts = [&self.registry, &now::registry(app), &process::registry(self.started)];
        // Writing to a String cannot fail.
        for part in parts {
            let _ = text::encode_registry(&mut out, part);
        }
        let _ = text::encode_eof(&mut out);
        out
    }
}

impl TargetSeries {
    fn at(&self) -> At {
        At { provider: self.of.provider.clone() }
    }
}

/// What every metric of the gateway's own begins with.
const PREFIX: &str = "llm_orchestrator";

fn seconds(milliseconds: i64) -> f64 {
    milliseconds as f64 / 1000.0
}
