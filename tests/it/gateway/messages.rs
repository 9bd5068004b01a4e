//! Clients of Anthropic's protocol, in front of every sort of upstream.

use serde_json::{Value, json};

use super::stage_of;
use crate::support::{API_KEY, Dialect, Gateway, Reply, Request, Script, Upstream, canned::openai_chunk};

/// A request as Claude Code addresses it.
fn request(body: &Value) -> Request {
    Request::post("/v1/messages?beta=true", body).header("x-api-key", API_KEY).header("anthropic-version", "2023-06-01")
}

fn question(model: &str) -> Value {
    json!({"model": model, "max_tokens": 100, "messages": [{"role": "user", "content": "Say hello"}]})
}

async fn ask(gateway: &Gateway, body: &Value) -> Reply {
    gateway.send(request(body)).await
}

/// The same body with some of its members set.
fn with(mut body: Value, more: Value) -> Value {
    for (key, value) in more.as_object().into_iter().flatten() {
        body[key] = value.clone();
    }
    body
}

/// The types of a stream's messages, pieces of blocks counted once.
fn order(reply: &Reply) -> Vec<String> {
    let mut types: Vec<String> =
        reply.chunks().iter().map(|message| message["type"].as_str().unwrap_or_default().to_owned()).collect();
    types.dedup();
    types
}

/// The text of a stream's pieces.
fn streamed_text(reply: &Reply) -> String {
    reply.chunks().iter().filter_map(|message| message["delta"]["text"].as_str().map(str::to_owned)).collect()
}

#[tokio::test]
async fn what_anthropic_answers_reaches_its_client_byte_for_byte() {
    let (gateway, [a]) = stage_of(Dialect::Anthropic, &[]).await;
    let answer = r#"{ "type": "message","id":"msg_1", "role":"assistant","model":"m","content":[ {"type":"text","text":"Grüße"},{"type":"of_next_year","x":1.0} ],
        "stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":8,"output_tokens":7,"new":{}} }"#;
    a.next(Script::bytes(200, "application/json", answer));
    let body = r#"{ "model": "a:claude-sonnet-4-5","max_tokens":5, "of_next_year" : [1.0],"provider":"a", "messages":[{"role":"user","content":"LLMO?"}] }"#;
    let asked = Request::new("POST", "/v1/messages")
        .header("x-api-key", API_KEY)
        .header("anthropic-version", "2026-10-21")
        .header("anthropic-beta", "one-2026-01-01,two-2026-01-01")
        .header("Content-Type", "application/json")
        .body(body);
    let reply = gateway.send(asked).await;
    assert_eq!(reply.assert_ok().text(), answer);
    let seen = a.last();
    assert_eq!(
        String::from_utf8_lossy(&seen.body),
        r#"{ "model": "claude-sonnet-4-5","max_tokens":5, "of_next_year" : [1.0], "messages":[{"role":"user","content":"LLMO?"}] }"#
    );
    assert_eq!(seen.header("anthropic-version"), Some("2026-10-21"));
    assert_eq!(seen.header("anthropic-beta"), Some("one-2026-01-01,two-2026-01-01"));
    assert_eq!(seen.header("x-api-key"), Some("sk-of-a"));
    let row = json!({"status_code": 200, "endpoint": "/v1/messages", "prompt_tokens": 8, "completion_tokens": 7});
    gateway.assert_row(row).await;
}

#[tokio::test]
async fn what_anthropic_streams_reaches_its_client_byte_for_byte() {
    let (gateway, [a]) = stage_of(Dialect::Anthropic, &[]).await;
    let mut frames = Dialect::Anthropic.stream(&["Hel", "lo"]);
    frames.insert(2, "event: of_next_year\ndata: {\"type\": \"of_next_year\"}\n\n".into());
    a.next(Script::sse(&frames));
    let body = with(question("claude-sonnet-4-5"), json!({"stream": true}));
    // Some SDKs do not add the version to the path.
    let reply = gateway.send(Request::post("/messages", &body).bearer(API_KEY)).await;
    assert_eq!(reply.assert_ok().text(), frames.concat());
    gateway.assert_row(json!({"status_code": 200, "stream": true, "prompt_tokens": 11, "completion_tokens": 7})).await;
}

#[tokio::test]
async fn every_upstream_answers_in_this_protocol() {
    for dialect in [Dialect::OpenAi, Dialect::Gemini] {
        let (gateway, [a]) = stage_of(dialect, &[]).await;
        a.next(Script::json(200, &dialect.whole("Hello"))).next(Script::sse(&dialect.stream(&["Hel", "lo"])));
        let reply = ask(&gateway, &question(dialect.model())).await;
        let body = reply.assert_ok().json();
        assert_eq!(body["content"], json!([{"type": "text", "text": "Hello"}]), "{dialect:?}");
        assert_eq!((&body["type"], &body["stop_reason"]), (&json!("message"), &json!("end_turn")), "{dialect:?}");
        assert!(body["id"].as_str().unwrap().starts_with("msg_"), "{dialect:?}");
        assert_eq!((&body["usage"]["input_tokens"], &body["usage"]["cache_read_input_tokens"]), (&json!(8), &json!(3)));
        assert!(body.get("provider").is_none() && body.get("latency_ms").is_none(), "{body}");
        assert_eq!(reply.header("x-orchestrator-provider"), Some("a"));

        let reply = ask(&gateway, &with(question(dialect.model()), json!({"stream": true}))).await;
        assert!(reply.assert_ok().is_stream() && reply.complete);
        assert_eq!(
            order(&reply),
            [
                "message_start",
                "ping",
                "content_block_start",
                "content_block_delta",
                "content_block_stop",
                "message_delta",
                "message_stop"
            ],
            "{dialect:?}"
        );
        assert_eq!(streamed_text(&reply), "Hello", "{dialect:?}");
        let chunks = reply.chunks();
        let end = &chunks[chunks.len() - 2];
        assert_eq!((&end["usage"]["input_tokens"], &end["usage"]["output_tokens"]), (&json!(8), &json!(7)));
        assert!(reply.text().starts_with("event: message_start\ndata: {"), "{dialect:?}");
    }
}

#[tokio::test]
async fn an_agents_request_reaches_an_openai_upstream_whole_and_what_is_lost_is_told() {
    let (gateway, [a]) = stage_of(Dialect::OpenAi, &[]).await;
    a.next(Script::stream(&["ok"]));
    let body = json!({
        "model": "gpt-5", "max_tokens": 128_000, "stream": true,
        "system": [
            {"type": "text", "text": "x-anthropic-billing-header: cc_version=1;"},
            {"type": "text", "text": "You are an agent.", "cache_control": {"type": "ephemeral"}},
        ],
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "reminder"}, {"type": "text", "text": "list files"}]},
            {"role": "system", "content": "# Environment", "output_config": {"effort": "medium"}},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "hm", "signature": "EqQBCkYIBxgC"},
                {"type": "tool_use", "id": "toolu_01abc", "name": "Bash", "input": {"command": "ls"}},
            ]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "toolu_01abc", "content": "a.txt", "is_error": false,
                 "cache_control": {"type": "ephemeral"}},
                {"type": "text", "text": "and now?"},
            ]},
        ],
        "tools": [{"name": "Bash", "description": "Runs a command", "eager_input_streaming": true,
                   "input_schema": {"type": "object", "properties": {"command": {"type": "string"}}}}],
        "metadata": {"user_id": "{\"device_id\":\"x\"}"},
        "thinking": {"type": "adaptive", "display": "omitted"},
        "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        "output_config": {"effort": "medium"},
    });
    let reply = ask(&gateway, &body).await;
    assert_eq!(streamed_text(reply.assert_ok()), "ok");
    let sent = a.last().json();
    assert_eq!(
        sent["messages"],
        json!([
            {"role": "system", "content": "You are an agent."},
            {"role": "user", "content": [{"type": "text", "text": "reminder"}, {"type": "text", "text": "list files"}]},
            {"role": "system", "content": "# Environment"},
            {"role": "assistant", "content": null, "tool_calls": [
                {"id": "toolu_01abc", "type": "function", "function": {"name": "Bash", "arguments": "{\"command\":\"ls\"}"}},
            ]},
            {"role": "tool", "tool_call_id": "toolu_01abc", "content": "a.txt"},
            {"role": "user", "content": "and now?"},
        ])
    );
    assert_eq!((&sent["reasoning_effort"], &sent["tools"][0]["function"]["name"]), (&json!("medium"), &json!("Bash")));
    assert!(!String::from_utf8_lossy(&a.last().body).contains("EqQBCkYIBxgC"), "a signature left its protocol");
    let dropped = reply.header("x-orchestrator-dropped").unwrap();
    for path in [
        "context_management",
        "system[0]",
        "system[1].cache_control",
        "tools[0].eager_input_streaming",
        "messages[1].output_config",
        "messages[3].content[0].cache_control",
    ] {
        assert!(dropped.split(',').any(|told| told == path), "{path} in {dropped}");
    }
}

#[tokio::test]
async fn the_smallest_requests_work_everywhere() {
    for dialect in Dialect::ALL {
        let (gateway, [a]) = stage_of(dialect, &[]).await;
        a.always(Script::json(200, &dialect.whole("H")));
        for most in [0, 1] {
            let body = with(question(dialect.model()), json!({"max_tokens": most}));
            ask(&gateway, &body).await.assert_ok();
        }
    }
}

fn tool() -> Value {
    json!({"name": "weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}})
}

/// The next turn of a conversation: what was answered, and the results of its calls.
fn next_turn(body: &Value, answered: &Value) -> Value {
    let mut body = body.clone();
    let messages = body["messages"].as_array_mut().unwrap();
    messages.push(json!({"role": "assistant", "content": answered}));
    let calls = answered.as_array().unwrap().iter().filter(|block| block["type"] == "tool_use");
    let results: Vec<Value> =
        calls.map(|call| json!({"type": "tool_result", "tool_use_id": call["id"], "content": "sunny"})).collect();
    messages.push(json!({"role": "user", "content": results}));
    body
}

#[tokio::test]
async fn a_signature_of_geminis_comes_back_to_its_call_and_is_never_shown_to_anthropic() {
    let gateway = Gateway::start().await;
    let (gem, claude) = (Upstream::start("gem").await, Upstream::start("claude").await);
    gateway.provider("gem", "gemini", &gem, json!({})).await;
    gateway.provider("claude", "anthropic", &claude, json!({})).await;
    let call = |city: &str| json!({"functionCall": {"name": "weather", "args": {"city": city}}});
    let signed = with(call("Bern"), json!({"thoughtSignature": "c2lnbmVk"}));
    gem.next(Script::json(
        200,
        &json!({
            "candidates": [{"content": {"role": "model", "parts": [signed, call("Rome")]}, "finishReason": "STOP"}],
            "usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 3},
        }),
    ));
    let first = with(question("gemini-3-pro-preview"), json!({"tools": [tool()]}));
    let answered = ask(&gateway, &first).await.assert_ok().json();
    assert_eq!(answered["stop_reason"], "tool_use");
    let kinds: Vec<&Value> = answered["content"].as_array().unwrap().iter().map(|block| &block["type"]).collect();
    assert_eq!(kinds, ["redacted_thinking", "tool_use", "tool_use"]);

    let second = next_turn(&first, &answered["content"]);
    gem.next(Script::json(200, &Dialect::Gemini.whole("Sunny")));
    ask(&gateway, &second).await.assert_ok();
    let sent = gem.last().json();
    let parts = &sent["contents"][1]["parts"];
    assert_eq!((&parts[0]["thoughtSignature"], parts.as_array().unwrap().len()), (&json!("c2lnbmVk"), 2));
    assert!(parts[1].get("thoughtSignature").is_none(), "{parts}");
    assert_eq!(sent["contents"][2]["parts"].as_array().unwrap().len(), 2);

    claude.next(Script::json(200, &Dialect::Anthropic.whole("Sunny")));
    ask(&gateway, &with(second, json!({"model": "claude-sonnet-4-5"}))).await.assert_ok();
    let sent = claude.last().json();
    assert_eq!(sent["messages"][1]["content"], json!([answered["content"][1], answered["content"][2]]));
}

#[tokio::test]
async fn reasoning_that_nobody_signed_comes_back_to_the_server_that_wants_it() {
    let (gateway, [a]) = stage_of(Dialect::OpenAi, &[]).await;
    let piece = |delta: Value| openai_chunk(delta, None);
    let called =
        json!([{"index": 0, "id": "call_1", "type": "function", "function": {"name": "weather", "arguments": ""}}]);
    let arguments = json!([{"index": 0, "function": {"arguments": "{\"city\":\"Bern\"}"}}]);
    a.next(Script::sse(&[
        piece(json!({"role": "assistant", "content": "", "reasoning_content": "I should "})),
        piece(json!({"reasoning_content": "look.", "content": null, "tool_calls": []})),
        piece(json!({"tool_calls": called})),
        piece(json!({"tool_calls": arguments})),
        openai_chunk(json!({}), Some("tool_calls")),
        "data: [DONE]\n\n".to_owned(),
    ]));
    let first = with(question("a:deepseek-reasoner"), json!({"tools": [tool()], "stream": true}));
    let reply = ask(&gateway, &first).await;
    let mut blocks: Vec<Value> = Vec::new();
    for message in reply.assert_ok().chunks() {
        let (delta, block) = (&message["delta"], blocks.last_mut());
        match (message["type"].as_str().unwrap(), delta["type"].as_str(), block) {
            ("content_block_start", ..) => blocks.push(message["content_block"].clone()),
            (_, Some("thinking_delta"), Some(block)) => {
                block["thinking"] =
                    format!("{}{}", block["thinking"].as_str().unwrap(), delta["thinking"].as_str().unwrap()).into();
            }
            (_, Some("signature_delta"), Some(block)) => block["signature"] = delta["signature"].clone(),
            (_, Some("input_json_delta"), Some(block)) => {
                block["input"] = serde_json::from_str(delta["partial_json"].as_str().unwrap()).unwrap();
            }
            _ => {}
        }
    }
    assert_eq!((&blocks[0]["thinking"], &blocks[1]["input"]), (&json!("I should look."), &json!({"city": "Bern"})));
    assert_eq!(blocks.len(), 2, "{blocks:?}");

    a.next(Script::json(200, &Dialect::OpenAi.whole("Sunny")));
    let second = with(next_turn(&first, &json!(blocks)), json!({"stream": false}));
    ask(&gateway, &second).await.assert_ok();
    let sent = a.last().json();
    assert_eq!(sent["messages"][1]["reasoning_content"], "I should look.");
    assert_eq!(sent["messages"][2], json!({"role": "tool", "tool_call_id": "call_1", "content": "sunny"}));
}

#[tokio::test]
async fn a_stream_that_breaks_ends_with_an_error_and_nothing_after_it() {
    for dialect in Dialect::ALL {
        let (gateway, [a]) = stage_of(dialect, &[]).await;
        let mut frames = dialect.begun(&["Hel", "lo"]);
        frames.push(dialect.error_event());
        a.next(Script::sse(&frames)).next(Script::sse(&dialect.begun(&["Hel"])).then_cut());
        let body = with(question(dialect.model()), json!({"stream": true}));
        let named = match dialect {
            Dialect::OpenAi | Dialect::Responses => "api_error",
            Dialect::Anthropic | Dialect::Gemini => "overloaded_error",
        };
        for kind in [named, "api_error"] {
            let reply = ask(&gateway, &body).await;
            let last = reply.assert_ok().chunks().pop().unwrap();
            assert_eq!((&last["type"], &last["error"]["type"]), (&json!("error"), &json!(kind)), "{dialect:?}");
            assert!(!reply.text().contains("message_stop"), "{dialect:?}");
            assert!(reply.complete, "{dialect:?}");
        }
    }
}

/// Checks the shape of an error and gives its message back.
#[track_caller]
fn assert_error(reply: &Reply, status: u16, kind: &str) -> String {
    let body = reply.json();
    assert_eq!((reply.status, body["error"]["type"].as_str()), (status, Some(kind)), "{body}");
    assert_eq!((&body["type"], body["request_id"].as_str()), (&json!("error"), reply.header("x-request-id")), "{body}");
    body["error"]["message"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn errors_have_this_protocols_shape() {
    let (gateway, [a]) = stage_of(Dialect::OpenAi, &[]).await;
    let body = question("gpt-4o");
    let stranger = Request::post("/v1/messages", &body).header("x-api-key", "sk-wrong");
    assert_error(&gateway.send(stranger).await, 401, "authentication_error");
    let (other, [_b]) = stage_of(Dialect::Anthropic, &[]).await;
    let unknown = assert_error(&ask(&other, &question("gpt-9")).await, 404, "not_found_error");
    assert!(unknown.contains("gpt-9"), "{unknown}");
    let missing = with(question("gpt-4o"), json!({"max_tokens": null}));
    assert!(assert_error(&ask(&gateway, &missing).await, 400, "invalid_request_error").contains("max_tokens"));
    a.next(Script::error(429, "slow down").header("Retry-After", "7"));
    let limited = ask(&gateway, &body).await;
    assert_error(&limited, 429, "rate_limit_error");
    assert_eq!(limited.header("retry-after"), Some("7"));
    let (gateway, [a]) = stage_of(Dialect::OpenAi, &[]).await;
    a.next(Script::error(400, "This model's maximum context length is 8192 tokens."));
    assert!(assert_error(&ask(&gateway, &body).await, 400, "invalid_request_error").starts_with("prompt is too long"));
    a.next(Script::error(401, "bad key"));
    assert_error(&ask(&gateway, &body).await, 502, "api_error");
}

#[tokio::test]
async fn anthropics_own_words_about_a_request_reach_its_client_unchanged_and_without_the_key() {
    let (gateway, [a, b]) = stage_of(Dialect::Anthropic, &[]).await;
    let body = question("claude-sonnet-4-5");
    let words = r#"{"type": "error", "error":{"type":"invalid_request_error","message":"messages.1.role: Input should be 'user' or 'assistant'"},"request_id":"req_theirs","new":1.0}"#;
    a.next(Script::bytes(400, "application/json", words));
    let reply = ask(&gateway, &body).await;
    assert_eq!((reply.status, reply.text().as_str()), (400, words));
    assert_eq!(b.calls(), 0, "a client's fault is nobody else's turn");
    a.next(Script::bytes(400, "application/json", words.replace("req_theirs", "sk-of-a")));
    let reply = ask(&gateway, &body).await;
    assert!(!reply.text().contains("sk-of-a"), "{}", reply.text());
}

#[tokio::test]
async fn overload_has_a_status_of_its_own() {
    let (gateway, [a]) = stage_of(Dialect::Anthropic, &[]).await;
    a.next(Script::json(529, &Dialect::Anthropic.error(529, "Overloaded")));
    assert_error(&ask(&gateway, &question("claude-sonnet-4-5")).await, 529, "overloaded_error");
    gateway.assert_row(json!({"status_code": 529})).await;
}

async fn count(gateway: &Gateway, path: &str, body: &Value) -> Reply {
    gateway.send(Request::post(path, body).header("x-api-key", API_KEY).header("anthropic-version", "2023-06-01")).await
}

fn counted(model: &str) -> Value {
    json!({"model": model, "system": "Be brief.", "messages": [{"role": "user", "content": "How many tokens is this?"}], "tools": [tool()]})
}

#[tokio::test]
async fn tokens_are_counted_by_anthropic_where_it_would_answer() {
    let (gateway, [a]) = stage_of(Dialect::Anthropic, &[]).await;
    a.next(Script::json(200, &json!({"input_tokens": 43})));
    let reply = count(&gateway, "/v1/messages/count_tokens?beta=true", &counted("a:claude-sonnet-4-5")).await;
    assert_eq!(reply.assert_ok().json(), json!({"input_tokens": 43}));
    assert_eq!(reply.header("x-orchestrator-estimate"), None);
    assert_eq!(reply.header("x-orchestrator-provider"), Some("a"));
    let seen = a.last();
    assert!(seen.path.ends_with("/v1/messages/count_tokens"), "{}", seen.path);
    assert_eq!(seen.json(), counted("claude-sonnet-4-5"));
    gateway
        .assert_row(json!({"status_code": 200, "endpoint": "/v1/messages/count_tokens", "prompt_tokens": null}))
        .await;
}

#[tokio::test]
async fn tokens_are_counted_by_gemini_in_its_own_words() {
    let (gateway, [a]) = stage_of(Dialect::Gemini, &[]).await;
    a.next(Script::json(200, &json!({"totalTokens": 21})));
    let reply = count(&gateway, "/messages/count_tokens", &counted("gemini-2.5-flash")).await;
    assert_eq!(reply.assert_ok().json(), json!({"input_tokens": 21}));
    let (path, sent) = (a.last().path, a.last().json());
    assert!(path.ends_with("/models/gemini-2.5-flash:countTokens"), "{path}");
    let whole = &sent["generateContentRequest"];
    assert_eq!(whole["model"], "models/gemini-2.5-flash");
    assert_eq!(whole["systemInstruction"]["parts"][0]["text"], "Be brief.");
    assert_eq!(whole["tools"][0]["functionDeclarations"][0]["name"], "weather");
}

#[tokio::test]
async fn tokens_are_estimated_where_nobody_counts() {
    let (gateway, a) = (Gateway::start().await, Upstream::start("a").await);
    gateway.provider("a", "openai", &a, json!({"protocols": ["openai_chat"]})).await;
    let reply = count(&gateway, "/v1/messages/count_tokens", &counted("gpt-4o")).await;
    let tokens = reply.assert_ok().json()["input_tokens"].as_u64().unwrap();
    assert!((15..80).contains(&tokens), "{tokens}");
    assert_eq!((reply.header("x-orchestrator-estimate"), a.calls()), (Some("true"), 0));
}

#[tokio::test]
async fn tokens_are_counted_by_openai_in_its_own_words() {
    let (gateway, [a]) = stage_of(Dialect::OpenAi, &[]).await;
    a.next(Script::json(200, &json!({"object": "response.input_tokens", "input_tokens": 11})));
    let reply = count(&gateway, "/v1/messages/count_tokens", &counted("gpt-4o")).await;
    assert_eq!(reply.assert_ok().json(), json!({"input_tokens": 11}));
    assert_eq!((a.last().path.as_str(), &a.last().json()["store"]), ("/v1/responses/input_tokens", &Value::Null));
    assert_eq!(a.last().json()["tools"][0]["name"], "weather");
    a.next(Script::json(400, &Dialect::OpenAi.error(400, "this model is not counted")));
    let reply = count(&gateway, "/v1/messages/count_tokens", &counted("gpt-4o")).await;
    assert_eq!(reply.assert_ok().header("x-orchestrator-estimate"), Some("true"), "the words were not the client's");
}

#[tokio::test]
async fn counts_that_fail_are_not_held_against_a_provider_that_answers() {
    let (gateway, [a]) = stage_of(Dialect::Anthropic, &[("HEALTH_CHECK_ENABLED", "false")]).await;
    for _ in 0..10 {
        a.next(Script::html(500));
        count(&gateway, "/v1/messages/count_tokens", &counted("claude-sonnet-4-5")).await.assert_ok();
    }
    assert_eq!(gateway.health_of("a").await["is_healthy"], true);
    assert_eq!(ask(&gateway, &question("claude-sonnet-4-5")).await.status, 200);
}

#[tokio::test]
async fn counts_are_limited_as_other_requests_are() {
    let limits = [("ENABLE_RATE_LIMITING", "true"), ("RATE_LIMIT_PER_MINUTE", "2")];
    let (gateway, [_a]) = stage_of(Dialect::Anthropic, &limits).await;
    for _ in 0..2 {
        count(&gateway, "/v1/messages/count_tokens", &counted("claude-sonnet-4-5")).await.assert_ok();
    }
    let limited = count(&gateway, "/v1/messages/count_tokens", &counted("claude-sonnet-4-5")).await;
    assert_error(&limited, 429, "rate_limit_error");
}

#[tokio::test]
async fn a_provider_that_fails_to_count_is_replaced_by_an_estimate_but_a_wrong_request_is_not() {
    let (gateway, [a]) = stage_of(Dialect::Anthropic, &[]).await;
    for failing in [
        Script::json(529, &Dialect::Anthropic.error(529, "Overloaded")),
        Script::html(404),
        Script::json(200, &json!({"tokens": 1})),
    ] {
        a.next(failing);
        let reply = count(&gateway, "/v1/messages/count_tokens", &counted("claude-sonnet-4-5")).await;
        assert_eq!(reply.assert_ok().header("x-orchestrator-estimate"), Some("true"));
    }
    a.next(Script::json(400, &Dialect::Anthropic.error(400, "tools.0: no")));
    let reply = count(&gateway, "/v1/messages/count_tokens", &counted("claude-sonnet-4-5")).await;
    assert_eq!((reply.status, reply.message().as_str()), (400, "tools.0: no"));
    a.next(Script::json(404, &Dialect::Anthropic.error(404, "model: claude-sonnet-4-5")));
    let reply = count(&gateway, "/v1/messages/count_tokens", &counted("claude-sonnet-4-5")).await;
    assert_eq!(reply.status, 404);
    let missing = count(&gateway, "/v1/messages/count_tokens", &json!({"model": "claude-sonnet-4-5"})).await;
    assert_error(&missing, 400, "invalid_request_error");
}
