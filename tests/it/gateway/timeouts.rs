//! Deadlines: the request's, the provider's and the stream's.

use std::time::Duration;

use serde_json::json;

use super::{stage, stage_of};
use crate::support::{Dialect, Gateway, Script, Upstream, gateway::question};

#[tokio::test]
async fn a_fraction_of_a_second_counts_in_a_timeout() {
    let (gateway, [a]) = stage(&[]).await;
    a.always(Script::silent());
    let mut body = question("gpt-4o");
    body["timeout"] = json!(1.5);
    let reply = gateway.chat(body).await;
    reply.assert_error(504, "upstream_timeout");
    let elapsed = reply.elapsed.as_secs_f64();
    assert!((1.45..4.0).contains(&elapsed), "{elapsed}");
    a.last().closed().await;
    gateway.assert_row(json!({"status_code": 504, "error_code": "upstream_timeout", "attempts": 1})).await;
}

#[tokio::test]
async fn the_deadline_covers_all_attempts_together() {
    let (gateway, [a]) = stage(&[]).await;
    a.always(Script::error(500, "Oops").after(Duration::from_millis(700)));
    let mut body = question("gpt-4o");
    body["timeout"] = json!(1.2);
    body["retry_count"] = json!(5);
    let reply = gateway.chat(body).await;
    assert!([502, 504].contains(&reply.status), "{}", reply.text());
    assert!(reply.elapsed < Duration::from_secs(4), "{:?}", reply.elapsed);
    assert!(a.calls() <= 2, "{}", a.calls());
}

#[tokio::test]
async fn without_a_timeout_the_providers_own_holds() {
    let gateway = Gateway::start().await;
    let a = Upstream::start("a").await;
    gateway.provider("a", "openai", &a, json!({"timeout": 1, "max_retries": 0})).await;
    a.always(Script::silent());
    let reply = gateway.ask("gpt-4o").await;
    reply.assert_error(504, "upstream_timeout");
    assert!(reply.elapsed < Duration::from_secs(5), "{:?}", reply.elapsed);
}

#[tokio::test]
async fn a_timeout_is_not_held_against_a_provider_that_the_caller_gave_too_little_time() {
    let (gateway, [a]) = stage(&[("HEALTH_CHECK_MAX_ERRORS", "2")]).await;
    a.always(Script::silent());
    let mut body = question("gpt-4o");
    body["timeout"] = json!(1);
    for _ in 0..3 {
        gateway.chat(body.clone()).await.assert_error(504, "upstream_timeout");
    }
    assert_eq!(gateway.health_of("a").await["is_healthy"], true);
}

#[tokio::test]
async fn a_body_that_trickles_is_cut_at_the_deadline() {
    let (gateway, [a]) = stage(&[]).await;
    let whole = Dialect::OpenAi.whole("Hello from a").to_string();
    a.always(Script::bytes(200, "application/json", whole).byte_by_byte().paced(Duration::from_millis(100)));
    let mut body = question("gpt-4o");
    body["timeout"] = json!(1);
    let reply = gateway.chat(body).await;
    reply.assert_error(504, "upstream_timeout");
    assert!(reply.elapsed < Duration::from_secs(4), "{:?}", reply.elapsed);
    a.last().closed().await;
}

#[tokio::test]
async fn a_stream_that_stalls_after_content_ends_with_an_error_event() {
    for dialect in Dialect::ALL {
        let (gateway, [a, b]) = stage_of(dialect, &[("ORCHESTRATOR_ROUTING_STREAM_IDLE_TIMEOUT", "1")]).await;
        a.always(Script::sse(&dialect.begun(&["Hel", "lo"])).then_stall());
        let reply = gateway.ask_stream(dialect.model()).await;
        assert_eq!(reply.assert_ok().content(), "Hello", "{dialect:?}: {}", reply.text());
        assert_eq!(reply.stream_error()["code"], "upstream_timeout", "{dialect:?}: {}", reply.text());
        assert!(!reply.done(), "{dialect:?}: a stall is not an end: {}", reply.text());
        assert!(reply.complete, "{dialect:?}: the gateway's own answer ends properly");
        a.last().closed().await;
        assert_eq!(b.calls(), 0, "{dialect:?}: no retry after content");
        gateway.assert_row(json!({"status_code": 504, "error_code": "stalled", "attempts": 1, "stream": true})).await;
        assert_eq!(gateway.admin_get("/admin/stats").await["successful_requests"], 0);
    }
}

#[tokio::test]
async fn a_stream_outlives_the_providers_timeout_while_it_moves_but_not_the_clients() {
    let gateway = Gateway::start().await;
    let a = Upstream::start("a").await;
    gateway.provider("a", "openai", &a, json!({"timeout": 1, "max_retries": 0})).await;
    let frames = Dialect::OpenAi.stream(&["one ", "two ", "three ", "four ", "five ", "six"]);
    a.always(Script::sse(&frames).paced(Duration::from_millis(300)));
    let reply = gateway.ask_stream("gpt-4o").await;
    assert_eq!(reply.assert_ok().content(), "one two three four five six");
    assert!(reply.done());
    let mut body = question("gpt-4o");
    body["timeout"] = json!(1.2);
    body["stream"] = json!(true);
    let reply = gateway.chat(body).await;
    assert!(reply.assert_ok().content().starts_with("one two "), "{}", reply.text());
    assert_eq!(reply.stream_error()["code"], "upstream_timeout", "{}", reply.text());
    a.last().closed().await;
}

#[tokio::test]
async fn a_stream_without_end_is_cut_at_its_longest_duration() {
    let (gateway, [a]) = stage(&[("ORCHESTRATOR_ROUTING_STREAM_MAX_DURATION", "2")]).await;
    let frames: Vec<String> = Dialect::OpenAi.begun(&["again "; 400]);
    a.always(Script::sse(&frames).paced(Duration::from_millis(50)));
    let reply = gateway.ask_stream("gpt-4o").await;
    assert_eq!(reply.assert_ok().stream_error()["code"], "upstream_timeout", "{}", reply.text());
    let elapsed = reply.elapsed.as_secs_f64();
    assert!((1.9..6.0).contains(&elapsed), "{elapsed}");
    a.last().closed().await;
}

#[tokio::test]
async fn a_client_hears_a_comment_now_and_then_while_the_provider_thinks() {
    let (gateway, [a]) = stage(&[("ORCHESTRATOR_ROUTING_KEEP_ALIVE_INTERVAL", "0.3")]).await;
    let mut frames = Dialect::OpenAi.stream(&["Hello"]);
    frames.insert(2, String::new());
    a.always(Script::sse(&frames).paced(Duration::from_millis(700)));
    let reply = gateway.ask_stream("gpt-4o").await;
    assert_eq!(reply.assert_ok().content(), "Hello");
    assert!(reply.text().lines().any(|line| line.starts_with(':')), "{}", reply.text());
}
