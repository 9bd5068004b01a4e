//! What clients and operators see.

mod addresses;
mod admin_models;
mod admin_providers;
mod admin_watch;
mod assembled;
mod auth;
mod billed;
mod client_faults;
mod cuts;
mod dialects;
mod doctor;
mod embeddings;
mod failover;
mod fidelity;
mod gemini;
#[path = "../../../crates/protocol/tests/it/responses_grammar.rs"]
mod grammar;
mod health;
mod held;
mod latency;
mod learned_limits;
mod lists;
mod messages;
mod nonsense;
mod operations;
mod pages;
mod phases;
mod provider_keys;
mod responses;
mod responses_kept;
mod responses_socket;
mod responses_state;
mod retries;
mod routing;
mod stored;
mod streams;
mod timeouts;
mod validation;

use serde_json::json;

use crate::support::{Dialect, Gateway, Upstream};

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

/// A gateway with providers `a`, `b`, … on scripted upstreams, preferred in this order, each tried once.
async fn stage<const N: usize>(settings: &[(&str, &str)]) -> (Gateway, [Upstream; N]) {
    stage_of(Dialect::OpenAi, settings).await
}

/// The same with providers of another type.
async fn stage_of<const N: usize>(dialect: Dialect, settings: &[(&str, &str)]) -> (Gateway, [Upstream; N]) {
    let gateway = Gateway::with(settings).await;
    let mut upstreams = Vec::new();
    for (position, name) in NAMES.iter().take(N).enumerate() {
        let upstream = Upstream::start(name).await;
        let more = json!({"priority": 100 - position, "max_retries": 0});
        gateway.provider(name, dialect.kind(), &upstream, more).await;
        upstreams.push(upstream);
    }
    (gateway, upstreams.try_into().unwrap_or_else(|_| unreachable!("N upstreams were started")))
}
