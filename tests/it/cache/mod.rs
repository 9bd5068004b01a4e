//! Answers that are given again.

mod answers;
mod forgetting;
mod keys;
mod never;
mod shared;
mod together;
mod wishes;

use serde_json::{Value, json};

use crate::support::{Gateway, Reply, Request, Upstream, gateway::chat, gateway::question};

const ON: (&str, &str) = ("ORCHESTRATOR_CACHE_ENABLED", "true");

/// A gateway that keeps answers, with these settings, in front of one provider that has one try.
async fn gateway(upstream: &Upstream, settings: &[(&str, &str)]) -> Gateway {
    let gateway = Gateway::with(&[&[ON], settings].concat()).await;
    gateway.provider("a", "openai", upstream, json!({"max_retries": 0})).await;
    gateway
}

/// What an answer says of the cache.
fn cache(reply: &Reply) -> Option<&str> {
    reply.assert_ok().header("x-orchestrator-cache")
}

/// Asks a question with this `Cache-Control`.
async fn wish(gateway: &Gateway, wishes: &str) -> Reply {
    gateway.send(chat(&question("gpt-4o")).header("Cache-Control", wishes)).await
}

/// A question that is like no other.
fn about(words: &str) -> Value {
    json!({"model": "gpt-4o", "messages": [{"role": "user", "content": words}]})
}

/// The same as a stream.
fn streamed(mut body: Value) -> Value {
    body["stream"] = true.into();
    body
}

/// A request with another key.
fn by(key: &str, body: &Value) -> Request {
    Request::post("/v1/chat/completions", body).bearer(key)
}
