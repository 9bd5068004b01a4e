//! What is read when somebody asks, rather than counted while it happens: providers, the journal, the build.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{
        counter::{ConstCounter, Counter},
        family::Family,
        gauge::{ConstGauge, Gauge},
        info::Info,
    },
    registry::Registry,
};

use super::{At, PREFIX};
use crate::{
    app::App,
    health::{Admission, State},
};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Fate {
    state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ProviderState {
    provider: std::sync::Arc<str>,
    state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KeyOf {
    provider: std::sync::Arc<str>,
    key: std::sync::Arc<str>,
}

/// Made anew for every answer, so that a provider that is gone leaves no series.
pub fn registry(app: &App) -> Registry {
    let mut registry = Registry::with_prefix(PREFIX);
    let build = [("version", env!("CARGO_PKG_VERSION")), ("commit", env!("BUILD_COMMIT"))];
    registry.register("build", "Which build this is", Info::new(build.to_vec()));
    providers(app, &mut registry);
    provider_keys(app, &mut registry);
    journal(app, &mut registry);
    traces(app, &mut registry);
    redis(app, &mut registry);
    cache(app, &mut registry);
    registry
}

fn providers(app: &App, registry: &mut Registry) {
    let (states, ejections) = (Family::<ProviderState, Gauge>::default(), Family::<At, Counter>::default());
    for provider in &app.catalog().providers {
        let health = provider.health.view();
        for state in [State::Healthy, State::Degraded, State::Unhealthy] {
            let labels = ProviderState { provider: provider.name.clone(), state: state.as_str() };
            states.get_or_create(&labels).set(i64::from(state == health.state));
        }
        ejections.get_or_create(&At { provider: provider.name.clone() }).inc_by(health.ejections);
    }
    registry.register("provider_state", "1 for the state that an enabled provider is in", states);
    registry.register("provider_ejections", "How often a provider was left out because it failed", ejections);
}

/// Of providers that have several keys.
fn provider_keys(app: &App, registry: &mut Registry) {
    let (ready, refusals) = (Family::<KeyOf, Gauge>::default(), Family::<KeyOf, Counter>::default());
    let catalog = app.catalog();
    for provider in catalog.providers.iter().flat_map(|provider| &provider.accounts) {
        let Some(account) = &provider.account else { continue };
        let of = KeyOf { provider: provider.name.clone(), key: account.name.clone() };
        let view = account.health.view();
        ready.get_or_create(&of).set(i64::from(view.admission == Admission::Yes));
        refusals.get_or_create(&of).inc_by(view.refusals);
    }
    registry.register("provider_key_ready", "1 while a key of a provider that has several can be used", ready);
    let help = "How often a key of a provider that has several was set aside because it was refused";
    registry.register("provider_key_refusals", help, refusals);
}

fn journal(app: &App, registry: &mut Registry) {
    let rows = Family::<Fate, Counter>::default();
    for (state, count) in [("written", app.journal.written()), ("dropped", app.journal.dropped())] {
        rows.get_or_create(&Fate { state }).inc_by(count);
    }
    registry.register("log_rows", "Log rows by what became of them", rows);
    let contents = Family::<Fate, Counter>::default();
    for (state, count) in [("written", app.journal.contents_written()), ("dropped", app.journal.contents_dropped())] {
        contents.get_or_create(&Fate { state }).inc_by(count);
    }
    registry.register(
        "log_contents",
        "What was said in requests, by what became of it on its way into the log",
        contents,
    );
    let depth = ConstGauge::new(app.journal.depth() as u64);
    registry.register("log_rows_waiting", "Log rows that are not in the database yet", depth);
    let capacity = ConstGauge::new(app.config.journal.capacity as u64);
    registry.register("log_rows_capacity", "Log rows that may wait; further ones are dropped", capacity);
    let stopping = ConstGauge::new(u64::from(app.stopping.is_cancelled()));
    registry.register("stopping", "1 once the gateway was told to stop", stopping);
}

/// Nothing where nothing is traced.
fn traces(app: &App, registry: &mut Registry) {
    let Some(ends) = app.traces.ends() else { return };
    let spans = Family::<Fate, Counter>::default();
    for (state, count) in ends {
        spans.get_or_create(&Fate { state }).inc_by(count);
    }
    registry.register("spans", "Spans of traces by what became of them", spans);
}

/// Nothing where none is configured: what is not there cannot be down.
fn redis(app: &App, registry: &mut Registry) {
    let Some(shared) = &app.shared else { return };
    registry.register("redis_up", "1 while Redis answers in time", ConstGauge::new(u64::from(shared.is_healthy())));
    let failures = ConstCounter::new(shared.failures());
    registry.register("redis_failures", "How often Redis failed or was too late", failures);
}

/// Nothing where answers are not kept in this process.
fn cache(app: &App, registry: &mut Registry) {
    let Some((entries, bytes)) = app.cache.holds() else { return };
    registry.register("cache_entries", "Answers in memory", ConstGauge::new(entries));
    registry.register("cache_bytes", "Bytes that they take", ConstGauge::new(bytes));
}
