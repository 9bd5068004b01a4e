//! Every metric, named in one place.

use std::sync::atomic::{AtomicI64, AtomicU64};

use prometheus_client::{
    encoding::{EncodeLabelSet, text},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::{Registry, Unit},
};

use crate::{journal::Journal, store::LogRow};

/// What is counted. Labels are names that an operator configured, never what a client wrote, so that series are bounded.
pub struct Metrics {
    registry: Registry,
    requests: Family<Request, Counter>,
    duration: Family<Of, Histogram>,
    tokens: Family<Tokens, Counter>,
    cost: Family<Of, Counter<f64, AtomicU64>>,
    losses: Family<Loss, Counter>,
    refusals: Family<Refused, Counter>,
    redis_up: Family<Unlabelled, Gauge>,
    redis_failures: Family<Unlabelled, Counter>,
    log_rows: Family<Rows, Gauge<i64, AtomicI64>>,
}

/// Of what is shown only where there is such a thing.
type Unlabelled = [(&'static str, &'static str); 0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Rows {
    state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Request {
    provider: String,
    status: i64,
    stream: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Of {
    provider: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Loss {
    kind: &'static str,
    client_protocol: String,
    upstream_protocol: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Refused {
    scope: &'static str,
    limit: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Tokens {
    provider: String,
    kind: &'static str,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("llm_orchestrator");
        let requests = Family::default();
        let duration = Family::new_with_constructor(seconds as fn() -> Histogram);
        let (tokens, cost, losses) = (Family::default(), Family::default(), Family::default());
        let (refusals, redis_up, redis_failures) = (Family::default(), Family::default(), Family::default());
        let log_rows = Family::default();
        registry.register("requests", "Requests by who answered, and how", requests.clone());
        registry.register_with_unit("request_duration", "Whole requests", Unit::Seconds, duration.clone());
        registry.register("tokens", "Tokens by kind", tokens.clone());
        registry.register("cost_dollars", "What answers cost, where a price is known", cost.clone());
        registry.register(
            "losses",
            "Request fields that a translation dropped, approximated or refused",
            losses.clone(),
        );
        registry.register("limit_refusals", "Requests that a limit refused", refusals.clone());
        registry.register(
            "redis_up",
            "Whether Redis answers in time; absent where none is configured",
            redis_up.clone(),
        );
        registry.register("redis_failures", "Times Redis failed or was too late", redis_failures.clone());
        registry.register("log_rows", "Log rows since the start: waiting, written, dropped", log_rows.clone());
        Self { registry, requests, duration, tokens, cost, losses, refusals, redis_up, redis_failures, log_rows }
    }
}

fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.005, 2.0, 16))
}

impl Metrics {
    /// A request has ended as its row says.
    pub fn request(&self, row: &LogRow) {
        let provider = row.provider_name.clone().unwrap_or_default();
        let labels = Request { provider: provider.clone(), status: row.status_code, stream: u64::from(row.stream) };
        self.requests.get_or_create(&labels).inc();
        let of = Of { provider: provider.clone() };
        self.duration.get_or_create(&of).observe(row.latency_ms as f64 / 1000.0);
        for (kind, count) in [("input", row.prompt_tokens), ("output", row.completion_tokens)] {
            if let Some(count) = count {
                let labels = Tokens { provider: provider.clone(), kind };
                self.tokens.get_or_create(&labels).inc_by(count.unsigned_abs());
            }
        }
        if let Some(cost) = row.cost {
            self.cost.get_or_create(&of).inc_by(cost as f64 / 1e9);
        }
    }

    /// A field was `dropped`, `approximated` or `refused` between two protocols, given by their names.
    pub fn loss(&self, kind: &'static str, client: &str, upstream: &str) {
        let labels = Loss { kind, client_protocol: client.to_owned(), upstream_protocol: upstream.to_owned() };
        self.losses.get_or_create(&labels).inc();
    }

    /// A limit on `scope`, such as `key`, refused a request; `limit` says of what, such as `tokens`.
    pub fn refused(&self, scope: &'static str, limit: &'static str) {
        self.refusals.get_or_create(&Refused { scope, limit }).inc();
    }

    /// 1 while Redis answers in time. Shown from the first call on.
    pub fn redis_up(&self) -> Gauge {
        self.redis_up.get_or_create_owned(&[])
    }

    /// Times Redis failed or was too late. Shown from the first call on.
    pub fn redis_failures(&self) -> Counter {
        self.redis_failures.get_or_create_owned(&[])
    }

    /// All of it, in OpenMetrics text.
    pub fn render(&self, journal: &Journal) -> String {
        let rows =
            [("waiting", journal.depth() as u64), ("written", journal.written()), ("dropped", journal.dropped())];
        for (state, count) in rows {
            self.log_rows.get_or_create(&Rows { state }).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        let mut out = String::new();
        // Writing to a String cannot fail.
        let _ = text::encode(&mut out, &self.registry);
        out
    }
}
