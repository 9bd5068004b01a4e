//! Providers that are rows of a table, with quirks that are data.

use serde_json::json;

use crate::support::{Gateway, Upstream, gateway::question};

/// Rows that people look for by name.
const EXPECTED: &[&str] = &[
    "ai21",
    "ark",
    "baichuan",
    "cerebras",
    "cohere",
    "dashscope",
    "deepinfra",
    "deepseek",
    "fireworks",
    "github",
    "groq",
    "huggingface",
    "hunyuan",
    "llamacpp",
    "lmstudio",
    "minimax",
    "mistral",
    "moonshot",
    "nebius",
    "novita",
    "nvidia",
    "ollama",
    "openrouter",
    "perplexity",
    "sambanova",
    "sglang",
    "siliconflow",
    "stepfun",
    "together",
    "venice",
    "vllm",
    "xai",
    "yi",
    "zai",
    "zhipu",
];

#[test]
fn every_row_is_there_and_its_address_is_whole() {
    for name in EXPECTED {
        let kind = llm_orchestrator::providers::find(name).unwrap_or_else(|| panic!("there is no type {name}"));
        let base = kind.base(None).or_else(|| kind.base(Some("http://127.0.0.1:8000"))).unwrap();
        let local = base.starts_with("http://127.0.0.1:");
        assert!(local || base.starts_with("https://"), "{name}: {base}");
        assert!(!base.ends_with('/') && base.matches("/v1").count() <= 1, "{name}: {base}");
    }
}

#[tokio::test]
async fn what_a_kind_refuses_by_name_is_left_out_and_the_client_is_told() {
    let (gateway, a) = (Gateway::start().await, Upstream::start("a").await);
    gateway.provider("a", "mistral", &a, json!({})).await;
    let mut body = question("of-my-own");
    body["user"] = "u".into();
    body["max_completion_tokens"] = 9.into();
    body["stream"] = true.into();
    let reply = gateway.chat(body).await;
    assert_eq!(reply.assert_ok().header("x-orchestrator-dropped"), Some("user"));
    let sent = a.last().json();
    assert_eq!((sent.get("user"), sent.get("stream_options")), (None, None));
    assert_eq!(sent["max_tokens"], 9);
}

#[tokio::test]
async fn a_strict_client_is_refused_what_would_be_left_out() {
    let (gateway, a) = (Gateway::start().await, Upstream::start("a").await);
    gateway.provider("a", "mistral", &a, json!({})).await;
    let mut body = question("of-my-own");
    body["user"] = "u".into();
    let request = crate::support::gateway::chat(&body).header("X-Orchestrator-Strict", "true");
    let reply = gateway.send(request).await;
    reply.assert_error(400, "invalid_request");
    assert_eq!(a.calls(), 0);
}
