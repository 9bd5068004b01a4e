//! What is never given again: answers that are not complete, and those that more depends on than the request says.

use std::time::Duration;

use serde_json::{Value, json};

use super::{about, cache, gateway, streamed};
use crate::support::{API_KEY, Dialect, Gateway, Raw, Request, Script, Upstream, gateway::chat};

/// Asks twice, and says whether the second answer was a kept one.
async fn is_kept(gateway: &Gateway, path: &str, body: &Value) -> bool {
    let ask = async || gateway.send(Request::post(path, body).bearer(API_KEY)).await;
    ask().await;
    ask().await.header("x-orchestrator-cache") == Some("hit")
}

const CHAT: &str = "/v1/chat/completions";

#[tokio::test]
async fn an_error_is_not_kept() {
    let upstream = Upstream::start("a").await;
    let gateway = gateway(&upstream, &[]).await;
    for status in [400, 429, 500] {
        upstream.next(Script::error(status, "no"));
        assert!(!is_kept(&gateway, CHAT, &about(&format!("of {status}"))).await, "{status}");
    }
}

#[tokio::test]
async fn an_answer_that_was_cut_short_is_not_kept() {
    let upstream = Upstream::start("a").await;
    let gateway = gateway(&upstream, &[]).await;
    for reason in ["length", "content_filter"] {
        let mut answer = Dialect::OpenAi.whole("Once upon a");
        answer["choices"][0]["finish_reason"] = reason.into();
        upstream.next(Script::json(200, &answer));
        assert!(!is_kept(&gateway, CHAT, &about(reason)).await, "{reason}");
        let stream: Vec<String> = Dialect::OpenAi
            .stream(&["Once ", "upon a"])
            .iter()
            .map(|frame| frame.replace("\"stop\"", &format!("\"{reason}\"")))
            .collect();
        upstream.next(Script::sse(&stream));
        assert!(!is_kept(&gateway, CHAT, &streamed(about(reason))).await, "{reason} in a stream");
    }
}

#[tokio::test]
async fn a_stream_that_broke_is_not_kept() {
    let upstream = Upstream::start("a").await;
    let gateway = gateway(&upstream, &[]).await;
    let frames = Dialect::OpenAi.stream(&["one ", "two ", "three"]);
    for count in 2..frames.len() - 1 {
        upstream.next(Script::sse(&frames[..count]).then_cut());
        assert!(!is_kept(&gateway, CHAT, &streamed(about(&format!("cut {count}")))).await, "cut after {count} frames");
    }
    let error = "data: {\"error\":{\"message\":\"overloaded\",\"type\":\"server_error\",\"code\":500}}\n\n".to_owned();
    upstream.next(Script::sse(&[&frames[..3], &[error]].concat()));
    assert!(!is_kept(&gateway, CHAT, &streamed(about("an error inside"))).await);
}

#[tokio::test]
async fn a_stream_whose_client_left_is_not_kept() {
    let upstream = Upstream::start("a").await;
    let gateway = gateway(&upstream, &[]).await;
    let slow = Script::stream(&["one ", "two ", "three"]).paced(Duration::from_millis(300));
    upstream.next(slow);
    let mut client = Raw::connect(gateway.address()).await;
    client.send(&chat(&streamed(about("leaving"))).bytes()).await;
    client.until("one ").await;
    drop(client);
    upstream.call(1).await.closed().await;
    assert_eq!(cache(&gateway.chat(streamed(about("leaving"))).await), Some("miss"));
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_not_kept() {
    let upstream = Upstream::start("a").await;
    let gateway = gateway(&upstream, &[("ORCHESTRATOR_CACHE_MAX_ENTRY_BYTES", "2000")]).await;
    let large = "x".repeat(2000);
    upstream.always(Script::json(200, &Dialect::OpenAi.whole(&large)));
    assert!(!is_kept(&gateway, CHAT, &about("at length")).await);
    upstream.always(Script::stream(&[large.as_str()]));
    assert!(!is_kept(&gateway, CHAT, &streamed(about("at length"))).await);
    upstream.always(Script::json(200, &Dialect::OpenAi.whole("short")));
    assert!(is_kept(&gateway, CHAT, &about("in short")).await);
}

#[tokio::test]
async fn what_a_provider_keeps_or_does_besides_is_asked_of_it_every_time() {
    let (openai, anthropic, gemini) =
        (Upstream::start("a").await, Upstream::start("b").await, Upstream::start("c").await);
    let gateway = gateway(&openai, &[]).await;
    gateway.provider("b", "anthropic", &anthropic, json!({})).await;
    gateway.provider("c", "gemini", &gemini, json!({})).await;
    let chat = |more: Value| (CHAT.to_owned(), merged(about("hi"), more));
    let messages = |more: Value| {
        let plain =
            json!({"model": "claude-haiku-4-5", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]});
        ("/v1/messages".to_owned(), merged(plain, more))
    };
    let responses = |more: Value| {
        let plain = json!({"model": "gpt-4o", "input": "hi", "store": false});
        ("/v1/responses".to_owned(), merged(plain, more))
    };
    let gemini = |more: Value| {
        let plain = json!({"contents": [{"role": "user", "parts": [{"text": "hi"}]}]});
        ("/v1beta/models/gemini-2.5-flash:generateContent".to_owned(), merged(plain, more))
    };
    for (path, body) in [chat(json!({})), messages(json!({})), responses(json!({})), gemini(json!({}))] {
        assert!(is_kept(&gateway, &path, &body).await, "{path} {body}");
    }
    let file = json!([{"role": "user", "content": [{"type": "file", "file": {"file_id": "file-1"}}]}]);
    for (path, body) in [
        chat(json!({"store": true})),
        chat(json!({"messages": file})),
        chat(json!({"n": 2, "stream": true})),
        messages(json!({"container": "container_1"})),
        messages(json!({"tools": [{"type": "code_execution_20250825", "name": "code_execution"}]})),
        responses(json!({"store": null})),
        responses(json!({"store": true})),
        responses(json!({"previous_response_id": "resp_1"})),
        responses(json!({"background": true})),
        responses(json!({"conversation": "conv_1"})),
        responses(json!({"tools": [{"type": "mcp", "server_label": "x", "server_url": "https://example.com"}]})),
        gemini(json!({"cachedContent": "cachedContents/1"})),
        gemini(
            json!({"contents": [{"role": "user", "parts": [{"fileData": {"fileUri": "https://example.com/files/1"}}]}]}),
        ),
    ] {
        assert!(!is_kept(&gateway, &path, &body).await, "{path} {body}");
    }
}

fn merged(mut plain: Value, more: Value) -> Value {
    for (key, value) in more.as_object().into_iter().flatten() {
        plain[key] = value.clone();
    }
    plain
}
