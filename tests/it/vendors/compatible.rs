//! Providers that are rows of a table, with quirks that are data.

use serde_json::{Value, json};

use crate::support::{
    API_KEY, Gateway, Request, Upstream,
    acting::{Step, act},
    gateway::question,
};

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
async fn a_service_that_nobody_has_heard_of_is_added_and_chats_streams_and_calls_tools() {
    let (gateway, a) = (Gateway::start().await, Upstream::start("a").await);
    a.lists(&["made-up-1"]);
    let base = format!("{}/v1", a.url());
    let body = json!({"name": "made-up", "type": "openai_compatible", "base_url": base, "api_key": "sk-made-up"});
    assert_eq!(gateway.admin("POST", "/admin/providers", body).await.status, 201);
    assert_eq!(gateway.ask("made-up-1").await.assert_ok().content(), "Hello from a");
    assert_eq!(a.last().header("authorization"), Some("Bearer sk-made-up"));
    let stream = gateway.ask_stream("made-up-1").await;
    assert_eq!((stream.assert_ok().content().as_str(), stream.done()), ("Hello from a", true));

    let step = Step { tool: "get_weather", arguments: json!({"city": "Paris"}) };
    a.answers_by(move |seen| act(seen, std::slice::from_ref(&step), "18 degrees"));
    let schema = json!({"type": "object", "properties": {"city": {"type": "string"}}});
    let mut body = json!({
        "model": "made-up-1", "max_tokens": 50, "tools": [{"name": "get_weather", "input_schema": schema}],
        "messages": [{"role": "user", "content": "What is the weather in Paris?"}],
    });
    let ask = async |body: &Value| {
        gateway.send(Request::post("/v1/messages", body).header("x-api-key", API_KEY)).await.assert_ok().json()
    };
    let answer = ask(&body).await;
    let call = answer["content"].as_array().unwrap().iter().find(|block| block["type"] == "tool_use").unwrap();
    assert_eq!((&call["name"], &call["input"]), (&json!("get_weather"), &json!({"city": "Paris"})));
    let result = json!({"type": "tool_result", "tool_use_id": call["id"], "content": "18 degrees in Paris"});
    let messages = body["messages"].as_array_mut().unwrap();
    messages.push(json!({"role": "assistant", "content": answer["content"]}));
    messages.push(json!({"role": "user", "content": [result]}));
    assert_eq!(ask(&body).await["content"][0]["text"], "18 degrees");
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
