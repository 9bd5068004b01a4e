//! A provider fails before the client got anything: another one serves, and nobody notices.

use std::time::Duration;

use serde_json::{Value, json};

use super::{stage, stage_of};
use crate::support::{Dialect, Gateway, Script, Upstream};

/// The first provider answers so; the second must serve, whole and as a stream, with one row for each request.
async fn the_second_serves(script: Script) {
    let (gateway, [a, b]) = stage(&[]).await;
    a.always(script);
    let whole = gateway.ask("gpt-4o").await;
    assert_eq!(whole.assert_ok().content(), "Hello from b");
    assert_eq!(whole.json()["provider"], "b");
    assert_eq!(whole.header("x-orchestrator-provider"), Some("b"));
    assert_eq!(whole.header("x-orchestrator-attempts"), Some("2"));
    gateway
        .assert_row(json!({
            "status_code": 200, "error_code": null, "attempts": 2, "provider_name": "b", "stream": false,
            "prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18, "cached_tokens": 3,
        }))
        .await;
    let stream = gateway.ask_stream("gpt-4o").await;
    assert_eq!(stream.assert_ok().content(), "Hello from b");
    assert!(stream.done(), "{}", stream.text());
    let rows = gateway.logs(2).await;
    assert_eq!(rows[1]["status_code"], 200, "{:#}", rows[1]);
    assert_eq!((&rows[1]["provider_name"], &rows[1]["stream"]), (&json!("b"), &json!(true)), "{:#}", rows[1]);
    assert_eq!(b.calls(), 2);
}

#[tokio::test]
async fn a_refused_connection_moves_to_the_next_provider() {
    let gateway = Gateway::start().await;
    let b = Upstream::start("b").await;
    gateway.provider_at("a", "openai", &Upstream::nowhere().await, json!({"priority": 900, "max_retries": 0})).await;
    gateway.provider("b", "openai", &b, json!({})).await;
    let reply = gateway.ask("gpt-4o").await;
    assert_eq!(reply.assert_ok().content(), "Hello from b");
    gateway.assert_row(json!({"status_code": 200, "attempts": 2, "provider_name": "b"})).await;
}

#[tokio::test]
async fn a_refused_connection_of_the_only_provider_is_a_bad_gateway() {
    let gateway = Gateway::start().await;
    gateway.provider_at("a", "openai", &Upstream::nowhere().await, json!({"max_retries": 0})).await;
    let reply = gateway.ask("gpt-4o").await;
    reply.assert_error(502, "upstream_error");
    assert!(!reply.text().contains("127.0.0.1"), "an error tells no address: {}", reply.text());
    gateway.assert_row(json!({"status_code": 502, "error_code": "connect", "attempts": 1})).await;
}

#[tokio::test]
async fn a_rate_limit_moves_to_the_next_provider_at_once() {
    let script = Script::error(429, "Slow down").header("Retry-After", "30");
    let started = std::time::Instant::now();
    the_second_serves(script).await;
    assert!(started.elapsed() < Duration::from_secs(15), "nobody waits for a provider that can be replaced");
}

#[tokio::test]
async fn a_server_error_moves_to_the_next_provider() {
    the_second_serves(Script::error(500, "Oops")).await;
}

#[tokio::test]
async fn an_overloaded_provider_is_left_for_the_next() {
    the_second_serves(Script::error(529, "Overloaded")).await;
}

#[tokio::test]
async fn a_provider_that_is_unavailable_is_left_for_the_next() {
    the_second_serves(Script::error(503, "Be right back").header("Retry-After", "30")).await;
}

#[tokio::test]
async fn a_refused_provider_key_moves_to_the_next_provider() {
    the_second_serves(Script::error(401, "Incorrect API key provided: sk-of-a")).await;
}

#[tokio::test]
async fn a_spent_quota_moves_to_the_next_provider() {
    let body = json!({"error": {"message": "You exceeded your current quota", "type": "insufficient_quota",
        "param": null, "code": "insufficient_quota"}});
    the_second_serves(Script::json(429, &body)).await;
}

#[tokio::test]
async fn a_connection_closed_without_an_answer_moves_to_the_next_provider() {
    the_second_serves(Script::hang_up()).await;
}

#[tokio::test]
async fn a_connection_reset_without_an_answer_moves_to_the_next_provider() {
    the_second_serves(Script::slam()).await;
}

#[tokio::test]
async fn an_html_page_moves_to_the_next_provider() {
    the_second_serves(Script::html(200)).await;
}

#[tokio::test]
async fn an_error_inside_a_good_status_moves_to_the_next_provider() {
    the_second_serves(Script::json(200, &Dialect::OpenAi.error(500, "Oops"))).await;
}

#[tokio::test]
async fn an_empty_answer_moves_to_the_next_provider() {
    the_second_serves(Script::bytes(200, "application/json", "")).await;
}

#[tokio::test]
async fn a_body_cut_short_moves_to_the_next_provider() {
    let whole = Dialect::OpenAi.whole("Hello from a").to_string();
    let script = Script::bytes(200, "application/json", &whole[..whole.len() / 2]).header("Content-Length", "1000");
    the_second_serves(script.then_cut()).await;
}

#[tokio::test]
async fn a_provider_that_stays_silent_is_left_when_its_own_time_is_over() {
    let gateway = Gateway::start().await;
    let (a, b) = (Upstream::start("a").await, Upstream::start("b").await);
    gateway.provider("a", "openai", &a, json!({"priority": 900, "timeout": 1, "max_retries": 0})).await;
    gateway.provider("b", "openai", &b, json!({})).await;
    a.always(Script::silent());
    let reply = gateway.ask("gpt-4o").await;
    assert_eq!(reply.assert_ok().content(), "Hello from b");
    a.last().closed().await;
    gateway.assert_row(json!({"status_code": 200, "attempts": 2, "provider_name": "b"})).await;
}

/// The first provider streams this; the second must serve.
async fn the_second_streams(dialect: Dialect, script: Script) {
    let (gateway, [a, b]) = stage_of(dialect, &[]).await;
    a.always(script);
    let reply = gateway.ask_stream(dialect.model()).await;
    assert_eq!(reply.assert_ok().content(), "Hello from b", "{dialect:?}: {}", reply.text());
    assert!(reply.done(), "{dialect:?}: {}", reply.text());
    assert_eq!(reply.stream_error(), Value::Null);
    assert_eq!((a.calls(), b.calls()), (1, 1), "{dialect:?}");
    let roles = reply.chunks().iter().filter(|chunk| chunk["choices"][0]["delta"]["role"].is_string()).count();
    assert_eq!(roles, 1, "{dialect:?}: a stream begins once: {}", reply.text());
    gateway
        .assert_row(json!({
            "status_code": 200, "error_code": null, "attempts": 2, "provider_name": "b", "stream": true,
            "prompt_tokens": 11, "completion_tokens": 7, "cached_tokens": 3,
        }))
        .await;
}

#[tokio::test]
async fn a_stream_cut_before_content_moves_to_the_next_provider() {
    for dialect in Dialect::ALL {
        the_second_streams(dialect, Script::sse(&dialect.preamble()).then_cut()).await;
    }
}

#[tokio::test]
async fn a_stream_reset_before_content_moves_to_the_next_provider() {
    for dialect in Dialect::ALL {
        the_second_streams(dialect, Script::sse(&dialect.preamble()).then_reset()).await;
    }
}

#[tokio::test]
async fn an_error_event_before_content_moves_to_the_next_provider() {
    for dialect in Dialect::ALL {
        let mut frames = dialect.preamble();
        frames.push(dialect.error_event());
        the_second_streams(dialect, Script::sse(&frames)).await;
    }
}

#[tokio::test]
async fn a_stream_that_ends_before_it_begins_moves_to_the_next_provider() {
    for dialect in Dialect::ALL {
        the_second_streams(dialect, Script::sse::<&str>(&[])).await;
    }
}

#[tokio::test]
async fn a_stream_that_stalls_before_content_moves_to_the_next_provider() {
    for dialect in Dialect::ALL {
        let gateway = Gateway::start().await;
        let (a, b) = (Upstream::start("a").await, Upstream::start("b").await);
        let impatient = json!({"priority": 900, "timeout": 1, "max_retries": 0});
        gateway.provider("a", dialect.kind(), &a, impatient).await;
        gateway.provider("b", dialect.kind(), &b, json!({})).await;
        a.always(Script::sse(&dialect.preamble()).then_stall());
        let reply = gateway.ask_stream(dialect.model()).await;
        assert_eq!(reply.assert_ok().content(), "Hello from b", "{dialect:?}: {}", reply.text());
        assert!(reply.done(), "{dialect:?}: {}", reply.text());
        a.last().closed().await;
        gateway.assert_row(json!({"status_code": 200, "attempts": 2, "provider_name": "b"})).await;
    }
}

#[tokio::test]
async fn a_whole_answer_to_a_request_for_a_stream_is_served_as_a_stream_or_by_the_next_provider() {
    let (gateway, [a, _b]) = stage(&[]).await;
    a.always(Script::json(200, &Dialect::OpenAi.whole("Hello from a")));
    let reply = gateway.ask_stream("gpt-4o").await;
    assert!(reply.assert_ok().content().starts_with("Hello from "), "{}", reply.text());
    assert!(reply.done(), "{}", reply.text());
}

#[tokio::test]
async fn three_providers_are_tried_in_their_order() {
    let (gateway, [a, b, c]) = stage(&[]).await;
    a.always(Script::error(500, "Oops"));
    b.always(Script::html(502));
    let reply = gateway.ask("gpt-4o").await;
    assert_eq!(reply.assert_ok().content(), "Hello from c");
    let times = [a.last().at, b.last().at, c.last().at];
    assert!(times.is_sorted());
    gateway.assert_row(json!({"status_code": 200, "attempts": 3, "provider_name": "c"})).await;
}

#[tokio::test]
async fn when_every_provider_fails_the_client_hears_why_once() {
    let (gateway, [a, b, c]) = stage(&[]).await;
    for upstream in [&a, &b, &c] {
        upstream.always(Script::error(500, "Oops"));
    }
    let reply = gateway.ask("gpt-4o").await;
    reply.assert_error(502, "upstream_error");
    assert_eq!((a.calls(), b.calls(), c.calls()), (1, 1, 1));
    gateway.assert_row(json!({"status_code": 502, "error_code": "server_error", "attempts": 3})).await;
}

#[tokio::test]
async fn the_request_is_the_same_at_every_provider() {
    let (gateway, [a, b]) = stage(&[]).await;
    a.always(Script::error(500, "Oops"));
    gateway.ask("gpt-4o").await.assert_ok();
    assert_eq!(a.last().body, b.last().body);
    assert_eq!(a.last().header("authorization"), Some("Bearer sk-of-a"));
    assert_eq!(b.last().header("authorization"), Some("Bearer sk-of-b"));
}
