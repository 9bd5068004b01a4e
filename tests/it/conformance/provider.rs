//! Providers as an operator would configure them, in front of the replay.

use llm_orchestrator::providers;
use serde_json::{Value, json};

use super::fixture::{Fixture, Wire};

/// The body that creates the provider named `name` that answers with `fixture`.
pub fn body(fixture: &Fixture, name: &str, replay: &str) -> Value {
    let kind = kind(fixture);
    let base = match kind {
        "azure" if fixture.path.starts_with("/models/") => format!("{replay}/models"),
        "anthropic" | "gemini" | "azure" | "bedrock" | "vertex" => replay.to_owned(),
        _ => format!("{replay}/v1"),
    };
    let key = match kind {
        "bedrock" => json!({"access_key_id": "AKIDREPLAY", "secret_access_key": "replayed"}).to_string(),
        "vertex" => "ya29.replay".to_owned(),
        _ => "sk-replay".to_owned(),
    };
    let protocols = match fixture.wire {
        Wire::Embeddings | Wire::Counting => Value::Null,
        Wire::Chat => json!(["openai_chat"]),
        Wire::Responses => json!(["openai_responses"]),
        Wire::Anthropic | Wire::BedrockInvoke => json!(["anthropic"]),
        Wire::Gemini => json!(["gemini"]),
        Wire::Bedrock => json!(["bedrock_converse"]),
    };
    let options = match kind {
        "vertex" => json!({"project": "recorded"}),
        "bedrock" => json!({"region": "us-east-1"}),
        _ => json!({}),
    };
    json!({
        "name": name, "type": kind, "base_url": base, "api_key": key, "max_retries": 0, "protocols": protocols, "options": options,
    })
}

/// The type of the provider in front of which it was recorded; those that have none of their own are compatible ones.
fn kind(fixture: &Fixture) -> &'static str {
    let own = match (fixture.provider.as_str(), fixture.wire) {
        ("openai_chat" | "openai_responses" | "openai_embeddings", _) => "openai",
        ("azure_chat" | "azure_responses" | "azure_embeddings", _) => "azure",
        ("anthropic_count_tokens", _) => "anthropic",
        ("gemini_count_tokens" | "gemini_embeddings", _) => "gemini",
        ("vertex_gemini", _) => "vertex",
        ("ollama_cloud", _) => "ollama",
        (_, Wire::Anthropic) => "anthropic",
        (_, Wire::Gemini) => "gemini",
        (_, Wire::Bedrock | Wire::BedrockInvoke) => "bedrock",
        (name, _) => name,
    };
    providers::find(own).map_or("openai_compatible", |kind| kind.name)
}
