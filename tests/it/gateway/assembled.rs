//! Whole answers that could take longer than Anthropic lets one take: asked for as streams, and put together here.

use std::time::Duration;

use serde_json::{Value, json};

use super::stage_of;
use crate::support::{API_KEY, Dialect, Gateway, Raw, Reply, Request, Script, Upstream, canned::event, eventually};

/// Of more tokens than this a whole answer is not asked for.
const MOST_WHOLE: u64 = 21_333;

async fn ask(gateway: &Gateway, max_tokens: u64) -> Reply {
    let messages = json!([{"role": "user", "content": "Say hello"}]);
    let body = json!({"model": "claude-sonnet-4-5", "max_tokens": max_tokens, "messages": messages});
    gateway.send(Request::post("/v1/messages", &body).header("x-api-key", API_KEY)).await
}

async fn ask_chat(gateway: &Gateway, max_tokens: u64) -> Reply {
    let messages = json!([{"role": "user", "content": "Say hello"}]);
    gateway.chat(json!({"model": "claude-sonnet-4-5", "max_tokens": max_tokens, "messages": messages})).await
}

/// A stream that holds what only Anthropic's own protocol knows.
fn rich() -> Vec<String> {
    let block = |index: u64, block: Value| {
        event(json!({"type": "content_block_start", "index": index, "content_block": block}))
    };
    let piece =
        |index: u64, delta: Value| event(json!({"type": "content_block_delta", "index": index, "delta": delta}));
    let stop = |index: u64| event(json!({"type": "content_block_stop", "index": index}));
    let results = json!([{"type": "web_search_result", "url": "https://a.example", "encrypted_content": "Eo8="}]);
    let citation = json!({"type": "web_search_result_location", "url": "https://a.example", "encrypted_index": "Eo8="});
    vec![
        event(json!({"type": "message_start", "message": {
            "id": "msg_1", "type": "message", "role": "assistant", "model": "upstream-model", "content": [],
            "stop_reason": null, "stop_sequence": null, "of_next_year": {"x": 1.5},
            "usage": {"input_tokens": 8, "cache_read_input_tokens": 3, "cache_creation_input_tokens": 0,
                "cache_creation": {"ephemeral_5m_input_tokens": 0}, "output_tokens": 1, "service_tier": "standard"},
        }})),
        event(json!({"type": "ping"})),
        block(0, json!({"type": "thinking", "thinking": "", "signature": ""})),
        piece(0, json!({"type": "thinking_delta", "thinking": "Let me see."})),
        piece(0, json!({"type": "signature_delta", "signature": "EqQB"})),
        stop(0),
        block(1, json!({"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}})),
        piece(1, json!({"type": "input_json_delta", "partial_json": "{\"query\": \"he"})),
        piece(1, json!({"type": "input_json_delta", "partial_json": "llo\"}"})),
        stop(1),
        block(2, json!({"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": results})),
        stop(2),
        block(3, json!({"type": "text", "text": "", "citations": []})),
        piece(3, json!({"type": "citations_delta", "citation": citation})),
        piece(3, json!({"type": "text_delta", "text": "Grüße, "})),
        piece(3, json!({"type": "text_delta", "text": "world"})),
        stop(3),
        event(json!({"type": "message_delta",
            "delta": {"stop_reason": "end_turn", "stop_sequence": null, "stop_details": null, "container": {"id": "c"}},
            "usage": {"input_tokens": 10, "output_tokens": 7, "server_tool_use": {"web_search_requests": 1}},
            "context_management": {"applied_edits": []},
        })),
        event(json!({"type": "message_stop"})),
    ]
}

/// What Anthropic says in [`rich`], as it says it whole.
fn rich_whole() -> Value {
    json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": "upstream-model", "of_next_year": {"x": 1.5},
        "content": [
            {"type": "thinking", "thinking": "Let me see.", "signature": "EqQB"},
            {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "hello"}},
            {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1",
                "content": [{"type": "web_search_result", "url": "https://a.example", "encrypted_content": "Eo8="}]},
            {"type": "text", "text": "Grüße, world", "citations":
                [{"type": "web_search_result_location", "url": "https://a.example", "encrypted_index": "Eo8="}]},
        ],
        "stop_reason": "end_turn", "stop_sequence": null, "stop_details": null, "container": {"id": "c"},
        "context_management": {"applied_edits": []},
        "usage": {"input_tokens": 10, "cache_read_input_tokens": 3, "cache_creation_input_tokens": 0,
            "cache_creation": {"ephemeral_5m_input_tokens": 0}, "output_tokens": 7, "service_tier": "standard",
            "server_tool_use": {"web_search_requests": 1}},
    })
}

#[tokio::test]
async fn a_long_answer_is_streamed_upstream_and_reaches_its_client_whole() {
    let (gateway, [a]) = stage_of(Dialect::Anthropic, &[]).await;
    a.next(Script::sse(&rich()).byte_by_byte());
    let reply = ask(&gateway, MOST_WHOLE + 1).await;
    assert_eq!(reply.assert_ok().json(), rich_whole());
    assert_eq!(reply.header("content-type"), Some("application/json"));
    let seen = a.last();
    assert_eq!((&seen.json()["stream"], seen.header("accept")), (&json!(true), Some("text/event-stream")));
    gateway.assert_row(json!({"stream": false, "prompt_tokens": 13, "completion_tokens": 7, "status_code": 200})).await;
}

#[tokio::test]
async fn a_short_answer_is_asked_for_whole() {
    let (gateway, [a]) = stage_of(Dialect::Anthropic, &[]).await;
    ask(&gateway, MOST_WHOLE).await.assert_ok();
    assert_eq!(a.last().json()["stream"], Value::Null);
    ask_chat(&gateway, MOST_WHOLE).await.assert_ok();
    assert_eq!(a.last().json()["stream"], Value::Null);
}

#[tokio::test]
async fn clients_of_other_protocols_get_long_answers_whole_too() {
    let (gateway, [a]) = stage_of(Dialect::Anthropic, &[]).await;
    a.always(Script::sse(&rich()));
    let reply = ask_chat(&gateway, MOST_WHOLE + 1).await;
    assert_eq!(reply.assert_ok().json()["object"], "chat.completion", "{}", reply.text());
    let message = &reply.json()["choices"][0]["message"];
    assert_eq!((&message["content"], &message["reasoning_content"]), (&json!("Grüße, world"), &json!("Let me see.")));
    assert_eq!(reply.json()["usage"]["prompt_tokens"], 13);
    let body = json!({"model": "claude-sonnet-4-5", "input": "Say hello", "max_output_tokens": 30_000});
    let reply = gateway.send(Request::post("/v1/responses", &body).bearer(API_KEY)).await;
    assert_eq!(reply.assert_ok().json()["status"], "completed", "{}", reply.text());
    assert_eq!(a.calls(), 2);
    assert!(a.seen().iter().all(|seen| seen.json()["stream"] == true));
}

#[tokio::test]
async fn the_limit_that_the_gateway_fills_in_counts_too() {
    let (gateway, [a]) = stage_of(Dialect::Anthropic, &[]).await;
    let reply = gateway.ask("claude-sonnet-4-5").await;
    assert_eq!(reply.assert_ok().content(), "Hello from a");
    let sent = a.last().json();
    assert!(sent["max_tokens"].as_u64() > Some(MOST_WHOLE) && sent["stream"] == true, "{sent}");
}

#[tokio::test]
async fn a_call_without_arguments_has_an_empty_object() {
    let (gateway, [a]) = stage_of(Dialect::Anthropic, &[]).await;
    let mut frames = Dialect::Anthropic.preamble();
    let call = json!({"type": "tool_use", "id": "toolu_1", "name": "now", "input": {}});
    frames.push(event(json!({"type": "content_block_start", "index": 0, "content_block": call})));
    frames.push(event(json!({"type": "content_block_stop", "index": 0})));
    frames.push(event(json!({"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {}})));
    frames.push(event(json!({"type": "message_stop"})));
    a.always(Script::sse(&frames));
    assert_eq!(ask(&gateway, 30_000).await.assert_ok().json()["content"], json!([call]));
    let reply = ask_chat(&gateway, 30_000).await;
    assert_eq!(reply.assert_ok().json()["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"], "{}");
    let body = json!({"model": "claude-sonnet-4-5", "input": "What time is it?", "max_output_tokens": 30_000});
    let reply = gateway.send(Request::post("/v1/responses", &body).bearer(API_KEY)).await;
    assert_eq!(reply.assert_ok().json()["output"][0]["arguments"], "{}", "{}", reply.text());
}

#[tokio::test]
async fn whatever_fails_before_the_end_is_another_providers_turn() {
    let half = Dialect::Anthropic.begun(&["Hel", "lo"]);
    let failing = [half.clone(), vec![Dialect::Anthropic.error_event()]].concat();
    for script in
        [Script::sse(&failing), Script::sse(&half).then_cut(), Script::sse(&half), Script::sse(&half).then_stall()]
    {
        let (gateway, [a, b]) =
            stage_of(Dialect::Anthropic, &[("ORCHESTRATOR_ROUTING_STREAM_IDLE_TIMEOUT", "0.3")]).await;
        a.always(script);
        let reply = ask(&gateway, 30_000).await;
        assert_eq!(reply.assert_ok().json()["content"][0]["text"], "Hello from b", "{}", reply.text());
        assert_eq!((a.calls(), b.calls()), (1, 1));
    }
}

#[tokio::test]
async fn a_failure_with_nobody_left_is_the_requests_own() {
    let (gateway, [a]) = stage_of(Dialect::Anthropic, &[]).await;
    let half = Dialect::Anthropic.begun(&["Hel", "lo"]);
    a.always(Script::sse(&[half, vec![Dialect::Anthropic.error_event()]].concat()));
    let reply = ask(&gateway, 30_000).await;
    assert_eq!((reply.status, &reply.error()["type"]), (529, &json!("overloaded_error")), "{}", reply.text());
}

#[tokio::test]
async fn what_a_broken_off_answer_took_is_counted_in_the_row() {
    let counted = json!({"prompt_tokens": 11, "completion_tokens": 1, "status_code": 502});
    let half = Dialect::Anthropic.begun(&["Hel", "lo"]);
    let (gateway, [a]) = stage_of(Dialect::Anthropic, &[]).await;
    a.always(Script::sse(&half).then_cut());
    ask(&gateway, 30_000).await;
    gateway.assert_row(counted).await;
}

#[tokio::test]
async fn what_a_client_did_not_wait_for_is_counted_in_the_row() {
    let (gateway, [a]) = stage_of(Dialect::Anthropic, &[]).await;
    a.always(Script::sse(&Dialect::Anthropic.begun(&["again "; 100])).paced(Duration::from_millis(50)));
    let mut client = Raw::connect(gateway.address()).await;
    let body =
        json!({"model": "claude-sonnet-4-5", "max_tokens": 30_000, "messages": [{"role": "user", "content": "Hi"}]});
    client.send(&Request::post("/v1/messages", &body).header("x-api-key", API_KEY).bytes()).await;
    // What was sent so long before has been read too.
    let sent = async || a.seen().last().is_some_and(|seen| seen.life().writes >= 20).then_some(());
    eventually("the beginning to be sent", sent).await;
    drop(client);
    gateway.assert_row(json!({"prompt_tokens": 11, "completion_tokens": 1, "status_code": 499})).await;
}

#[tokio::test]
async fn what_the_first_providers_half_took_is_paid_beside_the_second_ones_answer() {
    let (gateway, [a, b]) = stage_of(Dialect::Anthropic, &[]).await;
    a.always(Script::sse(&Dialect::Anthropic.begun(&["Hel", "lo"])).then_cut());
    let reply = ask(&gateway, 30_000).await;
    let answered = &reply.assert_ok().json()["usage"];
    // Sonnet at $3, from its cache at $0.30, and $15 a million tokens.
    let price = |usage: &Value| {
        let of = |kind: &str, price: f64| usage[kind].as_f64().unwrap_or(0.0) * price * 1e-6;
        of("input_tokens", 3.0) + of("cache_read_input_tokens", 0.3) + of("output_tokens", 15.0)
    };
    let broken_off = json!({"input_tokens": 8, "cache_read_input_tokens": 3, "output_tokens": 1});
    let row = gateway.assert_row(json!({"provider_name": "b", "attempts": 2})).await;
    let both = price(&broken_off) + price(answered);
    let cost = row["cost"].as_f64().expect("both have a price");
    assert!((cost - both).abs() < 1e-9, "{cost} is not {both}");
    assert_eq!(b.calls(), 1);
}

#[tokio::test]
async fn an_answer_may_take_longer_than_its_provider_has_to_begin_it() {
    let (gateway, a) = (Gateway::start().await, Upstream::start("a").await);
    gateway.provider("a", "anthropic", &a, json!({"timeout": 1, "max_retries": 0})).await;
    a.always(Script::sse(&Dialect::Anthropic.stream(&["one ", "two ", "three"])).paced(Duration::from_millis(250)));
    let reply = ask(&gateway, 30_000).await;
    assert_eq!(reply.assert_ok().json()["content"][0]["text"], "one two three");
}

#[tokio::test]
async fn an_answer_that_grows_beyond_bounds_is_given_up() {
    let (gateway, [a]) = stage_of(Dialect::Anthropic, &[("ORCHESTRATOR_ROUTING_MAX_RESPONSE_BYTES", "4096")]).await;
    a.always(Script::sse(&Dialect::Anthropic.begun(&["again and again "; 100])).then_stall());
    let reply = ask(&gateway, 30_000).await;
    assert!(reply.status == 502 && reply.text().contains("longer than 4096 bytes"), "{}", reply.text());
    a.last().closed().await;
}

#[tokio::test]
async fn a_provider_that_answers_whole_all_the_same_is_taken_at_its_word() {
    let (gateway, [a]) = stage_of(Dialect::Anthropic, &[]).await;
    a.always(Script::json(200, &Dialect::Anthropic.whole("Hello")));
    assert_eq!(ask(&gateway, 30_000).await.assert_ok().json(), Dialect::Anthropic.whole("Hello"));
    assert_eq!(ask_chat(&gateway, 30_000).await.assert_ok().content(), "Hello");
}
